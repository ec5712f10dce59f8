// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstring>

#include "kernels/cpu/cpu_ops.h"
#include "kernels/cpu/values.h"

// Operations that only move rows.
namespace glmocr::cpu {

Tensor CpuOps::embed(const Tensor& table, const Tensor& ids, DType compute) {
  const std::int64_t width = table.size(1), stride = table.row_stride();
  GLMOCR_CHECK(is_compute_type(compute) && ids.is_contiguous());
  const Tensor y = device_.scratch({ids.numel(), width}, compute);
  const std::int32_t* id = ids.as<std::int32_t>();
  parallel(ids.numel(), 4 * width, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      GLMOCR_CHECK(0 <= id[i] && id[i] < table.size(0));
      kernels_.convert(at(y, i * width), type_of(compute), at(table, id[i] * stride), type_of(table.dtype),
                       width);
    }
  });
  return y;
}

Tensor CpuOps::gather_rows(const Tensor& x, const Tensor& indices) {
  const std::int64_t width = x.size(1), stride = x.row_stride();
  GLMOCR_CHECK(indices.is_contiguous());
  const Tensor y = device_.scratch({indices.numel(), width}, x.dtype);
  const std::int32_t* index = indices.as<std::int32_t>();
  const auto bytes = static_cast<std::size_t>(width) * size_of(x.dtype);
  parallel(indices.numel(), static_cast<std::int64_t>(bytes), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      GLMOCR_CHECK(0 <= index[i] && index[i] < x.size(0));
      std::memcpy(at(y, i * width), at(x, index[i] * stride), bytes);
    }
  });
  return y;
}

// On one thread: where an index comes twice the last row stays, as the definition says.
void CpuOps::scatter_rows(const Tensor& rows, const Tensor& indices, const Tensor& out) {
  const std::int64_t from_stride = rows.row_stride(), to_stride = out.row_stride();
  GLMOCR_CHECK(indices.is_contiguous() && rows.dtype == out.dtype && rows.columns() == out.size(1));
  const std::int32_t* index = indices.as<std::int32_t>();
  const auto bytes = static_cast<std::size_t>(out.size(1)) * size_of(out.dtype);
  for (std::int64_t i = 0; i < indices.numel(); ++i) {
    GLMOCR_CHECK(0 <= index[i] && index[i] < out.size(0));
    std::memcpy(at(out, index[i] * to_stride), at(rows, i * from_stride), bytes);
  }
}

void CpuOps::kv_write(const Tensor& k, const Tensor& v, const PagedKv& cache, const Tensor& slots) {
  const std::int64_t heads = k.size(1), dim = k.size(2), page_size = cache.keys.size(2);
  GLMOCR_CHECK(k.dtype == cache.keys.dtype && v.dtype == cache.values.dtype && slots.is_contiguous());
  GLMOCR_CHECK(cache.keys.size(1) == heads && cache.keys.size(3) == dim && cache.keys.is_contiguous() &&
               cache.values.is_contiguous());
  const std::int32_t* slot = slots.as<std::int32_t>();
  const auto bytes = static_cast<std::size_t>(dim) * size_of(k.dtype);
  parallel(k.size(0), 2 * heads * static_cast<std::int64_t>(bytes),
           [&](std::int64_t begin, std::int64_t end) {
             for (std::int64_t r = begin; r < end; ++r) {
               const std::int64_t page = slot[r] / page_size, offset = slot[r] % page_size;
               GLMOCR_CHECK(0 <= slot[r] && page < cache.keys.size(0));
               for (std::int64_t h = 0; h < heads; ++h) {
                 const std::int64_t to = ((page * heads + h) * page_size + offset) * dim;
                 std::memcpy(at(cache.keys, to), at(k, r * k.strides[0] + h * k.strides[1]), bytes);
                 std::memcpy(at(cache.values, to), at(v, r * v.strides[0] + h * v.strides[1]), bytes);
               }
             }
           });
}

}  // namespace glmocr::cpu
