// SPDX-License-Identifier: Apache-2.0
#include "models/pp_doclayout_v3/weights.h"

#include <cmath>
#include <string>
#include <utility>

#include "models/pp_doclayout_v3/tensor_names.h"

namespace glmocr::doclayout {
namespace {

using Values = std::vector<double>;

// A kernel [out, in, height, width] and what is added to its results. Empty where a tensor is missing.
struct Kernel {
  Values weight, bias;
};

class Loader {
 public:
  Loader(WeightLoader& load, const LayoutConfig& config, DType compute)
      : load_(load), config_(config), compute_(compute) {}

  BackboneWeights backbone();
  EncoderWeights encoder();
  DecoderWeights decoder();

 private:
  // Where the convolution and its normalisation are, relative to a prefix.
  struct Names {
    const char *convolution, *normalization;
  };
  static constexpr Names kUnit{".convolution", ".normalization"};  // of HGNetV2 and the mask branch
  static constexpr Names kNorm{".conv", ".norm"};                  // of the encoder
  static constexpr Names kListed{".0", ".1"};                      // of projections

  Kernel folded(const std::string& prefix, const Names& names, const Shape& kernel);
  Convolution prepared(const Kernel& folded, const Shape& kernel, const Window& window, DType dtype);
  Convolution convolution(const std::string& prefix, const Names& names, std::int64_t in, std::int64_t out,
                          int size, int stride = 1);
  DepthwiseConvolution depthwise(const std::string& prefix, std::int64_t channels, int size, int stride);
  Convolution rep_vgg(const std::string& prefix, std::int64_t channels);

  BackboneStage stage(int index);
  JoinWeights join(const std::string& prefix);
  LayerNormWeights layer_norm(const std::string& prefix, std::int64_t width);
  struct Part {
    const char* name;
    std::int64_t out;
  };
  Weight joined(const std::string& prefix, std::initializer_list<Part> parts, std::int64_t in, DType dtype);
  Weight linear(const std::string& prefix, std::int64_t out, std::int64_t in, DType dtype);
  AttentionWeights attention(const std::string& prefix, std::int64_t width, DType dtype);
  EncoderLayerWeights encoder_layer(const std::string& prefix);
  DecoderLayerWeights decoder_layer(const std::string& prefix);
  std::array<Weight, 3> mlp(const std::string& prefix, std::int64_t width, std::int64_t out);

