// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/cpu/cpu_ops.h"
#include "kernels/cpu/values.h"
#include "kernels/host/sampling.h"

namespace glmocr::cpu {
namespace {

// Rows for which only the largest logit and its probability are asked.
bool is_plain_greedy(const SamplingRow& row) {
  return row.temperature <= 0 && row.repetition_penalty == 1 && row.top_logprobs == 0;
}

}  // namespace

void CpuOps::sample(const Tensor& logits, const SamplingTables& tables) {
  const std::int64_t vocab = logits.columns(), stride = logits.row_stride();
  GLMOCR_CHECK(is_compute_type(logits.dtype));
  check_sampling_tables(tables, logits.rows(), vocab);
  const Type type = type_of(logits.dtype);
  parallel(logits.rows(), 16 * vocab, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t r = begin; r < end; ++r) {
      const SamplingRow row = sampling_row(tables, r);
      if (is_plain_greedy(row)) {
        const std::int64_t count =
            row.vocab_limit > 0 ? std::min<std::int64_t>(row.vocab_limit, vocab) : vocab;
        float largest = 0;
        std::int64_t index = 0;
        double sum = 0;
        kernels_.greedy(at(logits, r * stride), type, count, &largest, &index, &sum);
        const bool finite = index >= 0;
        tables.ids.as<std::int32_t>()[r] = finite ? index : kNotFinite;
        tables.logprobs.as<float>()[r] = finite ? -std::log(sum) : std::numeric_limits<float>::quiet_NaN();
      } else {
        const std::span<float> copy = thread_logits(vocab);
        kernels_.convert(copy.data(), Type::f32, at(logits, r * stride), type, vocab);
        sample_row(copy, tables, r);
      }
    }
  });
}

void CpuOps::advance(const DecodeTables& tables, const SamplingTables& sampling) {
  advance_tables(tables, sampling);
}

}  // namespace glmocr::cpu
