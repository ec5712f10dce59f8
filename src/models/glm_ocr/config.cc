// SPDX-License-Identifier: Apache-2.0
#include "models/glm_ocr/config.h"

#include <cmath>
#include <limits>

#include "base/json.h"

namespace glmocr {
namespace {

namespace fs = std::filesystem;

// One object of a JSON file, read key by key with named errors.
class Section {
 public:
  Section(const Json& json, std::string file, std::string path = "")
      : json_(json), file_(std::move(file)), path_(std::move(path)) {
    if (!json_.is_object()) bad("", cat("is ", json_.type_name(), ", expected an object"));
  }

  bool has(const char* key) const { return json_.contains(key) && !json_[key].is_null(); }
  const Json& at(const char* key) const {
    if (!has(key)) bad(key, "is missing");
    return json_[key];
  }
  Section section(const char* key) const { return Section(at(key), file_, full(key)); }

  int integer(const char* key, int least, int most = std::numeric_limits<int>::max()) const {
    const Json& value = at(key);
    if (!value.is_number_integer()) bad(key, cat("is ", value.dump(), ", expected an integer"));
    const auto number = value.is_number_unsigned() && value.get<std::uint64_t>() > std::uint64_t{1} << 62
                            ? std::int64_t{1} << 62
                            : value.get<std::int64_t>();
    if (number < least || number > most)
      bad(key, cat("is ", value.dump(), ", expected ", least, " to ", most));
    return static_cast<int>(number);
  }
  int integer_or(const char* key, int fallback, int least) const {
    return has(key) ? integer(key, least) : fallback;
  }

  double number(const char* key) const {
    const Json& value = at(key);
    if (!value.is_number() || !std::isfinite(value.get<double>()) || value.get<double>() <= 0) {
      bad(key, cat("is ", value.dump(), ", expected a number above 0"));
    }
    return value.get<double>();
  }
  double number_or(const char* key, double fallback) const { return has(key) ? number(key) : fallback; }

  bool flag_or(const char* key, bool fallback) const {
    if (!has(key)) return fallback;
    if (!at(key).is_boolean()) bad(key, cat("is ", at(key).dump(), ", expected true or false"));
    return at(key).get<bool>();
  }

  template <std::size_t N>
  std::array<double, N> numbers(const char* key) const {
    const Json& value = at(key);
    std::array<double, N> out{};
    if (!value.is_array() || value.size() != N)
      bad(key, cat("is ", value.dump(), ", expected ", N, " numbers"));
    for (std::size_t i = 0; i < N; ++i) {
      if (!value[i].is_number()) bad(key, cat("holds ", value[i].dump(), ", expected a number"));
      out[i] = value[i].get<double>();
    }
    return out;
  }

  // Only one value is implemented: say so instead of computing something else.
  void expect(const char* key, const Json& only) const {
    if (has(key) && at(key) != only)
      bad(key, cat("is ", at(key).dump(), ", only ", only.dump(), " is supported"));
  }

  [[noreturn]] void bad(const char* key, const std::string& what) const {
    fail(ErrorCode::model, cat(file_, ": ", full(key).empty() ? "the document" : full(key), " ", what));
  }

