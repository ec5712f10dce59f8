// SPDX-License-Identifier: Apache-2.0
#include "kernels/host/sampling.h"
#include "kernels/ref/ref_ops.h"
#include "kernels/ref/values.h"

namespace glmocr::ref {

std::vector<SampledToken> RefOps::sample(const Tensor& logits, std::span<const SampleRow> rows) {
  GLMOCR_CHECK(logits.rows() == std::ssize(rows));
  std::vector<SampledToken> tokens;
  std::vector<float> row(static_cast<std::size_t>(logits.columns()));
  for (std::size_t r = 0; r < rows.size(); ++r) {
    for (std::size_t c = 0; c < row.size(); ++c) {
      row[c] = get(logits, static_cast<std::int64_t>(r) * logits.row_stride() + static_cast<std::int64_t>(c));
    }
    tokens.push_back(sample_row(row, rows[r]));
  }
  return tokens;
}

}  // namespace glmocr::ref
