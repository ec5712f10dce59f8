// SPDX-License-Identifier: Apache-2.0
// Broken pictures, configs, tokenizers, indexes and tensors: a clear message of one line, the documented exit
// code, nothing on standard output.
#include <gmock/gmock.h>

#include <cstdint>
#include <cstring>
#include <functional>
#include <regex>

#include "integration/program.h"

namespace glmocr::integration {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

std::vector<std::string> broken_pictures() {
  std::vector<std::string> files;
  for (const auto& entry : fs::directory_iterator(data("broken"))) {
    if (entry.path().filename() != "expected.json") files.push_back(entry.path().string());
  }
  return files;
}

TEST(BrokenPictures, EachAloneEndsWithThreeAndALineThatNamesIt) {
  ASSERT_GE(broken_pictures().size(), 25u);
  for (const std::string& file : broken_pictures()) {
    const ProcessResult result = run({file});
    EXPECT_EQ(result.exit_code, 3) << file << " signal " << result.signal;
    EXPECT_THAT(result.out, IsEmpty()) << file;
    EXPECT_THAT(lines_of(result.err), ElementsAre(StartsWith("glm-ocr: " + file + ": ")));
    EXPECT_LT(result.peak_memory, 512 << 20) << file;
  }
}

TEST(BrokenPictures, BesideAGoodOneAllAreNamedAndTheGoodOneIsRead) {
  std::vector<std::string> arguments = {"--format", "jsonl"};
  const std::vector<std::string> files = broken_pictures();
  arguments.insert(arguments.end(), files.begin(), files.end());
  arguments.push_back(kWord);
  const ProcessResult result = run(arguments);
  EXPECT_EQ(result.exit_code, 1);
  const std::vector<json> pages = json_lines(result.out);
  ASSERT_EQ(pages.size(), files.size() + 1);
  for (std::size_t i = 0; i < files.size(); ++i) {
    EXPECT_EQ(pages[i]["file"], files[i]);
    EXPECT_EQ(pages[i]["error"]["code"], "input") << files[i];
  }
  EXPECT_EQ(pages.back()["text"], json::parse(run({"-f", "json", kWord}).out)["text"]);
  EXPECT_EQ(lines_of(result.err).size(), files.size());
}

TEST(BrokenPictures, WhatIsNotThereSaysSo) {
  const TemporaryFolder folder;
  const ProcessResult directory = run({folder.path().string()});
  EXPECT_EQ(directory.exit_code, 3);
  EXPECT_THAT(directory.err, HasSubstr("no pictures or PDF files in this folder"));
  const ProcessResult missing = run({folder / "missing.png"});
  EXPECT_EQ(missing.exit_code, 3);
  EXPECT_THAT(missing.err, HasSubstr("No such file"));
}

TEST(BrokenPictures, LimitsAreObeyed) {
  const ProcessResult large = run({"--max-pixels", "1000", kWord});
  EXPECT_EQ(large.exit_code, 3);
  EXPECT_THAT(large.err, HasSubstr("exceeds the limit of 1000 pixels"));
  const auto with_memory = [](const std::string& limit, const std::string& file) {
    return run({"--memory", limit, "--dtype", "fp32", "--max-tokens", "3", file});
  };
  const ProcessResult little = with_memory("1M", kWord);
  EXPECT_EQ(little.exit_code, 5) << little.err;
  std::smatch found;
  const std::regex least(R"(the memory limit of 1\.0 MiB is too small: (\d+) MiB is the least)");
  ASSERT_TRUE(std::regex_search(little.err, found, least)) << little.err;
  // The least that is named is enough for a word, not for a page, and nothing below it is.
  const int mib = std::stoi(found[1]);
  EXPECT_EQ(with_memory(std::to_string(mib) + "M", kWord).exit_code, 0);
  EXPECT_EQ(with_memory(std::to_string(mib - 1) + "M", kWord).exit_code, 5);
  const ProcessResult page = with_memory(std::to_string(mib) + "M", picture("page_900x700.png"));
  EXPECT_EQ(page.exit_code, 5);
  EXPECT_THAT(page.err,
              AllOf(HasSubstr("page_900x700.png: picture 1 of 3200 patches needs"), HasSubstr("MiB")));
}

TEST(BrokenMachine, AThreadThatCannotBeStartedIsAnErrorOfTheDevice) {
  ProcessOptions options;
  options.no_threads = true;
  for (const char* threads : {"1", "2"}) {
    Process process({"--threads", threads, kWord}, options);
    ASSERT_TRUE(process.ends_within(60)) << threads;
    const ProcessResult result = process.wait();
    EXPECT_EQ(result.exit_code, 6) << result.err;
    EXPECT_THAT(lines_of(result.err), ElementsAre(HasSubstr("thread"))) << threads;
  }
}

TEST(BrokenSchemas, AreInputThatCannotBeRead) {
  const TemporaryFolder folder;
  write_all(folder / "schema.json", "{\"a\": ");
  const ProcessResult result = run({"--task", "extract", "--schema", folder / "schema.json", kWord});
  EXPECT_EQ(result.exit_code, 3);
  EXPECT_THAT(result.err, HasSubstr("schema.json"));
  EXPECT_EQ(run({"--task", "extract", "--schema", folder / "missing.json", kWord}).exit_code, 3);
}

// A copy of a small snapshot that a test may damage.
class Snapshot {
 public:
  Snapshot() {
    for (const auto& entry : fs::directory_iterator(data("awkward"))) {
      fs::copy_file(entry.path(), folder_.path() / entry.path().filename());
    }
  }

