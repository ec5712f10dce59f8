// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu/simd_kernels.h"
#include "kernels/cpu/simd_words.h"

namespace glmocr::cpu::GLMOCR_ISA {

const KernelTable& kernel_table();
const KernelTable& kernel_table() {
  static constexpr KernelTable table = {
      .gemm_rows = kRows,
      .gemm_columns = kColumns,
      .dots_bf16 = kDotsBf16,
      .gemm_scratch = gemm_scratch,
      .gemm = gemm,
      .dot = dot,
      .dot_panels = dot_panels,
      .epilogue = epilogue,
      .convolution = convolution,
      .depthwise = depthwise,
      .pair_columns = kPairColumns,
      .pair_depth = kPairDepth,
      .pack_columns = pack_columns,
      .pair_rows = kPairRows,
      .pairs = pairs,
      .pair_convolution = pair_convolution,
      .pack_rows = pack_rows,
      .packs_results = kPacksResults,
      .tile_work_bytes = tile_work_bytes,
      .tiles_few = tiles_few,
      .tiles_many = tiles_many,
      .byte_rows = kByteRows,
      .byte_columns = 2 * kLanes,
      .byte_depth = kByteDepth,
      .byte_word = kByteWord,
      .pack_bytes = pack_bytes,
      .quantize_rows = quantize_rows,
      .bytes = bytes,
      .rms_norm = rms_norm,
      .layer_norm = layer_norm,
      .rope = rope,
      .activate = activate,
      .swiglu = swiglu,
      .convert = convert,
      .attention_state_bytes = attention_state_bytes,
      .attention_work_bytes = attention_work_bytes,
      .attention_begin = attention_begin,
      .attention_few = attention_few,
      .attention_many = attention_many,
      .attention_merge = attention_merge,
      .attention_end = attention_end,
      .segment_work_bytes = segment_work_bytes,
      .segment = segment,
      .segment_packed_bytes = segment_packed_bytes,
      .pack_segment = pack_segment,
      .greedy = greedy,
  };
  return table;
}

}  // namespace glmocr::cpu::GLMOCR_ISA
