// SPDX-License-Identifier: Apache-2.0
// `glm-ocr read`: texts, formats, outputs, inputs.
#include <gmock/gmock.h>

#include "integration/program.h"

namespace glmocr::integration {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::AllOf;
using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::StartsWith;

const std::string kLine = picture("line_308x84.png");
const std::string kOther = picture("line_300x40.png");

std::vector<std::string> keys_of(const std::string& line) {
  std::vector<std::string> keys;
  const auto object = nlohmann::ordered_json::parse(line);
  for (const auto& entry : object.items()) keys.push_back(entry.key());
  return keys;
}

TEST(Read, TheTextAloneIsOnStandardOutput) {
  const ProcessResult result = run({kLine});
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_THAT(result.err, IsEmpty());
  EXPECT_GT(result.out.size(), 5u);
  EXPECT_THAT(result.out, EndsWith("\n"));
  EXPECT_EQ(run({"read", kLine}).out, result.out);
  EXPECT_EQ(run({"-q", "read", kLine}).out, result.out);
}

TEST(Read, SeveralTextsAreSeparatedByFormFeeds) {
  const std::string word = run({kWord}).out;
  const std::string line = run({kLine}).out;
  EXPECT_EQ(run({kWord, kLine, kWord}).out, word + "\f" + line + "\f" + word);
  // A broken picture does not leave an empty text.
  EXPECT_EQ(run({kBroken, kWord, kBroken, kLine, kBroken}).out, word + "\f" + line);
}

// What must not depend on other pictures: everything but the times.
std::vector<json> results(const std::string& dtype, const std::string& batch,
                          const std::vector<std::string>& files) {
  std::vector<std::string> arguments = {"--format", "jsonl", "--logprobs", "2",
                                        "--dtype",  dtype,   "--batch",    batch};
  arguments.insert(arguments.end(), files.begin(), files.end());
  std::vector<json> pages = json_lines(run(arguments).out);
  for (json& page : pages) page.erase("timings");
  return pages;
}

TEST(Read, TextAndLogprobsAreTheSameAloneAndAmongOthers) {
  const std::vector<std::string> files = {
      kWord, kLine, kOther, picture("paragraph_448x140.png"), picture("table_448x224.png"), kWord};
  for (const char* dtype : {"fp32", "bf16"}) {
    const std::vector<json> alone = results(dtype, "1", files);
    ASSERT_EQ(alone.size(), files.size());
    EXPECT_EQ(results(dtype, "1", {kLine}), (std::vector<json>{alone[1]}));
    for (const char* batch : {"5", "16"}) {
      const std::vector<json> together = results(dtype, batch, files);
      ASSERT_EQ(together.size(), files.size());
      for (std::size_t i = 0; i < files.size(); ++i) {
        EXPECT_TRUE(together[i] == alone[i]) << dtype << ", --batch " << batch << ", " << files[i];
      }
    }
  }
}

TEST(Read, AMemoryLimitIsObeyed) {
  const std::string crop = data("samples/letters-10-14-px-clean-01.png");  // 448x224
  const ProcessResult limited = run({"--memory", "64M", "--stats", crop});
  EXPECT_EQ(limited.exit_code, 0) << limited.err;
  EXPECT_EQ(limited.out, run({crop}).out);
  EXPECT_THAT(limited.err, testing::ContainsRegex("memory:  peak [0-9.]+ [KM]iB of 64.0 MiB"));
}

TEST(Read, PicturesThatDoNotFitTheMemoryTogetherWait) {
  const std::vector<std::string> files(24, picture("table_448x224.png"));
  std::vector<std::string> arguments = {"--no-enlarge", "--max-tokens", "8", "-q", "--batch", "2"};
  arguments.insert(arguments.end(), files.begin(), files.end());
  const std::string expected = run(arguments).out;
  arguments.insert(arguments.end(), {"--memory", "22M"});
  const ProcessResult limited = run(arguments);
  EXPECT_EQ(limited.exit_code, 0) << limited.err;
  EXPECT_EQ(limited.out, expected);
}

TEST(Read, JsonHasTheDocumentedKeys) {
  const ProcessResult result = run({"--format", "jsonl", kLine});
  ASSERT_EQ(result.exit_code, 0);
  EXPECT_THAT(keys_of(result.out),
              ElementsAre("file", "text", "finish_reason", "complete", "prompt_tokens", "image_tokens",
                          "completion_tokens", "mean_logprob", "timings", "device"));
  const json page = json::parse(result.out);
  EXPECT_EQ(page["device"], "cpu");
  EXPECT_EQ(page["file"], kLine);
  EXPECT_EQ(page["text"].get<std::string>() + "\n", run({kLine}).out);
  EXPECT_EQ(page["finish_reason"], "stop");
  EXPECT_EQ(page["complete"], true);
  EXPECT_EQ(page["image_tokens"], 33);  // 308x84: 22x6 patches, 4 per token
  EXPECT_GT(page["prompt_tokens"], page["image_tokens"]);
  EXPECT_GT(page["completion_tokens"], 1);
  EXPECT_LT(page["mean_logprob"], 0);
  for (const char* key : {"load", "decode_image", "vision", "prefill", "decode"}) {
    EXPECT_GT(page["timings"][key], 0) << key;
  }
  EXPECT_EQ(page["timings"].size(), 5u);
}

TEST(Read, SmallPrintIsEnlargedUnlessForbidden) {
  const std::string small = data("samples/letters-10-14-px-clean-01.png");  // 448x224
  const auto tokens = [&](const std::vector<std::string>& flags) {
    std::vector<std::string> arguments{"--format", "jsonl"};
    arguments.insert(arguments.end(), flags.begin(), flags.end());
    arguments.push_back(small);
    return json::parse(run(arguments).out)["image_tokens"].get<int>();
  };
  EXPECT_EQ(tokens({"--no-enlarge"}), 16 * 8);
  EXPECT_EQ(tokens({}), 24 * 12);
}

TEST(Read, JsonIsAnObjectForOneInputAndAnArrayForSeveral) {
  EXPECT_TRUE(json::parse(run({"-f", "json", kWord}).out).is_object());
  const json pages = json::parse(run({"-f", "json", kWord, kBroken, kLine}).out);
  ASSERT_TRUE(pages.is_array());
  ASSERT_EQ(pages.size(), 3u);
  EXPECT_EQ(pages[0]["file"], kWord);
  EXPECT_EQ(pages[1]["file"], kBroken);
  EXPECT_EQ(pages[1]["error"]["code"], "input");
  EXPECT_THAT(pages[1]["error"]["message"].get<std::string>(), Not(HasSubstr(kBroken)));
  EXPECT_EQ(pages[2]["file"], kLine);
}

TEST(Read, JsonLinesComeInInputOrder) {
  // The long page comes first and ends last.
  const std::vector<std::string> files = {
      picture("paragraph_448x140.png"), kWord, kBroken, kOther, kWord, kLine};
  std::vector<std::string> arguments = {"--format", "jsonl"};
  arguments.insert(arguments.end(), files.begin(), files.end());
  const ProcessResult result = run(arguments);
  EXPECT_EQ(result.exit_code, 1);
  const std::vector<json> pages = json_lines(result.out);
  ASSERT_EQ(pages.size(), files.size());
  for (std::size_t i = 0; i < files.size(); ++i) EXPECT_EQ(pages[i]["file"], files[i]);
}

TEST(Read, LogprobsAreThoseOfTheTokens) {
  const json page = json::parse(run({"--format", "json", "--logprobs", "2", kLine}).out);
  const json& tokens = page["logprobs"];
  ASSERT_EQ(tokens.size(), page["completion_tokens"].get<std::size_t>());
  std::string text;
  double sum = 0;
  for (const json& token : tokens) {
    text += token["text"].get<std::string>();
    sum += token["logprob"].get<double>();
    ASSERT_EQ(token["top"].size(), 2u);
    EXPECT_EQ(token["top"][0][0], token["token"]);  // greedy
    EXPECT_GE(token["top"][0][1], token["top"][1][1]);
  }
  EXPECT_EQ(text, page["text"]);
  EXPECT_NEAR(sum / static_cast<double>(tokens.size()), page["mean_logprob"], 1e-6);
}

TEST(Read, StreamedTextIsTheSameText) {
  EXPECT_EQ(run({"--stream", kLine, kBroken, kWord}).out, run({kLine, kBroken, kWord}).out);
}

TEST(Read, StandardInput) {
  ProcessOptions options;
  options.standard_input = read_all(kLine);
  const ProcessResult result = run({"--format", "jsonl", "-"}, options);
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_EQ(json::parse(result.out)["file"], "-");
  EXPECT_EQ(json::parse(result.out)["text"], json::parse(run({"--format", "jsonl", kLine}).out)["text"]);

  options.standard_input = "Hello";
  const ProcessResult bad = run({"-"}, options);
  EXPECT_EQ(bad.exit_code, 3);
  EXPECT_THAT(bad.err, StartsWith("glm-ocr: standard input: "));
  EXPECT_EQ(run({"-"}).exit_code, 3);  // empty
  EXPECT_EQ(run({"-", "-"}).exit_code, 2);
  EXPECT_EQ(run({"--files-from", "-", "-"}).exit_code, 2);
}

TEST(Read, FilesFromAList) {
  const TemporaryFolder folder;
  const std::string odd = folder / "two words\nand a newline.png";
  fs::copy_file(kWord, odd);
  const std::string expected = run({kLine, kWord}).out;

  write_all(folder / "list", kLine + "\r\n\n" + kWord);
  EXPECT_EQ(run({"--files-from", folder / "list"}).out, expected);
  EXPECT_EQ(run({kLine, "--files-from", folder / "list"}).out, run({kLine}).out + "\f" + expected);
  ProcessOptions options;
  options.standard_input = kLine + '\0' + odd + '\0';
  EXPECT_EQ(run({"--files-from", "-", "-0"}, options).out, expected);

  write_all(folder / "empty", "\n\n");
  const ProcessResult none = run({"--files-from", folder / "empty"});
  EXPECT_EQ(none.exit_code, 3);
  EXPECT_THAT(none.err, HasSubstr("the list names no picture"));
  EXPECT_EQ(run({"--files-from", folder / "missing"}).exit_code, 3);
  EXPECT_EQ(run({"-0", kWord}).exit_code, 2);
}

TEST(Read, MessagesStayOnOneLine) {
  const TemporaryFolder folder;
  const std::string odd = folder / "evil\n\033[31m.png";
  write_all(odd, "no picture");
  const ProcessResult result = run({odd});
  EXPECT_EQ(result.exit_code, 3);
  EXPECT_THAT(lines_of(result.err), ElementsAre(HasSubstr("evil\\n\\x1b[31m.png: not a picture")));
}

TEST(Read, ANameThatIsNoUtf8DoesNotBreakJson) {
  const TemporaryFolder folder;
  const std::string odd = folder / "caf\xe9.png";
  fs::copy_file(kWord, odd);
  const ProcessResult result = run({"--format", "jsonl", odd});
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_THAT(json::parse(result.out)["file"].get<std::string>(), EndsWith("caf\xef\xbf\xbd.png"));
}

TEST(Read, OutputIntoAFile) {
  const TemporaryFolder folder;
  const ProcessResult result = run({"-o", folder / "out.txt", kWord, kLine});
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_THAT(result.out, IsEmpty());
  EXPECT_EQ(read_all(folder / "out.txt"), run({kWord, kLine}).out);
  EXPECT_THAT(folder.names(), ElementsAre("out.txt"));
}

TEST(Read, AnOldFileStaysWhereNothingCouldBeRead) {
  const TemporaryFolder folder;
  write_all(folder / "out.txt", "old");
  EXPECT_EQ(run({"-o", folder / "out.txt", kBroken}).exit_code, 3);
  EXPECT_EQ(read_all(folder / "out.txt"), "old");
  EXPECT_THAT(folder.names(), ElementsAre("out.txt"));
}

TEST(Read, ALinkStaysAndTheFileBehindItIsWritten) {
  const TemporaryFolder folder;
  fs::create_directory(folder / "far");
  fs::create_symlink("far/out.txt", folder / "link");
  for (int times = 0; times < 2; ++times) {  // the file does not exist at first
    EXPECT_EQ(run({"-o", folder / "link", kWord}).exit_code, 0);
    EXPECT_TRUE(fs::is_symlink(folder / "link"));
    EXPECT_THAT(read_all(folder / "far/out.txt"), Not(IsEmpty()));
    fs::resize_file(folder / "far/out.txt", 0);
  }
}

TEST(Read, OutputIntoAFolder) {
  const TemporaryFolder folder;
  const ProcessResult result = run({"-o", folder / "new/", kWord, kBroken, kLine});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.out, IsEmpty());
  EXPECT_EQ(read_all(folder / "new/word_112x56.png.text"), run({kWord}).out);
  EXPECT_EQ(read_all(folder / "new/line_308x84.png.text"), run({kLine}).out);
  EXPECT_FALSE(fs::exists(folder / "new/truncated.png.text"));

