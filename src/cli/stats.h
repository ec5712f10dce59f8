// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <string>

#include "cli/page.h"

namespace glmocr::cli {

// The numbers of --stats. Sums are over the pages that were read.
class Stats {
 public:
  Stats(ModelInfo info, double load_ms) : info_(std::move(info)), load_ms_(load_ms) {}

  // The line of one page, which also counts it.
  std::string page_line(const Page& page);
  // The machine, the speed of all pages together, and the memory.
  std::string summary(const EngineStats& engine, double seconds) const;

 private:
  std::string decode_bandwidth(const EngineStats& engine) const;

  ModelInfo info_;
  double load_ms_;
  std::int64_t pages_ = 0;
};

// The most memory this process has held, mapped weights included.
std::int64_t peak_memory_bytes();

std::string size_text(std::int64_t bytes);  // "1.5 GiB"

}  // namespace glmocr::cli
