// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu/simd_gemm.h"
#include "kernels/cpu/simd_kernels.h"

namespace glmocr::cpu::GLMOCR_ISA {

const KernelTable& kernel_table();
const KernelTable& kernel_table() {
  static constexpr KernelTable table = {
      kRows,           kColumns,        gemm_scratch,    gemm,           dot,
      epilogue,        rms_norm,        layer_norm,      rope,           activate,
      swiglu,          convert,         attention_pitch, attention_work, attention_begin,
      attention_block, attention_merge, attention_end,   greedy,
  };
  return table;
}

}  // namespace glmocr::cpu::GLMOCR_ISA
