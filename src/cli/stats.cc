// SPDX-License-Identifier: Apache-2.0
#include "cli/stats.h"

#include <sys/resource.h>

#include <algorithm>
#include <cstdio>

#include "base/error.h"
#include "cli/bandwidth.h"
#include "cli/console.h"

namespace glmocr::cli {
namespace {

std::string fixed(double value, int decimals) {
  char text[64];
  std::snprintf(text, sizeof text, "%.*f", decimals, value);
  return text;
}

double rate(double amount, double seconds) { return seconds > 0 ? amount / seconds : 0; }

}  // namespace

std::int64_t peak_memory_bytes() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return std::int64_t{usage.ru_maxrss} * 1024;
}

std::string size_text(std::int64_t bytes) {
  const char* units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  auto value = static_cast<double>(bytes);
  std::size_t unit = 0;
  for (; value >= 1024 && unit + 1 < std::size(units); ++unit) value /= 1024;
  return cat(fixed(value, unit == 0 ? 0 : 1), " ", units[unit]);
}

std::string Stats::page_line(const Page& page) {
  const Result& result = page.result;
  const Timings& timings = result.timings;
  ++pages_;
  std::string grid;
  for (const auto& thw : result.image_grid_thw) grid += cat(" as ", thw[2], "x", thw[1], " patches");
  const double decoded = static_cast<double>(std::max<std::int64_t>(result.completion_tokens - 1, 0));
  return cat(printable(display_name(page.file)), ": ", page.width, "x", page.height, " px", grid, ", ",
             result.image_tokens, " image tokens of ", result.prompt_tokens, ", ", result.completion_tokens,
             " tokens out (", to_string(result.finish_reason), "); picture ", fixed(page.decode_image_ms, 1),
             ", queue ", fixed(timings.queue_ms, 1), ", vision ", fixed(timings.vision_ms, 1), ", prefill ",
             fixed(timings.prefill_ms, 1), ", decode ", fixed(timings.decode_ms, 1), " ms (",
             fixed(rate(decoded, timings.decode_ms / 1000), 1), " tok/s)");
}

// A step reads the decoder once, its head and one row of its embedding: as many bytes as the group "decoder"
// holds, where the embedding is counted in place of the head.
std::string Stats::decode_bandwidth(const EngineStats& engine) const {
  double bytes_per_step = 0;
  for (const TensorGroupInfo& group : info_.tensors) {
    if (group.name == "decoder") bytes_per_step = static_cast<double>(group.bytes);
  }
  const double used =
      rate(bytes_per_step * static_cast<double>(engine.decode_steps), engine.decode_seconds) / 1e9;
  const double machine = memory_bandwidth(info_.threads);
  return cat(fixed(used, 1), " GB/s of weights, ", fixed(machine > 0 ? 100 * used / machine : 0, 0),
             " % of the ", fixed(machine, 1), " GB/s that reading memory gives");
}

std::string Stats::summary(const EngineStats& engine, double seconds) const {
  const std::int64_t peak = peak_memory_bytes();  // before the bandwidth is measured
  const auto tokens = static_cast<double>(engine.completion_tokens);
  return cat("machine: ", info_.device, ", ", info_.isa, ", ", info_.dtype, ", ", info_.threads, " threads\n",
             "model:   ", info_.path, ", loaded in ", fixed(load_ms_, 1), " ms\n", "pages:   ", pages_,
             " in ", fixed(seconds, 2), " s, ", engine.completion_tokens, " tokens, ",
             fixed(rate(tokens, seconds), 1), " tok/s over all\n",
             "vision:  ", fixed(engine.vision_seconds * 1000, 1), " ms, ", engine.patches, " patches, ",
             fixed(rate(static_cast<double>(engine.patches), engine.vision_seconds), 0), " patches/s\n",
             "prefill: ", fixed(engine.prefill_seconds * 1000, 1), " ms, ", engine.prompt_tokens, " tokens, ",
             fixed(rate(static_cast<double>(engine.prompt_tokens), engine.prefill_seconds), 0), " tok/s\n",
             "decode:  ", fixed(engine.decode_seconds * 1000, 1), " ms, ", engine.decode_steps, " steps, ",
             fixed(engine.decode_tokens_per_second, 1), " tok/s, ", decode_bandwidth(engine), "\n",
             "memory:  peak ", size_text(peak), ", keys and values ", size_text(engine.peak_kv_bytes),
             ", workspace ", size_text(engine.peak_workspace_bytes));
}

}  // namespace glmocr::cli