  std::string path() const { return folder_.path().string(); }
  fs::path file(const std::string& name) const { return folder_.path() / name; }

  void edit(const std::string& name, const std::function<void(json&)>& change) const {
    json document = json::parse(read_all(file(name)));
    change(document);
    write_all(file(name), document.dump());
  }

  // Changes the header of the first shard and its length; the bytes of the tensors stay.
  void edit_header(const std::function<void(json&)>& change) const {
    const std::string bytes = read_all(file(kShard));
    std::uint64_t length = 0;
    std::memcpy(&length, bytes.data(), 8);
    json header = json::parse(bytes.substr(8, length));
    change(header);
    set_header(header.dump());
  }

  void set_header(const std::string& text) const {
    const std::string bytes = read_all(file(kShard));
    std::uint64_t length = 0;
    std::memcpy(&length, bytes.data(), 8);
    const std::uint64_t new_length = text.size();
    std::string changed(reinterpret_cast<const char*>(&new_length), 8);
    write_all(file(kShard), changed + text + bytes.substr(8 + length));
  }

  void set_header_length(std::uint64_t length) const {
    std::string bytes = read_all(file(kShard));
    std::memcpy(bytes.data(), &length, 8);
    write_all(file(kShard), bytes);
  }

  static constexpr const char* kShard = "model-00001-of-00002.safetensors";

