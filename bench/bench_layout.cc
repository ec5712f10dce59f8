// SPDX-License-Identifier: Apache-2.0
// The time of the layout detector's network, without reading pictures and finding regions:
//   bench_layout SNAPSHOT [--device D] [--dtype fp32|bf16] [--threads N] [--pages N] [--runs N]
// prints the median of the runs, in milliseconds per page, after two to warm up, and the processor time.
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "base/error.h"
#include "kernels/kernels.h"
#include "models/pp_doclayout_v3/pp_doclayout_v3.h"

namespace {

using namespace glmocr;

struct Arguments {
  std::string snapshot, device = "auto", dtype = "fp32";
  int threads = 0, pages = 1, runs = 9;
};

Arguments parse(int count, char** words) {
  Arguments a;
  for (int i = 1; i < count; ++i) {
    const std::string word = words[i];
    if (!word.starts_with("--")) {
      a.snapshot = word;
      continue;
    }
    if (i + 1 == count) fail(ErrorCode::usage, cat(word, " needs a value"));
    const std::string value = words[++i];
    if (word == "--device") {
      a.device = value;
    } else if (word == "--dtype") {
      a.dtype = value;
    } else if (word == "--threads") {
      a.threads = std::stoi(value);
    } else if (word == "--pages") {
      a.pages = std::stoi(value);
    } else if (word == "--runs") {
      a.runs = std::stoi(value);
    } else {
      fail(ErrorCode::usage, cat("unknown option ", word));
    }
  }
  if (a.snapshot.empty()) fail(ErrorCode::usage, "which snapshot?");
  if (a.pages < 1 || a.runs < 1) fail(ErrorCode::usage, "--pages and --runs are at least 1");
  return a;
}

double processor_seconds() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return double(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
         1e-6 * double(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

void measure(const Arguments& a) {
  using Clock = std::chrono::steady_clock;
  const auto device = open_device(a.device, {.threads = a.threads, .short_products = a.dtype == "auto"});
  const auto network =
      doclayout::PpDocLayoutV3::load(a.snapshot, *device, a.dtype == "bf16" ? DType::bf16 : DType::f32);
  Image page;
  page.width = page.height = 400;
  for (int i = 0; i < 3 * page.width * page.height; ++i) page.rgb.push_back(i / 1200 % 23 < 11 ? 240 : 30);
  const std::vector<Image> pages(a.pages, page);
  network->detect(pages, 0.5f);  // the pictures are there from now on
  network->run_network(a.pages);
  device->wait();
  std::vector<double> times;
  const double before = processor_seconds();
  for (int i = 0; i < a.runs; ++i) {
    const auto start = Clock::now();
    network->run_network(a.pages);
    device->wait();
    times.push_back(1e3 * std::chrono::duration<double>(Clock::now() - start).count() / a.pages);
  }
  const double processor = 1e3 * (processor_seconds() - before) / a.runs / a.pages;
  std::sort(times.begin(), times.end());
  std::printf("%s %s, %s, %d threads, %d pages: %.3f ms a page (least %.3f), %.1f ms of processor time\n",
              device->name().c_str(), device->isa().c_str(), a.dtype.c_str(), device->threads(), a.pages,
              times[times.size() / 2], times.front(), processor);
}

}  // namespace

int main(int count, char** words) {
  try {
    measure(parse(count, words));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "bench_layout: %s\n", error.what());
    return 1;
  }
  return 0;
}
