// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstring>

#include "kernels/cpu/cpu_ops.h"
#include "kernels/cpu/values.h"
#include "kernels/host/host_kv_store.h"

// Operations that only move rows.
namespace glmocr::cpu {

Tensor CpuOps::embed(const Weight& table, const Tensor& ids, DType compute) {
  const std::int64_t width = table.in_features;
  GLMOCR_CHECK(is_compute_type(compute) && ids.is_contiguous());
  const Tensor y = device_.scratch({ids.numel(), width}, compute);
  const std::int32_t* id = ids.as<std::int32_t>();
  parallel(ids.numel(), 4 * width, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      GLMOCR_CHECK(0 <= id[i] && id[i] < table.out_features);
      kernels_.convert(at(y, i * width), type_of(compute), at(table.data, id[i] * width),
                       type_of(table.data.dtype), width);
    }
  });
  return y;
}

Tensor CpuOps::gather_rows(const Tensor& x, const Tensor& indices) {
  const std::int64_t width = x.size(1), stride = x.row_stride();
  GLMOCR_CHECK(indices.is_contiguous());
  const Tensor y = device_.scratch({indices.numel(), width}, x.dtype);
  const std::int32_t* index = indices.as<std::int32_t>();
  const std::int64_t bytes = width * size_of(x.dtype);
  parallel(indices.numel(), bytes, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      GLMOCR_CHECK(0 <= index[i] && index[i] < x.size(0));
      std::memcpy(at(y, i * width), at(x, index[i] * stride), bytes);
    }
  });
  return y;
}

// On one thread, so that the last row stays where an index occurs twice, as in ref.
void CpuOps::scatter_rows(const Tensor& rows, const Tensor& indices, const Tensor& out) {
  const std::int64_t from_stride = rows.row_stride(), to_stride = out.row_stride();
  GLMOCR_CHECK(indices.is_contiguous() && rows.dtype == out.dtype && rows.columns() == out.size(1));
  const std::int32_t* index = indices.as<std::int32_t>();
  const std::int64_t bytes = out.size(1) * size_of(out.dtype);
  for (std::int64_t i = 0; i < indices.numel(); ++i) {
    if (index[i] == -1) continue;
    GLMOCR_CHECK(0 <= index[i] && index[i] < out.size(0));
    std::memcpy(at(out, index[i] * to_stride), at(rows, i * from_stride), bytes);
  }
}

void CpuOps::kv_write(const Tensor& k, const Tensor& v, KvStore& store, int layer, const Tensor& slots) {
  const HostKvStore& own = HostKvStore::of(store, device_);
  const Tensor keys = own.keys(layer), values = own.values(layer);
  const std::int64_t heads = k.size(1), dim = k.size(2), page_size = own.page_size();
  GLMOCR_CHECK(k.dtype == keys.dtype && v.dtype == keys.dtype && slots.is_contiguous());
  GLMOCR_CHECK(keys.size(1) == heads && keys.size(3) == dim && v.shape == k.shape);
  const std::int32_t* slot = slots.as<std::int32_t>();
  const std::int64_t bytes = dim * size_of(k.dtype);
  parallel(k.size(0), 2 * heads * bytes, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t r = begin; r < end; ++r) {
      if (slot[r] == -1) continue;
      const std::int64_t page = slot[r] / page_size, offset = slot[r] % page_size;
      GLMOCR_CHECK(0 <= slot[r] && page < keys.size(0));
      for (std::int64_t h = 0; h < heads; ++h) {
        const std::int64_t to = ((page * heads + h) * page_size + offset) * dim;
        std::memcpy(at(keys, to), at(k, r * k.strides[0] + h * k.strides[1]), bytes);
        std::memcpy(at(values, to), at(v, r * v.strides[0] + h * v.strides[1]), bytes);
      }
    }
  });
}

}  // namespace glmocr::cpu
