// SPDX-License-Identifier: Apache-2.0
#include "jobs/output_settings.h"

#include <algorithm>
#include <array>
#include <cstddef>

namespace glmocr {
namespace {

struct KindRow {
  OutputKind kind;
  const char* name;
  std::optional<formats::Format> format;
};

constexpr std::array<KindRow, 9> kKinds = {{{OutputKind::markdown, "md", formats::Format::markdown},
                                            {OutputKind::json, "json", formats::Format::json},
                                            {OutputKind::jsonl, "jsonl", formats::Format::jsonl},
                                            {OutputKind::html, "html", formats::Format::html},
                                            {OutputKind::text, "txt", formats::Format::text},
                                            {OutputKind::hocr, "hocr", formats::Format::hocr},
                                            {OutputKind::alto, "alto", formats::Format::alto},
                                            {OutputKind::pdf, "pdf", std::nullopt},
                                            {OutputKind::layout, "layout", std::nullopt}}};

const KindRow& row_of(OutputKind kind) { return kKinds[static_cast<std::size_t>(kind)]; }

}  // namespace

std::string to_string(OutputKind kind) { return row_of(kind).name; }

std::optional<formats::Format> format_of(OutputKind kind) { return row_of(kind).format; }

std::vector<OutputKind> all_output_kinds() {
  std::vector<OutputKind> kinds;
  for (const KindRow& row : kKinds) kinds.push_back(row.kind);
  return kinds;
}

bool OutputSettings::has(OutputKind kind) const {
  return std::find(kinds.begin(), kinds.end(), kind) != kinds.end();
}

bool OutputSettings::has_crops() const {
  return has(OutputKind::markdown) || has(OutputKind::html) || has(OutputKind::json) ||
         has(OutputKind::jsonl);
}

}  // namespace glmocr
