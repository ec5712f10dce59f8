// SPDX-License-Identifier: Apache-2.0
#include "kernels/host/sampling.h"
#include "kernels/ref/ref_ops.h"
#include "kernels/ref/values.h"

namespace glmocr::ref {

void RefOps::sample(const Tensor& logits, const SamplingTables& tables, const DecodeTables& next) {
  const std::int64_t vocab = logits.columns();
  check_sampling_tables(tables, next, logits.rows(), vocab);
  for (std::int64_t r = 0; r < logits.rows(); ++r) {
    const std::span<float> row = thread_logits(vocab);
    for (std::int64_t c = 0; c < vocab; ++c) row[c] = get(logits, r * logits.row_stride() + c);
    sample_row(row, tables, r);
  }
  if (next.ids) advance_tables(next, tables);
}

}  // namespace glmocr::ref
