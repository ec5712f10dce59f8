// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>

#include "tensor/tensor.h"

namespace glmocr {

// What a weight is used for: Ops::linear, Ops::embed or Ops::convolve. A device may keep them differently.
enum class WeightUse : std::uint8_t { linear, embedding, convolution };

// The layout of a weight in memory. Only the device that prepared it needs to know; devices add their own.
enum class WeightLayout : std::uint8_t {
  rows,    // [out_features, in_features], one row after the other
  panels,  // of the CPU, for convolutions: groups of output features, [in_features, group] f32 each
  bytes,   // of the CPU, for products in eight bits: kernels/cpu/kernel_table.h
  halves,  // of cards, where sixteen bits of fp32 products count: each number as two of bf16
  pairs,   // of the CPU, for products in bf16: the same with pairs of neighbouring columns side by side
};

// A matrix of a model in a device's layout, with its bias. Device::prepare or prepare_int8 makes it once, at load; models
// pass it to Ops::linear, Ops::embed or Ops::convolve. Like a tensor it is a view that owns nothing.
struct Weight {
  Tensor data;   // the matrix, f32, bf16, f16 or i8, in the device's layout
  Tensor scale;  // [out_features] f32 where the matrix is i8: row o is data[o] · scale[o]
  Tensor bias;   // [out_features] f32, or empty
  std::int64_t out_features = 0, in_features = 0;
  WeightUse use = WeightUse::linear;
  WeightLayout layout = WeightLayout::rows;

  explicit operator bool() const { return data.data != nullptr; }

  std::int64_t bytes() const { return data.bytes() + (scale ? scale.bytes() : 0); }
};

}  // namespace glmocr
