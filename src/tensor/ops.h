// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>

#include "tensor/kv_store.h"
#include "tensor/tensor.h"
#include "tensor/weight.h"

namespace glmocr {

// The contract between the models and the hardware. A device implements this interface; the models are
// written once against it. Rules for every operation:
//  - Activations are f32 or bf16, called the compute type; results have the type of the first operand. Sums
//    run in fp32 and a result is rounded once, except where a comment says otherwise (the rounding points of
//    transformers).
//  - Vectors (norm weights, biases) are f32. Index tensors are i32, on the device.
//  - Results live in the device's arena unless `out` is given; `out` may be the residual, never the input.
//  - The last dimension is contiguous; rows may be strided.
//  - A row of a result depends on its own row of the operands alone, bit for bit: neither the number of rows
//    nor their contents change it. Where two orders of summation exist, RowClass names the one to use.

// The order in which products and attention sum. A sequence with at most kFewRows rows in a step runs them as
// `few` (decoding, the last few rows of a prompt), with more rows as `many`; vision always as `many`. So the
// bits of a row do not depend on what else runs in its step.
enum class RowClass : std::uint8_t { many, few };
inline constexpr int kFewRows = 16;

// Query heads per key/value head that attention_paged of every device takes.
inline constexpr int kMaxHeadsPerKvHead = 256;

enum class Activation { none, silu, gelu, relu };  // gelu: the exact one, by erf

struct LinearOptions {
  Activation activation = Activation::none;
  Tensor residual;  // [rows, out_features]: result = round(round(x·Wᵀ + bias) + residual)
  Tensor out;       // [rows, out_features]
  RowClass rows = RowClass::many;
};

struct NormOptions {
  float eps = 1e-5f;
  Tensor residual;  // like x: result = round(norm(x) + residual), where norm(x) is rounded first
  Tensor out;
};

enum class RopeStyle {
  half_split,   // pair i is (x[i], x[i + d/2]); computed in fp32, rounded once
  interleaved,  // pair i is (x[2i], x[2i+1]); in bf16 products and sums are rounded, as in transformers
};

struct AttentionOptions {
  float scale = 1;
  // [count + 1] row offsets of k and v in host memory; rows attend within their own segment.
  std::span<const std::int32_t> segments;
  // The same of q, where q holds only some rows of the segments; empty: the offsets of k and v.
  std::span<const std::int32_t> query_segments;
  Tensor out;  // may be q itself, as [n, heads · head_dim]

  std::span<const std::int32_t> of_queries() const {
    return query_segments.empty() ? segments : query_segments;
  }
};

// Which rows of a step belong to which sequence. Row r of a sequence with q rows and context c (its own rows
// included) sees the keys 0 … c − q + r, so at least its own. q > c is an Error{internal}; a device that has its tables outside
// of host memory throws it when the next result is fetched. Rows from row_starts[sequences] on are padding.
struct PagedBatch {
  Tensor row_starts;    // [sequences + 1]
  Tensor context_lens;  // [sequences]
  Tensor page_table;    // [sequences, pages]; rows may be strided
  int max_rows = 0;     // upper bound of the rows of one sequence
  int max_context = 0;  // upper bound of context_lens
  RowClass rows = RowClass::many;
};

// How the token of one row of logits is chosen. temperature 0 takes the largest logit (the lowest id among
// equals). Plain memory: SamplingTables::params holds one per row.
struct SamplingRow {
  float temperature = 0;
  float top_p = 1;
  float min_p = 0;
  float repetition_penalty = 1;  // of the ids whose bit is set in `seen`
  std::int32_t top_k = 0;        // 0: all
  std::int32_t top_logprobs = 0;
  std::int32_t vocab_limit = 0;  // ids from here on have no token and are never chosen; 0: no limit
  std::int32_t position = 0;     // index of the next token; with the seed it determines the random number
  std::uint32_t seed_low = 0, seed_high = 0;
};
static_assert(sizeof(SamplingRow) == 40);

// The id of a row whose logits are not all finite.
inline constexpr std::int32_t kNotFinite = -1;

// What Ops::sample reads and writes. Each table has at least as many rows as the logits.
struct SamplingTables {
  Tensor params;  // [rows, 10] i32: the words of a SamplingRow
  // [rows, ceil(vocab / 32)] i32: bit id % 32 of word id / 32 is set where the penalty applies to the id. May
  // be empty where no row has a penalty.
  Tensor seen;

