// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <string>

#include "document/page.h"

namespace glmocr::cli {

// The figures of --stats. Sums are over the pages that were read.
class Stats {
 public:
  // `quantization`: what the weights became when they were loaded.
  Stats(ModelInfo info, Quantization quantization, double load_ms)
      : info_(std::move(info)), quantization_(quantization), load_ms_(load_ms) {}

  // The line of one page, which also counts it.
  std::string page_line(const Page& page);
  // The machine, the speed over all pages, and the memory. With several devices speeds are means over them, memory is that
  // of the one that took most.
  std::string summary(const EngineStats& engine, double seconds) const;

 private:
  static std::string device_lines(const EngineStats& engine);
  std::string decode_bandwidth(const EngineStats& engine) const;

  ModelInfo info_;
  Quantization quantization_;
  double load_ms_;
  std::int64_t pages_ = 0;
};

}  // namespace glmocr::cli
