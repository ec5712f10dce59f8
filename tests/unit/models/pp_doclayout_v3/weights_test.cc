// SPDX-License-Identifier: Apache-2.0
#include "models/pp_doclayout_v3/weights.h"

#include <gtest/gtest.h>

#include <cstring>
#include <nlohmann/json.hpp>

#include "base/mapped_file.h"
#include "kernels/kernels.h"
#include "models/pp_doclayout_v3/tensor_names.h"
#include "support/expect_error.h"
#include "support/temporary_folder.h"

namespace glmocr::doclayout {
namespace {

using Json = nlohmann::json;

const std::filesystem::path kSnapshot = std::filesystem::path(GLMOCR_TEST_DATA) / "layout-small";

// A safetensors file: the header, and the data behind it.
struct File {
  Json header;
  std::string data;

  static File small() {
    const std::string bytes = read_file(kSnapshot / "model.safetensors");
    std::uint64_t size = 0;
    std::memcpy(&size, bytes.data(), sizeof size);
    return {Json::parse(bytes.substr(sizeof size, size)), bytes.substr(sizeof size + size)};
  }
  std::string bytes() const {
    const std::string text = header.dump();
    const std::uint64_t size = text.size();
    std::string all(sizeof size, '\0');
    std::memcpy(all.data(), &size, sizeof size);
    return all + text + data;
  }
  void add(const std::string& name, const std::string& dtype, const Shape& shape, std::int64_t bytes) {
    std::vector<std::int64_t> dims;
    for (int i = 0; i < shape.rank(); ++i) dims.push_back(shape[i]);
    header[name] = {{"dtype", dtype}, {"shape", dims}, {"data_offsets", {data.size(), data.size() + bytes}}};
    data.append(bytes, '\0');
  }
};

LayoutWeights load(const File& file, Device& device) {
  const TemporaryFolder folder;
  folder.write("model.safetensors", file.bytes());
  return load_weights(SafetensorsFiles::open(folder.path()), load_config(kSnapshot), device);
}

std::int64_t tensors(const LayoutWeights& weights) {
  std::int64_t sum = 0;
  for (const TensorGroup& group : weights.groups) sum += group.tensors;
  return sum;
}

TEST(LayoutWeights, TakesEveryTensorUnderBothGenerationsOfNames) {
  const auto device = open_device("ref", {.threads = 1});
  const File published = File::small();
  EXPECT_EQ(tensors(load(published, *device)), 501);
  File renamed = published;
  renamed.header = Json::object();
  std::int64_t changed = 0;
  for (const auto& [name, tensor] : published.header.items()) {
    const std::string other = transformers_name(name);
    changed += other.empty() ? 0 : 1;
    renamed.header[other.empty() ? name : other] = tensor;
  }
  // All of the encoder's layer; weight and bias of out_proj, fc1 and fc2 of each decoder layer.
  EXPECT_EQ(changed, 16 + 2 * 6);
  EXPECT_EQ(tensors(load(renamed, *device)), 501);
}

// A file that lacks everything: the published snapshot has 858 tensors.
TEST(LayoutWeights, ThePublishedSnapshotHas858Names) {
  const auto device = open_device("ref", {.threads = 1});
  const TemporaryFolder folder;
  folder.write("config.json", R"({"model_type": "pp_doclayout_v3"})");
  folder.write("preprocessor_config.json", "{}");
  File empty{Json::object(), ""};
  empty.add("something.else", "F32", {1}, 4);
  folder.write("model.safetensors", empty.bytes());
  expect_error(
      ErrorCode::model,
      {"missing (858)", "model.backbone.model.embedder.stem1.convolution.weight [32, 3, 3, 3]",
       "unexpected (1)", "something.else"},
      [&] { load_weights(SafetensorsFiles::open(folder.path()), load_config(folder.path()), *device); });
}

TEST(LayoutWeights, NamesWhatIsMissingMisshapenAndUnexpected) {
  const auto device = open_device("ref", {.threads = 1});
  File file = File::small();
  const std::string lost = "model.decoder.layers.1.fc2.bias", other = "model.decoder_norm.weight";
  file.header.erase(lost);
  file.header[other]["shape"] = {4, 5};
  file.add("model.more", "F16", {2}, 4);
  expect_error(ErrorCode::model,
               {"missing (1)", lost, "of another shape (1)", other, "[4, 5]", "unexpected (1)", "model.more"},
               [&] { load(file, *device); });
}

// transformers saves them; the published snapshot has none.
TEST(LayoutWeights, CountersOfBatchNormalisationAreIgnored) {
  const auto device = open_device("ref", {.threads = 1});
  File file = File::small();
  file.add("model.encoder_input_proj.0.1.num_batches_tracked", "I64", {}, 8);
  EXPECT_EQ(tensors(load(file, *device)), 501);
}

}  // namespace
}  // namespace glmocr::doclayout
