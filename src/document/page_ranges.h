// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace glmocr {

// Which pages of an input are read, in the order of the document: all, if empty.
class PageRanges {
 public:
  PageRanges() = default;
  // "1,3-5,8-": numbers from 1, and ranges, of which the last may be open. Throws Error{usage}.
  static PageRanges parse(const std::string& text);

  bool contains(std::int64_t page) const;
  // The first selected page from `page` on, both from 1; 0 where there is none up to `count`.
  std::int64_t next(std::int64_t page, std::int64_t count) const;
  // How many pages from `page` to `count` are selected.
  std::int64_t size(std::int64_t page, std::int64_t count) const;
  const std::string& text() const { return text_; }

 private:
  struct Range {
    std::int64_t first, last;
  };
  std::vector<Range> ranges_;  // in order, apart from each other
  std::string text_;
};

}  // namespace glmocr
