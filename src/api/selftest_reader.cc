// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <cmath>

#include "api/selftest_checks.h"
#include "base/error.h"

namespace glmocr::checks {
namespace {

void run_linear(Operands& o, std::int64_t rows, std::int64_t in, std::int64_t out, DType weight) {
  LinearOptions options;
  options.activation = Activation::silu;
  options.rows = rows <= kFewRows ? RowClass::few : RowClass::many;
  const Tensor x = o.activations({rows, in});
  options.residual = o.activations({rows, out});
  o.result(o.ops().linear(x, o.weight(out, in, weight, WeightUse::linear, true), options));
}

// Two sequences and a row of padding: one decodes a row after 40 keys, one has 5 rows after 12.
void run_paged(Operands& o, std::int64_t heads, int kv_heads, int dim, RowClass row_class) {
  const KvSpec spec{
      .layers = 2, .kv_heads = kv_heads, .head_dim = dim, .pages = 6, .page_size = 16, .dtype = o.compute()};
  KvStore& store = o.store(spec);
  PagedBatch batch;
  batch.row_starts = o.indices({0, 1, 6}, {3});
  batch.context_lens = o.indices({41, 17}, {2});
  batch.page_table = o.indices({3, 0, 2, 1, 4, 5}, {2, 3});
  batch.max_rows = 5;
  batch.max_context = 41;
  batch.rows = row_class;
  const Tensor k = o.activations({7, kv_heads, dim}), v = o.activations({7, kv_heads, dim});
  o.ops().kv_write(k, v, store, 1, o.indices({40, 28, 29, 30, 31, 64, -1}, {7}));
  const Tensor q = o.activations({7, heads, dim});
  const float scale = 1 / std::sqrt(dim);
  for (const int layer : {0, 1}) o.result(o.ops().attention_paged(q, store, layer, batch, scale));
}

void run_rope(Operands& o, RopeStyle style) {
  const Tensor positions = o.indices({0, 5, 900, 3, 70, 1}, {2, 3});
  const Tensor axis = o.indices(Ids(24, 1), {24});
  const Tensor table = o.ops().rotary_table(positions, o.vector(24), axis, DType::f32);
  o.result(o.ops().rope(o.activations({3, 2, 48}), table, style));
}

void run_norm_rope(Operands& o) {
  const Tensor positions = o.indices({0, 5, 900, 3, 70, 1}, {2, 3});
  const Tensor axis = o.indices(Ids(32, 1), {32});
  const Tensor table = o.ops().rotary_table(positions, o.vector(32), axis, DType::f32);
  const Tensor x = o.activations({3, 2, 64});
  o.result(o.ops().norm_rope(x, o.vector(64), 1e-5f, table, RopeStyle::half_split));
}

// Rotated keys in the first two slots, a row without one, and what a query finds there.
void run_rope_kv_write(Operands& o) {
  const KvSpec spec{
      .layers = 1, .kv_heads = 2, .head_dim = 48, .pages = 1, .page_size = 16, .dtype = o.compute()};
  KvStore& store = o.store(spec);
  const Tensor table = o.ops().rotary_table(o.indices({0, 5, 900}, {1, 3}), o.vector(24),
                                            o.indices(Ids(24), {24}), DType::f32);
  const Tensor q = o.activations({3, 4, 48}), k = o.activations({3, 2, 48}), v = o.activations({3, 2, 48});
  const Tensor turned =
      o.ops().rope_kv_write(q, k, v, table, RopeStyle::interleaved, {store, 0, o.indices({1, 0, -1}, {3})});
  PagedBatch batch;
  batch.row_starts = o.indices({0, 3}, {2});
  batch.context_lens = o.indices({16}, {1});
  batch.page_table = o.indices({0}, {1, 1});
  batch.max_rows = 3;
  batch.max_context = 16;
  batch.rows = RowClass::few;
  o.result(turned);
  o.result(o.ops().attention_paged(turned, store, 0, batch, 0.1f));
}

void run_attention(Operands& o, std::int64_t dim) {
  const Ids segments{0, 1, 150};
  const Tensor q = o.activations({150, 2, dim}), k = o.activations(q.shape), v = o.activations(q.shape);
  AttentionOptions options;
  options.scale = 0.125f;
  options.segments = segments;
  o.result(o.ops().attention(q, k, v, options));
}

void run_moves(Operands& o) {
  const Weight table = o.weight(30, 40, DType::bf16, WeightUse::embedding, false);
  const Tensor rows = o.ops().embed(table, o.indices({3, 29, 0, 3}, {4}), o.compute());
  const Tensor picked = o.ops().gather_rows(rows, o.indices({2, 0, 1}, {3}));
  const Tensor out = o.activations({5, 40});
  o.ops().scatter_rows(picked, o.indices({4, -1, 1}, {3}), out);
  o.result(picked);
  o.result(out);
}

// Rows that are greedy, drawn, penalized, and drawn after all cuts.
void run_sample(Operands& o) {
  const std::int64_t vocab = 100;
  std::vector<SamplingRow> rows(4);
  rows[1].temperature = 0.8f;
  rows[1].seed_low = 11;
  rows[2].repetition_penalty = 1.5f;
  rows[2].top_logprobs = 4;
  rows[3].temperature = 1.2f;
  rows[3].top_k = 30;
  rows[3].top_p = 0.9f;
  rows[3].min_p = 0.05f;
  for (SamplingRow& row : rows) row.vocab_limit = 97;
  Ids seen(4 * 4);
  for (int word = 0; word < 4; ++word) seen[2 * 4 + word] = 0x55555555;
  const SamplingTables tables = o.sampling(rows, vocab, seen);
  o.ops().sample(o.activations({4, vocab}), tables);
  for (const Tensor& t : {tables.ids, tables.logprobs, tables.top_ids, tables.top_logprobs}) o.result(t);
}

// Rows inside a page, at its end, at the end of the table, and padding.
void run_sample_next(Operands& o) {
  const SamplingTables sampling = o.sampling(std::vector<SamplingRow>(4), 64, Ids(4 * 2));
  DecodeTables tables;
  tables.ids = o.indices({1, 2, 3, 4}, {4});
  tables.positions = o.indices({5, 7, 15, 1, 5, 7, 15, 1, 5, 7, 15, 1}, {3, 4});
  tables.slots = o.indices({21, 31, 15, -1}, {4});
  tables.context_lens = o.indices({6, 8, 16, 2}, {4});
  tables.page_table = o.indices({2, 0, 3, 1, 0, 1, 0, 0}, {4, 2});
  tables.page_size = 8;
  o.ops().sample(o.activations({4, 64}), sampling, tables);
  for (const Tensor& t : {tables.ids, tables.positions, tables.slots, tables.context_lens, sampling.seen}) {
    o.result(t);
  }
}

}  // namespace

void add_reader_checks(Checks& checks, bool int8) {
  const auto add = [&](const std::string& name, Rounding rounding, double terms, auto run) {
    checks.push_back({name, rounding, terms, run});
  };
  using Size = std::array<std::int64_t, 3>;
  for (const Size& size : {Size{1, 320, 96}, Size{3, 77, 33}, Size{70, 256, 130}}) {
    for (const DType weight : {DType::f32, DType::bf16}) {
      add(cat("linear ", size[0], "x", size[1], "x", size[2], " weights ", to_string(weight)), Rounding::sums,
          size[1], [size, weight](Operands& o) { run_linear(o, size[0], size[1], size[2], weight); });
    }
  }
  for (const std::int64_t rows : {1, 14, 70}) {
    if (!int8) break;
    add(cat("linear of ", rows, " rows, weights I8"), Rounding::sums, 1, [rows](Operands& o) {
      const Tensor x = o.activations({rows, 257});
      o.result(o.ops().linear(x, o.int8_weight(70, 257)));
    });
  }
  add("rms_norm", Rounding::sums, 200, [](Operands& o) {
    const NormOptions options{.eps = 1e-5f, .residual = o.activations({9, 200}), .out = {}};
    const Tensor x = o.activations({9, 200});
    o.result(o.ops().rms_norm(x, o.vector(200), options));
  });
  add("add_norm", Rounding::sums, 1536, [](Operands& o) {
    const Tensor x = o.activations({3, 1536}), y = o.activations(x.shape), out = o.activations(x.shape);
    const Tensor weight = o.vector(1536);
    o.ops().add_norm(x, y, weight, o.vector(1536), 1e-5f, out);
    o.result(x);
    o.result(out);
  });
  for (const std::int64_t rows : {3, 70}) {
    add(cat("gated_linear of ", rows, " rows"), Rounding::sums, 1 << 14, [rows](Operands& o) {
      const Tensor x = o.activations({rows, 256});
      const Weight gate = o.weight(64, 256, DType::bf16, WeightUse::linear, false);
      const Weight up = o.weight(64, 256, DType::bf16, WeightUse::linear, false);
      o.result(o.ops().gated_linear(x, gate, up, rows <= kFewRows ? RowClass::few : RowClass::many));
    });
  }
  add("layer_norm", Rounding::sums, 200, [](Operands& o) {
    const NormOptions options{.eps = 1e-5f, .residual = o.activations({9, 200}), .out = {}};
    const Tensor x = o.activations({9, 200}), weight = o.vector(200);
    o.result(o.ops().layer_norm(x, weight, o.vector(200), options));
  });
  add("swiglu", Rounding::sums, 1, [](Operands& o) {
    const Tensor gate = o.activations({5, 130});
    o.result(o.ops().swiglu(gate, o.activations({5, 130})));
  });
  add("gelu", Rounding::sums, 1, [](Operands& o) {
    o.result(o.ops().activate(o.activations({5, 130}), Activation::gelu));
  });
  for (const RopeStyle style : {RopeStyle::half_split, RopeStyle::interleaved}) {
    add(style == RopeStyle::half_split ? "rope half_split" : "rope interleaved", Rounding::sums, 2,
        [style](Operands& o) { run_rope(o, style); });
  }
  add("norm_rope", Rounding::sums, 64, run_norm_rope);
  add("rope_kv_write", Rounding::sums, 48, run_rope_kv_write);
  for (const int dim : {48, 64}) {
    add(cat("attention head_dim ", dim), Rounding::sums, dim, [dim](Operands& o) { run_attention(o, dim); });
    for (const RowClass rows : {RowClass::few, RowClass::many}) {
      add(cat("attention_paged head_dim ", dim, rows == RowClass::few ? " few rows" : " many rows"),
          Rounding::sums, dim, [dim, rows](Operands& o) { run_paged(o, 6, 2, dim, rows); });
    }
  }
  add("embed, gather_rows, scatter_rows", Rounding::exact, 1, run_moves);
  add("patchify", Rounding::exact, 1, [](Operands& o) {
    const Tensor picture = o.picture(56, 84);
    o.result(o.ops().patchify(picture, o.matrix({3, 256}), {}, o.compute()));
  });
  add("sample", Rounding::exact, 100, run_sample);
  add("sample, tables of the next step", Rounding::exact, 1, run_sample_next);
}

}  // namespace glmocr::checks
