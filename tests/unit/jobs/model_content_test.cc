// SPDX-License-Identifier: Apache-2.0
#include "jobs/model_content.h"

#include <gmock/gmock.h>

#include <set>

#include "support/expect_error.h"
#include "support/temporary_folder.h"

namespace glmocr {
namespace {

TEST(ModelContent, ChangesWithEachFileThatIsLoaded) {
  const TemporaryFolder folder, copy;
  std::set<std::string> contents;
  const auto expect_new = [&] {
    EXPECT_TRUE(contents.insert(model_content(folder.path())).second);
    EXPECT_EQ(model_content(folder.path()), model_content(folder.path()));
  };
  expect_new();
  folder.write("config.json", "{}");
  expect_new();
  folder.write("config.json", "[]");
  expect_new();
  folder.write("model.safetensors", std::string(100, 'w'));
  expect_new();
  folder.write("model.safetensors", std::string(101, 'w'));
  expect_new();
  folder.write("model.safetensors", std::string(101, 'v'));
  expect_new();
  folder.write("README.md", "A card");
  EXPECT_EQ(contents.count(model_content(folder.path())), 1u);
  copy.write("model.safetensors", std::string(101, 'v'));
  copy.write("config.json", "[]");
  EXPECT_EQ(model_content(copy.path()), model_content(folder.path())) << "a copy is the same model";
}

// A matrix of 1 MiB among others.
TEST(ModelContent, ChangesWithAPartOfTheWeights) {
  const TemporaryFolder folder;
  std::string weights(12 << 20, 'w');
  folder.write("model.safetensors", weights);
  const std::string before = model_content(folder.path());
  weights.replace(5'000'001, 1 << 20, 1 << 20, 'v');
  folder.write("model.safetensors", weights);
  EXPECT_NE(model_content(folder.path()), before);
}

TEST(ModelContent, OfAFolderThatIsNotThere) {
  expect_error(ErrorCode::input, {"/nowhere/model: cannot be listed"},
               [] { model_content("/nowhere/model"); });
}

}  // namespace
}  // namespace glmocr
