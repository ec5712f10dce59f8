// SPDX-License-Identifier: Apache-2.0
#include "models/pp_doclayout_v3/config.h"

#include <set>
#include <string>

#include "base/json.h"

namespace glmocr::doclayout {
namespace {

namespace fs = std::filesystem;

constexpr int kMostChannels = 1 << 16;
constexpr int kMostLayers = 64;
constexpr int kMostSide = 4096;  // of the picture that the network sees
constexpr int kMostQueries = 4096;
constexpr int kMostClasses = 4096;
constexpr int kLargestStride = 32;

Activation activation_or(const JsonCursor& s, Activation fallback) {
  if (!s) return fallback;
  const std::string name = s.string();
  if (name == "relu") return Activation::relu;
  if (name == "silu") return Activation::silu;
  if (name == "gelu") return Activation::gelu;
  s.expected("\"relu\", \"silu\" or \"gelu\"");
}

// A list of N integers, if there is one.
template <std::size_t N>
std::array<int, N> integers_or(const JsonCursor& s, std::array<int, N> values, int least, int most) {
  if (!s) return values;
  const std::vector<JsonCursor> elements = s.elements();
  if (elements.size() != N) s.expected(cat("a list of ", N, " integers"));
  for (std::size_t i = 0; i < N; ++i) values[i] = elements[i].integer(least, most);
  return values;
}

// A list of one value per stage, if there is one.
template <class Set>
void read_stages(const JsonCursor& s, BackboneConfig& c, Set set) {
  if (!s) return;
  const std::vector<JsonCursor> elements = s.elements();
  if (elements.size() != c.stages.size()) s.expected(cat("a list of ", c.stages.size(), " values"));
  for (std::size_t i = 0; i < elements.size(); ++i) set(c.stages[i], elements[i]);
}

BackboneConfig read_backbone(const JsonCursor& s) {
  BackboneConfig c;
  if (!s) return c;
  s["model_type"].expect("hgnet_v2");
  s["hidden_act"].expect("relu");
  s["use_learnable_affine_block"].expect(false);
  s["stem_strides"].expect({2, 1, 1, 2, 1});
  s["stage_downsample"].expect({false, true, true, true});
  s["stage_downsample_strides"].expect({2, 2, 2, 2});
  s["num_channels"].expect(3);
  c.stem = integers_or(s["stem_channels"], c.stem, 1, kMostChannels);
  if (c.stem[0] != 3) s["stem_channels"].expected("3 channels of the picture first");
  if (c.stem[1] % 2 != 0) s["stem_channels"].expected("an even number in the middle");
  const auto channels = [&](const char* key, int StageConfig::*member) {
    read_stages(s[key], c, [&](StageConfig& stage, const JsonCursor& value) {
      stage.*member = value.integer(1, kMostChannels);
    });
  };
  const auto counts = [&](const char* key, int StageConfig::*member) {
    read_stages(s[key], c, [&](StageConfig& stage, const JsonCursor& value) {
      stage.*member = value.integer(1, kMostLayers);
    });
  };
  channels("stage_in_channels", &StageConfig::in);
  channels("stage_mid_channels", &StageConfig::mid);
  channels("stage_out_channels", &StageConfig::out);
  counts("stage_num_blocks", &StageConfig::blocks);
  counts("stage_numb_of_layers", &StageConfig::layers);
  read_stages(s["stage_kernel_size"], c, [](StageConfig& stage, const JsonCursor& value) {
    stage.kernel = value.integer(1, 7);
    if (stage.kernel % 2 == 0) value.expected("an odd number");
  });
  read_stages(s["stage_light_block"], c,
              [](StageConfig& stage, const JsonCursor& value) { stage.light = value.boolean(); });
  for (std::size_t i = 0; i < c.stages.size(); ++i) {
    const int before = i == 0 ? c.stem[2] : c.stages[i - 1].out;
    if (c.stages[i].in != before) {
      s["stage_in_channels"].bad(cat("says ", c.stages[i].in, " for stage ", i, ", which gets ", before));
    }
    if (c.stages[i].out % 2 != 0) s["stage_out_channels"].expected("even numbers");
  }
  return c;
}

EncoderConfig read_encoder(const JsonCursor& s, const BackboneConfig& backbone) {
  EncoderConfig c;
  c.hidden = s["encoder_hidden_dim"].integer_or(c.hidden, 4, kMostChannels);
  c.heads = s["encoder_attention_heads"].integer_or(c.heads, 1, c.hidden);
  c.feed_forward = s["encoder_ffn_dim"].integer_or(c.feed_forward, 1, kMostChannels);
  c.layers = s["encoder_layers"].integer_or(c.layers, 1, kMostLayers);
  c.activation = activation_or(s["encoder_activation_function"], c.activation);
  c.map_activation = activation_or(s["activation_function"], c.map_activation);
  c.temperature = s["positional_encoding_temperature"].positive_number_or(c.temperature);
  c.mask_channels = integers_or(s["mask_feature_channels"], c.mask_channels, 1, kMostChannels);
  c.prototypes = s["num_prototypes"].integer_or(c.prototypes, 1, kMostChannels);
  if (c.hidden % c.heads != 0) s["encoder_attention_heads"].bad("does not divide encoder_hidden_dim");
  if (c.hidden % 4 != 0) s["encoder_hidden_dim"].expected("a multiple of 4");
  const auto same = [&](const char* key, int found, int expected) {
    if (found != expected) s[key].bad(cat("says ", found, ", but the backbone's stage has ", expected));
  };
  const std::array<int, 3> in = integers_or<3>(s["encoder_in_channels"], {512, 1024, 2048}, 1, kMostChannels);
  for (std::size_t i = 0; i < in.size(); ++i) same("encoder_in_channels", in[i], backbone.stages[i + 1].out);
  same("x4_feat_dim", s["x4_feat_dim"].integer_or(128, 1, kMostChannels), backbone.stages[0].out);
  const std::array<int, 3> out = integers_or<3>(s["decoder_in_channels"], {256, 256, 256}, 1, kMostChannels);
  for (const int channels : out) {
    if (channels != c.hidden) s["decoder_in_channels"].bad("is not encoder_hidden_dim for all levels");
  }
  return c;
}

DecoderConfig read_decoder(const JsonCursor& s) {
  DecoderConfig c;
  c.width = s["d_model"].integer_or(c.width, 1, kMostChannels);
  c.heads = s["decoder_attention_heads"].integer_or(c.heads, 1, c.width);
  c.feed_forward = s["decoder_ffn_dim"].integer_or(c.feed_forward, 1, kMostChannels);
  c.layers = s["decoder_layers"].integer_or(c.layers, 1, kMostLayers);
  c.points = s["decoder_n_points"].integer_or(c.points, 1, 16);
  c.activation = activation_or(s["decoder_activation_function"], c.activation);
  c.queries = s["num_queries"].integer_or(c.queries, 1, kMostQueries);
  c.order_head = s["global_pointer_head_size"].integer_or(c.order_head, 1, kMostChannels);
  if (c.width % c.heads != 0) s["decoder_attention_heads"].bad("does not divide d_model");
  return c;
}

// Of settings with one implemented value.
void check_fixed(const JsonCursor& s) {
  if (s["model_type"].value() != "pp_doclayout_v3") s["model_type"].expected("\"pp_doclayout_v3\"");
  for (const char* key : {"feat_strides", "feature_strides"}) s[key].expect({8, 16, 32});
  s["encode_proj_layers"].expect({2});
  s["num_feature_levels"].expect(3);
  s["hidden_expansion"].expect(1.0);
  s["normalize_before"].expect(false);
  s["learn_initial_query"].expect(false);
  s["mask_enhanced"].expect(true);
  s["tie_word_embeddings"].expect(true);
  s["eval_size"].expect(nullptr);
  s["anchor_image_size"].expect(nullptr);
}

// By name where all names are labels and no two are equal; otherwise, as the official SDK does it, the published
// 25 classes by their place: the published file calls several of them alike.
std::vector<RegionLabel> read_labels(const JsonCursor& s) {
  std::vector<RegionLabel> by_place;
  for (int i = 0; i < kRegionLabels; ++i) by_place.push_back(static_cast<RegionLabel>(i));
  if (!s) return by_place;
  const int count = static_cast<int>(s.object().value().size());
  if (count < 1 || count > kMostClasses) s.expected("the names of the classes");
  std::vector<RegionLabel> by_name;
  std::set<RegionLabel> seen;
  std::string unknown;
  for (int i = 0; i < count; ++i) {
    const std::string name = s[std::to_string(i)].string();
    const std::optional<RegionLabel> label = region_label(name);
    if (!label || !seen.insert(*label).second) {
      unknown = name;
      break;
    }
    by_name.push_back(*label);
  }
  if (unknown.empty() && std::ssize(by_name) == count) return by_name;
  if (count != kRegionLabels) {
    s.bad(cat("has ", count, " classes, among them \"", unknown, "\", which is no label or occurs twice"));
  }
  return by_place;
}

void read_preprocessor(const JsonCursor& s, LayoutConfig& c) {
  s["do_resize"].expect(true);
  s["do_rescale"].expect(true);
  s["do_normalize"].expect(true);
  s["do_center_crop"].expect(false);
  s["do_pad"].expect(false);
  s["resample"].expect(3);  // bicubic
  s["image_mean"].expect({0, 0, 0});
  s["image_std"].expect({1, 1, 1});
  const JsonCursor size = s["size"];
  c.height = size ? size["height"].integer(kLargestStride, kMostSide) : c.height;
  c.width = size ? size["width"].integer(kLargestStride, kMostSide) : c.width;
  for (const char* side : {"height", "width"}) {
    if (size && size[side].value().get<int>() % kLargestStride != 0) {
      size[side].expected(cat("a multiple of ", kLargestStride));
    }
  }
  // Rescaling and normalising in one step, in fp32, as transformers does it: a division by 1 / rescale_factor.
  const double factor = s["rescale_factor"].positive_number_or(1.0 / 255);
  const float divisor = 1.0f * static_cast<float>(1.0 / factor);
  for (int byte = 0; byte < 256; ++byte) c.normalized[byte] = static_cast<float>(byte) / divisor;
}

}  // namespace

std::array<MapLevel, 3> LayoutConfig::levels() const {
  std::array<MapLevel, 3> levels;
  std::int64_t first = 0;
  for (std::size_t i = 0; i < levels.size(); ++i) {
    const int stride = 8 << i;
    levels[i] = {first, height / stride, width / stride};
    first += levels[i].height * levels[i].width;
  }
  return levels;
}

LayoutConfig load_config(const fs::path& snapshot) {
  const fs::path path = snapshot / "config.json";
  const Json json = load_json(path);
  const JsonCursor s(json, path.string());
  check_fixed(s);
  LayoutConfig c;
  c.backbone = read_backbone(s["backbone_config"]);
  c.encoder = read_encoder(s, c.backbone);
  c.decoder = read_decoder(s);
  c.batch_norm_eps = s["batch_norm_eps"].positive_number_or(c.batch_norm_eps);
  c.layer_norm_eps = static_cast<float>(s["layer_norm_eps"].positive_number_or(c.layer_norm_eps));
  c.labels = read_labels(s["id2label"]);
  const fs::path preprocessor = snapshot / "preprocessor_config.json";
  const Json settings = load_json(preprocessor);
  read_preprocessor(JsonCursor(settings, preprocessor.string()), c);
  if (c.tokens() < c.decoder.queries) {
    s["num_queries"].bad(cat("is ", c.decoder.queries, ", but a picture has ", c.tokens(), " places"));
  }
  return c;
}

}  // namespace glmocr::doclayout
