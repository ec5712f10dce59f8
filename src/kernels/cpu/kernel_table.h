// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <stdint.h>

// The kernels of one instruction set, which the operations of the CPU device call. The simd_*.cc files are
// compiled once per set, each into its own namespace, and include only this header, intrinsics and each
// other's small headers: the linker keeps one copy of an inline function of the standard library, and it must
// not be one compiled for a wider set.
namespace glmocr::cpu {

enum class Type : int32_t { f32, bf16, f16 };
enum class Nonlinearity : int32_t { none, silu, gelu, relu };

struct Bf16 {
  uint16_t bits;
};
struct F16 {
  uint16_t bits;
};

// Rows of contiguous values; strides count elements.
struct ConstRows {
  const void* data;
  int64_t stride;
  Type type;
};
struct Rows {
  void* data;
  int64_t stride;
  Type type;  // f32 or bf16
};

// c [m, n] = a [m, k] · b [n, k]ᵀ in fp32. Rows of c have room for n rounded up to gemm_columns; the columns
// from n on are overwritten. scratch has gemm_scratch(m) floats, 64-byte aligned.
struct GemmTask {
  ConstRows a;
  ConstRows b;
  int64_t m, n, k;
  float* c;
  int64_t c_stride;
  float* scratch;
  const void* panels = nullptr;  // b in panels of pack_columns, where they are as wide as gemm_columns
};

// The same product for few rows of a, which reads b once from memory. The sum behind a value of c has one
// order, whatever m and n are. a is f32, or bf16 where b is bf16 too and the table has dots_bf16.
struct DotTask {
  ConstRows a;  // [m, k]
  ConstRows b;  // [n, k]
  int64_t m, n, k;
  float* c;  // [m, n]
  int64_t c_stride;
};

// c [m, n] = x [m, k] · wᵀ in fp32, of bf16: m rows of x in groups as pack_rows makes them, n rows of w in panels
// as pack_columns does. Rows of c are rounded up to pair_rows and have room for n rounded up to pair_columns; what
// is beyond is overwritten. All memory is 64-byte aligned.
struct PairsTask {
  const void* groups;
  const void* panels;
  int64_t m, n, k;
  float* c;
  int64_t c_stride;
};

// c [pixels, columns] of a convolution in fp32, of bf16: as ConvolutionTask, with one row of pixels. Rows of c are rounded up
// to pair_rows, and what lies under the windows of those pixels is read too. `run` is a multiple of pair_depth, and rows
// of c have room for the columns rounded up to pair_columns.
struct PairConvolutionTask {
  const void* a;
  int64_t run_stride, pixel_step;  // in values
  int64_t runs, run;
  int64_t pixels;
  const void* panels;  // of pack_columns, runs · run values deep
  int64_t columns;
  float* c;
  int64_t c_stride;
};

// y = round(factor · round(round(act(round(x · wᵀ + bias))) + residual)) of bf16, where an absent part has no
// rounding. Weights are panels of pack_columns, each of k rounded up to pair_depth values, one after the other.
// tiles_few takes up to pair_rows rows of x where they lie; k is a multiple of pair_depth then. tiles_many takes them in
// groups of pack_rows. Where packs_out is set, y becomes such groups: out.data is where the first row and column belong,
// and out.stride the values of a group. out and factor may not be x.
struct TilesTask {
  const void* x;
  int64_t x_stride;  // tiles_few
  const void* panels;
  int64_t m, n, k;
  const float* bias;  // [n] or null
  Nonlinearity activation;
  ConstRows residual;  // data may be null
  ConstRows factor;    // data may be null
  Rows out;
  bool packs_out;
  void* work;  // tile_work_bytes(m) bytes, 64-byte aligned
};

// Products in eight bits: sums of whole numbers, which are exact, so their order does not matter. Steps along k take
// byte_depth values at once.
// A panel holds byte_columns rows of a weight, [steps][byte_columns][byte_depth] int8, then the sums to begin with,
// [byte_columns] int32; columns and values that are missing are zeros. A group holds rows of x as whole numbers,
// [steps][stride] words of byte_word bytes, as the instructions want them.
struct BytesTask {
  const void* group;      // m rows of x, [steps][stride]
  int64_t stride;         // words, m or more
  const float* x_scales;  // [m]
  const void* panels;     // bytes_panel(k) bytes each
  const float* scales;    // [n]
  int64_t m, n, k;        // m up to byte_rows
  float* c;               // [m, n], rows with room for n rounded up to byte_columns
  int64_t c_stride;
};

// out = round(round(act(round(product + bias))) + residual); an absent part has no rounding.
struct EpilogueTask {
  int64_t rows, columns;
  ConstRows product;  // f32, or bf16 when it was rounded already
  const float* bias;  // [columns] or null
  Nonlinearity activation;
  ConstRows residual;  // data may be null; of out's type
  Rows out;
};

// c [rows · pixels, columns] of a convolution: each value is the sum over the window of a pixel, `runs` rows of
// `run` contiguous values, times a column of the panels. Rows of c have room for the columns rounded up to
// gemm_columns. The sum of a value has one order, whatever the sizes.
struct ConvolutionTask {
  const float* a;      // the first value under the window of the first pixel
  int64_t run_stride;  // from one row of a window to the next, in values
  int64_t pixel_step;  // from one pixel's window to the next one's
  int64_t row_step;    // from one row of pixels to the next
  int64_t runs, run;
  int64_t rows, pixels;
  const float* panels;  // [columns / gemm_columns rounded up, runs · run, gemm_columns]
  int64_t columns;
  float* c;
  int64_t c_stride;
};

// One pixel of a convolution of single channels: out [channels] = round(act(round(bias + Σ x · weight))).
struct DepthwiseTap {
  const void* x;        // [channels]
  const float* weight;  // [channels]
};
struct DepthwiseTask {
  const DepthwiseTap* taps;
  int64_t count, channels;
  const float* bias;
  Nonlinearity activation;
  Type type;  // of x and out
  void* out;
};

// Rows of x normalised over their width; weight and bias f32. Residual as in NormOptions.
struct NormTask {
  int64_t rows, width;
  ConstRows x;
  const float* weight;
  const float* bias;  // layer_norm only
  float eps;
  ConstRows residual;  // data may be null
  Rows out;
};

// One token: heads rows of x at head_stride, cos and sin [dim / 2] → out [heads, dim] contiguous.
struct RopeTask {
  const void* x;
  int64_t head_stride;
  int64_t heads, dim;
  const float* cos;
  const float* sin;
  bool interleaved;
  void* out;
  Type type;
};

// Query rows that share keys and values, and the running state of their softmax, in memory that only the
// kernels know how to use: state holds attention_state_bytes(rows, dim), work attention_work_bytes(rows,
// dim). Both are 64-byte aligned.
struct AttentionTile {
  int64_t rows, dim;
  Type type;            // of q, keys, values and results
  bool rounds_weights;  // to bf16, before they multiply and are summed
  void* state;
  void* work;  // for the block functions; merge and end do not use it
};

// Keys and values with equal strides.
struct KeyRun {
  const void* keys;
  const void* values;
  int64_t count;
  int64_t key_stride, value_stride;  // in elements
};

// At most kMaxKeys keys and values in runs. The first visible[r] of them count for row r (null: all); the
// others may hold anything.
constexpr int64_t kMaxKeys = 64;
struct AttentionKeys {
  const KeyRun* runs;
  int64_t count;  // of keys
  const int32_t* visible;
};

// Rows of one head of bf16 against all keys of a segment: out = softmax(q · kᵀ · scale) · v, with weights
// rounded as in Ops::attention. Strides count elements. work has segment_work_bytes(rows, dim) bytes, 64-byte
// aligned. out may be q.
struct SegmentTask {
  int64_t rows, keys, dim;
  const void* q;
  int64_t q_stride;
  const void* k;
  int64_t k_stride;
  const void* v;
  int64_t v_stride;
  float scale;
  void* out;
  int64_t out_stride;
  void* work;
  // Where segment_packed_bytes is not 0: all keys and values by pack_segment, and instead of q and out, where these are
  // not null, the rows themselves; and the number of keys that a row sees, which grows with the rows (null: all).
  const void* packed;
  const void* const* q_rows;
  void* const* out_rows;
  const int64_t* limits;
};

// Keys and values one by one.
constexpr int64_t kPackedKeys = 128;  // of pack_segment
struct KeyRows {
  const void* const* keys;
  const void* const* values;
  int64_t count;
};

// Bytes of a panel of BytesTask.
constexpr int64_t bytes_panel(int64_t k, int64_t columns, int64_t depth) {
  return (k + depth - 1) / depth * depth * columns + columns * int64_t{sizeof(int32_t)};
}

struct KernelTable {
  int64_t gemm_rows;     // rows of the micro-kernel: row blocks should be multiples of it
  int64_t gemm_columns;  // columns of the micro-kernel
  bool dots_bf16;        // dot takes bf16 rows with bf16 weights

