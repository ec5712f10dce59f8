// SPDX-License-Identifier: Apache-2.0
#include "models/pp_doclayout_v3/encoder.h"

#include <cmath>
#include <cstdint>
#include <vector>

#include "models/pp_doclayout_v3/attention.h"

namespace glmocr::doclayout {
namespace {

// [height · width, hidden]: a quarter each of sin(y · f), cos(y · f), sin(x · f), cos(x · f), f falling from 1 to
// nearly 1 / temperature. In double, as transformers 5.17.
std::vector<float> position_table(std::int64_t height, std::int64_t width, int hidden, double temperature) {
  const int quarter = hidden / 4;
  std::vector<float> table;
  table.reserve(height * width * hidden);
  const auto add = [&](std::int64_t place, auto function) {
    for (int i = 0; i < quarter; ++i) {
      table.push_back(static_cast<float>(function(
          static_cast<double>(place) * (1 / std::pow(temperature, static_cast<double>(i) / quarter)))));
    }
  };
  const auto sine = [](double v) { return std::sin(v); };
  const auto cosine = [](double v) { return std::cos(v); };
  for (std::int64_t y = 0; y < height; ++y) {
    for (std::int64_t x = 0; x < width; ++x) {
      add(y, sine);
      add(y, cosine);
      add(x, sine);
      add(x, cosine);
    }
  }
  return table;
}

// Values in the compute type, on the device.
Tensor upload(Device& device, const std::vector<float>& values, const Shape& shape, DType compute,
              Buffer& owner) {
  owner = device.allocate(shape.numel() * size_of(compute));
  const Tensor tensor = owner.view(shape, compute);
  if (compute == DType::f32) {
    device.upload(values.data(), tensor);
    return tensor;
  }
  std::vector<bf16> rounded;
  rounded.reserve(values.size());
  for (const float value : values) rounded.push_back(to_bf16(value));
  device.upload(rounded.data(), tensor);
  return tensor;
}

}  // namespace

Encoder::Encoder(const LayoutConfig& config, const EncoderWeights& weights, Device& device, DType compute)
    : config_(config), weights_(weights), maps_(device, compute) {
  const MapLevel coarsest = config.levels()[2];
  const int hidden = config.encoder.hidden;
  positions_ =
      upload(device, position_table(coarsest.height, coarsest.width, hidden, config.encoder.temperature),
             {coarsest.height * coarsest.width, hidden}, compute, positions_memory_);
}

Encoded Encoder::run(const std::array<Tensor, 4>& stages, const Observer& observer) const {
  const EncoderWeights& w = weights_;
  const std::int64_t pages = stages[0].size(0), hidden = config_.encoder.hidden;
  const auto size = config_.levels();
  const Activation activation = config_.encoder.map_activation;
  const auto map = [&](int level, std::int64_t width) {
    return maps_.make(pages, size[level].height, size[level].width, width);
  };
  Encoded out;
  for (int level = 0; level < 3; ++level) out.levels[level] = map(level, hidden);
  const MapLevel finest{0, stages[0].size(1), stages[0].size(2)};
  out.masks =
      maps_.device().scratch({pages, finest.height, finest.width, config_.encoder.prototypes}, DType::f32);

  const ArenaScope scope(maps_.device());
  const auto first = [&](const Tensor& t) { return channels(t, 0, hidden); };
  const auto second = [&](const Tensor& t) { return channels(t, hidden, 2 * hidden); };
  // What is joined stands side by side: on the way down the enlarged coarser map and the backbone's, on the way up
  // the reduced finer map and the one of the way down.
  const Tensor down8 = map(0, 2 * hidden), down16 = map(1, 2 * hidden);
  const Tensor up16 = map(1, 2 * hidden), up32 = map(2, 2 * hidden);
  maps_.run(stages[1], w.input[0], {.out = second(down8)});
  maps_.run(stages[2], w.input[1], {.out = second(down16)});
  const Tensor coarsest = maps_.run(stages[3], w.input[2]);
  observe(observer, "encoder.input.2", coarsest);
  attend(coarsest);
  observe(observer, "encoder.transformer", coarsest);

  maps_.run(coarsest, w.lateral[0], {.activation = activation, .out = second(up32)});
  maps_.ops().enlarge(second(up32), {.out = first(down16)});
  const Tensor joined16 = map(1, hidden);
  join(w.down[0], down16, joined16);
  maps_.run(joined16, w.lateral[1], {.activation = activation, .out = second(up16)});
  maps_.ops().enlarge(second(up16), {.out = first(down8)});
  join(w.down[1], down8, out.levels[0]);

  maps_.run(out.levels[0], w.downsample[0], {.activation = activation, .out = first(up16)});
  join(w.up[0], up16, out.levels[1]);
  maps_.run(out.levels[1], w.downsample[1], {.activation = activation, .out = first(up32)});
  join(w.up[1], up32, out.levels[2]);
  for (int level = 0; level < 3; ++level) observe(observer, "encoder.levels.", level, out.levels[level]);

  const Tensor mask_map = masks(out.levels, stages[0]);
  maps_.run(mask_map, w.mask_output, {.out = out.masks});
  observe(observer, "encoder.masks", out.masks);
  return out;
}

// The transformer layers, over the places of each page; in place.
void Encoder::attend(const Tensor& map) const {
  const Tensor x = map.reshape({map.rows(), map.columns()});
  for (const EncoderLayerWeights& layer : weights_.layers) transform(layer, x);
}

void Encoder::transform(const EncoderLayerWeights& w, const Tensor& x) const {
  const ArenaScope scope(maps_.device());
  Ops& ops = maps_.ops();
  const NormOptions eps{.eps = config_.layer_norm_eps, .out = x};
  attend_to_page(
      maps_.device(), w.attention, w.attention_norm, x, positions_,
      {.per_page = positions_.size(0), .heads = config_.encoder.heads, .eps = config_.layer_norm_eps});
  const Tensor inner = ops.linear(x, w.fc1, {.activation = config_.encoder.activation});
  ops.layer_norm(ops.linear(inner, w.fc2, {.residual = x}), w.final_norm.weight, w.final_norm.bias, eps);
}

// Two branches of 1×1 convolutions, one of them followed by three units, added.
void Encoder::join(const JoinWeights& w, const Tensor& x, const Tensor& out) const {
  const ArenaScope scope(maps_.device());
  const Activation activation = config_.encoder.map_activation;
  const Tensor second = maps_.run(x, w.second, {.activation = activation});
  Tensor first = maps_.run(x, w.first, {.activation = activation});
  first = maps_.run(first, w.bottlenecks[0], {.activation = activation});
  first = maps_.run(first, w.bottlenecks[1], {.activation = activation});
  maps_.run(first, w.bottlenecks[2], {.activation = activation, .residual = second, .out = out});
}

// All levels at stride 4, joined with the finest map of the backbone. Always silu.
Tensor Encoder::masks(const std::array<Tensor, 3>& levels, const Tensor& finest) const {
  const EncoderWeights& w = weights_;
  Ops& ops = maps_.ops();
  const auto unit = [&](const Tensor& x, const Convolution& c) {
    return maps_.run(x, c, {.activation = Activation::silu});
  };
  const auto twice = [&](const Tensor& x, const Tensor& residual) {
    return ops.enlarge(x, {.kind = Enlargement::bilinear, .residual = residual});
  };
  Tensor sum = unit(levels[0], w.scale_heads[0]);
  sum = twice(unit(levels[1], w.scale_heads[1]), sum);
  const Tensor coarse = twice(unit(levels[2], w.scale_heads[2]), {});
  sum = twice(unit(coarse, w.scale_heads[3]), sum);
  const Tensor joined = twice(unit(sum, w.mask_join), unit(finest, w.mask_lateral));
  return unit(joined, w.mask_base);
}

}  // namespace glmocr::doclayout
