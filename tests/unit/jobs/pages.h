// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <string>
#include <vector>

#include "glmocr/region.h"
#include "jobs/page_journal.h"

namespace glmocr {

inline Region text_region(const std::string& content, Box box = {10, 10, 90, 30}) {
  Region region;
  region.box = box;
  region.content = content;
  return region;
}

inline Region picture_region(Box box = {10, 40, 60, 80}) {
  Region region;
  region.label = RegionLabel::image;
  region.task = RegionTask::picture;
  region.box = box;
  return region;
}

inline DocumentPage page_of(std::int64_t number, std::vector<Region> regions) {
  DocumentPage page;
  page.file = "a.pdf";
  page.number = number;
  page.width = 100;
  page.height = 100;
  page.regions = std::move(regions);
  return page;
}

inline DocumentPage text_page(std::int64_t number, const std::string& content) {
  return page_of(number, {text_region(content)});
}

// Nothing of it was read.
inline DocumentPage failed_page(std::int64_t number) {
  DocumentPage page = page_of(number, {});
  page.error = Error(ErrorCode::input, "a.pdf: is broken");
  return page;
}

// "NUMBER:CONTENT" of all pages.
inline std::vector<std::string> listed(const PageJournal& journal) {
  std::vector<std::string> list;
  journal.for_each([&](const DocumentPage& page) {
    std::string text = std::to_string(page.number) + ":";
    if (page.error) text += "error";
    for (const Region& region : page.regions) text += region.content.value_or("-");
    list.push_back(text);
  });
  return list;
}

}  // namespace glmocr
