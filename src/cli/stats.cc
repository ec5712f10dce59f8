// SPDX-License-Identifier: Apache-2.0
#include "cli/stats.h"

#include <sys/resource.h>

#include <algorithm>
#include <cstdio>

#include "base/error.h"
#include "base/memory.h"
#include "cli/bandwidth.h"
#include "cli/console.h"

namespace glmocr::cli {
namespace {

std::string fixed(double value, int decimals) {
  char text[64];
  std::snprintf(text, sizeof text, "%.*f", decimals, value);
  return text;
}

double rate(std::int64_t amount, double seconds) { return seconds > 0 ? amount / seconds : 0; }

// The most memory this process has held, mapped weights included.
std::int64_t peak_resident_bytes() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return std::int64_t{usage.ru_maxrss} * 1024;
}

// The peak of what --memory counts, and the limit where there is one.
std::string peak_text(const EngineStats& engine, std::int64_t limit) {
  const std::string peak = size_text(engine.peak_memory_bytes);
  return limit > 0 ? cat(peak, " of ", size_text(limit)) : peak;
}

}  // namespace

std::string Stats::page_line(const Page& page) {
  const Result& result = page.result;
  const Timings& timings = result.timings;
  ++pages_;
  std::string grid;
  for (const auto& thw : result.image_grid_thw) grid += cat(" as ", thw[2], "x", thw[1], " patches");
  const std::int64_t decoded = std::max<std::int64_t>(result.completion_tokens - 1, 0);
  return cat(printable(display_name(page)), ": ", page.width, "x", page.height, " px", grid, ", ",
             result.image_tokens, " image tokens of ", result.prompt_tokens, ", ", result.completion_tokens,
             " tokens out (", to_string(result.finish_reason), "); picture ", fixed(page.decode_image_ms, 1),
             ", queue ", fixed(timings.queue_ms, 1), ", vision ", fixed(timings.vision_ms, 1), ", prefill ",
             fixed(timings.prefill_ms, 1), ", decode ", fixed(timings.decode_ms, 1), " ms (",
             fixed(rate(decoded, timings.decode_ms / 1000), 1), " tok/s)",
             info_.devices.size() > 1 ? cat(" on ", result.device) : "");
}

// Nothing for one device.
std::string Stats::device_lines(const EngineStats& engine) {
  std::string text;
  if (engine.devices.size() < 2) return text;
  for (const DeviceStats& device : engine.devices) {
    text += cat(text.empty() ? "devices: " : "         ", device.device, device.lost ? " (lost)" : "", ", ",
                device.finished, device.finished == 1 ? " request, " : " requests, ", device.failed,
                " failed, ", device.patches, " patches, ", device.completion_tokens, " tokens, memory ",
                size_text(device.peak_memory_bytes), "\n");
  }
  return text;
}

// A step reads the decoder's weights once. The group "decoder" is as large: it holds the embedding, of which
// a step reads few rows, and not the output head, which is as large as the embedding.
std::string Stats::decode_bandwidth(const EngineStats& engine) const {
  std::int64_t bytes_per_step = 0;
  for (const TensorGroupInfo& group : info_.tensors) {
    if (group.name != "decoder") continue;
    bytes_per_step = quantization_ == Quantization::int8 ? group.parameters : group.bytes;
  }
  const double used = rate(bytes_per_step * engine.decode_steps, engine.decode_seconds) / 1e9;
  std::string text = cat(fixed(used, 1), " GB/s of weights");
  if (info_.device.starts_with("cuda")) return text;  // it has memory of its own
  const double machine = memory_bandwidth(info_.threads);
  return cat(text, ", ", fixed(machine > 0 ? 100 * used / machine : 0, 0), " % of the ", fixed(machine, 1),
             " GB/s at which this machine reads memory");
}

std::string Stats::summary(const EngineStats& engine, double seconds) const {
  const std::int64_t resident = peak_resident_bytes();  // before the bandwidth is measured
  return cat("machine: ", info_.device, ", ", info_.isa, ", ", info_.dtype, ", ", info_.threads, " threads\n",
             "model:   ", info_.path, ", loaded in ", fixed(load_ms_, 1), " ms\n", "pages:   ", pages_,
             " in ", fixed(seconds, 2), " s, ", engine.completion_tokens, " tokens, ",
             fixed(rate(engine.completion_tokens, seconds), 1), " tok/s overall\n", device_lines(engine),
             "vision:  ", fixed(engine.vision_seconds * 1000, 1), " ms, ", engine.patches, " patches, ",
             fixed(rate(engine.patches, engine.vision_seconds), 0), " patches/s\n",
             "prefill: ", fixed(engine.prefill_seconds * 1000, 1), " ms, ", engine.prompt_tokens, " tokens, ",
             fixed(rate(engine.prompt_tokens, engine.prefill_seconds), 0), " tok/s\n",
             "decode:  ", fixed(engine.decode_seconds * 1000, 1), " ms, ", engine.decode_steps, " steps, ",
             fixed(rate(engine.decode_tokens, engine.decode_seconds), 1), " tok/s, ",
             decode_bandwidth(engine), "\n", "memory:  peak ", peak_text(engine, info_.memory.limit),
             " (keys and values used ", size_text(engine.peak_pages * engine.page_bytes), ", workspace ",
             size_text(engine.peak_workspace_bytes), "); resident ", size_text(resident),
             " with the mapped weights");
}

}  // namespace glmocr::cli
