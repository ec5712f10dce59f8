// SPDX-License-Identifier: Apache-2.0
#include "glmocr/quantize.h"

#include <gmock/gmock.h>

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>

#include "glmocr/model.h"
#include "support/expect_error.h"
#include "support/temporary_folder.h"

namespace glmocr {
namespace {

namespace fs = std::filesystem;
using testing::IsEmpty;

const fs::path kNarrow = fs::path(GLMOCR_TEST_DATA) / "narrow";
const std::string kMatrix = "model.language_model.layers.0.self_attn.q_proj.weight";

// A copy of a snapshot whose file of tensors a test has changed.
class ChangedSnapshot {
 public:
  explicit ChangedSnapshot(const std::function<void(std::string& tensors)>& change) {
    fs::copy(kNarrow, folder_.path(), fs::copy_options::recursive | fs::copy_options::overwrite_existing);
    std::ifstream file(kNarrow / "model.safetensors", std::ios::binary);
    std::string tensors{std::istreambuf_iterator<char>(file), {}};
    change(tensors);
    folder_.write("model.safetensors", tensors);
  }
  std::string path() const { return folder_.path().string(); }

 private:
  TemporaryFolder folder_;
};

// Replaces the first occurrence behind the name of the matrix by as many characters.
void replace_at_matrix(std::string& tensors, const std::string& old, const std::string& text) {
  ASSERT_EQ(old.size(), text.size());
  const std::size_t at = tensors.find(old, tensors.find(kMatrix));
  ASSERT_NE(at, std::string::npos);
  tensors.replace(at, text.size(), text);
}

void expect_refused(const std::string& from, const std::vector<std::string>& parts) {
  const TemporaryFolder folder;
  expect_error(ErrorCode::model, parts, [&] { quantize_snapshot(from, folder / "int8"); });
  const fs::path made = folder.path() / "int8";
  EXPECT_TRUE(!fs::exists(made) || fs::is_empty(made));
}

TEST(QuantizeSnapshot, RefusesTypesThatItCannotRead) {
  const ChangedSnapshot other(
      [](std::string& tensors) { replace_at_matrix(tensors, "\"BF16\"", "\"I16\" "); });
  expect_refused(other.path(), {kMatrix, "is stored as I16, expected BF16, F16 or F32"});
}

TEST(QuantizeSnapshot, RefusesSnapshotsThatCannotBeLoaded) {
  const ChangedSnapshot misnamed(
      [](std::string& tensors) { replace_at_matrix(tensors, "q_proj", "p_proj"); });
  expect_refused(misnamed.path(), {"missing (1)", kMatrix, "unexpected (1)"});
  const ChangedSnapshot without_tokenizer([](std::string&) {});
  fs::remove(fs::path(without_tokenizer.path()) / "tokenizer.json");
  expect_refused(without_tokenizer.path(), {"tokenizer.json"});
}

TEST(QuantizeSnapshot, RefusesValuesThatAreNotFinite) {
  const ChangedSnapshot damaged([](std::string& tensors) {
    std::uint64_t header = 0;
    std::memcpy(&header, tensors.data(), sizeof header);
    tensors.replace(sizeof header + header, 2, "\xff\x7f");  // the first value of lm_head.weight, in bf16
  });
  expect_refused(damaged.path(), {"lm_head.weight: row 0 holds a value that is not finite"});
}

// With the index of other files, what was written could not be loaded.
TEST(QuantizeSnapshot, RefusesAFolderThatHoldsPartsOfAnother) {
  for (const char* name : {"config.json", "model.safetensors.index.json"}) {
    const TemporaryFolder folder;
    folder.write(name, "{}");
    expect_error(ErrorCode::usage, {name, "already"},
                 [&] { quantize_snapshot(kNarrow.string(), folder.path().string()); });
    EXPECT_EQ(folder.names().size(), 1u);
  }
}

TEST(QuantizeSnapshot, LeavesOutWhatIsNoFile) {
  const ChangedSnapshot odd([](std::string&) {});
  fs::create_symlink("loop", fs::path(odd.path()) / "loop");
  fs::create_symlink("nowhere", fs::path(odd.path()) / "dangling");
  fs::create_directory(fs::path(odd.path()) / "folder");
  const TemporaryFolder folder;
  quantize_snapshot(odd.path(), folder.path().string());
  EXPECT_EQ(Model::load(folder.path().string()).info().path, folder.path().string());
  for (const char* name : {"loop", "dangling", "folder"}) EXPECT_FALSE(fs::exists(folder / name)) << name;
}

TEST(QuantizeSnapshot, LeavesNoFileWhereItIsCancelled) {
  const TemporaryFolder folder;
  int asked = 0;
  expect_error(ErrorCode::cancelled, {"interrupted"}, [&] {
    quantize_snapshot(kNarrow.string(), folder.path().string(), [&] { return ++asked > 50; });
  });
  EXPECT_GT(asked, 50);
  EXPECT_THAT(folder.names(), IsEmpty());
  const QuantizedSnapshot result =
      quantize_snapshot(kNarrow.string(), folder.path().string(), [] { return false; });
  EXPECT_GT(result.matrices, 0);
  EXPECT_EQ(Model::load(folder.path().string()).info().path, folder.path().string());
}

}  // namespace
}  // namespace glmocr
