// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "glmocr/export.h"
#include "glmocr/model.h"

namespace glmocr {

enum class BenchWeights {
  snapshot,   // those of BenchOptions::model
  published,  // random numbers in memory, of the published sizes
  small,      // the same of a model that computes in no time, to try the benchmark itself
};

struct BenchPicture {
  int width = 0, height = 0;  // pixels; resized as the model resizes pictures
};

// What to measure: every picture, every prompt, and every number of sequences at every context.
struct BenchOptions {
  BenchWeights weights = BenchWeights::snapshot;
  std::string model;  // as in Model::load
  LoadOptions load;
  std::vector<BenchPicture> pictures{{560, 560}, {1120, 812}};
  std::vector<int> prompts{1000};    // tokens
  std::vector<int> sequences{1, 8};  // that are decoded together
  std::vector<int> contexts{150};    // tokens before the first one that is decoded
  int tokens = 16;                   // decoded per sequence and run
  int runs = 5;                      // after one that is not counted
  bool peaks = true;                 // measures what the machine can do, some seconds
  // Measures processor time, a thread's share of it: for a processor on which others run too.
  bool processor_time = false;
};

// What the device can do at most, measured in the same run, per second; 0: not known.
struct BenchPeaks {
  double fp32 = 0, bf16 = 0, int8 = 0;  // operations
  double bytes = 0;                     // read from memory
};

struct BenchCase {
  enum class Phase { vision, prefill, decode };
  Phase phase = Phase::vision;
  int width = 0, height = 0;   // vision: as resized
  std::int64_t patches = 0;    // vision
  std::int64_t tokens = 0;     // prefill: of the prompt; decode: of the context
  std::int64_t sequences = 1;  // decode
  double seconds = 0;          // median; decode: of one step
  double least_seconds = 0;    // of the fastest run
  double rate = 0;             // patches, tokens of prompts or tokens decoded per second, by the median
  double operations = 0;       // of products and attention
  double bytes = 0;            // of weights, keys and values that are read at least
  // The time that the operations, and reading the bytes, would take at the peaks, over `seconds`. 0: not known.
  double share_of_arithmetic = 0, share_of_memory = 0;
};

struct BenchReport {
  std::string model, device, isa, dtype;
  int threads = 0;
  std::int64_t weight_bytes = 0;  // of all matrices, as the device keeps them
  BenchPeaks peaks;
  std::vector<BenchCase> cases;
};

// Measures vision, prefill and decoding apart from each other on a device. `report` is called before the first case,
// with none in it, and after each. Throws Error{usage} for sizes out of range, for several devices and for processor time
// of a device that is not a CPU, and what Model::load throws.
GLMOCR_API BenchReport bench(const BenchOptions& options,
                             const std::function<void(const BenchReport&)>& report = {});

}  // namespace glmocr