 private:
  std::string full(const char* key) const {
    return path_.empty() ? key : *key ? cat(path_, ".", key) : path_;
  }
  const Json& json_;
  std::string file_;
  std::string path_;
};

constexpr int kMaxWidth = 1 << 20;  // of any layer: keeps products of two sizes inside 64 bits

TextConfig read_text(const Section& s) {
  TextConfig c;
  c.vocab_size = s.integer("vocab_size", 1, kMaxWidth * 16);
  c.hidden_size = s.integer("hidden_size", 1, kMaxWidth);
  c.num_hidden_layers = s.integer("num_hidden_layers", 1, 4096);
  c.num_attention_heads = s.integer("num_attention_heads", 1, kMaxWidth);
  c.num_key_value_heads = s.integer("num_key_value_heads", 1, kMaxWidth);
  c.head_dim = s.integer("head_dim", 2, 4096);
  c.intermediate_size = s.integer("intermediate_size", 1, kMaxWidth);
  c.max_position_embeddings = s.integer_or("max_position_embeddings", 131072, 1);
  c.num_nextn_predict_layers = s.integer_or("num_nextn_predict_layers", 0, 0);
  c.rms_norm_eps = static_cast<float>(s.number_or("rms_norm_eps", 1e-5));
  if (c.num_attention_heads % c.num_key_value_heads != 0) {
    s.bad("num_key_value_heads", cat("is ", c.num_key_value_heads,
                                     ", which does not divide num_attention_heads ", c.num_attention_heads));
  }
  if (c.head_dim % 2 != 0) s.bad("head_dim", cat("is ", c.head_dim, ", expected an even number"));
  s.expect("hidden_act", "silu");
  s.expect("attention_bias", false);

  const Section rope = s.section("rope_parameters");
  rope.expect("rope_type", "default");
  rope.expect("partial_rotary_factor", 1.0);
  c.rope_theta = rope.number_or("rope_theta", 10000);
  const auto section = rope.numbers<3>("mrope_section");
  double pairs = 0;
  for (std::size_t i = 0; i < 3; ++i) {
    if (section[i] < 0 || section[i] != std::floor(section[i]))
      rope.bad("mrope_section", "holds no whole numbers");
    pairs += section[i];
    c.mrope_section[i] = static_cast<int>(section[i]);
  }
  if (pairs != c.head_dim / 2) {
    rope.bad("mrope_section", cat("sums to ", pairs, ", expected head_dim / 2 = ", c.head_dim / 2));
  }
  return c;
}

VisionConfig read_vision(const Section& s, const TextConfig& text) {
  VisionConfig c;
  c.hidden_size = s.integer("hidden_size", 1, kMaxWidth);
  c.depth = s.integer("depth", 1, 4096);
  c.num_heads = s.integer("num_heads", 1, kMaxWidth);
  c.intermediate_size = s.integer("intermediate_size", 1, kMaxWidth);
  c.out_hidden_size = s.integer("out_hidden_size", 1, kMaxWidth);
  c.patch_size = s.integer_or("patch_size", 14, 1);
  c.temporal_patch_size = s.integer_or("temporal_patch_size", 2, 1);
  c.spatial_merge_size = s.integer_or("spatial_merge_size", 2, 1);
  c.in_channels = s.integer_or("in_channels", 3, 1);
  c.rms_norm_eps = static_cast<float>(s.number_or("rms_norm_eps", 1e-5));
  if (s.has("rope_parameters")) c.rope_theta = s.section("rope_parameters").number_or("rope_theta", 10000);
  s.expect("hidden_act", "silu");
  s.expect("attention_bias", true);
  s.expect("in_channels", 3);
  s.expect("spatial_merge_size", 2);
  if (c.patch_size > 1024 || c.temporal_patch_size > 64)
    s.bad("patch_size", "or temporal_patch_size is too large");
  if (c.hidden_size % c.num_heads != 0 || c.head_dim() % 4 != 0) {
    s.bad("num_heads", cat("is ", c.num_heads, ": hidden_size ", c.hidden_size,
                           " must split into heads whose width divides by 4"));
  }
  if (c.out_hidden_size != text.hidden_size) {
    s.bad("out_hidden_size",
          cat("is ", c.out_hidden_size, ", expected text_config.hidden_size ", text.hidden_size));
  }
  return c;
}

// An id or a list of ids.
std::vector<TokenId> read_ids(const Section& s, const char* key, int vocab_size) {
  const Json& value = s.at(key);
  std::vector<TokenId> ids;
  for (const Json& id : value.is_array() ? value : Json::array({value})) {
    if (!id.is_number_integer() || id.get<std::int64_t>() < 0 || id.get<std::int64_t>() >= vocab_size) {
      s.bad(key, cat("holds ", id.dump(), ", expected ids below vocab_size ", vocab_size));
    }
    ids.push_back(id.get<TokenId>());
  }
  if (ids.empty()) s.bad(key, "is empty");
  return ids;
}

GenerationConfig read_generation(const fs::path& snapshot, const Section& text, int vocab_size) {
  GenerationConfig c;
  std::error_code ignored;
  const fs::path path = snapshot / "generation_config.json";
  const Json json = fs::exists(path, ignored) ? load_json(path) : Json::object();
  const Section s(json, path.string());
  const Section& eos = s.has("eos_token_id") ? s : text;
  c.eos_token_id = read_ids(eos, "eos_token_id", vocab_size);
  const Section& pad = s.has("pad_token_id") ? s : text;
  c.pad_token_id = pad.has("pad_token_id") ? read_ids(pad, "pad_token_id", vocab_size)[0] : c.eos_token_id[0];
  return c;
}

PreprocessConfig read_preprocess(const Section& s, const VisionConfig& vision) {
  PreprocessConfig c;
  c.patch_size = s.integer_or("patch_size", 14, 1);
  c.temporal_patch_size = s.integer_or("temporal_patch_size", 2, 1);
  c.merge_size = s.integer_or("merge_size", 2, 1);
  const auto same = [&](const char* key, int here, int there) {
    if (here != there) s.bad(key, cat("is ", here, ", but config.json's vision_config says ", there));
  };
  same("patch_size", c.patch_size, vision.patch_size);
  same("temporal_patch_size", c.temporal_patch_size, vision.temporal_patch_size);
  same("merge_size", c.merge_size, vision.spatial_merge_size);
  if (s.has("size")) {
    const Section size = s.section("size");
    c.shortest_edge = size.integer("shortest_edge", 1);
    c.longest_edge = size.integer("longest_edge", 1);
    if (c.longest_edge < c.shortest_edge) size.bad("longest_edge", "is below shortest_edge");
  }
  if (s.has("image_mean")) c.image_mean = s.numbers<3>("image_mean");
  if (s.has("image_std")) c.image_std = s.numbers<3>("image_std");
  for (const double std : c.image_std) {
    if (!(std > 0)) s.bad("image_std", "holds a number that is not above 0");
  }
  c.rescale_factor = s.number_or("rescale_factor", c.rescale_factor);
  c.do_resize = s.flag_or("do_resize", true);
  c.do_rescale = s.flag_or("do_rescale", true);
  c.do_normalize = s.flag_or("do_normalize", true);
  c.enlarge_letters_below = s.integer_or("enlarge_letters_below", 0, 0);
  s.expect("do_convert_rgb", true);
  s.expect("resample", 3);  // bicubic
  return c;
}

PreprocessConfig load_preprocess(const fs::path& snapshot, const VisionConfig& vision) {
  std::error_code ignored;
  const fs::path path = snapshot / "preprocessor_config.json";
  if (fs::exists(path, ignored)) {
    const Json json = load_json(path);
    return read_preprocess(Section(json, path.string()), vision);
  }
  const fs::path processor = snapshot / "processor_config.json";
  if (!fs::exists(processor, ignored)) {
    fail(ErrorCode::model,
         cat(snapshot.string(), ": holds neither preprocessor_config.json nor processor_config.json"));
  }
  const Json json = load_json(processor);
  return read_preprocess(Section(json, processor.string()).section("image_processor"), vision);
}

}  // namespace

GlmOcrConfig load_config(const fs::path& snapshot) {
  const fs::path path = snapshot / "config.json";
  const Json json = load_json(path);
  const Section s(json, path.string());
  if (s.has("quantization") || s.has("quantization_config")) {
    s.bad(s.has("quantization") ? "quantization" : "quantization_config",
          "is set: quantised snapshots are not supported, use one with BF16, F16 or F32 weights");
  }
  if (!s.has("model_type") || s.at("model_type") != "glm_ocr") {
    s.bad("model_type",
          cat("is ", s.has("model_type") ? s.at("model_type").dump() : "missing", ", expected \"glm_ocr\""));
  }
  s.expect("tie_word_embeddings", false);
  const Section text = s.section("text_config");
  text.expect("tie_word_embeddings", false);
  GlmOcrConfig c;
  c.text = read_text(text);
  c.vision = read_vision(s.section("vision_config"), c.text);
  c.generation = read_generation(snapshot, text, c.text.vocab_size);
  c.preprocess = load_preprocess(snapshot, c.vision);
  const int last_id = c.text.vocab_size - 1;
  c.image_start_token_id = s.integer("image_start_token_id", 0, last_id);
  c.image_end_token_id = s.integer("image_end_token_id", 0, last_id);
  c.image_token_id = s.integer("image_token_id", 0, last_id);
  return c;
}

void check_special_tokens(const GlmOcrConfig& config, const Tokenizer& tokenizer) {
  if (tokenizer.size() > config.text.vocab_size) {
    fail(ErrorCode::model, cat("tokenizer.json has ids up to ", tokenizer.size() - 1,
                               ", config.json's text_config.vocab_size is ", config.text.vocab_size));
  }
  const auto same = [&](const char* key, TokenId id, const char* expected) {
    const std::string found = tokenizer.id_to_token(id);
    if (found != expected) {
      fail(ErrorCode::model,
           cat("config.json: ", key, " is ", id, ", which is ",
               found.empty() ? "no token" : "\"" + found + "\"", " in tokenizer.json; expected \"", expected,
               "\" (",
               tokenizer.token_to_id(expected) ? cat("id ", *tokenizer.token_to_id(expected))
                                               : std::string("which tokenizer.json lacks"),
               ")"));
    }
  };
  same("image_start_token_id", config.image_start_token_id, "<|begin_of_image|>");
  same("image_end_token_id", config.image_end_token_id, "<|end_of_image|>");
  same("image_token_id", config.image_token_id, "<|image|>");
  const auto exists = [&](const char* key, TokenId id) {
    if (tokenizer.id_to_token(id).empty()) {
      fail(ErrorCode::model, cat("config: ", key, " is ", id, ", which is no token in tokenizer.json"));
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