  // Results. Log-probabilities are the log-softmax of the logits after the penalty, before temperature and
  // cuts. The first SamplingRow::top_logprobs entries of a row of top_ids are written, best first; the others
  // do not change.
  // A row with NaN or infinity among its logits (up to vocab_limit) gets the id kNotFinite, the
  // log-probability NaN and no best ids. It is no exception, because a recorded step cannot throw.
  Tensor ids;           // [rows] i32
  Tensor logprobs;      // [rows] f32
  Tensor top_ids;       // [rows, most] i32
  Tensor top_logprobs;  // [rows, most] f32
};

// The inputs of a decoding step that Ops::sample changes to those of the next token, one row per sequence.
struct DecodeTables {
  Tensor ids;           // [rows] i32
  Tensor positions;     // [3, rows] i32; may be strided
  Tensor slots;         // [rows] i32
  Tensor context_lens;  // [rows] i32
  Tensor page_table;    // [rows, pages] i32; rows may be strided
  int page_size = 0;
};

// Where keys and values of a step go: as the arguments of Ops::kv_write.
struct KvTarget {
  KvStore& store;
  int layer = 0;
  Tensor slots;  // [n]
};

// A layer of a decoder: its weights, and the norm of what comes behind it.
struct DecoderBlock {
  const Weight *q = nullptr, *k = nullptr, *v = nullptr, *o = nullptr;
  const Weight *gate = nullptr, *up = nullptr, *down = nullptr;
  Tensor attention_norm, mlp_input_norm, mlp_norm, next_norm;  // [hidden] f32
};
// What its layers hand on, [rows, hidden] both: the residual stream, and its norm for what comes next.
struct DecoderRows {
  Tensor x, h;
};
// Where the rows stand. The slot of a row, if it is not -1, is that of the last token of its sequence's context.
struct DecoderPlace {
  KvStore& store;
  Tensor slots;  // [rows]
  Tensor table;  // [2, rows, head_dim / 2]: of rope, interleaved
  PagedBatch batch;
  float eps = 0, scale = 0;
};

struct PatchOptions {
  int patch_size = 14;
  int frames = 2;      // equal copies of the picture in a patch
  int merge_size = 2;  // patches come in blocks of merge_size², blocks row by row
  // The patches [first, first + count) alone, both multiples of merge_size²; count 0: to the last one.
  std::int64_t first = 0, count = 0;
  Tensor out;  // [patches, 3 · frames · patch_size²]
};

// The weights of swiglu(x · gate, x · up) · down.
struct GatedWeights {
  const Weight& gate;
  const Weight& up;
  const Weight& down;
};

// How a window moves over a picture. Outside of the picture are zeros (convolutions) or nothing (pooling).
struct Window {
  int height = 1, width = 1;
  int stride = 1;
  int top = 0, left = 0, bottom = 0, right = 0;  // rows and columns of padding

