// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "kernels/cuda/mma.cuh"

namespace glmocr::cuda {

// Two numbers as the sums of two others each: those that count more in one word, the rest in another.
struct Parts {
  std::uint32_t high, low;
};

// Numbers of bf16, which hold sixteen bits together.
__device__ __forceinline__ Parts halves_of(float a, float b) {
  const std::uint32_t high = pack_bf16(a, b);
  return {high, pack_bf16(a - __uint_as_float(high << 16), b - __uint_as_float(high & 0xFFFF0000u))};
}

}  // namespace glmocr::cuda
