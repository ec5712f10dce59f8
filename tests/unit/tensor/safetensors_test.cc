// SPDX-License-Identifier: Apache-2.0
#include "tensor/safetensors.h"

#include <gtest/gtest.h>

#include <cstring>

#include "support/expect_error.h"
#include "support/temporary_folder.h"

namespace glmocr {
namespace {

std::string file_of(const std::string& header, const std::string& data) {
  std::uint64_t size = header.size();
  std::string file(sizeof size, '\0');
  std::memcpy(file.data(), &size, sizeof size);
  return file + header + data;
}

std::string entry(const std::string& name, const std::string& dtype, const std::string& shape,
                  const std::string& offsets) {
  return "\"" + name + R"(":{"dtype":")" + dtype + R"(","shape":)" + shape + R"(,"data_offsets":)" + offsets +
         "}";
}

TEST(Safetensors, ReadsOneFile) {
  const TemporaryFolder folder;
  folder.write("model.safetensors",
               file_of("{\"__metadata__\":{\"format\":\"pt\"}," + entry("a", "F32", "[2,1]", "[0,8]") + "," +
                           entry("b", "BF16", "[3]", "[8,14]") + "}",
                       "0123456789abcd"));
  const SafetensorsFiles files = SafetensorsFiles::open(folder.path());
  ASSERT_EQ(files.tensors().size(), 2u);
  const StoredTensor& b = files.tensors().at("b");
  EXPECT_EQ(b.shape, Shape({3}));
  EXPECT_EQ(b.dtype_name, "BF16");
  EXPECT_EQ(b.file, folder / "model.safetensors");
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(b.data), 6), "89abcd");
  EXPECT_EQ(files.tensors().at("a").bytes, 8);
}

TEST(Safetensors, ReadsScalarsAndEmptyTensors) {
  const TemporaryFolder folder;
  folder.write("model.safetensors", file_of("{" + entry("scalar", "F32", "[]", "[0,4]") + "," +
                                                entry("empty", "F32", "[0,7]", "[4,4]") + "}",
                                            "0123"));
  const SafetensorsFiles files = SafetensorsFiles::open(folder.path());
  EXPECT_EQ(files.tensors().at("scalar").shape.rank(), 0);
  EXPECT_EQ(files.tensors().at("empty").bytes, 0);
}

TEST(Safetensors, ReadsShards) {
  const TemporaryFolder folder;
  folder.write("one.safetensors", file_of("{" + entry("a", "U8", "[2]", "[0,2]") + "}", "xy"));
  folder.write("two.safetensors", file_of("{" + entry("b", "U8", "[1]", "[0,1]") + "}", "z"));
  folder.write("model.safetensors.index.json",
               R"({"weight_map":{"a":"one.safetensors","b":"two.safetensors"}})");
  const SafetensorsFiles files = SafetensorsFiles::open(folder.path());
  EXPECT_EQ(files.tensors().at("b").file, folder / "two.safetensors");
  EXPECT_EQ(files.tensors().size(), 2u);
}

struct Broken {
  const char* name;
  std::string content;
  std::vector<std::string> message;
};

class BrokenFile : public testing::TestWithParam<Broken> {};

TEST_P(BrokenFile, IsNamed) {
  const TemporaryFolder folder;
  folder.write("model.safetensors", GetParam().content);
  std::vector<std::string> parts = GetParam().message;
  parts.push_back("model.safetensors");
  expect_error(ErrorCode::model, parts, [&] { SafetensorsFiles::open(folder.path()); });
}

INSTANTIATE_TEST_SUITE_P(
    Kinds, BrokenFile,
    testing::Values(
        Broken{"empty", "", {"0 bytes"}}, Broken{"short_length", "1234", {"4 bytes"}},
        Broken{"huge_header", std::string(8, '\xff') + "{}", {"header of"}},
        Broken{"header_beyond_file", file_of("{}", "").replace(0, 1, 1, '\x40'), {"header of 64 bytes"}},
        Broken{"no_json", file_of("{,}", ""), {"not valid JSON"}},
        Broken{"a_list", file_of("[]", ""), {"no JSON object"}},
        Broken{
            "no_dtype", file_of(R"({"a":{"shape":[1],"data_offsets":[0,1]}})", "x"), {"tensor a", "dtype"}},
        Broken{
            "no_shape", file_of(R"({"a":{"dtype":"U8","data_offsets":[0,1]}})", "x"), {"tensor a", "shape"}},
        Broken{"negative_shape",
               file_of("{" + entry("a", "U8", "[-1]", "[0,1]") + "}", "x"),
               {"tensor a", "-1"}},
        Broken{"huge_shape",
               file_of("{" + entry("a", "U8", "[4294967296,4294967296]", "[0,1]") + "}", "x"),
               {"impossible shape"}},
        Broken{"too_many_dimensions",
               file_of("{" + entry("a", "U8", "[1,1,1,1,1,1]", "[0,1]") + "}", "x"),
               {"6 dimensions"}},
        Broken{"wrong_size",
               file_of("{" + entry("a", "F32", "[2]", "[0,4]") + "}", "0123"),
               {"needs 8 bytes", "give 4"}},
        Broken{"truncated",
               file_of("{" + entry("a", "F32", "[2]", "[0,8]") + "}", "0123"),
               {"tensor a", "truncated"}},
        Broken{"backwards", file_of("{" + entry("a", "U8", "[1]", "[1,0]") + "}", "x"), {"data_offsets"}},
        Broken{"overlap",
               file_of("{" + entry("a", "U8", "[2]", "[0,2]") + "," + entry("b", "U8", "[2]", "[1,3]") + "}",
                       "xyz"),
               {"overlap", "a", "b"}},
        Broken{"key_twice",
               file_of("{" + entry("a", "U8", "[1]", "[0,1]") + "," + entry("a", "U8", "[1]", "[0,1]") + "}",
                       "x"),
               {"\"a\"", "twice"}}),
    [](const auto& info) { return info.param.name; });

TEST(Safetensors, NamesWhatIsWrongWithAnIndex) {
  const auto open_with = [](const std::string& index, const std::string& shard) {
    const TemporaryFolder folder;
    folder.write("model.safetensors.index.json", index);
    folder.write("one.safetensors", shard);
    SafetensorsFiles::open(folder.path());
  };
  const std::string shard = file_of("{" + entry("a", "U8", "[1]", "[0,1]") + "}", "x");
  const auto expect = [&](const std::string& index, const std::vector<std::string>& parts) {
    expect_error(ErrorCode::model, parts, [&] { open_with(index, shard); });
  };
  expect("{}", {"weight_map"});
  expect("{", {"not valid JSON"});
  expect(R"({"weight_map":{"a":7}})", {"a", "names no file"});
  expect(R"({"weight_map":{"a":"../one.safetensors"}})", {"not a file of this folder"});
  expect(R"({"weight_map":{"a":"two.safetensors"}})", {"two.safetensors", "does not exist"});
  expect(R"({"weight_map":{"a":"one.safetensors","b":"one.safetensors"}})",
         {"tensor b is not in one.safetensors"});
  expect(R"({"weight_map":{}})", {"no tensor"});
}

TEST(Safetensors, NamesAnEmptyFolder) {
  const TemporaryFolder folder;
  expect_error(ErrorCode::model, {"neither model.safetensors nor"},
               [&] { SafetensorsFiles::open(folder.path()); });
}

}  // namespace
}  // namespace glmocr