  std::int64_t out_height(std::int64_t in) const { return (in + top + bottom - height) / stride + 1; }
  std::int64_t out_width(std::int64_t in) const { return (in + left + right - width) / stride + 1; }
};

struct ConvolutionOptions {
  Activation activation = Activation::none;
  Tensor residual;  // like the result, which is round(round(act(round(x ∗ w + bias))) + residual)
  Tensor out;       // [pages, out_height, out_width, out_features]; may be f32 where the operands are bf16
};

enum class Enlargement {
  nearest,
  bilinear
};  // bilinear: the centres of pixels on half positions, edges kept

struct EnlargeOptions {
  Enlargement kind = Enlargement::nearest;
  Tensor residual;  // like the result, which is round(round(enlarged) + residual)
  Tensor out;       // [pages, 2 · height, 2 · width, channels]
};

// A level of the maps that deformable attention samples: the first of its rows, and its size.
struct MapLevel {
  std::int64_t first = 0, height = 0, width = 0;
};

// What deformable_attention needs beside the values. Queries are rows; those of a page stand together.
struct DeformableQueries {
  Tensor offsets;  // [queries, heads · levels · points · 2]: x, y, in shares of half a box per point
  Tensor weights;  // [queries, heads · levels · points]: logits; the softmax runs over levels and points
  Tensor boxes;    // [queries, 4] f32: centre x and y, width and height, in 0 … 1
  std::span<const MapLevel> levels;
  std::int64_t heads = 1, points = 1;
};

class Ops {
 public:
  virtual ~Ops() = default;

  // table [vocab, hidden], ids [n] → [n, hidden] of type `compute`.
  virtual Tensor embed(const Weight& table, const Tensor& ids, DType compute) = 0;

  // x [rows, in], weight [out, in] → round(act(round(x · Wᵀ + bias))), [rows, out].
  // With a weight in eight bits every row of x is rounded to eight bits as well (quantize_row in tensor/int8.h), and
  // x · Wᵀ is float(Σ) · (scale of the row · scale of the output feature), in fp32, with the exact sum Σ of products of
  // whole numbers. So the order of sums does not show, and RowClass makes no difference.
  virtual Tensor linear(const Tensor& x, const Weight& weight, const LinearOptions& options = {}) = 0;

  // gate, up [rows, width] (rows may be strided: halves of one matrix) → round(round(silu(gate)) · up),
  // [rows, width].
  virtual Tensor swiglu(const Tensor& gate, const Tensor& up) = 0;

  // swiglu of two products, which a device may fuse: [rows, width].
  virtual Tensor gated_linear(const Tensor& x, const Weight& gate, const Weight& up, RowClass rows) {
    LinearOptions options;
    options.rows = rows;
    const Tensor gates = linear(x, gate, options);
    return swiglu(gates, linear(x, up, options));
  }

  // linear of gated_linear, which a device may fuse. options.out may be options.residual, but not x.
  virtual Tensor gated_mlp(const Tensor& x, const GatedWeights& weights, const LinearOptions& options) {
    return linear(gated_linear(x, weights.gate, weights.up, options.rows), weights.down, options);
  }

  // Three products of the same rows, queries, keys and values, which a device may compute together. `out` as in
  // LinearOptions.
  virtual std::array<Tensor, 3> linear_three(const Tensor& x, const std::array<const Weight*, 3>& weights,
                                             RowClass rows, const std::array<Tensor, 3>& out = {}) {
    std::array<Tensor, 3> results;
    for (std::size_t i = 0; i < results.size(); ++i) {
      results[i] = linear(x, *weights[i], {.activation = {}, .residual = {}, .out = out[i], .rows = rows});
    }
    return results;
  }

  // Over the last dimension: round(w · round(x · rsqrt(mean(x²) + eps))).
  virtual Tensor rms_norm(const Tensor& x, const Tensor& weight, const NormOptions& options = {}) = 0;

  // Over the last dimension: round(weight · (x − mean) · rsqrt(variance + eps) + bias), population variance.
  virtual Tensor layer_norm(const Tensor& x, const Tensor& weight, const Tensor& bias,
                            const NormOptions& options = {}) = 0;

  // x = round(rms_norm(y, weight) + x), then out = rms_norm(x, next), which a device may fuse.
  virtual void add_norm(const Tensor& x, const Tensor& y, const Tensor& weight, const Tensor& next, float eps,
                        const Tensor& out) {
    rms_norm(y, weight, {.eps = eps, .residual = x, .out = x});
    rms_norm(x, next, {.eps = eps, .residual = {}, .out = out});
  }

  // x [rows, width] → [rows, width], one rounding.
  virtual Tensor activate(const Tensor& x, Activation activation) = 0;

