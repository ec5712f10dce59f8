// SPDX-License-Identifier: Apache-2.0
#include "glmocr/region.h"

#include <array>
#include <cstddef>

namespace glmocr {

namespace {

struct LabelRow {
  std::string_view name;
  RegionTask task;
};

constexpr std::array<LabelRow, kRegionLabels> kLabels = {{
    {"abstract", RegionTask::text},
    {"algorithm", RegionTask::text},
    {"aside_text", RegionTask::none},
    {"chart", RegionTask::picture},
    {"content", RegionTask::text},
    {"display_formula", RegionTask::formula},
    {"doc_title", RegionTask::text},
    {"figure_title", RegionTask::text},
    {"footer", RegionTask::none},
    {"footer_image", RegionTask::none},
    {"footnote", RegionTask::none},
    {"formula_number", RegionTask::text},
    {"header", RegionTask::none},
    {"header_image", RegionTask::none},
    {"image", RegionTask::picture},
    {"inline_formula", RegionTask::formula},
    {"number", RegionTask::none},
    {"paragraph_title", RegionTask::text},
    {"reference", RegionTask::none},
    {"reference_content", RegionTask::text},
    {"seal", RegionTask::text},
    {"table", RegionTask::table},
    {"text", RegionTask::text},
    {"vertical_text", RegionTask::text},
    {"vision_footnote", RegionTask::text},
}};

}  // namespace

std::string_view to_string(RegionLabel label) { return kLabels[static_cast<std::size_t>(label)].name; }

std::optional<RegionLabel> region_label(std::string_view name) {
  for (std::size_t i = 0; i < kLabels.size(); ++i)
    if (kLabels[i].name == name) return static_cast<RegionLabel>(i);
  return std::nullopt;
}

RegionTask region_task(RegionLabel label) { return kLabels[static_cast<std::size_t>(label)].task; }

}  // namespace glmocr
