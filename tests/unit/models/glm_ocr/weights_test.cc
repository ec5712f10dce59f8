// SPDX-License-Identifier: Apache-2.0
#include "models/glm_ocr/weights.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <map>

#include <nlohmann/json.hpp>

#include "base/memory_budget.h"
#include "kernels/kernels.h"
#include "models/glm_ocr/glm_ocr.h"
#include "models/glm_ocr/tensor_names.h"
#include "support/expect_error.h"
#include "support/temporary_folder.h"

namespace glmocr {
namespace {

const std::filesystem::path kSnapshot = std::filesystem::path(GLMOCR_TEST_DATA) / "awkward";

// A tensor that a test writes again with another name, shape or type.
struct Entry {
  std::string dtype;
  std::vector<std::int64_t> shape;
  std::string bytes;
};
using Entries = std::map<std::string, Entry>;

Entries awkward_tensors() {
  Entries entries;
  const SafetensorsFiles files = SafetensorsFiles::open(kSnapshot);
  for (const auto& [name, stored] : files.tensors()) {
    Entry& entry = entries[name];
    entry.dtype = stored.dtype_name;
    for (int i = 0; i < stored.shape.rank(); ++i) entry.shape.push_back(stored.shape[i]);
    entry.bytes.assign(reinterpret_cast<const char*>(stored.data), static_cast<std::size_t>(stored.bytes));
  }
  return entries;
}

void write_safetensors(const TemporaryFolder& folder, const Entries& entries, const std::string& pad = "") {
  nlohmann::ordered_json header;
  std::string data;
  for (const auto& [name, entry] : entries) {
    header[name] = {{"dtype", entry.dtype},
                    {"shape", entry.shape},
                    {"data_offsets", {data.size(), data.size() + entry.bytes.size()}}};
    data += entry.bytes;
  }
  std::string text = header.dump();
  text.append((8 - text.size() % 8) % 8, ' ');  // as most writers align the data
  text += pad;
  std::uint64_t size = text.size();
  std::string file(sizeof size, '\0');
  std::memcpy(file.data(), &size, sizeof size);
  folder.write("model.safetensors", file + text + data);
}

Weights load_changed(Device& device, DType compute, const std::function<void(Entries&)>& change) {
  Entries entries = awkward_tensors();
  change(entries);
  const TemporaryFolder folder;
  write_safetensors(folder, entries);
  return load_weights(SafetensorsFiles::open(folder.path()), load_config(kSnapshot), device, compute);
}

// Every value of a matrix, as fp32.
std::vector<float> values_of(const Tensor& t) {
  std::vector<float> values;
  for (std::int64_t i = 0; i < t.numel(); ++i) {
    values.push_back(t.dtype == DType::f32    ? t.as<float>()[i]
                     : t.dtype == DType::bf16 ? to_float(t.as<bf16>()[i])
                                              : to_float(t.as<f16>()[i]));
  }
  return values;
}

std::vector<std::vector<float>> some_values(const Weights& w) {
  return {values_of(w.vision.patch_embed.data),    values_of(w.vision.downsample.data),
          values_of(w.vision.blocks[2].down.data), values_of(w.vision.blocks[2].down.bias),
          values_of(w.vision.merger_norm_bias),    values_of(w.decoder.layers[1].up_proj.data),
          values_of(w.decoder.lm_head.data),       values_of(w.decoder.norm)};
}

// The convolution kernel with its channel moved from the second to the last place.
Entry channels_last(const Entry& entry) {
  const std::int64_t out = entry.shape[0], in = entry.shape[1];
  Entry turned{entry.dtype, {out}, std::string(entry.bytes.size(), '\0')};
  std::int64_t inner = 1;
  for (std::size_t i = 2; i < entry.shape.size(); ++i) {
    turned.shape.push_back(entry.shape[i]);
    inner *= entry.shape[i];
  }
  turned.shape.push_back(in);
  for (std::int64_t o = 0; o < out; ++o) {
    for (std::int64_t c = 0; c < in; ++c) {
      for (std::int64_t i = 0; i < inner; ++i) {
        std::memcpy(turned.bytes.data() + 2 * ((o * inner + i) * in + c),
                    entry.bytes.data() + 2 * ((o * in + c) * inner + i), 2);
      }
    }
  }
  return turned;
}

class WeightsTest : public testing::Test {
 protected:
  std::unique_ptr<Device> device_ = open_device("ref");
  Weights load(const std::function<void(Entries&)>& change, DType compute = DType::f32) {
    return load_changed(*device_, compute, change);
  }
  void expect_failure(const std::vector<std::string>& parts, const std::function<void(Entries&)>& change) {
    expect_error(ErrorCode::model, parts, [&] { load(change); });
  }
};

TEST_F(WeightsTest, EveryTensorIsAccountedFor) {
  const Weights w =
      load_weights(SafetensorsFiles::open(kSnapshot), load_config(kSnapshot), *device_, DType::f32);
  std::int64_t tensors = 0;
  for (const TensorGroup& group : w.groups) tensors += group.tensors;
  EXPECT_EQ(tensors, static_cast<std::int64_t>(w.files.tensors().size()));
  EXPECT_TRUE(w.has_mtp);
  ASSERT_FALSE(w.notes.empty());
  EXPECT_NE(w.notes[0].find("layers.2."), std::string::npos) << w.notes[0];
}

// A matrix in eight bits, with its scales in either shape: the parts of a fused one are weights of their own.
TEST_F(WeightsTest, EightBitsAreLoadedAsStored) {
  for (const bool flat : {false, true}) {
    const Weights w = load([&](Entries& entries) {
      const std::string name = "model.visual.blocks.0.attn.qkv.weight";
      entries[name] = {"I8", {192, 64}, std::string(192 * 64, '\x07')};
      const float scale = 0.25f;
      std::string scales;
      for (int i = 0; i < 192; ++i) scales.append(reinterpret_cast<const char*>(&scale), sizeof scale);
      entries[name + "_scale"] = {"F32", {192}, scales};
      if (!flat) entries[name + "_scale"].shape.push_back(1);
    });
    const VisionBlockWeights& block = w.vision.blocks[0];
    for (const Weight& part : {block.q, block.k, block.v}) {
      ASSERT_EQ(part.data.dtype, DType::i8);
      EXPECT_EQ(part.out_features, 64);
      EXPECT_EQ(part.data.as<std::int8_t>()[64 * 64 - 1], 7);
      EXPECT_EQ(part.scale.as<float>()[63], 0.25f);
    }
    EXPECT_EQ(block.proj.data.dtype, DType::bf16);
  }
}

TEST_F(WeightsTest, EightBitsNeedScales) {
  expect_failure(
      {"missing (1)", "model.visual.blocks.0.attn.qkv.weight_scale [192, 1]"}, [](Entries& entries) {
        entries["model.visual.blocks.0.attn.qkv.weight"] = {"I8", {192, 64}, std::string(192 * 64, '\x07')};
      });
}

TEST_F(WeightsTest, QuantizedRowsAreWithinHalfAStep) {
  const SafetensorsFiles files = SafetensorsFiles::open(kSnapshot);
  const Weights exact = load([](Entries&) {});
  const Weights w = load_weights(SafetensorsFiles::open(kSnapshot), load_config(kSnapshot), *device_,
                                 DType::f32, Quantization::int8);
  const Weight &a = exact.decoder.layers[1].up_proj, &b = w.decoder.layers[1].up_proj;
  ASSERT_EQ(b.data.dtype, DType::i8);
  const std::vector<float> values = values_of(a.data);
  for (std::int64_t i = 0; i < a.data.numel(); ++i) {
    const float scale = b.scale.as<float>()[i / a.in_features];
    EXPECT_NEAR(b.data.as<std::int8_t>()[i] * scale, values[i], 0.501f * scale) << i;
  }
  EXPECT_NE(w.decoder.embed_tokens.data.dtype, DType::i8);
}

// The limit holds all but the matrices, so they stay as the file has them, and a note says so.
TEST_F(WeightsTest, MatricesWithoutRoomStayAsTheyAreStored) {
  const auto budget = std::make_shared<MemoryBudget>(std::int64_t{2} << 20);
  const auto device = open_device("cpu", {.threads = 1, .memory = budget});
  const MemoryShare others(budget, std::int64_t{3} << 19, "others");
  const Weights w = load_weights(SafetensorsFiles::open(kSnapshot), load_config(kSnapshot), *device,
                                 DType::bf16, Quantization::int8);
  EXPECT_EQ(w.decoder.layers[1].up_proj.data.dtype, DType::bf16);
  EXPECT_GT(w.mapped_bytes, 0);
  EXPECT_TRUE(std::any_of(w.notes.begin(), w.notes.end(), [](const std::string& note) {
    return note.find("as their file holds them") != std::string::npos;
  }));
}

TEST_F(WeightsTest, MlxNamesAndLayoutsGiveTheSameWeights) {
  const Weights official = load([](Entries&) {});
  const Weights mlx = load([](Entries& entries) {
    Entries renamed;
    for (const auto& [name, entry] : entries) {
      if (name.starts_with(mtp_prefix(2))) continue;  // mlx-vlm drops the draft layer
      const bool kernel = name.ends_with("patch_embed.proj.weight") || name.ends_with("downsample.weight");
      renamed[mlx_name(name)] = kernel ? channels_last(entry) : entry;
    }
    EXPECT_TRUE(renamed.contains("language_model.model.layers.0.mlp.down_proj.weight"));
    EXPECT_TRUE(renamed.contains("vision_tower.blocks.0.attn.qkv.weight"));
    EXPECT_TRUE(renamed.contains("language_model.lm_head.weight"));
    entries = renamed;
  });
  EXPECT_EQ(some_values(mlx), some_values(official));
  EXPECT_FALSE(mlx.has_mtp);
}

TEST_F(WeightsTest, StoredF32AndF16GiveTheSameNumbers) {
  const Weights official = load([](Entries&) {});
  const Weights wide = load([](Entries& entries) {
    for (auto& [name, entry] : entries) {
      std::string bytes;
      for (std::size_t i = 0; i < entry.bytes.size(); i += 2)
        bytes += std::string(2, '\0') + entry.bytes.substr(i, 2);
      entry.bytes = bytes;  // a bf16 is the upper half of an fp32
      entry.dtype = "F32";
    }
  });
  EXPECT_EQ(wide.decoder.lm_head.data.dtype, DType::f32);
  EXPECT_EQ(some_values(wide), some_values(official));
  const Weights half = load([](Entries& entries) {
    Entry& entry = entries.at("lm_head.weight");
    for (std::size_t i = 0; i < entry.bytes.size(); i += 2)
      entry.bytes.replace(i, 2, std::string("\x00\x3c", 2));
    entry.dtype = "F16";  // 0x3c00 is one
  });
  EXPECT_EQ(half.decoder.lm_head.data.dtype, DType::f16);
  EXPECT_EQ(values_of(half.decoder.lm_head.data)[5], 1.0f);
}

TEST_F(WeightsTest, Bf16ComputeTurnsOtherTypesIntoBf16) {
  const Weights w = load(
      [](Entries& entries) {
        Entry& entry = entries.at("lm_head.weight");
        for (std::size_t i = 0; i < entry.bytes.size(); i += 2)
          entry.bytes.replace(i, 2, std::string("\x00\x3c", 2));
        entry.dtype = "F16";
      },
      DType::bf16);
  EXPECT_EQ(w.decoder.lm_head.data.dtype, DType::bf16);
  EXPECT_EQ(values_of(w.decoder.lm_head.data)[5], 1.0f);
}

// The data of a file may begin at any byte.
TEST_F(WeightsTest, MisalignedDataIsReadRight) {
  const Weights official = load([](Entries&) {});
  for (const std::string pad : {"", " "}) {
    const TemporaryFolder folder;
    write_safetensors(folder, awkward_tensors(), pad);
    const Weights w =
        load_weights(SafetensorsFiles::open(folder.path()), load_config(kSnapshot), *device_, DType::f32);
    EXPECT_EQ(some_values(w), some_values(official));
  }
}

// Only what could not be used where the file is mapped takes memory, and the budget sees it.
TEST_F(WeightsTest, CopiesCountAgainstTheBudget) {
  const auto as_f32 = [](Entries& entries) {
    Entry& entry = entries.at("lm_head.weight");
    entry.bytes.resize(2 * entry.bytes.size());
    entry.dtype = "F32";
  };
  std::int64_t copied[2], used[2];
  for (const int converted : {0, 1}) {
    const std::int64_t before = device_->memory()->used();
    const Weights w = converted ? load(as_f32, DType::bf16) : load([](Entries&) {}, DType::bf16);
    copied[converted] = w.copied_bytes;
    used[converted] = device_->memory()->used() - before;
    EXPECT_GE(used[converted], w.copied_bytes);
    EXPECT_GT(w.mapped_bytes, 0);
  }
  EXPECT_EQ(copied[1] - copied[0], 503 * 35 * 2);
  EXPECT_GE(used[1] - used[0], 503 * 35 * 2);
  EXPECT_EQ(device_->memory()->used(), 0);
}

TEST_F(WeightsTest, NestingOfAHeaderIsLimited) {
  const std::string header = R"({"x":)" + std::string(200'000, '[') + std::string(200'000, ']') + "}";
  const std::uint64_t size = header.size();
  std::string file(sizeof size, '\0');
  std::memcpy(file.data(), &size, sizeof size);
  const TemporaryFolder folder;
  folder.write("model.safetensors", file + header);
  expect_error(ErrorCode::model, {"model.safetensors", "nested deeper than 64 levels"},
               [&] { SafetensorsFiles::open(folder.path()); });
}

TEST_F(WeightsTest, MissingTensorsAreNamed) {
  expect_failure(
      {"the tensors do not fit config.json; missing (2): model.visual.blocks.1.attn.qkv.bias [192], "
       "lm_head.weight [503, 35]"},
      [](Entries& entries) {
        entries.erase("lm_head.weight");
        entries.erase("model.visual.blocks.1.attn.qkv.bias");
      });
}

TEST_F(WeightsTest, MisshapenTensorsAreNamedWithBothShapes) {
  expect_failure(
      {"of another shape (1)", "model.language_model.norm.weight", "found [5, 7]", "expected [35]"},
      [](Entries& entries) {
        entries.at("model.language_model.norm.weight").shape = {5, 7};
      });
  expect_failure({"downsample.weight", "found [35, 256]", "expected [35, 64, 2, 2]"}, [](Entries& entries) {
    entries.at("model.visual.downsample.weight").shape = {35, 256};
  });
}

TEST_F(WeightsTest, UnexpectedTensorsAreNamed) {
  expect_failure({"unexpected (1)", "model.language_model.layers.7.mlp.down_proj.weight [2]"},
                 [](Entries& entries) {
                   entries["model.language_model.layers.7.mlp.down_proj.weight"] = {"BF16", {2}, "abcd"};
                 });
  // Without its eh_proj, a layer after the last one is not a draft layer.
  expect_failure({"unexpected", "layers.2."},
                 [](Entries& entries) { entries.erase(mtp_prefix(2) + "eh_proj.weight"); });
}

TEST_F(WeightsTest, AnIncompleteDraftLayerIsNoError) {
  const Weights w = load([](Entries& entries) { entries.erase(mtp_prefix(2) + "enorm.weight"); });
  EXPECT_FALSE(w.has_mtp);
  EXPECT_NE(w.notes.at(0).find("enorm.weight"), std::string::npos);
}

TEST_F(WeightsTest, OtherTypesAndQuantisedSnapshotsAreNamed) {
  expect_failure({"lm_head.weight", "stored as I16", "BF16, F16 or F32"},
                 [](Entries& entries) { entries.at("lm_head.weight").dtype = "I16"; });
  expect_failure({"lm_head.scales", "quantised MLX"}, [](Entries& entries) {
    entries["lm_head.scales"] = {"BF16", {2}, "abcd"};
  });
}

}  // namespace
}  // namespace glmocr
