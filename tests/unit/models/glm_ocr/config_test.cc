// SPDX-License-Identifier: Apache-2.0
#include "models/glm_ocr/config.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/mapped_file.h"
#include "support/expect_error.h"
#include "support/temporary_folder.h"

namespace glmocr {
namespace {

using Json = nlohmann::json;

const std::filesystem::path kAwkward = std::filesystem::path(GLMOCR_TEST_DATA) / "awkward";

Json read_json(const std::string& name) { return Json::parse(read_file(kAwkward / name)); }

// Loads the awkward snapshot's configuration with one file changed.
GlmOcrConfig load_with(const std::string& file, const std::string& content) {
  const TemporaryFolder folder;
  for (const char* name : {"config.json", "generation_config.json", "preprocessor_config.json"}) {
    folder.write(name, read_file(kAwkward / name));
  }
  folder.write(file, content);
  return load_config(folder.path());
}

TEST(Config, ReadsTheAwkwardSnapshot) {
  const GlmOcrConfig c = load_config(kAwkward);
  EXPECT_EQ(c.text.head_dim, 48);
  EXPECT_EQ(c.text.num_key_value_heads, 3);
  EXPECT_EQ(c.text.rope_theta, 5000);
  EXPECT_EQ(c.text.mrope_section, (std::array<int, 3>{6, 8, 10}));
  EXPECT_EQ(c.vision.head_dim(), 32);
  EXPECT_EQ(c.vision.rope_theta, 10000) << "the text's theta is not the vision's";
  EXPECT_EQ(c.generation.eos_token_id, (std::vector<TokenId>{470, 477}));
  EXPECT_EQ(c.image_token_id, 491);
}

// The published preprocessor_config.json lacks resample, rescale_factor and the do_* flags.
TEST(Config, MissingPreprocessorKeysMeanTheClassDefaults) {
  const GlmOcrConfig c =
      load_with("preprocessor_config.json",
                R"({"size":{"shortest_edge":12544,"longest_edge":9633792},"do_rescale":true,
                                       "patch_size":14,"temporal_patch_size":2,"merge_size":2,
                                       "image_mean":[0.48145466,0.4578275,0.40821073],
                                       "image_std":[0.26862954,0.26130258,0.27577711]})");
  EXPECT_TRUE(c.preprocess.do_resize && c.preprocess.do_normalize);
  EXPECT_DOUBLE_EQ(c.preprocess.rescale_factor, 1.0 / 255);
  EXPECT_EQ(c.preprocess.longest_edge, 9633792);
  EXPECT_EQ(c.preprocess.enlarge_letters_below, 0) << "only our own snapshots ask for it";
  EXPECT_DOUBLE_EQ(c.preprocess.image_std[2], 0.27577711);
}

TEST(Config, ASnapshotMayAskForSmallPrintToBeEnlarged) {
  EXPECT_EQ(load_with("preprocessor_config.json", R"({"enlarge_letters_below":20})")
                .preprocess.enlarge_letters_below,
            20);
}

TEST(Config, FallsBackToProcessorConfigAndTextConfig) {
  const TemporaryFolder folder;
  folder.write("config.json", read_file(kAwkward / "config.json"));
  expect_error(ErrorCode::model, {"neither preprocessor_config.json nor processor_config.json"},
               [&] { load_config(folder.path()); });
  folder.write("processor_config.json", R"({"image_processor":{"image_mean":[0.1,0.2,0.3]}})");
  const GlmOcrConfig c = load_config(folder.path());
  EXPECT_DOUBLE_EQ(c.preprocess.image_mean[1], 0.2);
  EXPECT_EQ(c.generation.eos_token_id, (std::vector<TokenId>{470, 477}))
      << "text_config's, without generation_config";
  EXPECT_EQ(c.generation.pad_token_id, 470);
}

struct BadValue {
  const char* name;
  const char* file;
  const char* pointer;  // JSON pointer of what is changed
  Json value;           // null: removed
  std::vector<std::string> message;
};

class BadConfig : public testing::TestWithParam<BadValue> {};

TEST_P(BadConfig, IsNamed) {
  const BadValue& bad = GetParam();
  Json json = read_json(bad.file);
  json[Json::json_pointer(bad.pointer)] = bad.value;
  std::vector<std::string> parts = bad.message;
  parts.push_back(bad.file);
  expect_error(ErrorCode::model, parts, [&] { load_with(bad.file, json.dump()); });
}

constexpr const char* kConfig = "config.json";
constexpr const char* kPreprocessor = "preprocessor_config.json";

INSTANTIATE_TEST_SUITE_P(
    Kinds, BadConfig,
    testing::Values(
        BadValue{"model_type", kConfig, "/model_type", "llama", {"model_type", "llama", "glm_ocr"}},
        BadValue{"quantised", kConfig, "/quantization", Json{{"bits", 4}}, {"quantization", "not supported"}},
        BadValue{"quantised_otherwise",
                 kConfig,
                 "/quantization_config",
                 Json{{"quant_method", "gptq"}},
                 {"quantization_config.quant_method", "gptq", "compressed-tensors"}},
        BadValue{"no_text", kConfig, "/text_config", nullptr, {"text_config is missing"}},
        BadValue{"text_is_a_list",
                 kConfig,
                 "/text_config",
                 Json::array(),
                 {"text_config is []", "expected an object"}},
        BadValue{
            "no_head_dim", kConfig, "/text_config/head_dim", nullptr, {"text_config.head_dim is missing"}},
        BadValue{"odd_head_dim", kConfig, "/text_config/head_dim", 47, {"head_dim", "47", "even"}},
        BadValue{"hidden_is_text", kConfig, "/text_config/hidden_size", "35", {"hidden_size", "integer"}},
        BadValue{"hidden_is_zero", kConfig, "/text_config/hidden_size", 0, {"hidden_size", "is 0"}},
        BadValue{"hidden_is_huge", kConfig, "/text_config/hidden_size", 1e12, {"hidden_size"}},
        BadValue{"hidden_is_larger_than_64_bits",
                 kConfig,
                 "/text_config/hidden_size",
                 UINT64_MAX,
                 {"hidden_size is 18446744073709551615", "an integer from 1 to"}},
        BadValue{"positions", kConfig, "/text_config/max_position_embeddings", 0, {"an integer from 1 up"}},
        BadValue{"kv_heads",
                 kConfig,
                 "/text_config/num_key_value_heads",
                 4,
                 {"num_key_value_heads", "does not divide"}},
        BadValue{"too_many_heads_per_kv_head",
                 kConfig,
                 "/text_config/num_attention_heads",
                 771,
                 {"num_key_value_heads is 3 for num_attention_heads 771",
                  "257 query heads, expected at most 256"}},
        BadValue{"longest_edge",
                 kPreprocessor,
                 "/size/longest_edge",
                 INT32_MAX,
                 {"size.longest_edge is 2147483647", "an integer from 1 to 67108864"}},
        BadValue{"shortest_edge",
                 kPreprocessor,
                 "/size/shortest_edge",
                 INT32_MAX,
                 {"size.shortest_edge is 2147483647", "an integer from 1 to 67108864"}},
        BadValue{"activation", kConfig, "/text_config/hidden_act", "gelu", {"hidden_act", "gelu", "silu"}},
        BadValue{
            "rope_type", kConfig, "/text_config/rope_parameters/rope_type", "yarn", {"rope_type", "yarn"}},
        BadValue{"partial",
                 kConfig,
                 "/text_config/rope_parameters/partial_rotary_factor",
                 0.5,
                 {"partial_rotary_factor"}},
        BadValue{"section",
                 kConfig,
                 "/text_config/rope_parameters/mrope_section",
                 Json{6, 8, 11},
                 {"mrope_section", "sums to 25", "24"}},
        BadValue{"section_of_two",
                 kConfig,
                 "/text_config/rope_parameters/mrope_section",
                 Json{12, 12},
                 {"mrope_section", "3 numbers"}},
        BadValue{"tied", kConfig, "/tie_word_embeddings", true, {"tie_word_embeddings"}},
        BadValue{"vision_heads", kConfig, "/vision_config/num_heads", 3, {"vision_config.num_heads"}},
        BadValue{
            "vision_out", kConfig, "/vision_config/out_hidden_size", 36, {"out_hidden_size", "36", "35"}},
        BadValue{"merge", kConfig, "/vision_config/spatial_merge_size", 4, {"spatial_merge_size", "only 2"}},
        BadValue{"image_token", kConfig, "/image_token_id", 503, {"image_token_id", "503"}},
        BadValue{"eps", kConfig, "/text_config/rms_norm_eps", -1, {"rms_norm_eps", "above 0"}},
        BadValue{"eos",
                 "generation_config.json",
                 "/eos_token_id",
                 Json{470, 9999},
                 {"eos_token_id[1] is 9999", "0 to 502"}},
        BadValue{
            "no_eos", "generation_config.json", "/eos_token_id", Json::array(), {"eos_token_id is empty"}},
        BadValue{"patch_size", kPreprocessor, "/patch_size", 16, {"patch_size", "16", "14"}},
        BadValue{
            "size_order", kPreprocessor, "/size/longest_edge", 1, {"longest_edge", "below shortest_edge"}},
        BadValue{"letters", kPreprocessor, "/enlarge_letters_below", -1, {"enlarge_letters_below", "-1"}},
        BadValue{"std_zero", kPreprocessor, "/image_std", Json{0.5, 0, 0.5}, {"image_std"}},
        BadValue{"mean_text", kPreprocessor, "/image_mean", Json{"a", 0, 0}, {"image_mean", "\"a\""}},
        BadValue{"resample", kPreprocessor, "/resample", 2, {"resample", "is 2", "only 3"}},
        BadValue{"flag", kPreprocessor, "/do_resize", "yes", {"do_resize", "true or false"}}),
    [](const auto& info) { return info.param.name; });

TEST(Config, NamesDocumentsThatAreNoJson) {
  expect_error(ErrorCode::model, {"config.json", "not valid JSON"},
               [] { load_with("config.json", "{\"a\": "); });
  expect_error(ErrorCode::model, {"config.json: the document is []", "expected an object"},
               [] { load_with("config.json", "[]"); });
  expect_error(ErrorCode::model, {"\"model_type\"", "twice"},
               [] { load_with("config.json", R"({"model_type":"glm_ocr","model_type":"glm_ocr"})"); });
  const TemporaryFolder empty;
  expect_error(ErrorCode::model, {"config.json", "cannot be opened"}, [&] { load_config(empty.path()); });
}

// Deep nesting neither crashes the parser nor the printing of values.
TEST(Config, NestingIsLimited) {
  const std::string deep = R"({"x":)" + std::string(200'000, '[') + std::string(200'000, ']') + "}";
  for (const char* file : {"config.json", "generation_config.json", "preprocessor_config.json"}) {
    expect_error(ErrorCode::model, {file, "nested deeper than 64 levels"}, [&] { load_with(file, deep); });
  }
}

TEST(SpecialTokens, MismatchNamesBothSides) {
  const Tokenizer tokenizer = Tokenizer::load(kAwkward / "tokenizer.json");
  GlmOcrConfig config = load_config(kAwkward);
  EXPECT_NO_THROW(check_special_tokens(config, tokenizer));
  config.image_token_id = config.image_end_token_id;
  expect_error(ErrorCode::model, {"image_token_id", "481", "<|end_of_image|>", "<|image|>", "491"},
               [&] { check_special_tokens(config, tokenizer); });
  config = load_config(kAwkward);
  config.generation.eos_token_id = {502};
  expect_error(ErrorCode::model, {"eos_token_id", "502"}, [&] { check_special_tokens(config, tokenizer); });
  config = load_config(kAwkward);
  config.text.vocab_size = 100;
  expect_error(ErrorCode::model, {"vocab_size is 100"}, [&] { check_special_tokens(config, tokenizer); });
}

}  // namespace
}  // namespace glmocr