  run({"-o", folder / "new", "--format", "json", kWord, kBroken});
  EXPECT_EQ(json::parse(read_all(folder / "new/word_112x56.png.json"))["file"], kWord);
  EXPECT_EQ(json::parse(read_all(folder / "new/truncated.png.json"))["error"]["code"], "input");
}

TEST(Read, EqualNamesOfSeveralFoldersAllGetAFile) {
  const TemporaryFolder folder;
  for (const char* name : {"a", "b", "out"}) fs::create_directory(folder / name);
  fs::copy_file(kWord, folder / "a/page.png");
  fs::copy_file(kLine, folder / "b/page.png");
  const ProcessResult result = run({"-o", folder / "out", folder / "a/page.png", folder / "b/page.png"});
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_EQ(read_all(folder / "out/page.png.text"), run({kWord}).out);
  EXPECT_EQ(read_all(folder / "out/page.png.2.text"), run({kLine}).out);
  EXPECT_THAT(result.err, HasSubstr("b/page.png: written as page.png.2.text"));
}

TEST(Read, PlacesThatCannotBeWrittenAreRefusedAtOnce) {
  const TemporaryFolder folder;
  fs::copy_file(kWord, folder / "page.png");
  EXPECT_EQ(run({"-o", folder / "missing/out.txt", kWord}).exit_code, 2);
  EXPECT_EQ(run({"-o", folder / "page.png/", kWord}).exit_code, 2);
  EXPECT_EQ(run({"-o", folder / "page.png", folder / "page.png"}).exit_code, 2);
  EXPECT_EQ(read_all(folder / "page.png"), read_all(kWord));
  EXPECT_THAT(folder.names(), ElementsAre("page.png"));
}

