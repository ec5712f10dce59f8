// SPDX-License-Identifier: Apache-2.0
// The command line itself, and the commands other than `read`.
#include <gmock/gmock.h>

#include <cmath>
#include <cstring>
#include <set>

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

struct UsageCase {
  std::vector<std::string> arguments;
  std::string message;  // part of it
};

TEST(CommandLine, MistakesAreNamedAndEndWithTwo) {
  const UsageCase cases[] = {
      {{}, "no picture given"},
      {{"--threads", "0", kWord}, "--threads: 0 is out of range, expected 1"},
      {{"--threads", "-3", kWord}, "--threads: -3 is out of range"},
      {{"--threads", "two", kWord}, "\"two\" is not a number"},
      {{"--max-tokens", "0", kWord}, "--max-tokens: 0 is out of range"},
      {{"--format", "xml", kWord}, "\"xml\" is none of text|json|jsonl"},
      {{"--task", "txt", kWord}, "\"txt\" is none of text|table|formula|extract"},
      {{"--dtype", "fp8", kWord}, "\"fp8\" is none of auto|fp32|bf16"},
      {{"--memory", "much", kWord}, "\"much\" is not a size"},
      {{"--background", "#12", kWord}, "\"#12\" is not a colour"},
      {{"--top-p", "1.5", kWord}, "--top-p: 1.5 is out of range, expected 0 to 1"},
      {{"--temprature", "1", kWord}, "--temprature: no such option; did you mean --temperature?"},
      {{"--completely-unknown", kWord}, "--completely-unknown: no such option"},
      {{"-Z", kWord}, "-Z: no such option"},
      {{"--task", "extract", kWord}, "--task extract needs --schema"},
      {{"--schema", kWord, kWord}, "--schema needs --task extract"},
      {{"--prompt", "x", "--task", "text", kWord}, "--prompt"},
      {{"--stream", "--format", "json", kWord}, "--stream needs --format text"},
      {{"--stream", "-o", "x", kWord}, "--stream"},
      {{"--logprobs", "3", kWord}, "--logprobs needs --format json"},
      {{"--model"}, "--model"},
      {{"inof"}, "did you mean \"info\"?"},
      {{"-o", "", kWord}, "--output: is empty"},
      {{"parse", "-o", "", kWord}, "--output: is empty"},
      {{"layout", "--dump", "", kWord}, "--dump: is empty"},
      {{"--model", "", kWord}, "--model: is empty"},
      {{"--files-from", "", kWord}, "--files-from: is empty"},
      {{"--stop", "a", "--stop", "", kWord}, "--stop: is empty"},
      {{"--format", "json", "--format", "text", kWord}, "--format: was given 2 times"},
      {{"-o", "a", "-o", "b", kWord}, "--output: was given 2 times"},
      {{"forward", "--json"}, "--image"},
      {{"parse", "--regions", "classical", "--layout-model", "x", kWord},
       "--layout-model is not used with --regions classical"},
      {{"parse", "--layout-model", "x", "--regions", "page", kWord},
       "--layout-model is not used with --regions page"},
      {{"tokenize"}, "nothing to tokenize"},
      {{"info", "surplus"}, "\"surplus\" was not expected"},
  };
  for (const UsageCase& one : cases) {
    const ProcessResult result = run(one.arguments);
    EXPECT_EQ(result.exit_code, 2) << one.message << "\n" << result.err;
    EXPECT_THAT(result.out, IsEmpty());
    EXPECT_THAT(lines_of(result.err), ElementsAre(AllOf(StartsWith("glm-ocr: "), HasSubstr(one.message)),
                                                  HasSubstr("glm-ocr --help")));
  }
}

