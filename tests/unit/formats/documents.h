// SPDX-License-Identifier: Apache-2.0
// Pages made by hand for the tests of the formats.
#pragma once
#include <string>
#include <utility>
#include <vector>

#include "formats/writer.h"

namespace glmocr::formats {

inline Region region(RegionLabel label, std::string content, Box box = {100, 100, 900, 200}) {
  Region region;
  region.label = label;
  region.task = region_task(label) == RegionTask::none ? RegionTask::text : region_task(label);
  region.box = box;
  region.content = std::move(content);
  return region;
}

inline Region text(std::string content, Box box = {100, 100, 900, 200}) {
  return region(RegionLabel::text, std::move(content), box);
}

inline Region picture(Box box = {100, 300, 900, 500}) {
  Region picture = region(RegionLabel::image, "", box);
  picture.content.reset();
  return picture;
}

inline DocumentPage page(std::vector<Region> regions, int number = 1) {
  DocumentPage page;
  page.file = "paper.pdf";
  page.number = number;
  page.width = 1000;
  page.height = 1000;
  page.regions = std::move(regions);
  return page;
}

inline std::string write(DocumentWriter& writer, const std::vector<DocumentPage>& pages) {
  std::string out;
  for (const DocumentPage& page : pages) out += writer.page(page);
  return out + writer.end();
}

inline std::string write(Format format, const std::vector<DocumentPage>& pages, FormatOptions options = {}) {
  return write(*document_writer(format, std::move(options)), pages);
}

// The Markdown of one region by itself, without the newline at the end.
inline std::string markdown(RegionLabel label, std::string content) {
  std::string out = write(Format::markdown, {page({region(label, std::move(content))})});
  if (!out.empty()) out.pop_back();
  return out;
}

}  // namespace glmocr::formats