  // positions [axes, n] i32, inv_freq [pairs] f32, axis [pairs] i32 → [2, n, pairs] f32: cos and sin of
  // positions[axis[p]][row] · inv_freq[p], angles in fp32; rounded to `precision`.
  virtual Tensor rotary_table(const Tensor& positions, const Tensor& inv_freq, const Tensor& axis,
                              DType precision) = 0;

  // x [n, heads, head_dim] (rows may be strided), table [2, n, head_dim/2] (rows of a longer one, maybe) →
  // out, [n, heads, head_dim].
  virtual Tensor rope(const Tensor& x, const Tensor& table, RopeStyle style, const Tensor& out = {}) = 0;

  // rope of rms_norm(x, weight) over the last dimension, which a device may fuse.
  virtual Tensor norm_rope(const Tensor& x, const Tensor& weight, float eps, const Tensor& table,
                           RopeStyle style, const Tensor& out = {}) {
    return rope(rms_norm(x, weight, {.eps = eps, .residual = {}, .out = {}}), table, style, out);
  }

  // q [n, heads, head_dim], k and v [keys, heads, head_dim] (rows may be strided): softmax(q·kᵀ·scale)·v over
  // whole segments, no mask → [n, heads · head_dim]. Memory is O(n): no n×keys matrix. In bf16 the weights are
  // rounded before they multiply and are summed: round(2^(score · log2 e − m)), where m is whole, so it does
  // not matter which m it is. A device may keep more digits of
  // them, or round exp(score − largest so far), as fused kernels elsewhere do; so may attention_paged with
  // RowClass::many.
  virtual Tensor attention(const Tensor& q, const Tensor& k, const Tensor& v,
                           const AttentionOptions& options) = 0;

  // Writes k, v [n, kv_heads, head_dim] into the slots [n] of a layer of the store, which has their type.
  // Rows with slot -1 are not written.
  virtual void kv_write(const Tensor& k, const Tensor& v, KvStore& store, int layer, const Tensor& slots) = 0;

  // kv_write of rope(k) and v, which a device may fuse; returns rope(q).
  virtual Tensor rope_kv_write(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& table,
                               RopeStyle style, const KvTarget& target) {
    kv_write(rope(k, table, style), v, target.store, target.layer, target.slots);
    return rope(q, table, style);
  }

  // q [rows, heads, head_dim] against a layer's pages → [rows, heads · head_dim]; query head j reads kv head
  // j / (heads / kv_heads). Padding rows become zeros.
  virtual Tensor attention_paged(const Tensor& q, const KvStore& store, int layer, const PagedBatch& batch,
                                 float scale) = 0;

  // All layers of a decoder at once, in place, for rows that are each the next token of a sequence: what
  // decoder_layers_one_by_one gives, bit for bit. False where the device does not do that for these rows: then it
  // has done nothing.
  virtual bool decoder_layers(const DecoderRows&, std::span<const DecoderBlock>, const DecoderPlace&) {
    return false;
  }

  // x [rows, width], indices [n] → [n, width].
  virtual Tensor gather_rows(const Tensor& x, const Tensor& indices) = 0;

  // out[indices[i]] = rows[i]; rows with index -1 are skipped.
  virtual void scatter_rows(const Tensor& rows, const Tensor& indices, const Tensor& out) = 0;

  // An RGB picture [height, width, 3] u8 → rows of patches [patches, 3 · frames · patch_size²] of type
  // `compute`; the order in a row is channel, frame, y, x, slowest first. A byte b of channel c becomes
  // normalized[c][b] (f32 [3, 256]), rounded. Both sides are multiples of patch_size · merge_size.
  virtual Tensor patchify(const Tensor& picture, const Tensor& normalized, const PatchOptions& options,
                          DType compute) = 0;