TEST(Read, ADeviceIsWrittenToAndNotReplaced) {
  ASSERT_TRUE(fs::is_character_file("/dev/null"));
  EXPECT_EQ(run({"-o", "/dev/null", kWord}).exit_code, 0);
  EXPECT_TRUE(fs::is_character_file("/dev/null"));
  const ProcessResult full = run({"-o", "/dev/full", kWord});
  EXPECT_EQ(full.exit_code, 1);
  EXPECT_THAT(full.err, HasSubstr("/dev/full: cannot be written: No space left on device"));
}

TEST(Read, ATextThatIsCutOffIsToldAndStillCounts) {
  const ProcessResult result = run({"--format", "jsonl", "--max-tokens", "2", kLine});
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_EQ(json::parse(result.out)["finish_reason"], "length");
  EXPECT_EQ(json::parse(result.out)["complete"], false);
  EXPECT_EQ(json::parse(result.out)["completion_tokens"], 2);
  EXPECT_THAT(lines_of(result.err), ElementsAre(AllOf(HasSubstr("warning: "), HasSubstr(kLine))));
  EXPECT_THAT(run({"--quiet", "--max-tokens", "2", kLine}).err, HasSubstr("warning: "));
}

// Such a penalty makes any model repeat itself.
TEST(Read, ATextThatRepeatsItselfIsCutAndStillCounts) {
  const std::vector<std::string> loop = {"--repetition-penalty", "0.01", kLine};
  const auto run_with = [&](std::vector<std::string> options) {
    options.insert(options.end(), loop.begin(), loop.end());
    return run(options);
  };
  const ProcessResult cut = run_with({"-f", "json", "--logprobs", "0"});
  EXPECT_EQ(cut.exit_code, 0);
  const json page = json::parse(cut.out);
  EXPECT_EQ(page["finish_reason"], "repetition");
  EXPECT_EQ(page["complete"], false);
  EXPECT_EQ(page["logprobs"].size(), page["completion_tokens"]);
  EXPECT_THAT(lines_of(cut.err), ElementsAre(AllOf(HasSubstr("warning: "), HasSubstr("repeats itself"))));

  const json whole = json::parse(run_with({"-f", "json", "--guard", "off", "--max-tokens", "2000"}).out);
  EXPECT_EQ(whole["finish_reason"], "length");
  EXPECT_TRUE(whole["text"].get<std::string>().starts_with(page["text"].get<std::string>()));

  const ProcessResult streamed = run_with({"--stream"});
  EXPECT_GT(streamed.out.size(), page["text"].get<std::string>().size());
  EXPECT_THAT(streamed.err, HasSubstr("characters that were streamed are void"));
}

