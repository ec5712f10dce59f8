// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "tensor/tensor.h"

namespace glmocr {

// The contract between the models and the hardware. A device implements this table; the models are written
// once against it. Rules that hold for every operation:
//  - Activations are f32 or bf16, called the compute type; results have the type of the first operand. Sums
//  run in
//    fp32 and a result is rounded once, except where a comment says otherwise (the rounding points of
//    transformers).
//  - Matrices may be stored as f32, bf16 or f16. Vectors (norm weights, biases) are f32.
//  - Results live in the device's arena unless `out` names memory; `out` may be the residual, never the
//  input.
//  - The last dimension is contiguous; rows may be strided.
//  - Index tensors are i32 on the device.

enum class Activation { none, silu, gelu };  // gelu: the exact one, by erf

struct LinearOptions {
  Tensor bias;  // [out_features]
  Activation activation = Activation::none;
  Tensor residual;  // [rows, out_features]: result = round(round(x·Wᵀ + bias) + residual)
  Tensor out;       // [rows, out_features]
};

struct NormOptions {
  float eps = 1e-5f;
  Tensor residual;  // like x: result = round(norm(x) + residual)
  Tensor out;
};

enum class RopeStyle {
  half_split,   // pair i is (x[i], x[i + d/2]); computed in fp32, rounded once
  interleaved,  // pair i is (x[2i], x[2i+1]); in bf16 both products and their sum are rounded, as
                // transformers does
};

struct AttentionOptions {
  float scale = 1;
  std::span<const std::int32_t>
      segments;  // host: [count + 1] row offsets; rows attend within their segment only
  Tensor out;
};

// Keys and values of one layer, in pages. A token's slot is page · page_size + offset in the page.
struct PagedKv {
  Tensor keys;    // [pages, kv_heads, page_size, head_dim]
  Tensor values;  // [pages, kv_heads, page_size, head_dim]
};

// Which rows of a step belong to which sequence. Row r of a sequence with q rows and context c (its own rows
// included) sees the keys 0 … c − q + r.
struct PagedBatch {
  Tensor row_starts;    // [sequences + 1]
  Tensor context_lens;  // [sequences]
  Tensor page_table;    // [sequences, max_pages]
  int max_rows = 0;     // the most rows of a sequence
  int max_context = 0;  // the longest context, or more
};

// How the next token of one row is chosen. temperature 0 takes the largest logit (the lowest id among
// equals).
struct SampleRow {
  float temperature = 0;
  float top_p = 1;
  float min_p = 0;
  int top_k = 0;  // 0: all
  float repetition_penalty = 1;
  std::span<const std::int32_t> seen;  // ids the penalty applies to, each once
  std::uint64_t seed = 0;
  std::uint64_t position = 0;    // index of the token to come; with the seed it determines the random number
  std::int32_t vocab_limit = 0;  // ids from here on are padding rows and are never chosen; 0: none
  int top_logprobs = 0;
};

struct SampledToken {
  std::int32_t token = 0;
  float logprob = 0;  // log-softmax of the processed logits (after penalty, before temperature and cuts)
  std::vector<std::pair<std::int32_t, float>> top;  // top_logprobs best, best first
};

class Ops {
 public:
  virtual ~Ops() = default;

  // table [vocab, hidden] (any matrix type), ids [n] → [n, hidden] of type `compute`.
  virtual Tensor embed(const Tensor& table, const Tensor& ids, DType compute) = 0;

  // x [rows, in] · weight [out, in]ᵀ → [rows, out]. The activation follows the bias and rounding.
  virtual Tensor linear(const Tensor& x, const Tensor& weight, const LinearOptions& options = {}) = 0;

  // round(round(silu(gate)) · up), both [rows, width], possibly strided halves of one matrix.
  virtual Tensor swiglu(const Tensor& gate, const Tensor& up) = 0;

  // Over the last dimension: round(w · round(x · rsqrt(mean(x²) + eps))).
  virtual Tensor rms_norm(const Tensor& x, const Tensor& weight, const NormOptions& options = {}) = 0;

  // Over the last dimension, population variance, one rounding.
  virtual Tensor layer_norm(const Tensor& x, const Tensor& weight, const Tensor& bias,
                            const NormOptions& options = {}) = 0;

  virtual Tensor activate(const Tensor& x, Activation activation) = 0;

  // positions [axes, n] i32, inv_freq [pairs] f32, axis [pairs] i32 → [2, n, pairs] f32 cos and sin of
  // positions[axis[p]][row] · inv_freq[p], angles in fp32; rounded to `precision` (bf16 for the text decoder
  // in bf16).
  virtual Tensor rotary_table(const Tensor& positions, const Tensor& inv_freq, const Tensor& axis,
                              DType precision) = 0;

  // x [n, heads, head_dim] (rows may be strided: a part of qkv), table [2, n, head_dim/2] → [n, heads,
  // head_dim].
  virtual Tensor rope(const Tensor& x, const Tensor& table, RopeStyle style) = 0;

  // q, k, v [n, heads, head_dim] (rows may be strided), softmax(q·kᵀ·scale)·v over whole segments, no mask
  // → [n, heads · head_dim]. Memory stays O(n): no n×n matrix.
  virtual Tensor attention(const Tensor& q, const Tensor& k, const Tensor& v,
                           const AttentionOptions& options) = 0;

  // k, v [n, kv_heads, head_dim] into the slots [n] of the cache (same type as k).
  virtual void kv_write(const Tensor& k, const Tensor& v, const PagedKv& cache, const Tensor& slots) = 0;

  // q [rows, heads, head_dim] against pages; query head j reads kv head j / (heads / kv_heads)
  // → [rows, heads · head_dim].
  virtual Tensor attention_paged(const Tensor& q, const PagedKv& cache, const PagedBatch& batch,
                                 float scale) = 0;

  // x [rows, width], indices [n] → [n, width].
  virtual Tensor gather_rows(const Tensor& x, const Tensor& indices) = 0;

  // out[indices[i]] = rows[i].
  virtual void scatter_rows(const Tensor& rows, const Tensor& indices, const Tensor& out) = 0;

  // logits [n, vocab], one SampleRow each. Waits for the device.
  virtual std::vector<SampledToken> sample(const Tensor& logits, std::span<const SampleRow> rows) = 0;
};

}  // namespace glmocr