  WeightLoader& load_;
  const LayoutConfig& config_;
  DType compute_;  // of the maps
};

Window centred(int size, int stride) {
  const int edge = (size - 1) / 2;
  return {size, size, stride, edge, edge, edge, edge};
}

// Batch normalisation becomes a part of the kernel: g = gamma / √(variance + eps) scales it, beta − mean · g is
// added.
Kernel Loader::folded(const std::string& prefix, const Names& names, const Shape& kernel) {
  const std::int64_t out = kernel[0];
  Kernel k;
  k.weight = load_.values(prefix + names.convolution + ".weight", kernel);
  const std::string norm = prefix + names.normalization;
  const Values gamma = load_.values(norm + ".weight", {out}), beta = load_.values(norm + ".bias", {out});
  const Values mean = load_.values(norm + ".running_mean", {out});
  const Values variance = load_.values(norm + ".running_var", {out});
  if (k.weight.empty() || gamma.empty() || beta.empty() || mean.empty() || variance.empty()) return {};
  const std::int64_t row = kernel.numel() / out;
  k.bias.resize(out);
  for (std::int64_t o = 0; o < out; ++o) {
    const double scale = gamma[o] / std::sqrt(variance[o] + config_.batch_norm_eps);
    for (std::int64_t i = 0; i < row; ++i) k.weight[o * row + i] *= scale;
    k.bias[o] = beta[o] - mean[o] * scale;
  }
  return k;
}

// The columns of a convolution's matrix run over the window, then over channels.
Convolution Loader::prepared(const Kernel& folded, const Shape& kernel, const Window& window, DType dtype) {
  if (folded.weight.empty()) return {};
  const std::int64_t out = kernel[0], in = kernel[1], taps = kernel[2] * kernel[3];
  std::vector<float> matrix(folded.weight.size());
  for (std::int64_t o = 0; o < out; ++o) {
    for (std::int64_t i = 0; i < in; ++i) {
      for (std::int64_t tap = 0; tap < taps; ++tap) {
        matrix[(o * taps + tap) * in + i] = static_cast<float>(folded.weight[(o * in + i) * taps + tap]);
      }
    }
  }
  Convolution c;
  c.window = window;
  c.weight = load_.keep_matrix(matrix, out, taps * in, WeightUse::convolution, dtype);
  c.weight.bias = load_.keep_vector(std::vector<float>(folded.bias.begin(), folded.bias.end()), {out});
  return c;
}

Convolution Loader::convolution(const std::string& prefix, const Names& names, std::int64_t in,
                                std::int64_t out, int size, int stride) {
  const Shape kernel{out, in, size, size};
  return prepared(folded(prefix, names, kernel), kernel, centred(size, stride), compute_);
}

DepthwiseConvolution Loader::depthwise(const std::string& prefix, std::int64_t channels, int size,
                                       int stride) {
  const Shape kernel{channels, 1, size, size};
  const Kernel k = folded(prefix, kUnit, kernel);
  if (k.weight.empty()) return {};
  const std::int64_t taps = std::int64_t{size} * size;
  std::vector<float> turned(k.weight.size());
  for (std::int64_t c = 0; c < channels; ++c) {
    for (std::int64_t tap = 0; tap < taps; ++tap) {
      turned[tap * channels + c] = static_cast<float>(k.weight[c * taps + tap]);
    }
  }
  return {load_.keep_vector(turned, {taps, channels}),
          load_.keep_vector(std::vector<float>(k.bias.begin(), k.bias.end()), {channels}),
          centred(size, stride)};
}

// Two branches, 3×3 and 1×1, whose results are added: one kernel, because the sum of convolutions is one.
Convolution Loader::rep_vgg(const std::string& prefix, std::int64_t channels) {
  const Shape kernel{channels, channels, 3, 3};
  Kernel sum = folded(prefix + ".conv1", kNorm, kernel);
  const Kernel point = folded(prefix + ".conv2", kNorm, {channels, channels, 1, 1});
  if (sum.weight.empty() || point.weight.empty()) return {};
  constexpr std::int64_t kTaps = 9, kMiddle = 4;
  for (std::size_t i = 0; i < point.weight.size(); ++i) sum.weight[i * kTaps + kMiddle] += point.weight[i];
  for (std::size_t i = 0; i < point.bias.size(); ++i) sum.bias[i] += point.bias[i];
  return prepared(sum, kernel, centred(3, 1), compute_);
}

BackboneStage Loader::stage(int index) {
  const StageConfig& c = config_.backbone.stages[index];
  const std::string prefix = cat("model.backbone.model.encoder.stages.", index, ".");
  BackboneStage s;
  if (index > 0) s.downsample = depthwise(prefix + "downsample", c.in, 3, 2);
  for (int b = 0; b < c.blocks; ++b) {
    const std::string block = cat(prefix, "blocks.", b, ".");
    const int in = b == 0 ? c.in : c.out;
    BackboneBlock& w = s.blocks.emplace_back();
    for (int l = 0; l < c.layers; ++l) {
      const std::string layer = cat(block, "layers.", l);
      const int from = l == 0 ? in : c.mid;
      BlockLayer& to = w.layers.emplace_back();
      if (c.light) {
        to.map = convolution(layer + ".conv1", kUnit, from, c.mid, 1);
        to.depthwise = depthwise(layer + ".conv2", c.mid, c.kernel, 1);
      } else {
        to.map = convolution(layer, kUnit, from, c.mid, c.kernel);
      }
    }
    w.squeeze =
        convolution(block + "aggregation.0", kUnit, in + std::int64_t{c.layers} * c.mid, c.out / 2, 1);
    w.excite = convolution(block + "aggregation.1", kUnit, c.out / 2, c.out, 1);
  }
  return s;
}

BackboneWeights Loader::backbone() {
  const int picture = config_.backbone.stem[0], first = config_.backbone.stem[1],
            last = config_.backbone.stem[2];
  const std::string stem = "model.backbone.model.embedder.";
  BackboneWeights w;
  w.stem1 = convolution(stem + "stem1", kUnit, picture, first, 3, 2);
  w.stem2a = convolution(stem + "stem2a", kUnit, first, first / 2, 2);
  w.stem2b = convolution(stem + "stem2b", kUnit, first / 2, first, 2);
  w.stem2a.window = w.stem2b.window = {2, 2, 1, 0, 0, 1, 1};  // the padding stands before them in the network
  w.stem3 = convolution(stem + "stem3", kUnit, std::int64_t{2} * first, first, 3, 2);
  w.stem4 = convolution(stem + "stem4", kUnit, first, last, 1);
  for (int i = 0; i < std::ssize(w.stages); ++i) w.stages[i] = stage(i);
  return w;
}

JoinWeights Loader::join(const std::string& prefix) {
  const std::int64_t hidden = config_.encoder.hidden;
  JoinWeights w;
  w.first = convolution(prefix + ".conv1", kNorm, 2 * hidden, hidden, 1);
  w.second = convolution(prefix + ".conv2", kNorm, 2 * hidden, hidden, 1);
  for (int i = 0; i < std::ssize(w.bottlenecks); ++i) {
    w.bottlenecks[i] = rep_vgg(cat(prefix, ".bottlenecks.", i), hidden);
  }
  return w;
}

LayerNormWeights Loader::layer_norm(const std::string& prefix, std::int64_t width) {
  return {load_.vector(prefix + ".weight", width), load_.vector(prefix + ".bias", width)};
}

// Matrices with the same operand as one, `out` rows of each: one product is faster than several.
Weight Loader::joined(const std::string& prefix, std::initializer_list<Part> parts, std::int64_t in,
                      DType dtype) {
  std::vector<float> matrix, bias;
  bool complete = true;
  for (const Part& part : parts) {
    const Values values = load_.values(prefix + part.name + ".weight", {part.out, in});
    const Values added = load_.values(prefix + part.name + ".bias", {part.out});
    complete = complete && !values.empty() && !added.empty();
    matrix.insert(matrix.end(), values.begin(), values.end());
    bias.insert(bias.end(), added.begin(), added.end());
  }
  if (!complete) return {};
  const std::int64_t out = std::ssize(bias);
  Weight weight = load_.keep_matrix(matrix, out, in, WeightUse::linear, dtype);
  weight.bias = load_.keep_vector(bias, {out});
  return weight;
}

// `dtype`: of what it is multiplied with.
Weight Loader::linear(const std::string& prefix, std::int64_t out, std::int64_t in, DType dtype) {
  return dtype == DType::f32 ? load_.linear(prefix, out, in, true) : joined(prefix, {{"", out}}, in, dtype);
}

AttentionWeights Loader::attention(const std::string& prefix, std::int64_t width, DType dtype) {
  return {joined(prefix, {{"q_proj", width}, {"k_proj", width}}, width, dtype),
          linear(prefix + "v_proj", width, width, dtype), linear(prefix + "out_proj", width, width, dtype)};
}

EncoderLayerWeights Loader::encoder_layer(const std::string& prefix) {
  const std::int64_t hidden = config_.encoder.hidden, inner = config_.encoder.feed_forward;
  EncoderLayerWeights w;
  w.attention = attention(prefix + "self_attn.", hidden, compute_);
  w.attention_norm = layer_norm(prefix + "self_attn_layer_norm", hidden);
  w.final_norm = layer_norm(prefix + "final_layer_norm", hidden);
  w.fc1 = linear(prefix + "fc1", inner, hidden, compute_);
  w.fc2 = linear(prefix + "fc2", hidden, inner, compute_);
  return w;
}

EncoderWeights Loader::encoder() {
  const EncoderConfig& c = config_.encoder;
  const std::string prefix = "model.encoder.", head = prefix + "mask_feature_head.";
  const int features = c.mask_channels[0], mask = c.mask_channels[1];
  EncoderWeights w;
  for (int i = 0; i < 3; ++i) {
    w.input[i] = convolution(cat("model.encoder_input_proj.", i), kListed, config_.backbone.stages[i + 1].out,
                             c.hidden, 1);
  }
  for (int i = 0; i < c.layers; ++i) {
    w.layers.push_back(encoder_layer(cat(prefix, "encoder.0.layers.", i, ".")));
  }
  for (int i = 0; i < 2; ++i) {
    w.lateral[i] = convolution(cat(prefix, "lateral_convs.", i), kNorm, c.hidden, c.hidden, 1);
    w.downsample[i] = convolution(cat(prefix, "downsample_convs.", i), kNorm, c.hidden, c.hidden, 3, 2);
    w.down[i] = join(cat(prefix, "fpn_blocks.", i));
    w.up[i] = join(cat(prefix, "pan_blocks.", i));
  }
  const auto scale_head = [&](int level, int layer, int in) {
    return convolution(cat(head, "scale_heads.", level, ".layers.", layer), kUnit, in, features, 3);
  };
  w.scale_heads = {scale_head(0, 0, c.hidden), scale_head(1, 0, c.hidden), scale_head(2, 0, c.hidden),
                   scale_head(2, 2, features)};
  w.mask_join = convolution(head + "output_conv", kUnit, features, mask, 3);
  w.mask_lateral =
      convolution(prefix + "encoder_mask_lateral", kUnit, config_.backbone.stages[0].out, mask, 3);
  w.mask_base = convolution(prefix + "encoder_mask_output.base_conv", kUnit, mask, mask, 3);
  const std::string output = prefix + "encoder_mask_output.conv";
  const Shape kernel{c.prototypes, mask, 1, 1};
  Kernel plain{load_.values(output + ".weight", kernel), load_.values(output + ".bias", {c.prototypes})};
  if (plain.bias.empty()) plain.weight.clear();
  w.mask_output = prepared(plain, kernel, {}, DType::f32);  // its results are f32
  return w;
}

std::array<Weight, 3> Loader::mlp(const std::string& prefix, std::int64_t width, std::int64_t out) {
  return {load_.linear(prefix + ".layers.0", width, width, true),
          load_.linear(prefix + ".layers.1", width, width, true),
          load_.linear(prefix + ".layers.2", out, width, true)};
}

DecoderLayerWeights Loader::decoder_layer(const std::string& prefix) {
  const DecoderConfig& c = config_.decoder;
  const std::int64_t width = c.width, inner = c.feed_forward;
  const std::int64_t samples = std::int64_t{c.heads} * std::ssize(config_.levels()) * c.points;
  DecoderLayerWeights w;
  w.attention = attention(prefix + "self_attn.", width, DType::f32);
  w.attention_norm = layer_norm(prefix + "self_attn_layer_norm", width);
  w.sampling_norm = layer_norm(prefix + "encoder_attn_layer_norm", width);
  w.final_norm = layer_norm(prefix + "final_layer_norm", width);
  w.sampling = joined(prefix + "encoder_attn.",
                      {{"sampling_offsets", 2 * samples}, {"attention_weights", samples}}, width, DType::f32);
  w.value = load_.linear(prefix + "encoder_attn.value_proj", width, width, true);
  w.output = load_.linear(prefix + "encoder_attn.output_proj", width, width, true);
  w.fc1 = load_.linear(prefix + "fc1", inner, width, true);
  w.fc2 = load_.linear(prefix + "fc2", width, inner, true);
  return w;
}

DecoderWeights Loader::decoder() {
  const DecoderConfig& c = config_.decoder;
  const std::int64_t width = c.width, classes = std::ssize(config_.labels);
  DecoderWeights w;
  for (int i = 0; i < 3; ++i) {
    const Shape kernel{width, config_.encoder.hidden, 1, 1};  // its results are f32
    w.input[i] =
        prepared(folded(cat("model.decoder_input_proj.", i), kListed, kernel), kernel, {}, DType::f32);
  }
  w.selection = load_.linear("model.enc_output.0", width, width, true);
  w.selection_norm = layer_norm("model.enc_output.1", width);
  w.score = load_.linear("model.enc_score_head", classes, width, true);
  w.box = mlp("model.enc_bbox_head", width, 4);
  w.position = {load_.linear("model.decoder.query_pos_head.layers.0", 2 * width, 4, true),
                load_.linear("model.decoder.query_pos_head.layers.1", width, 2 * width, true)};
  for (int i = 0; i < c.layers; ++i) {
    w.layers.push_back(decoder_layer(cat("model.decoder.layers.", i, ".")));
    const std::string order = cat("model.decoder_order_head.", i);
    if (i == c.layers - 1) {
      w.order = load_.linear(order, width, width, true);
    } else {  // of use in training only
      load_.require(order + ".weight", {width, width});
      load_.require(order + ".bias", {width});
    }
  }
  w.order_points =
      load_.linear("model.decoder_global_pointer.dense", 2 * std::int64_t{c.order_head}, width, true);
  w.norm = layer_norm("model.decoder_norm", width);
  w.mask = mlp("model.mask_query_head", width, config_.encoder.prototypes);
  load_.require("model.denoising_class_embed.weight", {classes, width});  // of use in training only
  return w;
}

}  // namespace

LayoutWeights load_weights(SafetensorsFiles files, const LayoutConfig& config, Device& device,
                           DType compute) {
  LayoutWeights weights;
  WeightLoader load(std::move(files), device, DType::f32, transformers_name);
  load.ignore_ending_in(".num_batches_tracked");
  Loader loader(load, config, compute);
  load.begin_group("backbone");
  weights.backbone = loader.backbone();
  load.begin_group("encoder");
  weights.encoder = loader.encoder();
  load.begin_group("decoder");
  weights.decoder = loader.decoder();
  LoadedTensors& loaded = weights;
  loaded = load.finish();
  return weights;
}

}  // namespace glmocr::doclayout