TEST(CommandLine, HelpTellsEverything) {
  const ProcessResult help = run({"--help"});
  EXPECT_EQ(help.exit_code, 0);
  EXPECT_THAT(help.err, IsEmpty());
  EXPECT_EQ(run({"read", "-h"}).out, help.out);
  EXPECT_EQ(run({"help"}).out, help.out);
  for (const int code : {0, 1, 2, 3, 4, 5, 6, 70, 75, 130, 141}) {
    EXPECT_THAT(help.out, testing::ContainsRegex("\n  " + std::to_string(code) + " +[a-z]"));
  }
  for (const char* word :
       {"--task",        "--schema",     "--prompt", "--model",      "--format",       "--output",
        "--max-tokens",  "--threads",    "--dtype",  "--device",     "--stats",        "--stream",
        "--temperature", "--top-p",      "--top-k",  "--min-p",      "--seed",         "--repetition-penalty",
        "--stop",        "--logprobs",   "--quiet",  "--verbose",    "--version",      "--files-from",
        "--max-pixels",  "--background", "--memory", "GLMOCR_MODEL", "GLMOCR_CPU_ISA", "HF_HUB_CACHE",
        "NO_COLOR",      "forward",      "info",     "tokenize",     "selftest",       "bench",
        "quantize",      "layout",       "parse",    "Examples:"}) {
    EXPECT_THAT(help.out, HasSubstr(word));
  }
  for (const std::string& line : lines_of(help.out)) EXPECT_LE(line.size(), 100u) << line;
  for (const char* command :
       {"parse", "layout", "forward", "info", "tokenize", "selftest", "bench", "quantize"}) {
    const ProcessResult own = run({command, "--help"});
    EXPECT_EQ(own.exit_code, 0);
    EXPECT_THAT(own.out,
                AllOf(HasSubstr(std::string("Usage: glm-ocr ") + command), HasSubstr("Exit codes:")));
    EXPECT_EQ(run({"help", command}).out, own.out);
  }
}

TEST(CommandLine, Version) {
  EXPECT_THAT(run({"--version"}).out, testing::MatchesRegex("glm-ocr [0-9]+\\.[0-9]+\\.[0-9]+\n"));
}

TEST(CommandLine, ADoubleDashEndsTheOptions) {
  const ProcessResult result = run({"--", "--missing.png"});
  EXPECT_EQ(result.exit_code, 3);
  EXPECT_THAT(result.err, StartsWith("glm-ocr: --missing.png: "));
}

