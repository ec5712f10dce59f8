// SPDX-License-Identifier: Apache-2.0
#include "glmocr/bench.h"

#include <cstdio>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/memory.h"
#include "cli/arguments.h"
#include "cli/exit_code.h"
#include "cli/standard_streams.h"

namespace glmocr::cli {
namespace {

using OrderedJson = nlohmann::ordered_json;

const char* phase_name(BenchCase::Phase phase) {
  switch (phase) {
    case BenchCase::Phase::vision:
      return "vision";
    case BenchCase::Phase::prefill:
      return "prefill";
    case BenchCase::Phase::decode:
      return "decode";
  }
  return "";
}

template <class... Values>
std::string format(const char* how, Values... values) {
  char text[200];
  std::snprintf(text, sizeof text, how, values...);
  return text;
}

std::string what(const BenchCase& c) {
  switch (c.phase) {
    case BenchCase::Phase::vision:
      return cat("vision ", c.width, "x", c.height, ", ", c.patches, " patches");
    case BenchCase::Phase::prefill:
      return cat("prefill ", c.tokens, " tokens");
    case BenchCase::Phase::decode:
      return cat("decode ", c.sequences, c.sequences == 1 ? " sequence" : " sequences", ", context ",
                 c.tokens);
  }
  return "";
}

std::string share(double value) { return value > 0 ? format("%6.1f %%", 100 * value) : "       –"; }

std::string line_of(const BenchCase& c) {
  const char* unit = c.phase == BenchCase::Phase::vision ? "patches/s" : "tokens/s";
  return cat(
      format("%-34s %10.2f ms %10.1f %-9s %9.1f GFLOP/s %7.1f GB/s  ", what(c).c_str(), 1000 * c.seconds,
             c.rate, unit, c.operations / c.seconds / 1e9, c.bytes / c.seconds / 1e9),
      share(c.share_of_arithmetic), "  ", share(c.share_of_memory), "\n");
}

std::string head_of(const BenchReport& report) {
  const BenchPeaks& p = report.peaks;
  const std::string isa = report.isa.empty() ? "" : " " + report.isa;
  std::string text = cat(report.model, ": ", size_text(report.weight_bytes), " of weights; ", report.device,
                         isa, ", ", report.dtype, ", ", report.threads, " threads\n");
  if (p.fp32 > 0 || p.bytes > 0) {
    text += format("peaks: fp32 %.1f, bf16 %.1f GFLOP/s, int8 %.1f GOP/s, memory %.1f GB/s\n", p.fp32 / 1e9,
                   p.bf16 / 1e9, p.int8 / 1e9, p.bytes / 1e9);
  }
  return text + format("%-118s %s\n", "", "of arithmetic, of memory");
}

std::string to_json(const BenchReport& report) {
  // null where the machine's peak is not known
  const auto known = [](double value) { return value > 0 ? OrderedJson(value) : OrderedJson(); };
  OrderedJson cases = OrderedJson::array();
  for (const BenchCase& c : report.cases) {
    OrderedJson json = {{"phase", phase_name(c.phase)}};
    if (c.phase == BenchCase::Phase::vision) {
      json["width"] = c.width;
      json["height"] = c.height;
      json["patches"] = c.patches;
    } else if (c.phase == BenchCase::Phase::prefill) {
      json["tokens"] = c.tokens;
    } else {
      json["sequences"] = c.sequences;
      json["context"] = c.tokens;
    }
    json["ms"] = 1000 * c.seconds;
    json["least_ms"] = 1000 * c.least_seconds;
    json["rate"] = c.rate;
    json["operations"] = c.operations;
    json["bytes"] = c.bytes;
    json["share_of_arithmetic"] = known(c.share_of_arithmetic);
    json["share_of_memory"] = known(c.share_of_memory);
    cases.push_back(std::move(json));
  }
  const OrderedJson json = {{"version", version()},
                            {"model", report.model},
                            {"device", report.device},
                            {"isa", report.isa},
                            {"dtype", report.dtype},
                            {"threads", report.threads},
                            {"weight_bytes", report.weight_bytes},
                            {"peaks",
                             {{"fp32", known(report.peaks.fp32)},
                              {"bf16", known(report.peaks.bf16)},
                              {"int8", known(report.peaks.int8)},
                              {"bytes", known(report.peaks.bytes)}}},
                            {"cases", std::move(cases)}};
  return json.dump(2, ' ', false, OrderedJson::error_handler_t::replace) + "\n";
}

}  // namespace

int run_bench(const BenchArguments& arguments, Console&) {
  const auto show = [](const BenchReport& report) {
    write_standard_output(report.cases.empty() ? head_of(report) : line_of(report.cases.back()));
  };
  BenchOptions options = arguments.options;
  if (options.weights == BenchWeights::snapshot && options.model.empty())
    options.model = default_model_path();
  const BenchReport report = arguments.json ? bench(options) : bench(options, show);
  if (arguments.json) write_standard_output(to_json(report));
  return kOk;
}

}  // namespace glmocr::cli
