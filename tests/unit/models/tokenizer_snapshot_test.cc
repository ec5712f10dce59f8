// SPDX-License-Identifier: Apache-2.0
// Opt-in: the tokenizer of a published GLM-OCR snapshot, whose folder GLMOCR_SNAPSHOT_PATH names.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "models/tokenizer.h"

namespace glmocr {
namespace {

using Ids = std::vector<TokenId>;

class TokenizerSnapshot : public ::testing::Test {
 protected:
  void SetUp() override {
    const char* folder = std::getenv("GLMOCR_SNAPSHOT_PATH");
    if (!folder) GTEST_SKIP() << "set GLMOCR_SNAPSHOT_PATH to the folder of a GLM-OCR snapshot to run this";
    path_ = std::filesystem::path(folder) / "tokenizer.json";
  }
  std::filesystem::path path_;
};

// Ids published by ports of GLM-OCR that use the original tokenizer.
TEST_F(TokenizerSnapshot, EncodesThePublishedPrompts) {
  const Tokenizer tokenizer = Tokenizer::load(path_);
  EXPECT_EQ(tokenizer.encode("Text Recognition:"), (Ids{3649, 7404, 49600, 58}));
  EXPECT_EQ(tokenizer.encode("Table Recognition:"), (Ids{5964, 7404, 49600, 58}));
  EXPECT_EQ(tokenizer.encode("Formula Recognition:"), (Ids{4000, 6062, 7404, 49600, 58}));
  const std::string prompt =
      "[gMASK]<sop><|user|>\n<|begin_of_image|><|image|><|end_of_image|>Text Recognition:<|assistant|>\n";
  EXPECT_EQ(tokenizer.encode(prompt, AddedTokens::match),
            (Ids{59248, 59250, 59253, 10, 59256, 59280, 59257, 3649, 7404, 49600, 58, 59254, 10}));
  EXPECT_EQ(tokenizer.size(), 59282);
  EXPECT_EQ(tokenizer.added_tokens().size(), 36u);
  EXPECT_TRUE(tokenizer.is_special(59253));
}

}  // namespace
}  // namespace glmocr
