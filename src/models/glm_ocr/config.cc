// SPDX-License-Identifier: Apache-2.0
#include "models/glm_ocr/config.h"

#include <cmath>

#include "base/json.h"
#include "tensor/ops.h"

namespace glmocr {
namespace {

namespace fs = std::filesystem;

// Values of a resized picture, its frames counted: seven times what published snapshots allow. shortest_edge
// enlarges every picture to at least its value.
constexpr int kMaxPixels = 1 << 26;
constexpr int kMaxWidth = 1 << 20;  // of any layer, so that products of two sizes fit 64 bits

TextConfig read_text(const JsonCursor& s) {
  TextConfig c;
  c.vocab_size = s["vocab_size"].integer(1, kMaxWidth * 16);
  c.hidden_size = s["hidden_size"].integer(1, kMaxWidth);
  c.num_hidden_layers = s["num_hidden_layers"].integer(1, 4096);
  c.num_attention_heads = s["num_attention_heads"].integer(1, kMaxWidth);
  c.num_key_value_heads = s["num_key_value_heads"].integer(1, kMaxWidth);
  c.head_dim = s["head_dim"].integer(2, 4096);
  c.intermediate_size = s["intermediate_size"].integer(1, kMaxWidth);
  c.max_position_embeddings = s["max_position_embeddings"].integer_or(131072, 1);
  c.num_nextn_predict_layers = s["num_nextn_predict_layers"].integer_or(0, 0);
  c.rms_norm_eps = s["rms_norm_eps"].positive_number_or(1e-5);
  if (c.num_attention_heads % c.num_key_value_heads != 0) {
    s["num_key_value_heads"].bad(cat("is ", c.num_key_value_heads,
                                     ", which does not divide num_attention_heads ", c.num_attention_heads));
  }
  if (c.num_attention_heads / c.num_key_value_heads > kMaxHeadsPerKvHead) {
    s["num_key_value_heads"].bad(cat("is ", c.num_key_value_heads, " for num_attention_heads ",
                                     c.num_attention_heads, ": a key/value head serves ",
                                     c.num_attention_heads / c.num_key_value_heads,
                                     " query heads, expected at most ", kMaxHeadsPerKvHead));
  }
  if (c.head_dim % 2 != 0) s["head_dim"].bad(cat("is ", c.head_dim, ", expected an even number"));
  s["hidden_act"].expect("silu");
  s["attention_bias"].expect(false);

  const JsonCursor rope = s["rope_parameters"];
  rope["rope_type"].expect("default");
  rope["partial_rotary_factor"].expect(1.0);
  c.rope_theta = rope["rope_theta"].positive_number_or(10000);
  const JsonCursor section = rope["mrope_section"];
  if (section.elements().size() != 3) section.expected("3 numbers");
  int pairs = 0;
  for (int i = 0; i < 3; ++i) {
    c.mrope_section[i] = section.elements()[i].integer(0, c.head_dim);
    pairs += c.mrope_section[i];
  }
  if (pairs != c.head_dim / 2) {
    section.bad(cat("sums to ", pairs, ", expected head_dim / 2 = ", c.head_dim / 2));
  }
  return c;
}

VisionConfig read_vision(const JsonCursor& s, const TextConfig& text) {
  VisionConfig c;
  c.hidden_size = s["hidden_size"].integer(1, kMaxWidth);
  c.depth = s["depth"].integer(1, 4096);
  c.num_heads = s["num_heads"].integer(1, kMaxWidth);
  c.intermediate_size = s["intermediate_size"].integer(1, kMaxWidth);
  c.out_hidden_size = s["out_hidden_size"].integer(1, kMaxWidth);
  c.patch_size = s["patch_size"].integer_or(14, 1, 1024);
  c.temporal_patch_size = s["temporal_patch_size"].integer_or(2, 1, 64);
  c.spatial_merge_size = s["spatial_merge_size"].integer_or(2, 1);
  c.in_channels = s["in_channels"].integer_or(3, 1);
  c.rms_norm_eps = s["rms_norm_eps"].positive_number_or(1e-5);
  if (const JsonCursor rope = s["rope_parameters"])
    c.rope_theta = rope["rope_theta"].positive_number_or(10000);
  s["hidden_act"].expect("silu");
  s["attention_bias"].expect(true);
  s["in_channels"].expect(3);
  s["spatial_merge_size"].expect(2);
  if (c.hidden_size % c.num_heads != 0 || c.head_dim() % 4 != 0) {
    s["num_heads"].bad(cat("is ", c.num_heads, ": hidden_size ", c.hidden_size,
                           " must split into heads whose width is a multiple of 4"));
  }
  if (c.out_hidden_size != text.hidden_size) {
    s["out_hidden_size"].bad(
        cat("is ", c.out_hidden_size, ", expected text_config.hidden_size ", text.hidden_size));
  }
  return c;
}

// An id or a list of ids.
std::vector<TokenId> read_ids(const JsonCursor& value, int vocab_size) {
  const bool is_list = value.value().is_array();
  std::vector<TokenId> ids;
  for (const JsonCursor& id : is_list ? value.elements() : std::vector{value}) {
    ids.push_back(id.integer(0, vocab_size - 1));
  }
  if (ids.empty()) value.bad("is empty");
  return ids;
}

// Keys of generation_config.json, where it exists, take precedence over those of text_config.
GenerationConfig read_generation(const fs::path& snapshot, const JsonCursor& text, int vocab_size) {
  GenerationConfig c;
  std::error_code ignored;
  const fs::path path = snapshot / "generation_config.json";
  const Json json = fs::exists(path, ignored) ? load_json(path) : Json::object();
  const JsonCursor s(json, path.string());
  const auto find = [&](const char* key) { return s[key] ? s[key] : text[key]; };
  c.eos_token_id = read_ids(find("eos_token_id"), vocab_size);
  const JsonCursor pad = find("pad_token_id");
  c.pad_token_id = pad ? read_ids(pad, vocab_size)[0] : c.eos_token_id[0];
  return c;
}

PreprocessConfig read_preprocess(const JsonCursor& s, const VisionConfig& vision) {
  PreprocessConfig c;
  c.patch_size = s["patch_size"].integer_or(14, 1);
  c.temporal_patch_size = s["temporal_patch_size"].integer_or(2, 1);
  c.merge_size = s["merge_size"].integer_or(2, 1);
  const auto same = [&](const char* key, int here, int there) {
    if (here != there) s[key].bad(cat("is ", here, ", but config.json's vision_config says ", there));
  };
  same("patch_size", c.patch_size, vision.patch_size);
  same("temporal_patch_size", c.temporal_patch_size, vision.temporal_patch_size);
  same("merge_size", c.merge_size, vision.spatial_merge_size);
  if (const JsonCursor size = s["size"]) {
    c.shortest_edge = size["shortest_edge"].integer(1, kMaxPixels);
    c.longest_edge = size["longest_edge"].integer(1, kMaxPixels);
    if (c.longest_edge < c.shortest_edge) size["longest_edge"].bad("is below shortest_edge");
  }
  if (s["image_mean"]) c.image_mean = s["image_mean"].numbers<3>();
  if (s["image_std"]) c.image_std = s["image_std"].numbers<3>();
  for (const double deviation : c.image_std) {
    if (!(deviation > 0)) s["image_std"].expected("3 numbers above 0");
  }
  c.rescale_factor = s["rescale_factor"].positive_number_or(c.rescale_factor);
  c.do_resize = s["do_resize"].boolean_or(true);
  c.do_rescale = s["do_rescale"].boolean_or(true);
  c.do_normalize = s["do_normalize"].boolean_or(true);
  c.enlarge_letters_below = s["enlarge_letters_below"].integer_or(0, 0);
  s["do_convert_rgb"].expect(true);
  s["resample"].expect(3);  // bicubic
  return c;
}

PreprocessConfig load_preprocess(const fs::path& snapshot, const VisionConfig& vision) {
  std::error_code ignored;
  const fs::path path = snapshot / "preprocessor_config.json";
  if (fs::exists(path, ignored)) {
    const Json json = load_json(path);
    return read_preprocess(JsonCursor(json, path.string()), vision);
  }
  const fs::path processor = snapshot / "processor_config.json";
  if (!fs::exists(processor, ignored)) {
    fail(ErrorCode::model,
         cat(snapshot.string(), ": has neither preprocessor_config.json nor processor_config.json"));
  }
  const Json json = load_json(processor);
  return read_preprocess(JsonCursor(json, processor.string())["image_processor"], vision);
}

// Eight bits in the form of compressed-tensors; what is in the files tells the rest (WeightLoader).
void check_quantization(const JsonCursor& s) {
  for (const auto& [key, expected] :
       {std::pair{"quant_method", "compressed-tensors"}, {"format", "int-quantized"}}) {
    if (s[key].value() != expected)
      s[key].expected(cat("\"", expected, "\"; other quantised snapshots are not supported"));
  }
}

}  // namespace

GlmOcrConfig load_config(const fs::path& snapshot) {
  const fs::path path = snapshot / "config.json";
  const Json json = load_json(path);
  const JsonCursor s(json, path.string());
  if (s["quantization"]) {
    s["quantization"].bad(
        "is set: such quantised snapshots are not supported, use one with BF16, F16, F32 or I8 weights");
  }
  if (s["quantization_config"]) check_quantization(s["quantization_config"]);
  if (s["model_type"].value() != "glm_ocr") s["model_type"].expected("\"glm_ocr\"");
  s["tie_word_embeddings"].expect(false);
  const JsonCursor text = s["text_config"];
  text["tie_word_embeddings"].expect(false);
  GlmOcrConfig c;
  c.text = read_text(text);
  c.vision = read_vision(s["vision_config"], c.text);
  c.generation = read_generation(snapshot, text, c.text.vocab_size);
  c.preprocess = load_preprocess(snapshot, c.vision);
  const int last_id = c.text.vocab_size - 1;
  c.image_start_token_id = s["image_start_token_id"].integer(0, last_id);
  c.image_end_token_id = s["image_end_token_id"].integer(0, last_id);
  c.image_token_id = s["image_token_id"].integer(0, last_id);
  return c;
}

void check_special_tokens(const GlmOcrConfig& config, const Tokenizer& tokenizer) {
  if (tokenizer.size() > config.text.vocab_size) {
    fail(ErrorCode::model, cat("tokenizer.json has ids up to ", tokenizer.size() - 1,
                               ", config.json's text_config.vocab_size is ", config.text.vocab_size));
  }
  const auto same = [&](const char* key, TokenId id, const char* expected) {
    const std::string found = tokenizer.id_to_token(id);
    if (found == expected) return;
    const auto right = tokenizer.token_to_id(expected);
    fail(ErrorCode::model,
         cat("config.json: ", key, " is ", id, ", which is ",
             found.empty() ? "no token" : "\"" + found + "\"", " in tokenizer.json; expected \"", expected,
             "\", ", right ? cat("which has id ", *right) : "which tokenizer.json lacks"));
  };
  same("image_start_token_id", config.image_start_token_id, "<|begin_of_image|>");
  same("image_end_token_id", config.image_end_token_id, "<|end_of_image|>");
  same("image_token_id", config.image_token_id, "<|image|>");
  const auto exists = [&](const char* key, TokenId id) {
    if (tokenizer.id_to_token(id).empty()) {
      fail(ErrorCode::model,
           cat("generation_config.json: ", key, " is ", id, ", which is no token in tokenizer.json"));
    }
  };
  for (const TokenId id : config.generation.eos_token_id) exists("eos_token_id", id);
  exists("pad_token_id", config.generation.pad_token_id);
  for (const char* token : {"[gMASK]", "<sop>", "<|user|>", "<|assistant|>"}) {
    if (!tokenizer.token_to_id(token))
      fail(ErrorCode::model, cat("tokenizer.json lacks the token \"", token, "\""));
  }
}

}  // namespace glmocr