  // Chooses a token for each row of logits [n, vocab], as transformers' processors do, in this order:
  // repetition penalty, temperature, top_k, top_p, min_p. The logits may be overwritten.
  // Where `next` is given, with n rows, it and the parameters change to those of the next step: row i takes the
  // token that was chosen; its positions, its context and the `position` of its parameters grow by one; its slot
  // becomes that of the new context's last token (-1 where the page table ends or contains -1); the bit of its id is
  // set in `seen`. Rows with slot -1 do not change. Of a row whose id is kNotFinite only the slot changes: it
  // becomes -1.
  virtual void sample(const Tensor& logits, const SamplingTables& tables, const DecodeTables& next = {}) = 0;

  // Operations of the layout detector. A device need not have them: by default they throw Error{device}.
  //
  // Maps are [pages, height, width, channels]; the channels of a pixel are contiguous, pixels and pages may be
  // strided (a part of the channels of a wider map, a level of rows of several levels).

  // x [pages, h, w, in], weight [out, height · width · in] prepared for WeightUse::convolution, f32 or of x's type,
  // whose columns run over rows, columns and channels of the window → [pages, out_height, out_width, out].
  virtual Tensor convolve(const Tensor& x, const Weight& weight, const Window& window,
                          const ConvolutionOptions& options = {});

  // Each channel by itself: x [pages, h, w, channels], weight [height · width, channels] f32, bias [channels]
  // f32 → [pages, out_height, out_width, channels].
  virtual Tensor convolve_depthwise(const Tensor& x, const Tensor& weight, const Tensor& bias,
                                    const Window& window, const ConvolutionOptions& options = {});

  // The largest value under the window; `out` may be given.
  virtual Tensor max_pool(const Tensor& x, const Window& window, const Tensor& out = {});

  // Twice the height and width.
  virtual Tensor enlarge(const Tensor& x, const EnlargeOptions& options = {});

  // x [rows, width] + y [some rows, width], whose rows repeat, one rounding → [rows, width].
  virtual Tensor add(const Tensor& x, const Tensor& y);

  // values [pages · rows, heads · head_dim], rows strided: for each query and head Σ softmax(weights) · value
  // over levels and points. A point samples its level at box centre + offset / points · box size / 2, bilinearly,
  // with zeros outside of the map → [queries, heads · head_dim]. All in fp32, rounded once.
  virtual Tensor deformable_attention(const Tensor& values, std::int64_t pages,
                                      const DeformableQueries& queries);

  // Of each page's rows of scores [pages · rows, classes] the `count` with the largest best score, largest first,
  // among equal ones the lowest index first → [pages · count] i32, indices into all rows. NaN counts as lowest.
  virtual Tensor top_rows(const Tensor& scores, std::int64_t pages, std::int64_t count);

  // The box around the pixels where the product of a query's row and the map's pixel is above zero: queries
  // [pages · n, channels], map [pages, h, w, channels] → [pages · n, 4] f32: centre x and y, width and height,
  // in 0 … 1; zeros where there is no such pixel.
  virtual Tensor mask_boxes(const Tensor& queries, const Tensor& map);

  // sigmoid(logit(boxes) + deltas), where logit clamps to 1e-5 from 0 and 1: boxes [n, 4] f32; deltas [n, 4], or
  // empty for zeros → [n, 4] f32.
  virtual Tensor refine_boxes(const Tensor& boxes, const Tensor& deltas);
};

// Attention of a step's rows in a layer: q [rows, heads, head_dim], k and v [rows, kv_heads, head_dim] as they were projected →
// [rows, heads · head_dim]. rope_kv_write and attention_paged, unless a device does both at once.
using AttendNext = std::function<Tensor(const Tensor& q, const Tensor& k, const Tensor& v, int layer)>;
// One layer of what Ops::decoder_layers stands for, with this attention.
void decoder_layer_one_by_one(Ops& ops, const DecoderRows& rows, const DecoderBlock& block,
                              const DecoderPlace& place, int layer, const AttendNext& attend);
// What Ops::decoder_layers stands for, by the operations one after the other.
void decoder_layers_one_by_one(Ops& ops, const DecoderRows& rows, std::span<const DecoderBlock> blocks,
                               const DecoderPlace& place);

}  // namespace glmocr
