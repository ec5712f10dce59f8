// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "kernels/cuda/linear.cuh"

// What the kernels for products of few rows share.
namespace glmocr::cuda {

inline constexpr int kStep = 32;  // terms that a warp adds at once

// A sum from kParts parts of its terms: kSummedParts neighbouring ones are added in order, then those sums, in order.
inline constexpr int kSummedParts = 4;
template <int kParts, class Part>
__device__ __forceinline__ float sum_of_parts(const Part& part) {
  float sum = 0;
#pragma unroll
  for (int first = 0; first < kParts; first += kSummedParts) {
    float some = 0;
#pragma unroll
    for (int i = 0; i < kSummedParts; ++i) some += part(first + i);
    sum += some;
  }
  return sum;
}

// Sixteen bytes of weights, which no other block reads.
__device__ __forceinline__ uint4 load_once(const void* address) {
  uint4 value;
  asm volatile("ld.global.nc.L1::no_allocate.L2::256B.v4.u32 {%0,%1,%2,%3}, [%4];"
               : "=r"(value.x), "=r"(value.y), "=r"(value.z), "=r"(value.w)
               : "l"(address));
  return value;
}

// Products of the same rows of x that one launch computes: q, k and v.
struct Group {
  static constexpr int kMost = 3;
  Bf16Product products[kMost];
  int blocks_before[kMost + 1];  // where the blocks, or tiles, of each begin
  int count = 0;
  // Where `normed`, every block computes the row of x for itself, and the last one writes it: then all have read what it replaces.
  AddNorm norm{};
  bool normed = false;
  std::int32_t* counter = nullptr;

  // Numbers the blocks, of `columns` results each. How many there are.
  int number_blocks(int columns) {
    int blocks = 0;
    for (int i = 0; i < count; ++i) {
      blocks_before[i] = blocks;
      blocks += static_cast<int>(blocks_for(products[i].out, columns));
    }
    return blocks_before[count] = blocks;
  }
  // The index of the product that a block, or tile, belongs to.
  __device__ __forceinline__ int product_of(int block) const {
    int index = 0;
    while (index + 1 < count && block >= blocks_before[index + 1]) ++index;
    return index;
  }
};

// On Hopper (linear_few_sm90.cu), the terms in `parts`. False where the kernel does not fit; then nothing has run.
bool run_few_rows_sm90(Context& context, const Group& group, int parts);

}  // namespace glmocr::cuda
