// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>

#include "kernels/cpu/kernel_table.h"

namespace glmocr::cpu {

// Products of bf16 matrices by oneDNN, on the calling thread alone. onednn.cc, or no_onednn.cc in builds
// without it.

// Whether they can be used: oneDNN is there and multiplies bf16 natively on this processor, not in AMX tiles.
bool has_bf16_product();

// out [rows, n] = round(x [rows, k] · weight [n, k]ᵀ + bias), all bf16 but the bias; out is contiguous.
// oneDNN chooses kernel and order of the sums by shape and strides. For contiguous x and out and a given n
// and k the order is the same for every number of rows (tests/kernels/rows_test.cc), and the kernels are its
// fastest.
struct Bf16Shape {
  std::int64_t rows, n, k;
  std::int64_t weight_stride;  // in elements
  bool bias;

  bool operator==(const Bf16Shape&) const = default;
};
constexpr std::int64_t kBf16RowUnit = 32;  // rows of a shape are a multiple of it: few shapes are prepared

struct Bf16Operands {
  const void* x;
  std::int64_t x_stride;  // in elements; rows that are not contiguous are copied to the scratch memory
  std::int64_t rows;      // of x: at most those of the shape; out has room for those of the shape
  const void* weight;
  const float* bias;  // [n], or null as the shape says
  void* out;
  std::byte* scratch;  // scratch_bytes(), 64-byte aligned
};

// What oneDNN prepared for a shape. Several threads may use it at once.
class Bf16Product {
 public:
  virtual ~Bf16Product() = default;
  virtual std::int64_t scratch_bytes() const = 0;
  virtual void run(const Bf16Operands& operands) const = 0;
};

// The products prepared last. Owned and used by one thread, which hands the products to others.
class Bf16Products {
 public:
  Bf16Products();
  ~Bf16Products();

  std::shared_ptr<const Bf16Product> prepare(const Bf16Shape& shape);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace glmocr::cpu
