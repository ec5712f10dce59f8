// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "kernels/cpu/kernel_table.h"

// The functions of a KernelTable, compiled once per instruction set. Documented in kernel_table.h.
namespace glmocr::cpu::GLMOCR_ISA {

#ifdef __AVX512BF16__
constexpr bool kDotsBf16 = true;
#else
constexpr bool kDotsBf16 = false;
#endif

int64_t gemm_scratch(int64_t m);  // simd_linear.cc
void gemm(const GemmTask& task);
void dot(const DotTask& task);
void dot_panels(const DotTask& task);  // simd_words.cc
void pack_columns(const ConstRows& rows, int64_t count, int64_t k, void* panel);
void epilogue(const EpilogueTask& task);

void convolution(const ConvolutionTask& task);  // simd_convolution.cc
void depthwise(const DepthwiseTask& task);

void pack_bytes(const int8_t* rows, int64_t stride, int64_t count, int64_t k, void* panel);  // simd_bytes.cc
void quantize_rows(const ConstRows& x, int64_t count, int64_t k, int64_t stride, void* group, float* scales,
                   void* work);
void bytes(const BytesTask& task);

void rms_norm(const NormTask& task);  // simd_norm.cc
void layer_norm(const NormTask& task);

void rope(const RopeTask& task);  // simd_elementwise.cc
void activate(void* out, const void* x, Type type, int64_t n, Nonlinearity activation);
void swiglu(void* out, const void* gate, const void* up, Type type, int64_t n);
void convert(void* to, Type to_type, const void* from, Type from_type, int64_t n);
void greedy(const void* values, Type type, int64_t n, float* largest, int64_t* index, double* sum);

int64_t attention_state_bytes(int64_t rows, int64_t dim);  // simd_attention.cc
int64_t attention_work_bytes(int64_t rows, int64_t dim);
void attention_begin(const AttentionTile& tile, const void* const* rows, float scale);
void attention_few(const AttentionTile& tile, const AttentionKeys& keys);
void attention_many(const AttentionTile& tile, const AttentionKeys& keys);
void attention_merge(const AttentionTile& tile, const AttentionTile& other);
void attention_end(const AttentionTile& tile, void* const* rows);

#ifdef __AVX512BF16__
void pairs(const PairsTask& task);  // simd_pairs.cc
void pair_convolution(const PairConvolutionTask& task);
void pack_rows(const ConstRows& rows, int64_t count, int64_t k, void* group);
int64_t segment_work_bytes(int64_t rows, int64_t dim);  // simd_segments.cc
void segment(const SegmentTask& task);
#else
constexpr int64_t kPairRows = 0;
constexpr decltype(KernelTable::pairs) pairs = nullptr;
constexpr decltype(KernelTable::pair_convolution) pair_convolution = nullptr;
constexpr decltype(KernelTable::pack_rows) pack_rows = nullptr;
constexpr decltype(KernelTable::segment_work_bytes) segment_work_bytes = nullptr;
constexpr decltype(KernelTable::segment) segment = nullptr;
#endif

#ifdef __AMX_BF16__
int64_t segment_packed_bytes(int64_t keys, int64_t dim);  // simd_tileattention.cc
bool pack_segment(const KeyRows& rows, int64_t dim, bool finite, void* packed);
int64_t tiled_segment_bytes(int64_t rows, int64_t dim);
void tiled_segment(const SegmentTask& task);
#else
constexpr decltype(KernelTable::segment_packed_bytes) segment_packed_bytes = nullptr;
constexpr decltype(KernelTable::pack_segment) pack_segment = nullptr;
#endif

#ifdef __AVX512BF16__
#ifdef __AMX_BF16__
constexpr bool kPacksResults = true;  // simd_tiles.cc
#else
constexpr bool kPacksResults = false;  // simd_panels.cc
#endif
int64_t tile_work_bytes(int64_t m);
void tiles_few(const TilesTask& task);
void tiles_many(const TilesTask& task);
#else
constexpr bool kPacksResults = false;
constexpr decltype(KernelTable::tile_work_bytes) tile_work_bytes = nullptr;
constexpr decltype(KernelTable::tiles_few) tiles_few = nullptr;
constexpr decltype(KernelTable::tiles_many) tiles_many = nullptr;
#endif

}  // namespace glmocr::cpu::GLMOCR_ISA
