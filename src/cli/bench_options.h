// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <CLI/CLI.hpp>
#include <string>

#include "base/seconds.h"
#include "cli/arguments.h"

namespace glmocr::cli {

// Options of `bench` that finish_bench resolves when all are known.
struct BenchInputs {
  ModelArguments model;
  bool synthetic = false, small = false;
  bool no_peaks = false;
  Clock clock = Clock::wall;
};
void add_bench_options(CLI::App& app, BenchArguments& arguments, BenchInputs& inputs);
void finish_bench(BenchArguments& arguments, const BenchInputs& inputs);

}  // namespace glmocr::cli
