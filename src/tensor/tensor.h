// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <array>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>

#include "base/error.h"
#include "tensor/dtype.h"

namespace glmocr {

// The lengths of a tensor's dimensions, slowest first. At most five, as in a convolution over frames.
class Shape {
 public:
  static constexpr int kMaxRank = 5;
  Shape() = default;
  Shape(std::initializer_list<std::int64_t> dims) : Shape(std::span(dims.begin(), dims.size())) {}
  explicit Shape(std::span<const std::int64_t> dims);

  int rank() const { return rank_; }
  std::int64_t operator[](int i) const { return dims_[i < 0 ? i + rank_ : i]; }
  std::int64_t& operator[](int i) { return dims_[i < 0 ? i + rank_ : i]; }
  std::int64_t numel() const;
  bool operator==(const Shape& other) const = default;

 private:
  std::array<std::int64_t, kMaxRank> dims_{};  // unused entries stay 0, which == relies on
  int rank_ = 0;
};

std::string to_string(const Shape& shape);  // "[3, 4]"

class Device;

// A view: pointer, shape, strides, dtype, device. Copies are cheap and share the memory, which is owned by a
// Buffer, a step's arena or a mapped file. An empty tensor (data == nullptr) means "none" in options.
struct Tensor {
  void* data = nullptr;
  Shape shape;
  Shape strides;  // in elements
  DType dtype = DType::f32;
  const Device* device = nullptr;  // nullptr: ordinary host memory

  Tensor() = default;
  Tensor(void* memory, const Shape& dims, DType type, const Device* where = nullptr);  // contiguous

  explicit operator bool() const { return data != nullptr; }
  int rank() const { return shape.rank(); }
  std::int64_t size(int i) const { return shape[i]; }
  std::int64_t numel() const { return shape.numel(); }
  std::int64_t bytes() const { return numel() * size_of(dtype); }
  bool is_contiguous() const;

  // Rows and columns of the tensor as a matrix, all dimensions but the last taken together.
  std::int64_t columns() const { return shape[-1]; }
  std::int64_t rows() const { return columns() == 0 ? 0 : numel() / columns(); }
  // Distance between those rows, in elements. The same distance must hold across all leading dimensions.
  std::int64_t row_stride() const;

  Tensor reshape(const Shape& dims) const;  // contiguous tensors only, same numel
  Tensor slice(int dim, std::int64_t begin, std::int64_t end) const;

  // Typed pointer; T must be the type of `dtype`.
  template <class T>
  T* as() const {
    GLMOCR_CHECK(dtype == dtype_of<T>);
    return static_cast<T*>(data);
  }
};

}  // namespace glmocr
