// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>

#include "kernels/cuda/context.h"

// Weights in WeightLayout::halves: fp32 numbers as the sums of two of bf16, which hold sixteen bits. A row has, for every
// kGroup terms, their first halves and then their second ones.
namespace glmocr::cuda {

inline constexpr int kGroup = 32;

// The bf16 values of a row of `in` terms.
constexpr std::int64_t row_of_halves(std::int64_t in) { return (in + kGroup - 1) / kGroup * 2 * kGroup; }

// From [out, in] of any stored type to [out, row_of_halves(in)] of bf16.
void split_into_halves(Context& context, const Tensor& from, void* to);

}  // namespace glmocr::cuda
