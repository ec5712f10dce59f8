// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "kernels/cpu/simd.h"

namespace glmocr::cpu::GLMOCR_ISA {

// Pieces of one block of memory, each 64-byte aligned. Without a block it counts.
struct Carver {
  char* block;
  int64_t used = 0;

  template <class T>
  T* take(int64_t count) {
    char* piece = block ? block + used : nullptr;
    used += round_up(count * static_cast<int64_t>(sizeof(T)), 64);
    return reinterpret_cast<T*>(piece);
  }
};

}  // namespace glmocr::cpu::GLMOCR_ISA
