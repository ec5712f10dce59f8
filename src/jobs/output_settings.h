// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "formats/options.h"

namespace glmocr {

enum class OutputKind { markdown, json, jsonl, html, text, hocr, alto, pdf, layout };

// "md", "json" and so on, as --format takes it and as the suffix of files. layout is a folder of pictures.
std::string to_string(OutputKind kind);
std::vector<OutputKind> all_output_kinds();
// nullopt: pdf and layout, which are no text of their own.
std::optional<formats::Format> format_of(OutputKind kind);

struct OutputSettings {
  std::vector<OutputKind> kinds = {OutputKind::markdown};
  bool compat = false;  // the official SDK's files and bytes
  formats::Furniture furniture = formats::Furniture::drop;
  bool page_breaks = false;
  bool join_tables = false;

  bool has(OutputKind kind) const;
  // Whether the texts refer to crops of pictures, so that these have to be written beside them.
  bool has_crops() const;
};

}  // namespace glmocr
