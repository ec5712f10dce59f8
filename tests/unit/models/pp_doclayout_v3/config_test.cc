// SPDX-License-Identifier: Apache-2.0
#include "models/pp_doclayout_v3/config.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/mapped_file.h"
#include "support/expect_error.h"
#include "support/temporary_folder.h"

namespace glmocr::doclayout {
namespace {

using Json = nlohmann::json;

const std::filesystem::path kSmall = std::filesystem::path(GLMOCR_TEST_DATA) / "layout-small";

Json read_json(const std::string& name) { return Json::parse(read_file(kSmall / name)); }

LayoutConfig load(const Json& config, const Json& preprocessor) {
  const TemporaryFolder folder;
  folder.write("config.json", config.dump());
  folder.write("preprocessor_config.json", preprocessor.dump());
  return load_config(folder.path());
}

LayoutConfig load_with(const std::string& key, const Json& value) {
  Json config = read_json("config.json");
  config[Json::json_pointer(key)] = value;
  return load(config, read_json("preprocessor_config.json"));
}

LayoutConfig load_preprocessor_with(const std::string& key, const Json& value) {
  Json preprocessor = read_json("preprocessor_config.json");
  preprocessor[Json::json_pointer(key)] = value;
  return load(read_json("config.json"), preprocessor);
}

TEST(LayoutConfig, ReadsASnapshot) {
  const LayoutConfig c = load_config(kSmall);
  EXPECT_EQ(c.backbone.stages[2].blocks, 2);
  EXPECT_TRUE(c.backbone.stages[3].light);
  EXPECT_EQ(c.encoder.mask_channels, (std::array<int, 2>{9, 7}));
  EXPECT_EQ(c.decoder.width, 20);
  EXPECT_EQ(c.width, 160);
  EXPECT_EQ(c.height, 96);
  EXPECT_EQ(c.normalized[255], 1.0f);
  EXPECT_EQ(c.labels[21], RegionLabel::table);
  EXPECT_EQ(c.levels()[1].first, 12 * 20);
  EXPECT_EQ(c.tokens(), 12 * 20 + 6 * 10 + 3 * 5);
}

// As the published files may have them.
TEST(LayoutConfig, MissingKeysHaveThePublishedValues) {
  const LayoutConfig c = load({{"model_type", "pp_doclayout_v3"}}, Json::object());
  EXPECT_EQ(c.backbone.stages[3].out, 2048);
  EXPECT_EQ(c.encoder.hidden, 256);
  EXPECT_EQ(c.decoder.queries, 300);
  EXPECT_EQ(c.height, 800);
  EXPECT_EQ(c.labels.size(), 25u);
  EXPECT_EQ(c.tokens(), 13125);
}

// The published file calls several classes alike; the official SDK goes by their places.
TEST(LayoutConfig, NamesThatOccurTwiceGoByPlace) {
  const LayoutConfig c = load_with("/id2label/15", "formula");
  EXPECT_EQ(c.labels[15], RegionLabel::inline_formula);
  EXPECT_EQ(load_with("/id2label/9", "footer").labels[9], RegionLabel::footer_image);
}

TEST(LayoutConfig, NamesInAnotherOrderGoByName) {
  Json names;
  names["0"] = "table";
  names["1"] = "text";
  EXPECT_EQ(load_with("/id2label", names).labels, (std::vector{RegionLabel::table, RegionLabel::text}));
  names["1"] = "prose";
  expect_error(ErrorCode::model, {"config.json", "id2label", "2 classes", "prose"},
               [&] { load_with("/id2label", names); });
}

TEST(LayoutConfig, WhatIsNotImplementedIsRefused) {
  const auto refused = [](const std::string& key, const Json& value) {
    const std::string name = key.substr(key.rfind('/') + 1);
    expect_error(ErrorCode::model, {"config.json", name}, [&] { load_with(key, value); });
  };
  refused("/model_type", "pp_doclayout_v2");
  refused("/mask_enhanced", false);
  refused("/learn_initial_query", true);
  refused("/hidden_expansion", 0.5);
  refused("/num_feature_levels", 4);
  refused("/eval_size", Json::array({640, 640}));
  refused("/feat_strides", Json::array({4, 8, 16}));
  refused("/backbone_config/use_learnable_affine_block", true);
  refused("/backbone_config/hidden_act", "gelu");
}

TEST(LayoutConfig, SizesThatDoNotFitAreNamed) {
  const auto refused = [](const std::string& key, const Json& value, const std::vector<std::string>& words) {
    expect_error(ErrorCode::model, words, [&] { load_with(key, value); });
  };
  refused("/decoder_attention_heads", 3, {"decoder_attention_heads", "d_model"});
  refused("/encoder_in_channels", Json::array({12, 14, 20}), {"encoder_in_channels", "20", "18"});
  refused("/backbone_config/stage_in_channels", Json::array({8, 10, 13, 14}),
          {"stage_in_channels", "13", "12"});
  refused("/backbone_config/stage_kernel_size", Json::array({3, 3, 4, 3}), {"stage_kernel_size", "odd"});
  refused("/num_queries", 400, {"num_queries", "400", "315"});
  refused("/encoder_activation_function", "tanh", {"encoder_activation_function", "tanh"});
}

TEST(LayoutConfig, ThePreprocessorIsChecked) {
  expect_error(ErrorCode::model, {"preprocessor_config.json", "size.height", "multiple of 32"},
               [] { load_preprocessor_with("/size/height", 100); });
  expect_error(ErrorCode::model, {"preprocessor_config.json", "resample"},
               [] { load_preprocessor_with("/resample", 2); });
  expect_error(ErrorCode::model, {"preprocessor_config.json", "image_mean"}, [] {
    load_preprocessor_with("/image_mean", Json::array({0.5, 0.5, 0.5}));
  });
}

}  // namespace
}  // namespace glmocr::doclayout
