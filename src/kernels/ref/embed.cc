// SPDX-License-Identifier: Apache-2.0
#include "kernels/ref/ref_ops.h"
#include "kernels/ref/values.h"

namespace glmocr::ref {

Tensor RefOps::embed(const Tensor& table, const Tensor& ids, DType compute) {
  const std::int64_t width = table.size(1);
  const Tensor y = device_.scratch({ids.numel(), width}, compute);
  for (std::int64_t i = 0; i < ids.numel(); ++i) {
    const std::int32_t id = ids.as<std::int32_t>()[i];
    GLMOCR_CHECK(0 <= id && id < table.size(0));
    for (std::int64_t c = 0; c < width; ++c) put(y, i * width + c, get(table, id * table.row_stride() + c));
  }
  return y;
}

Tensor RefOps::gather_rows(const Tensor& x, const Tensor& indices) {
  const std::int64_t width = x.size(1);
  const Tensor y = device_.scratch({indices.numel(), width}, x.dtype);
  for (std::int64_t i = 0; i < indices.numel(); ++i) {
    const std::int32_t row = indices.as<std::int32_t>()[i];
    GLMOCR_CHECK(0 <= row && row < x.size(0));
    for (std::int64_t c = 0; c < width; ++c) put(y, i * width + c, get(x, row * x.row_stride() + c));
  }
  return y;
}

void RefOps::scatter_rows(const Tensor& rows, const Tensor& indices, const Tensor& out) {
  for (std::int64_t i = 0; i < indices.numel(); ++i) {
    const std::int32_t row = indices.as<std::int32_t>()[i];
    GLMOCR_CHECK(0 <= row && row < out.size(0));
    for (std::int64_t c = 0; c < out.size(1); ++c) {
      put(out, row * out.row_stride() + c, get(rows, i * rows.row_stride() + c));
    }
  }
}

}  // namespace glmocr::ref
