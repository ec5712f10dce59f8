// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include "kernels/cpu/cpu_ops.h"
#include "kernels/cpu/thread_scratch.h"
#include "kernels/cpu/values.h"
#include "kernels/host/sampling.h"

namespace glmocr::cpu {
namespace {

// Rows of which only the largest logit is asked.
bool is_plain_greedy(const SampleRow& row) {
  return row.temperature <= 0 && row.repetition_penalty == 1 && row.top_logprobs == 0;
}

}  // namespace

std::vector<SampledToken> CpuOps::sample(const Tensor& logits, std::span<const SampleRow> rows) {
  const std::int64_t vocab = logits.columns(), stride = logits.row_stride();
  GLMOCR_CHECK(is_compute_type(logits.dtype) && logits.rows() == std::ssize(rows));
  std::vector<SampledToken> tokens(rows.size());
  const Type type = type_of(logits.dtype);
  parallel(logits.rows(), 16 * vocab, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t r = begin; r < end; ++r) {
      const SampleRow& row = rows[r];
      SampledToken& token = tokens[r];
      if (is_plain_greedy(row)) {
        const std::int64_t count =
            row.vocab_limit > 0 ? std::min<std::int64_t>(row.vocab_limit, vocab) : vocab;
        float largest = 0;
        std::int64_t index = 0;
        double sum = 0;
        kernels_.greedy(at(logits, r * stride), type, count, &largest, &index, &sum);
        token.token = static_cast<std::int32_t>(index);
        token.logprob = static_cast<float>(-std::log(sum));
      } else {
        float* copy = thread_floats(vocab);
        kernels_.convert(copy, Type::f32, at(logits, r * stride), type, vocab);
        token = sample_row({copy, static_cast<std::size_t>(vocab)}, row);
      }
    }
  });
  return tokens;
}

}  // namespace glmocr::cpu
