// SPDX-License-Identifier: Apache-2.0
#include "kernels/host/host_kv_store.h"
#include "kernels/ref/ref_ops.h"
#include "kernels/ref/values.h"

namespace glmocr::ref {

Tensor RefOps::embed(const Weight& table, const Tensor& ids, DType compute) {
  const std::int64_t width = table.in_features;
  const Tensor y = device_.scratch({ids.numel(), width}, compute);
  for (std::int64_t i = 0; i < ids.numel(); ++i) {
    const std::int32_t id = ids.as<std::int32_t>()[i];
    GLMOCR_CHECK(0 <= id && id < table.out_features);
    for (std::int64_t c = 0; c < width; ++c) put(y, i * width + c, get(table.data, id * width + c));
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
    if (row == -1) continue;
    GLMOCR_CHECK(0 <= row && row < out.size(0));
    for (std::int64_t c = 0; c < out.size(1); ++c) {
      put(out, row * out.row_stride() + c, get(rows, i * rows.row_stride() + c));
    }
  }
}

void RefOps::kv_write(const Tensor& k, const Tensor& v, KvStore& store, int layer, const Tensor& slots) {
  const HostKvStore& own = HostKvStore::of(store, device_);
  const Tensor keys = own.keys(layer), values = own.values(layer);
  const std::int64_t heads = k.size(1), dim = k.size(2), page_size = own.page_size();
  for (std::int64_t r = 0; r < k.size(0); ++r) {
    const std::int32_t slot = slots.as<std::int32_t>()[r];
    if (slot == -1) continue;
    const std::int64_t page = slot / page_size, at = slot % page_size;
    GLMOCR_CHECK(0 <= slot && page < keys.size(0));
    for (std::int64_t h = 0; h < heads; ++h) {
      const std::int64_t to = ((page * heads + h) * page_size + at) * dim;
      for (std::int64_t d = 0; d < dim; ++d) {
        put(keys, to + d, get(k, r * k.strides[0] + h * k.strides[1] + d));
        put(values, to + d, get(v, r * v.strides[0] + h * v.strides[1] + d));
      }
    }
  }
}

}  // namespace glmocr::ref
