// SPDX-License-Identifier: Apache-2.0
#include "tensor/tensor.h"

#include <algorithm>
#include <functional>
#include <numeric>

namespace glmocr {

Shape::Shape(std::span<const std::int64_t> dims) : rank_(std::ssize(dims)) {
  GLMOCR_CHECK(dims.size() <= kMaxRank);
  std::copy(dims.begin(), dims.end(), dims_.begin());
}

std::int64_t Shape::numel() const {
  return std::accumulate(dims_.begin(), dims_.begin() + rank_, std::int64_t{1}, std::multiplies<>());
}

std::string to_string(const Shape& shape) {
  std::string text = "[";
  for (int i = 0; i < shape.rank(); ++i) text += cat(i ? ", " : "", shape[i]);
  return text + "]";
}

Tensor::Tensor(void* memory, const Shape& dims, DType type, const Device* where)
    : data(memory), shape(dims), strides(dims), dtype(type), device(where) {
  std::int64_t step = 1;
  for (int i = rank() - 1; i >= 0; --i) {
    strides[i] = step;
    step *= shape[i];
  }
}

bool Tensor::is_contiguous() const {
  std::int64_t step = 1;
  for (int i = rank() - 1; i >= 0; --i) {
    if (shape[i] != 1 && strides[i] != step) return false;
    step *= shape[i];
  }
  return true;
}

std::int64_t Tensor::row_stride() const {
  GLMOCR_CHECK(rank() >= 1 && (shape[-1] <= 1 || strides[-1] == 1));
  int i = rank() - 2;
  while (i >= 0 && shape[i] == 1) --i;
  if (i < 0) return shape[-1];
  const std::int64_t stride = strides[i];
  for (std::int64_t expected = stride * shape[i--]; i >= 0; expected *= shape[i--]) {
    GLMOCR_CHECK(shape[i] == 1 || strides[i] == expected);
  }
  return stride;
}

Tensor Tensor::reshape(const Shape& dims) const {
  GLMOCR_CHECK(is_contiguous() && dims.numel() == numel());
  return Tensor(data, dims, dtype, device);
}

Tensor Tensor::slice(int dim, std::int64_t begin, std::int64_t end) const {
  GLMOCR_CHECK(0 <= begin && begin <= end && end <= shape[dim]);
  Tensor part = *this;
  part.data = static_cast<std::byte*>(data) + begin * strides[dim] * size_of(dtype);
  part.shape[dim] = end - begin;
  return part;
}

}  // namespace glmocr
