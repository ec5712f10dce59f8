// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>
#include <utility>
#include <vector>

#include "kernels/kernels.h"

namespace glmocr::test {

using Ids = std::vector<std::int32_t>;

// What Ops::sample chose for one row.
struct Choice {
  std::int32_t id = 0;
  float logprob = 0;
  std::vector<std::pair<std::int32_t, float>> top;
};

// Tables in the device's arena, with room for `most` best ids; seen[r] are the ids that the penalty of row r
// applies to.
inline SamplingTables make_sampling_tables(Device& device, const std::vector<SamplingRow>& rows,
                                           std::int64_t vocab, const std::vector<Ids>& seen = {},
                                           std::int64_t most = 8) {
  const std::int64_t n = std::ssize(rows), width = (vocab + 31) / 32;
  const Ids nothing(n * most, -1);
  Ids bits(n * width);
  for (std::int64_t r = 0; r < std::ssize(seen); ++r) {
    for (const std::int32_t id : seen[r]) {
      bits[r * width + id / 32] |= std::bit_cast<std::int32_t>(std::uint32_t{1} << id % 32);
    }
  }
  SamplingTables tables;
  tables.params = device.scratch({n, sizeof(SamplingRow) / 4}, DType::i32);
  device.upload(rows.data(), tables.params);
  tables.seen = device.upload_array(bits.data(), {n, width});
  tables.ids = device.scratch({n}, DType::i32);
  tables.logprobs = device.scratch({n}, DType::f32);
  tables.top_ids = device.upload_array(nothing.data(), {n, most});
  tables.top_logprobs = device.scratch({n, most}, DType::f32);
  return tables;
}

// The results, row by row; `top` holds the best ids that were written.
inline std::vector<Choice> download_choices(Device& device, const SamplingTables& tables) {
  const std::int64_t n = tables.ids.numel(), most = tables.top_ids.columns();
  Ids ids(n), top_ids(n * most);
  std::vector<float> logprobs(n), top_logprobs(n * most);
  device.download(tables.ids, ids.data());
  device.download(tables.logprobs, logprobs.data());
  device.download(tables.top_ids, top_ids.data());
  device.download(tables.top_logprobs, top_logprobs.data());
  std::vector<Choice> choices(n);
  for (std::int64_t r = 0; r < n; ++r) {
    choices[r].id = ids[r];
    choices[r].logprob = logprobs[r];
    for (std::int64_t i = r * most; i < (r + 1) * most && top_ids[i] >= 0; ++i) {
      choices[r].top.emplace_back(top_ids[i], top_logprobs[i]);
    }
  }
  return choices;
}

}  // namespace glmocr::test