TEST(Forward, JsonHasTheDocumentedKeys) {
  const ProcessResult result = run({"forward", "--image", kWord, "--top", "3", "--dtype", "fp32", "--json"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  std::vector<std::string> keys;
  const auto ordered = nlohmann::ordered_json::parse(result.out);
  for (const auto& entry : ordered.items()) keys.push_back(entry.key());
  EXPECT_THAT(keys, ElementsAre("prompt_tokens", "image_grid_thw", "logits_shape", "top", "mean", "std"));
  const json answer = json::parse(result.out);
  const int vocabulary = answer["logits_shape"][2];
  EXPECT_EQ(answer["image_grid_thw"], json::parse("[[1,4,8]]"));
  EXPECT_EQ(answer["logits_shape"], json::array({1, 1, vocabulary}));
  ASSERT_EQ(answer["top"].size(), 3u);
  EXPECT_GE(answer["top"][0][1], answer["top"][1][1]);
  EXPECT_GT(answer["std"], 0);
  EXPECT_EQ(run({"forward", "--image", kWord, "--top", "3", "--dtype", "fp32", "--json"}).out, result.out);
}

// Reads a file that --dump wrote, by the rules of numpy.lib.format.
struct Npy {
  std::string header;
  std::vector<float> values;
};

Npy read_npy(const fs::path& path) {
  const std::string bytes = read_all(path);
  EXPECT_EQ(bytes.substr(0, 8), std::string("\x93NUMPY\x01\x00", 8)) << path;
  const std::size_t length =
      static_cast<unsigned char>(bytes.at(8)) + 256u * static_cast<unsigned char>(bytes.at(9));
  EXPECT_EQ((10 + length) % 64, 0u) << path;
  EXPECT_EQ(bytes.at(9 + length), '\n') << path;
  Npy npy{bytes.substr(10, length), std::vector<float>((bytes.size() - 10 - length) / 4)};
  std::memcpy(npy.values.data(), bytes.data() + 10 + length, 4 * npy.values.size());
  return npy;
}

TEST(Forward, DumpWritesTheTensorsThatTheLogitsComeFrom) {
  const TemporaryFolder folder;
  const ProcessResult result = run(
      {"forward", "--image", kWord, "--dtype", "fp32", "--json", "--top", "1", "--dump", folder / "tensors"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const json answer = json::parse(result.out);
  const int vocabulary = answer["logits_shape"][2];
  const Npy logits = read_npy(folder / "tensors/logits.npy");
  EXPECT_THAT(logits.header, AllOf(HasSubstr("'descr': '<f4'"), HasSubstr("'fortran_order': False"),
                                   HasSubstr("(1, " + std::to_string(vocabulary) + ")")));
  ASSERT_EQ(logits.values.size(), static_cast<std::size_t>(vocabulary));
  const std::size_t best = answer["top"][0][0];
  EXPECT_FLOAT_EQ(logits.values[best], answer["top"][0][1].get<float>());
  const Npy positions = read_npy(folder / "tensors/position_ids.npy");
  EXPECT_EQ(positions.values.size(), 3 * answer["prompt_tokens"].get<std::size_t>());
  const Npy pixels = read_npy(folder / "tensors/pixel_values.npy");
  EXPECT_EQ(pixels.values.size() % 32, 0u);  // 4x8 patches
}

TEST(Forward, SeveralPicturesAndAPrompt) {
  const ProcessResult result = run({"forward", "--image", kWord, "--image", picture("line_308x84.png"),
                                    "--prompt", "What is it?", "--json"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(json::parse(result.out)["image_grid_thw"], json::parse("[[1,4,8],[1,6,22]]"));
}

TEST(Info, TextAndJsonAgree) {
  const ProcessResult text = run({"info"});
  ASSERT_EQ(text.exit_code, 0) << text.err;
  const json info = json::parse(run({"info", "--json"}).out);
  std::int64_t tensors = 0;
  for (const json& group : info["tensors"]) tensors += group["tensors"].get<std::int64_t>();
  EXPECT_GT(tensors, 100);
  EXPECT_THAT(text.out, AllOf(HasSubstr(std::to_string(tensors) + " tensors"),
                              HasSubstr(std::to_string(info["tokenizer"]["vocabulary"].get<int>()))));
  EXPECT_TRUE(info["config"]["text.hidden_size"].is_number());
  EXPECT_GT(info["memory"]["kv_bytes_per_token"], 0);
}

TEST(Info, ShowsAMemoryPlanWithinTheLimit) {
  const json memory = json::parse(run({"info", "--json", "--memory", "256M"}).out)["memory"];
  const json& plan = memory["plan"];
  EXPECT_EQ(plan["limit"], 256 << 20);
  for (const char* key : {"keys_and_values", "context_tokens", "step", "picture", "picture_patches"}) {
    EXPECT_GT(plan[key], 0) << key;
  }
  EXPECT_LE(plan["picture_patches"], plan["largest_picture_patches"]);
  std::int64_t sum = memory["copied_bytes"];
  for (const char* key : {"keys_and_values", "picture"}) sum += plan[key].get<std::int64_t>();
  EXPECT_LE(sum, 256 << 20);
  EXPECT_EQ(json::parse(run({"info", "--json"}).out)["memory"]["plan"]["limit"], 0);
  EXPECT_THAT(run({"info", "--memory", "256M"}).out,
              AllOf(HasSubstr("256.0 MiB"), HasSubstr(std::to_string(plan["context_tokens"].get<int>()))));
}

TEST(Info, AMemoryLimitThatCannotWorkEndsWithFive) {
  const ProcessResult result = run({"info", "--memory", "1M"});
  EXPECT_EQ(result.exit_code, 5);
  EXPECT_THAT(result.out, IsEmpty());
  EXPECT_THAT(result.err, HasSubstr("MiB"));
  EXPECT_EQ(run({"--memory", "1M", kWord}).exit_code, 5);
}

TEST(Tokenize, ThereAndBack) {
  const std::string text = "Invoice No. 42: 3 × 7,50 €";
  const json tokens = json::parse(run({"tokenize", "--json", text}).out);
  ASSERT_EQ(tokens["ids"].size(), tokens["tokens"].size());
  std::vector<std::string> arguments = {"tokenize", "--decode"};
  std::string ids;
  for (const json& id : tokens["ids"]) {
    arguments.push_back(std::to_string(id.get<int>()));
    ids += (ids.empty() ? "" : " ") + arguments.back();
  }
  EXPECT_EQ(run(arguments).out, text + "\n");
  EXPECT_EQ(run({"tokenize", "--ids", text}).out, ids + "\n");
  EXPECT_EQ(lines_of(run({"tokenize", text}).out).size(), tokens["ids"].size());

  const TemporaryFolder folder;
  write_all(folder / "text", text);
  EXPECT_EQ(run({"tokenize", "--ids", "--file", folder / "text"}).out, ids + "\n");
  ProcessOptions options;
  options.standard_input = text;
  EXPECT_EQ(run({"tokenize", "--ids", "-"}, options).out, ids + "\n");
}

TEST(Tokenize, ControlTokensAreMatchedOnlyWhenAsked) {
  EXPECT_GT(json::parse(run({"tokenize", "--json", "<|image|>"}).out)["ids"].size(), 1u);
  EXPECT_EQ(json::parse(run({"tokenize", "--json", "--match-added", "<|image|>"}).out)["ids"].size(), 1u);
}

TEST(Tokenize, BadInputIsNamed) {
  EXPECT_EQ(run({"tokenize", "--decode", "99999999"}).exit_code, 3);
  EXPECT_EQ(run({"tokenize", "--file", "/nonexistent"}).exit_code, 3);
  EXPECT_EQ(run({"tokenize", "\xff"}).exit_code, 3);
}

TEST(Selftest, PassesHere) {
  const ProcessResult result = run({"selftest"});
  EXPECT_EQ(result.exit_code, 0) << result.out;
  const std::vector<std::string> lines = lines_of(result.out);
  ASSERT_GT(lines.size(), 10u);
  EXPECT_THAT(lines.back(), HasSubstr("checks passed"));
  for (std::size_t i = 0; i + 1 < lines.size(); ++i) EXPECT_THAT(lines[i], StartsWith("ok "));
}

TEST(Devices, SeveralReadTheSameTexts) {
  std::vector<std::string> arguments = {"--max-tokens", "8", "--stats"};
  for (const char* name : {"word_56x56.png", "word_112x56.png", "line_300x40.png", "word_56x56.png"})
    arguments.push_back(picture(name));
  const std::string expected = run(arguments).out;
  arguments.insert(arguments.end(), {"--device", "cpu,cpu,cpu"});
  const ProcessResult result = run(arguments);
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.out, expected);
  EXPECT_THAT(result.err, HasSubstr("machine: cpu,cpu,cpu, "));
  EXPECT_THAT(result.err, HasSubstr("devices: cpu, "));
  EXPECT_THAT(result.err, HasSubstr(" tok/s) on cpu\n"));
  const json info = json::parse(run({"info", "--json", "--device", "cpu,cpu"}).out);
  EXPECT_EQ(info["device"], "cpu,cpu");
}

TEST(Devices, CommandsThatNeedOneSaySo) {
  for (const std::vector<std::string>& command : {std::vector<std::string>{"selftest"},
                                                  {"bench", "--synthetic-small"},
                                                  {"forward", "--image", kWord},
                                                  {"layout", kWord}}) {
    std::vector<std::string> arguments = command;
    arguments.insert(arguments.end(), {"--device", "cpu,cpu"});
    const ProcessResult result = run(arguments);
    EXPECT_EQ(result.exit_code, 2) << command[0];
    EXPECT_THAT(result.err, HasSubstr("one device")) << command[0];
    EXPECT_THAT(result.err, HasSubstr("cpu,cpu")) << command[0];
  }
  EXPECT_EQ(run({"--device", "cuda:0,cuda:0", kWord}).exit_code, 2);
  EXPECT_EQ(run({"--device", "cpu,nothing", kWord}).exit_code, 2);
}

TEST(Bench, MeasuresEveryCaseOfASmallModel) {
  const ProcessResult result =
      run({"bench", "--synthetic-small", "--no-peaks", "--pictures", "56x84,112x112", "--prompts", "20",
           "--sequences", "1,3", "--contexts", "40", "--tokens", "2", "--runs", "2", "--json"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const json answer = json::parse(result.out);
  std::vector<std::string> phases;
  for (const json& one : answer["cases"]) {
    phases.push_back(one["phase"]);
    EXPECT_GT(one["ms"], 0) << one;
    EXPECT_GE(one["ms"], one["least_ms"]) << one;
    EXPECT_GT(one["operations"], 0) << one;
    EXPECT_TRUE(one["share_of_memory"].is_null()) << one;
  }
  EXPECT_THAT(phases, ElementsAre("vision", "vision", "prefill", "decode", "decode"));
  for (const char* peak : {"fp32", "bf16", "int8", "bytes"})
    EXPECT_TRUE(answer["peaks"][peak].is_null()) << peak;
  EXPECT_EQ(answer["cases"][1]["patches"], 64);
  EXPECT_EQ(answer["cases"][4]["sequences"], 3);
  const ProcessResult table = run({"bench", "--no-peaks", "--pictures", "56x56", "--prompts", "none",
                                   "--sequences", "1", "--tokens", "1", "--runs", "1", "--quantize", "int8"});
  ASSERT_EQ(table.exit_code, 0) << table.err;
  EXPECT_THAT(table.out,
              AllOf(HasSubstr("vision 84x84, 36 patches"), HasSubstr("decode 1 sequence, context 150")));
}

TEST(Bench, MistakesAreNamed) {
  const auto message = [](std::vector<std::string> options) {
    options.insert(options.begin(), {"bench", "--synthetic-small", "--no-peaks"});
    const ProcessResult result = run(options);
    EXPECT_EQ(result.exit_code, 2);
    return result.err;
  };
  EXPECT_THAT(message({"--pictures", "560"}), HasSubstr("\"560\" is no size such as 560x560"));
  EXPECT_THAT(message({"--prompts", "1,,2"}), HasSubstr("\"1,,2\" is not a list"));
  EXPECT_THAT(message({"--prompts", "0"}), HasSubstr("the length of a prompt is 0, expected 1 to"));
  EXPECT_THAT(message({"--synthetic"}), HasSubstr("--synthetic"));
}

TEST(Quantize, WritesASnapshotThatReadsTheSame) {
  const TemporaryFolder folder;
  const std::string to = folder.path() / "int8";
  const ProcessResult made = run({"quantize", data("narrow"), to});
  ASSERT_EQ(made.exit_code, 0) << made.err;
  EXPECT_THAT(made.out, HasSubstr("matrices in eight bits"));
  const auto logits = [&](std::vector<std::string> options) {
    options.insert(options.begin(), {"forward", "--image", kWord, "--dtype", "fp32", "--json"});
    const ProcessResult result = run(options);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return result.out;
  };
  EXPECT_EQ(logits({"--model", to}), logits({"--model", data("narrow"), "--quantize", "int8"}));
  EXPECT_NE(logits({"--model", to}), logits({"--model", data("narrow")}));
  EXPECT_LT(fs::file_size(fs::path(to) / "model.safetensors"),
            fs::file_size(data("narrow") + "/model.safetensors"));

  const ProcessResult again = run({"quantize", to, (folder.path() / "more").string()});
  EXPECT_EQ(again.exit_code, 4);
  EXPECT_THAT(again.err, HasSubstr("has eight bits already"));
  EXPECT_EQ(run({"quantize", data("narrow"), to}).exit_code, 2);
}

TEST(Quantize, LeavesOutWeightsOfOtherForms) {
  const TemporaryFolder folder;
  const fs::path from = folder.path() / "from", to = folder.path() / "to";
  fs::copy(data("narrow"), from);
  for (const char* name : {"pytorch_model.bin", "pytorch_model.bin.index.json", "old.pt", "narrow.gguf"})
    write_all(from / name, "weights");
  write_all(from / "README.md", "Card");
  const ProcessResult made = run({"quantize", from, to});
  ASSERT_EQ(made.exit_code, 0) << made.err;
  std::set<std::string> expected, found;
  for (const auto& entry : fs::directory_iterator(data("narrow"))) expected.insert(entry.path().filename());
  expected.insert("README.md");
  for (const auto& entry : fs::directory_iterator(to)) found.insert(entry.path().filename());
  EXPECT_EQ(found, expected);
  EXPECT_EQ(read_all(to / "README.md"), "Card");
}

TEST(Quantize, OutputThatCannotBeWrittenIsNoBrokenInput) {
  const TemporaryFolder folder;
  write_all(folder / "file", "");
  const ProcessResult result = run({"quantize", data("narrow"), folder / "file/to"});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.err, HasSubstr("file/to: cannot be made"));
}

TEST(Model, DefaultComesFromTheEnvironmentElseBesideTheProgram) {
  ProcessOptions options;
  options.environment = {{"GLMOCR_MODEL", data("awkward")}};
  EXPECT_EQ(json::parse(run({"info", "--json"}, options).out)["path"], data("awkward"));
  EXPECT_THAT(json::parse(run({"info", "--json"}).out)["path"].get<std::string>(),
              testing::EndsWith("share/glm-ocr/models/mini"));
}

TEST(Model, HubNamesAreFoundInTheCache) {
  const TemporaryFolder folder;
  const fs::path repository = folder.path() / "models--zai-org--GLM-OCR";
  fs::create_directories(repository / "snapshots");
  fs::create_directories(repository / "refs");
  fs::create_directory_symlink(data("awkward"), repository / "snapshots/0123abc");
  write_all(repository / "refs/main", "0123abc");
  ProcessOptions options;
  options.environment = {{"HF_HUB_CACHE", folder.path().string()}};
  EXPECT_EQ(run({"info", "--model", "zai-org/GLM-OCR"}, options).exit_code, 0);
  const ProcessResult missing = run({"info", "--model", "zai-org/Other"}, options);
  EXPECT_EQ(missing.exit_code, 4);
  EXPECT_THAT(missing.err, AllOf(HasSubstr(folder.path().string()), HasSubstr("hf download zai-org/Other")));
}

TEST(Device, AnUnknownOneEndsWithSix) {
  const ProcessResult result = run({"--device", "abacus", kWord});
  EXPECT_EQ(result.exit_code, 6);
  EXPECT_THAT(result.err, HasSubstr("abacus"));
}

}  // namespace
}  // namespace glmocr::integration