 private:
  TemporaryFolder folder_;
};

struct ModelCase {
  const char* name;
  const char* message;  // part of the error
  std::function<void(const Snapshot&)> spoil;
};

std::string nested() { return "{\"a\": " + std::string(200'000, '[') + std::string(200'000, ']') + "}"; }

void set_pattern(const Snapshot& snapshot, const std::string& regex) {
  snapshot.edit("tokenizer.json",
                [&](json& t) { t["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = regex; });
}

constexpr const char* kQuery = "model.language_model.layers.0.self_attn.q_proj.weight";

const std::vector<ModelCase>& model_cases() {
  using S = const Snapshot&;
  static const std::vector<ModelCase> cases = {
      // config.json
      {"config missing", "config.json", [](S s) { fs::remove(s.file("config.json")); }},
      {"config empty", "config.json", [](S s) { write_all(s.file("config.json"), ""); }},
      {"config cut off", "config.json",
       [](S s) { write_all(s.file("config.json"), "{\"model_type\": \"glm_"); }},
      {"config no object", "config.json", [](S s) { write_all(s.file("config.json"), "[1, 2]"); }},
      {"config key twice", "twice", [](S s) { write_all(s.file("config.json"), "{\"a\": 1, \"a\": 2}"); }},
      {"other architecture", "model_type",
       [](S s) { s.edit("config.json", [](json& c) { c["model_type"] = "llama"; }); }},
      {"hidden_size missing", "hidden_size",
       [](S s) { s.edit("config.json", [](json& c) { c["text_config"].erase("hidden_size"); }); }},
      {"hidden_size a string", "hidden_size",
       [](S s) { s.edit("config.json", [](json& c) { c["text_config"]["hidden_size"] = "35"; }); }},
      {"negative layers", "num_hidden_layers",
       [](S s) { s.edit("config.json", [](json& c) { c["text_config"]["num_hidden_layers"] = -2; }); }},
      {"heads not divisible", "num_key_value_heads",
       [](S s) { s.edit("config.json", [](json& c) { c["text_config"]["num_key_value_heads"] = 4; }); }},
      {"rope sections do not add up", "mrope_section",
       [](S s) {
         s.edit("config.json", [](json& c) {
           c["text_config"]["rope_parameters"]["mrope_section"] = {6, 8, 11};
         });
       }},
      {"quantised by MLX", "quanti",
       [](S s) {
         s.edit("config.json", [](json& c) { c["quantization"] = {{"bits", 4}, {"group_size", 64}}; });
       }},
      {"image token elsewhere", "<|image|>",
       [](S s) { s.edit("config.json", [](json& c) { c["image_token_id"] = 490; }); }},
      {"end token does not exist", "eos_token_id",
       [](S s) {
         s.edit("config.json", [](json& c) { c["text_config"]["eos_token_id"] = {470, 99999}; });
         s.edit("generation_config.json", [](json& c) { c["eos_token_id"] = {470, 99999}; });
       }},
      {"config nested deeply", "config.json: nested deeper than 64 levels",
       [](S s) { write_all(s.file("config.json"), nested()); }},
      {"more heads than kernels take", "expected at most 256",
       [](S s) { s.edit("config.json", [](json& c) { c["text_config"]["num_attention_heads"] = 771; }); }},
      // preprocessor_config.json
      {"preprocessor nested deeply", "preprocessor_config.json: nested deeper than 64 levels",
       [](S s) { write_all(s.file("preprocessor_config.json"), nested()); }},
      {"longest_edge without end", "size.longest_edge is 2147483647, expected an integer from 1 to 67108864",
       [](S s) {
         s.edit("preprocessor_config.json", [](json& c) {
           c["size"] = {{"shortest_edge", 1}, {"longest_edge", INT32_MAX}};
         });
       }},
      {"preprocessor cut off", "preprocessor_config.json",
       [](S s) { write_all(s.file("preprocessor_config.json"), "{"); }},
      {"other patch size", "patch_size",
       [](S s) { s.edit("preprocessor_config.json", [](json& c) { c["patch_size"] = 16; }); }},
      // tokenizer.json
      {"tokenizer missing", "tokenizer.json", [](S s) { fs::remove(s.file("tokenizer.json")); }},
      {"tokenizer cut off", "tokenizer.json",
       [](S s) { write_all(s.file("tokenizer.json"), "{\"model\":"); }},
      {"tokenizer not BPE", "tokenizer.json",
       [](S s) { s.edit("tokenizer.json", [](json& t) { t["model"]["type"] = "Unigram"; }); }},
      {"tokenizer without vocabulary", "vocab",
       [](S s) { s.edit("tokenizer.json", [](json& t) { t["model"].erase("vocab"); }); }},
      {"merge of unknown tokens", "merge",
       [](S s) { s.edit("tokenizer.json", [](json& t) { t["model"]["merges"].push_back("qqq zzz"); }); }},
      {"broken split pattern", "tokenizer.json",
       [](S s) {
         s.edit("tokenizer.json",
                [](json& t) { t["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = "(unclosed"; });
       }},
      {"tokenizer nested deeply", "tokenizer.json: nested deeper than 64 levels",
       [](S s) { write_all(s.file("tokenizer.json"), nested()); }},
      {"split pattern that backtracks without end", "the pattern needs too much work",
       [](S s) { set_pattern(s, "(((.+)+)+)+\\z[^z]"); }},
      {"split pattern that splits characters", "uses \\C", [](S s) { set_pattern(s, "\\C"); }},
      {"split pattern that moves its begin", "uses \\K",
       [](S s) { set_pattern(s, "(?<k>a\\K){0}(?=(?&k))"); }},
      {"control token missing", "<|begin_of_image|>",
       [](S s) {
         s.edit("tokenizer.json", [](json& t) {
           for (json& token : t["added_tokens"]) {
             if (token["content"] == "<|begin_of_image|>") token["content"] = "<|other|>";
           }
         });
       }},
      // model.safetensors.index.json
      {"index cut off", "index.json",
       [](S s) { write_all(s.file("model.safetensors.index.json"), "{\"weight_map\": {"); }},
      {"index without map", "weight_map",
       [](S s) { write_all(s.file("model.safetensors.index.json"), "{\"metadata\": {}}"); }},
      {"index names a missing shard", "model-00002-of-00002.safetensors",
       [](S s) { fs::remove(s.file("model-00002-of-00002.safetensors")); }},
      {"index leads out of the folder", "index.json",
       [](S s) {
         s.edit("model.safetensors.index.json",
                [](json& i) { i["weight_map"]["lm_head.weight"] = "../../etc/passwd"; });
       }},
      {"index names the wrong shard", "lm_head.weight",
       [](S s) {
         s.edit("model.safetensors.index.json",
                [](json& i) { i["weight_map"]["lm_head.weight"] = "model-00002-of-00002.safetensors"; });
       }},
      {"no weights at all", "safetensors",
       [](S s) {
         for (const char* name :
              {"model.safetensors.index.json", Snapshot::kShard, "model-00002-of-00002.safetensors"}) {
           fs::remove(s.file(name));
         }
       }},
      // tensors
      {"shard empty", Snapshot::kShard, [](S s) { write_all(s.file(Snapshot::kShard), ""); }},
      {"shard cut off", Snapshot::kShard,
       [](S s) { fs::resize_file(s.file(Snapshot::kShard), fs::file_size(s.file(Snapshot::kShard)) - 100); }},
      {"header longer than the file", Snapshot::kShard,
       [](S s) { s.set_header_length(std::uint64_t{1} << 40); }},
      {"header length overflows", Snapshot::kShard, [](S s) { s.set_header_length(~std::uint64_t{0}); }},
      {"index nested deeply", "index.json: nested deeper than 64 levels",
       [](S s) { write_all(s.file("model.safetensors.index.json"), nested()); }},
      {"header nested deeply", "nested deeper than 64 levels", [](S s) { s.set_header(nested()); }},
      {"header no JSON", Snapshot::kShard, [](S s) { s.set_header("{\"lm_head.weight\": "); }},
      {"unknown stored type", "Q4_K",
       [](S s) { s.edit_header([](json& h) { h[kQuery]["dtype"] = "Q4_K"; }); }},
      {"offsets beyond the end", "lm_head.weight",
       [](S s) {
         s.edit_header([](json& h) { h["lm_head.weight"]["data_offsets"] = {0, std::int64_t{1} << 50}; });
       }},
      {"offsets backwards", "lm_head.weight",
       [](S s) { s.edit_header([](json& h) {
                   h["lm_head.weight"]["data_offsets"] = {100, 50};
                 }); }},
      {"shape against bytes", kQuery,
       [](S s) { s.edit_header([](json& h) {
                   h[kQuery]["shape"] = {288, 36};
                 }); }},
      {"negative shape", kQuery,
       [](S s) { s.edit_header([](json& h) {
                   h[kQuery]["shape"] = {-288, -35};
                 }); }},
      {"misshapen tensor", kQuery,
       [](S s) { s.edit_header([](json& h) {
                   h[kQuery]["shape"] = {35, 288};
                 }); }},
      {"missing tensor", kQuery,
       [](S s) {
         s.edit_header([](json& h) {
           h["model.language_model.layers.0.self_attn.x_proj.weight"] = h[kQuery];
           h.erase(kQuery);
         });
         s.edit("model.safetensors.index.json", [](json& i) {
           i["weight_map"]["model.language_model.layers.0.self_attn.x_proj.weight"] = i["weight_map"][kQuery];
           i["weight_map"].erase(kQuery);
         });
       }},
      {"unexpected tensor", "surprise.weight",
       [](S s) {
         s.edit_header([](json& h) {
           h["surprise.weight"] = {{"dtype", "BF16"}, {"shape", {0}}, {"data_offsets", {0, 0}}};
         });
         s.edit("model.safetensors.index.json",
                [](json& i) { i["weight_map"]["surprise.weight"] = Snapshot::kShard; });
       }},
  };
  return cases;
}

TEST(BrokenModel, TheUnspoiltOneWorks) {
  const Snapshot snapshot;
  snapshot.edit_header([](json&) {});  // rewriting a header does no damage by itself
  const ProcessResult result = run({"--model", snapshot.path(), "--max-tokens", "3", kWord});
  EXPECT_EQ(result.exit_code, 0) << result.err;
}

class BrokenModels : public testing::TestWithParam<std::size_t> {};

TEST_P(BrokenModels, EndWithFourAndALineThatNamesTheFault) {
  const ModelCase& one = model_cases()[GetParam()];
  const Snapshot snapshot;
  one.spoil(snapshot);
  const ProcessResult result = run({"--model", snapshot.path(), "--max-tokens", "3", kWord});
  EXPECT_EQ(result.exit_code, 4) << one.name << ", signal " << result.signal << "\n" << result.err;
  EXPECT_THAT(result.out, IsEmpty()) << one.name;
  EXPECT_THAT(lines_of(result.err), ElementsAre(AllOf(StartsWith("glm-ocr: "), HasSubstr(one.message))))
      << one.name;
}

std::string case_name(const testing::TestParamInfo<std::size_t>& info) {
  std::string name = model_cases()[info.param].name;
  for (char& c : name) c = std::isalnum(static_cast<unsigned char>(c)) ? c : '_';
  return name;
}

INSTANTIATE_TEST_SUITE_P(Kinds, BrokenModels, testing::Range(std::size_t{0}, model_cases().size()),
                         case_name);

TEST(BrokenModel, AMissingFolderSaysWhereItLooked) {
  const ProcessResult result = run({"--model", "/nonexistent/model", kWord});
  EXPECT_EQ(result.exit_code, 4);
  EXPECT_THAT(result.err, HasSubstr("/nonexistent/model: no such folder"));
}

}  // namespace
}  // namespace glmocr::integration
