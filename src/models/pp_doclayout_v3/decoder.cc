// SPDX-License-Identifier: Apache-2.0
#include "models/pp_doclayout_v3/decoder.h"

#include <cstdint>

#include "models/pp_doclayout_v3/attention.h"

namespace glmocr::doclayout {
namespace {

// The places whose anchor box, of 0.05 · 2^level, is not inside of 0.01 … 0.99. In fp32, step by step as
// transformers does it: at 800 pixels the middle of the first cell of the second level is exactly 0.01f.
std::vector<std::int32_t> edge_rows(const std::array<MapLevel, 3>& levels) {
  constexpr float kEdge = 1e-2f;
  const float upper = static_cast<float>(1 - 1e-2);
  const auto inside = [&](float v) { return v > kEdge && v < upper; };
  std::vector<std::int32_t> rows;
  for (int i = 0; i < std::ssize(levels); ++i) {
    const MapLevel& level = levels[i];
    const auto middle = [](std::int64_t place, std::int64_t length) {
      return (static_cast<float>(place) + 0.5f) / static_cast<float>(length);
    };
    const bool fits = inside(0.05f * static_cast<float>(1 << i));
    for (std::int64_t y = 0; y < level.height; ++y) {
      for (std::int64_t x = 0; x < level.width; ++x) {
        if (fits && inside(middle(x, level.width)) && inside(middle(y, level.height))) continue;
        rows.push_back(static_cast<std::int32_t>(level.first + y * level.width + x));
      }
    }
  }
  return rows;
}

}  // namespace

Decoder::Decoder(const LayoutConfig& config, const DecoderWeights& weights, Device& device)
    : config_(config), weights_(weights), maps_(device, DType::f32), levels_(config.levels()) {
  const std::vector<std::int32_t> rows = edge_rows(levels_);
  if (rows.empty()) return;
  const std::int64_t count = std::ssize(rows), width = config.decoder.width;
  edge_memory_ = device.allocate(2 * count * size_of(DType::i32));
  edge_rows_ = edge_memory_.view({count}, DType::i32);
  first_row_ = edge_memory_.view({count}, DType::i32, count * size_of(DType::i32));
  zero_memory_ = device.allocate(width * size_of(DType::f32));
  zero_ = zero_memory_.view({1, width}, DType::f32);
  device.upload(rows.data(), edge_rows_);
  device.upload(std::vector<std::int32_t>(count).data(), first_row_);
  device.upload(std::vector<float>(width).data(), zero_);
}

Decoded Decoder::run(const Encoded& encoded, const Observer& observer) const {
  Ops& ops = maps_.ops();
  const DecoderWeights& w = weights_;
  const std::int64_t pages = encoded.masks.size(0);
  const auto normed = [&](const Tensor& x) {
    return ops.layer_norm(x, w.norm.weight, w.norm.bias, {.eps = config_.layer_norm_eps});
  };
  const Tensor all = sources(encoded);
  observe(observer, "decoder.sources", all);
  const Tensor x = select(all, pages, observer);
  observe(observer, "decoder.queries", x);
  Tensor boxes = ops.refine_boxes(ops.mask_boxes(run_mlp(w.mask, normed(x)), encoded.masks), {});
  observe(observer, "decoder.boxes", boxes);
  for (int i = 0; i < std::ssize(w.layers); ++i) {
    run_layer(w.layers[i], all, pages, boxes, x);
    observe(observer, "decoder.layers.", i, x);
    boxes = ops.refine_boxes(boxes, run_mlp(w.box, x));
    observe(observer, "decoder.boxes.", i, boxes);
  }
  const Tensor last = normed(x);
  Decoded out;
  out.boxes = boxes;
  out.logits = ops.linear(last, w.score);
  out.order_points = ops.linear(ops.linear(last, w.order), w.order_points);
  out.mask_queries = run_mlp(w.mask, last);
  observe(observer, "logits", out.logits);
  observe(observer, "pred_boxes", out.boxes);
  observe(observer, "order_points", out.order_points);
  observe(observer, "mask_queries", out.mask_queries);
  return out;
}

// The levels of a page as rows, one after the other: [pages · tokens, width].
Tensor Decoder::sources(const Encoded& encoded) const {
  const std::int64_t pages = encoded.masks.size(0), width = config_.decoder.width, tokens = config_.tokens();
  const Tensor rows = maps_.device().scratch({pages * tokens, width}, DType::f32);
  for (int i = 0; i < std::ssize(levels_); ++i) {
    const MapLevel& level = levels_[i];
    Tensor part = rows.slice(0, level.first, level.first + level.height * level.width);
    part.shape = {pages, level.height, level.width, width};
    part.strides = {tokens * width, level.width * width, width, 1};
    maps_.run(encoded.levels[i], weights_.input[i], {.out = part});
  }
  return rows;
}

// The places with the best scores: [pages · queries, width].
Tensor Decoder::select(const Tensor& sources, std::int64_t pages, const Observer& observer) const {
  const DecoderWeights& w = weights_;
  Ops& ops = maps_.ops();
  Device& device = maps_.device();
  const std::int64_t tokens = config_.tokens(), queries = config_.decoder.queries,
                     width = config_.decoder.width;
  const Tensor chosen = device.scratch({pages * queries, width}, DType::f32);
  const ArenaScope scope(device);
  const Tensor rows = ops.layer_norm(ops.linear(sources, w.selection), w.selection_norm.weight,
                                     w.selection_norm.bias, {.eps = config_.layer_norm_eps});
  if (edge_rows_) {
    // Places at the edge have the row that zeros give.
    const Tensor edge = ops.layer_norm(ops.linear(zero_, w.selection), w.selection_norm.weight,
                                       w.selection_norm.bias, {.eps = config_.layer_norm_eps});
    const Tensor edges = ops.gather_rows(edge, first_row_);
    for (std::int64_t page = 0; page < pages; ++page) {
      ops.scatter_rows(edges, edge_rows_, rows.slice(0, page * tokens, (page + 1) * tokens));
    }
  }
  const Tensor scores = ops.linear(rows, w.score);
  observe(observer, "decoder.scores", scores);
  const Tensor best = ops.top_rows(scores, pages, queries);
  observe(observer, "decoder.selected", best);
  device.copy(ops.gather_rows(rows, best), chosen);
  return chosen;
}

Tensor Decoder::run_mlp(const std::array<Weight, 3>& w, const Tensor& x) const {
  Ops& ops = maps_.ops();
  const Tensor first = ops.linear(x, w[0], {.activation = Activation::relu});
  return ops.linear(ops.linear(first, w[1], {.activation = Activation::relu}), w[2]);
}

// x = norm(x + self-attention), x = norm(x + deformable attention), x = norm(x + mlp(x)); in place. Positions are
// added to queries and keys only.
void Decoder::run_layer(const DecoderLayerWeights& w, const Tensor& sources, std::int64_t pages,
                        const Tensor& boxes, const Tensor& x) const {
  const ArenaScope scope(maps_.device());
  Ops& ops = maps_.ops();
  const DecoderConfig& c = config_.decoder;
  const NormOptions eps{.eps = config_.layer_norm_eps, .out = x};
  const Tensor positions = ops.linear(
      ops.linear(boxes, weights_.position[0], {.activation = Activation::relu}), weights_.position[1]);

  attend_to_page(maps_.device(), w.attention, w.attention_norm, x, positions,
                 {.per_page = c.queries, .heads = c.heads, .eps = config_.layer_norm_eps});

  const Tensor again = ops.add(x, positions);
  const Tensor sampling = ops.linear(again, w.sampling);
  const std::int64_t offsets = sampling.columns() / 3 * 2;  // two for each weight
  const Tensor sampled = ops.deformable_attention(ops.linear(sources, w.value), pages,
                                                  {.offsets = sampling.slice(1, 0, offsets),
                                                   .weights = sampling.slice(1, offsets, sampling.columns()),
                                                   .boxes = boxes,
                                                   .levels = levels_,
                                                   .heads = c.heads,
                                                   .points = c.points});
  ops.layer_norm(ops.linear(sampled, w.output, {.residual = x}), w.sampling_norm.weight, w.sampling_norm.bias,
                 eps);

  const Tensor inner = ops.linear(x, w.fc1, {.activation = c.activation});
  ops.layer_norm(ops.linear(inner, w.fc2, {.residual = x}), w.final_norm.weight, w.final_norm.bias, eps);
}

}  // namespace glmocr::doclayout