TEST(Read, ATimeLimitEndsTheTextAndThePageCountsAsFailed) {
  const ProcessResult result = run({"-f", "json", "--time-limit", "0.001", picture("page_900x700.png")});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_EQ(json::parse(result.out)["finish_reason"], "time_limit");
  EXPECT_EQ(json::parse(result.out)["complete"], false);
  EXPECT_THAT(result.err, HasSubstr("--time-limit has passed"));
}

TEST(Read, StopStringsEndTheText) {
  const std::string whole = json::parse(run({"-f", "json", kLine}).out)["text"];
  ASSERT_GT(whole.size(), 4u);
  const std::string stop = whole.substr(3, 1);
  const json page = json::parse(run({"-f", "json", "--stop", stop, kLine}).out);
  EXPECT_EQ(page["text"], whole.substr(0, whole.find(stop)));
  EXPECT_EQ(page["finish_reason"], "stop");
}

TEST(Read, SamplingIsAFunctionOfItsSeed) {
  const std::vector<std::string> common = {"--temperature", "5", "--max-tokens", "24", "--seed"};
  const auto sampled = [&](const std::string& seed, const std::vector<std::string>& files) {
    std::vector<std::string> arguments = common;
    arguments.push_back(seed);
    arguments.insert(arguments.end(), files.begin(), files.end());
    return run(arguments).out;
  };
  const std::string one = sampled("1", {kLine});
  EXPECT_EQ(sampled("1", {kLine}), one);
  EXPECT_NE(sampled("2", {kLine}), one);
}

TEST(Read, StatsAreOnStandardError) {
  const ProcessResult result = run({"--stats", kLine});
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_EQ(result.out, run({kLine}).out);
  for (const char* word : {"308x84 px", "33 image tokens", "tok/s", "GB/s", "vision", "prefill", "decode",
                           "peak", "machine: cpu", " threads"}) {
    EXPECT_THAT(result.err, HasSubstr(word));
  }
  EXPECT_THAT(run({"--stats", "--quiet", kLine}).err, IsEmpty());
}

TEST(Read, ManyInputsAreAllRead) {
  std::string list;
  for (int i = 0; i < 300; ++i) list += picture("word_56x56.png") + "\n";
  ProcessOptions options;
  options.standard_input = list;
  const ProcessResult result =
      run({"--files-from", "-", "--format", "jsonl", "--max-tokens", "2", "--batch", "4", "-q"}, options);
  EXPECT_EQ(result.exit_code, 0);
  const std::vector<json> pages = json_lines(result.out);
  ASSERT_EQ(pages.size(), 300u);
  for (const json& page : pages) EXPECT_EQ(page["text"], pages[0]["text"]);
}

}  // namespace
}  // namespace glmocr::integration
