// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <memory>

#include "kernels/cpu/kernel_table.h"

namespace glmocr::cpu {

// Products of bf16 matrices by oneDNN, on the calling thread alone. onednn.cc, or no_onednn.cc in builds without it.

// Whether they can be used: oneDNN is there and multiplies bf16 natively on this processor.
bool has_bf16_product();

// out [rows, n] = round(x [rows, k] · weight [n, k]ᵀ + bias), all bf16 but the bias; strides count elements. How many rows
// there are is no part of it: oneDNN chooses the order of the sums by the shape, so every call to it has the same
// number of rows, and a row's result depends on nothing else.
struct Bf16Shape {
  std::int64_t n, k;
  std::int64_t x_stride, weight_stride, out_stride;
  bool bias;

  bool operator==(const Bf16Shape&) const = default;
};

// The rows of one call to oneDNN. More rows are several calls; the last one is filled up in the thread's memory.
constexpr std::int64_t kBf16Rows = 64;

struct Bf16Operands {
  const void* x;
  const void* weight;
  const float* bias;  // [n], or null as the shape says
  std::int64_t rows;
  void* out;
};

// What oneDNN prepared for a shape. Several threads may use it at once.
class Bf16Product {
 public:
  virtual ~Bf16Product() = default;
  virtual void run(const Bf16Operands& operands) const = 0;
};

// The products prepared last. Owned and used by one thread, before it hands the product to others.
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
