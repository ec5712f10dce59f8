// SPDX-License-Identifier: Apache-2.0
#include "cli/parse_report.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "base/error.h"
#include "cli/exit_code.h"
#include "document/page.h"
#include "jobs/page_journal.h"

namespace glmocr::cli {
namespace {

std::string seconds_text(double seconds) {
  char text[32];
  std::snprintf(text, sizeof text, "%.2f s", seconds);
  return text;
}

bool may_succeed(const Error& error) {
  return error.code() != ErrorCode::input && error.code() != ErrorCode::usage &&
         error.code() != ErrorCode::cancelled;
}

}  // namespace

bool may_succeed(const DocumentPage& page) {
  if (page.error) return may_succeed(*page.error);
  return std::any_of(page.regions.begin(), page.regions.end(),
                     [](const Region& region) { return region.error && may_succeed(*region.error); });
}

void ParseReport::add(const ReadPage& page) {
  const std::string file = display_name(page.page.file);
  const std::string name = page.page.number == 0 ? file : cat(file, ": page ", page.page.number);
  const auto about = [&](const std::string& message) {
    return message.starts_with(file + ": ") ? message : cat(name, ": ", message);
  };
  for (const std::string& warning : page.page.warnings) console_.warning(about(warning));
  decode_ms_ += page.decode_ms;
  regions_ms_ += page.regions_ms;
  regions_ += std::ssize(page.page.regions);
  from_layer_ += std::count_if(page.page.regions.begin(), page.page.regions.end(),
                               [](const Region& region) { return region.source == TextSource::text_layer; });
  if (page.page.error) {
    console_.error(about(page.page.error->what()));
    if (failed_++ == 0) first_failure_ = page.page.error->code();
    return;
  }
  ++read_;
  if (!has_failed(page.page)) return;
  console_.error(about("some of its regions could not be read"));
  ++failed_;
}

void ParseReport::add_unwritten(const std::string& why) {
  console_.error(why);
  ++unwritten_;
}

int ParseReport::exit_code() const {
  if (failed_ + unwritten_ == 0) return kOk;
  return read_ + finished_ + kept_ + unwritten_ > 0 ? int{kSomeFailed} : cli::exit_code(first_failure_);
}

std::string ParseReport::summary(const EngineStats& engine, double seconds) const {
  std::string text = cat(read_, read_ == 1 ? " page in " : " pages in ", seconds_text(seconds));
  if (seconds > 0) text += cat(" (", std::lround(60 * static_cast<double>(read_) / seconds), " pages/min)");
  text += cat(", ", failed_, " failed");
  if (finished_ > 0) text += cat(", ", finished_, " documents were finished before");
  text += cat("\nregions: ", regions_, ", of these with the file's own text ", from_layer_);
  text += cat("\ntime: pictures ", seconds_text(decode_ms_ / 1000), ", regions ",
              seconds_text(regions_ms_ / 1000), ", vision ", seconds_text(engine.vision_seconds),
              ", prefill ", seconds_text(engine.prefill_seconds), ", decoding ",
              seconds_text(engine.decode_seconds), ", outputs ", seconds_text(write_ms_ / 1000));
  text += cat("\ntokens: ", engine.prompt_tokens, " of prompts, ", engine.completion_tokens, " generated");
  for (const DeviceStats& device : engine.devices) {
    text += cat("\non ", device.device, device.lost ? " (lost): " : ": ", device.finished, " requests, ",
                device.completion_tokens, " tokens");
  }
  return text;
}

}  // namespace glmocr::cli
