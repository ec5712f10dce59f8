// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <algorithm>
#include <utility>
#include <vector>

#include "regions/marks.h"

namespace glmocr::layout {

// Finds boxes by the rows they lie in: a list of boxes for each band of the page.
class RowIndex {
 public:
  RowIndex(int page_height, int band) : band_(std::max(1, band)), bands_(page_height / band_ + 1) {}

  void add(int index, int y0, int y1) {
    for (int b = band_of(y0); b <= band_of(y1 - 1); ++b) bands_[b].push_back(index);
  }
  // The boxes of the band that holds a row, in the order in which they were added.
  const std::vector<int>& at(int y) const { return bands_[band_of(y)]; }
  int band() const { return band_; }

 private:
  int band_of(int y) const { return std::clamp(y / band_, 0, static_cast<int>(bands_.size()) - 1); }

  int band_;
  std::vector<std::vector<int>> bands_;
};

// Sets that are united step by step.
class Sets {
 public:
  explicit Sets(std::size_t count) : parents_(count) {
    for (std::size_t i = 0; i < count; ++i) parents_[i] = static_cast<int>(i);
  }
  int root(int item) {
    while (parents_[item] != item) item = parents_[item] = parents_[parents_[item]];
    return item;
  }
  void unite(int a, int b) { parents_[root(b)] = root(a); }

 private:
  std::vector<int> parents_;
};

// One item of each set, in the order of their first ones: add(into, item) gives the first one the others.
template <class T, class Add>
std::vector<T> united_items(Sets& sets, std::vector<T> items, Add add) {
  std::vector<T> united;
  std::vector<int> place(items.size(), -1);  // of a set, by its root
  for (std::size_t i = 0; i < items.size(); ++i) {
    int& at = place[sets.root(static_cast<int>(i))];
    if (at < 0) {
      at = static_cast<int>(united.size());
      united.push_back(std::move(items[i]));
    } else {
      add(united[at], std::move(items[i]));
    }
  }
  return united;
}

}  // namespace glmocr::layout