  int64_t (*gemm_scratch)(int64_t m);
  void (*gemm)(const GemmTask& task);
  void (*dot)(const DotTask& task);
  // The same where b [n, k] lies in panels of pack_columns and a is f32; sums have an order of their own, and rows of c have
  // room for n rounded up to pair_columns.
  void (*dot_panels)(const DotTask& task);
  void (*epilogue)(const EpilogueTask& task);
  void (*convolution)(const ConvolutionTask& task);
  void (*depthwise)(const DepthwiseTask& task);

  // Panels of weights of bf16, of all products: pack_columns makes one of at most pair_columns rows, as many as
  // gemm_columns; each row has k rounded up to pair_depth values then.
  int64_t pair_columns, pair_depth;
  void (*pack_columns)(const ConstRows& rows, int64_t count, int64_t k, void* panel);

  // Products of bf16; null where the set has none.
  int64_t pair_rows;
  void (*pairs)(const PairsTask& task);
  void (*pair_convolution)(const PairConvolutionTask& task);
  // At most pair_rows rows of bf16 become a group of so many; each row has k rounded up to pair_depth values then.
  void (*pack_rows)(const ConstRows& rows, int64_t count, int64_t k, void* group);

  // Products of bf16 with packed weights, in tiles where the set has them; null where it has none.
  bool packs_results;  // tiles_many heeds packs_out
  int64_t (*tile_work_bytes)(int64_t m);
  void (*tiles_few)(const TilesTask& task);
  void (*tiles_many)(const TilesTask& task);

