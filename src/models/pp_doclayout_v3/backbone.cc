// SPDX-License-Identifier: Apache-2.0
#include "models/pp_doclayout_v3/backbone.h"

namespace glmocr::doclayout {
namespace {

constexpr ConvolutionOptions kRelu{.activation = Activation::relu};

ConvolutionOptions relu_into(const Tensor& out) { return {.activation = Activation::relu, .out = out}; }

// Pooled and convolved halves of the first map, joined, then two convolutions into `out`. Nothing is negative after
// relu, so the zeros that the network puts around the map before pooling change nothing.
void run_stem(const Maps& maps, const BackboneConfig& config, const BackboneWeights& w, const Tensor& pixels,
              const Tensor& out) {
  const ArenaScope scope(maps.device());
  const std::int64_t channel_count = config.stem[1];
  const Tensor first = maps.run(pixels, w.stem1, kRelu);
  const Tensor joined = maps.make(first.size(0), first.size(1), first.size(2), 2 * channel_count);
  maps.ops().max_pool(first, w.stem2a.window, channels(joined, 0, channel_count));
  maps.run(maps.run(first, w.stem2a, kRelu), w.stem2b,
           relu_into(channels(joined, channel_count, 2 * channel_count)));
  maps.run(maps.run(joined, w.stem3, kRelu), w.stem4, relu_into(out));
}

// The layers of a block: `joined` holds its input first and takes the result of every layer.
void run_layers(const Maps& maps, const StageConfig& config, const BackboneBlock& w, const Tensor& joined,
                std::int64_t in) {
  std::int64_t begin = 0, end = in;
  for (const BlockLayer& layer : w.layers) {
    const ArenaScope scope(maps.device());
    const Tensor x = channels(joined, begin, end);
    const ConvolutionOptions to = relu_into(channels(joined, end, end + config.mid));
    if (config.light) {
      maps.run(maps.run(x, layer.map), layer.depthwise, to);
    } else {
      maps.run(x, layer.map, to);
    }
    begin = end;
    end += config.mid;
  }
}

// `fill` writes the input of the first block.
template <class Fill>
void run_stage(const Maps& maps, const StageConfig& config, const BackboneStage& w, const Tensor& out,
               Fill fill) {
  const ArenaScope scope(maps.device());
  const auto room_for = [&](int block) {
    const std::int64_t in = block == 0 ? config.in : config.out;
    return maps.make(out.size(0), out.size(1), out.size(2), in + std::int64_t{config.layers} * config.mid);
  };
  std::int64_t in = config.in;
  Tensor joined = room_for(0);
  fill(channels(joined, 0, in));
  for (int b = 0; b < config.blocks; ++b) {
    run_layers(maps, config, w.blocks[b], joined, in);
    const Tensor next = b + 1 < config.blocks ? room_for(b + 1) : Tensor();
    ConvolutionOptions to = relu_into(next ? channels(next, 0, config.out) : out);
    if (b > 0) to.residual = channels(joined, 0, in);
    maps.run(maps.run(joined, w.blocks[b].squeeze, kRelu), w.blocks[b].excite, to);
    joined = next;
    in = config.out;
  }
}

}  // namespace

std::array<Tensor, 4> run_backbone(const Maps& maps, const BackboneConfig& config,
                                   const BackboneWeights& weights, const Tensor& pixels) {
  const std::int64_t pages = pixels.size(0), height = pixels.size(1), width = pixels.size(2);
  std::array<Tensor, 4> out;
  for (int i = 0; i < std::ssize(out); ++i) {
    const int stride = 4 << i;
    out[i] = maps.make(pages, height / stride, width / stride, config.stages[i].out);
    run_stage(maps, config.stages[i], weights.stages[i], out[i], [&](const Tensor& in) {
      if (i == 0) {
        run_stem(maps, config, weights, pixels, in);
      } else {
        maps.run(out[i - 1], weights.stages[i].downsample, {.out = in});
      }
    });
  }
  return out;
}

}  // namespace glmocr::doclayout