  int64_t byte_rows, byte_columns, byte_depth, byte_word;
  // Up to byte_columns rows of k int8 values, `stride` apart, become a panel.
  void (*pack_bytes)(const int8_t* rows, int64_t stride, int64_t count, int64_t k, void* panel);
  // Up to byte_rows rows of x, f32 or bf16, become a group and get their scales, as quantize_row in tensor/int8.h does.
  // work has room for round_up(k, 64) · 2 bytes.
  void (*quantize_rows)(const ConstRows& x, int64_t count, int64_t k, int64_t stride, void* group,
                        float* scales, void* work);
  // c = float(Σ) · (x scale · scale)
  void (*bytes)(const BytesTask& task);

  void (*rms_norm)(const NormTask& task);
  void (*layer_norm)(const NormTask& task);
  void (*rope)(const RopeTask& task);
  // out = act(x), n values of one type; and out = round(round(silu(gate)) · up).
  void (*activate)(void* out, const void* x, Type type, int64_t n, Nonlinearity activation);
  void (*swiglu)(void* out, const void* gate, const void* up, Type type, int64_t n);
  // Converts n values of any type to f32 or bf16 (round to nearest even).
  void (*convert)(void* to, Type to_type, const void* from, Type from_type, int64_t n);

  int64_t (*attention_state_bytes)(int64_t rows, int64_t dim);
  int64_t (*attention_work_bytes)(int64_t rows, int64_t dim);
  // Loads rows[r], scaled, and empties the state.
  void (*attention_begin)(const AttentionTile& tile, const void* const* rows, float scale);
  // Takes in a block of keys, with the sums ordered for few or for many rows: the orders of the two
  // RowClasses. In either the bits of a row depend on the row, its visible keys and the blocks they come in
  // alone.
  void (*attention_few)(const AttentionTile& tile, const AttentionKeys& keys);
  void (*attention_many)(const AttentionTile& tile, const AttentionKeys& keys);
  // Merges the state of another tile, over the same rows and other keys, into `tile`.
  void (*attention_merge)(const AttentionTile& tile, const AttentionTile& other);
  // rows[r] [dim] = acc / sum, rounded.
  void (*attention_end)(const AttentionTile& tile, void* const* rows);

  // Null where the set has no products of bf16.
  int64_t (*segment_work_bytes)(int64_t rows, int64_t dim);
  void (*segment)(const SegmentTask& task);
  // Where a set takes keys and values packed, for all rows of a head at once: the bytes of them (0: it takes those of this
  // dim as they are). Null where none are. pack_segment packs up to kPackedKeys; with `finite` values that are not finite
  // become zeros, and it tells whether there were any.
  int64_t (*segment_packed_bytes)(int64_t keys, int64_t dim);
  bool (*pack_segment)(const KeyRows& rows, int64_t dim, bool finite, void* packed);

  // The largest of n values, the lowest index of it, and Σ exp(value − largest). Index -1 and nothing else
  // where a value is NaN or infinite.
  void (*greedy)(const void* values, Type type, int64_t n, float* largest, int64_t* index, double* sum);
};

}  // namespace glmocr::cpu
