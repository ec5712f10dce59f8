// SPDX-License-Identifier: Apache-2.0
// Outputs that cannot be written, or only slowly, and weights that vanish: what fails, and what is kept.
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include "integration/program.h"

namespace glmocr::integration {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

TEST(Outputs, ANameThatIsTooLongIsAFailureOfItsPage) {
  const TemporaryFolder folder, out;
  const std::string longest = std::string(248, 'n') + ".png";  // with ".text" longer than 255
  fs::copy_file(kSmallWord, folder / longest);
  fs::copy_file(kSmallWord, folder / "short.png");
  const ProcessResult result = run({"-o", out.path().string(), folder / longest, folder / "short.png"});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.err, HasSubstr(longest + ".text: cannot be written: File name too long"));
  EXPECT_THAT(out.names(), ElementsAre("short.png.text"));
  // The same where no page can be written.
  const ProcessResult alone = run({"-o", out.path().string(), folder / longest});
  EXPECT_EQ(alone.exit_code, 1);
}

TEST(Outputs, AnUnwritableOneIsAFailureOfItsPage) {
  const TemporaryFolder folder, out;
  fs::copy_file(kSmallWord, folder / "a.png");
  fs::copy_file(kSmallWord, folder / "b.png");
  fs::create_directory(out / "a.png.text");
  const ProcessResult result = run({"-o", out.path().string(), folder / "a.png", folder / "b.png"});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(lines_of(result.err), ElementsAre(HasSubstr("a.png.text: cannot be written")));
  EXPECT_THAT(out.names(), ElementsAre("a.png.text", "b.png.text"));
  EXPECT_FALSE(read_all(out / "b.png.text").empty());
}

TEST(Outputs, AFailureDoesNotWaitForInputs) {
  const TemporaryFolder folder;
  ASSERT_EQ(::mkfifo((folder / "pipe").c_str(), 0600), 0);
  ProcessOptions options;
  options.output_file = "/dev/full";
  Process process({kSmallWord, folder / "pipe"}, options);
  ASSERT_TRUE(process.ends_within(60));
  const ProcessResult result = process.wait();
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.err, HasSubstr("standard output: cannot be written: No space left"));
}

TEST(Outputs, AFileThatExistsKeepsItsMode) {
  const TemporaryFolder folder;
  write_all(folder / "private.txt", "old");
  ::chmod((folder / "private.txt").c_str(), 0600);
  EXPECT_EQ(run({"-o", folder / "private.txt", kSmallWord}).exit_code, 0);
  struct stat info {};
  ASSERT_EQ(::stat((folder / "private.txt").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  EXPECT_NE(read_all(folder / "private.txt"), "old");
}

// A shell writes the lines before and after into the same file.
TEST(Outputs, TheFileBehindStandardOutputIsNotReplaced) {
  const TemporaryFolder folder;
  for (const char* command : {"read", "layout"}) {
    write_all(folder / "log", "");
    struct stat before {
    }, after{};
    ASSERT_EQ(::stat((folder / "log").c_str(), &before), 0);
    ProcessOptions options;
    options.output_file = folder / "log";
    EXPECT_EQ(run({command, "-o", "/dev/stdout", kSmallWord}, options).exit_code, 0) << command;
    ASSERT_EQ(::stat((folder / "log").c_str(), &after), 0);
    EXPECT_EQ(before.st_ino, after.st_ino) << command;
    EXPECT_GT(after.st_size, 0) << command;
  }
}

TEST(Outputs, NonBlockingStandardOutputIsWaitedFor) {
  ProcessOptions options;
  options.nonblocking_output = true;
  std::string text;
  for (int i = 0; i < 10'000; ++i) text += "word ";
  Process process({"tokenize", text}, options);
  EXPECT_FALSE(process.ends_within(1));  // the pipe is full
  const ProcessResult result = process.wait();
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.out, run({"tokenize", text}).out);
  EXPECT_GT(result.out.size(), 8192u);
}

// The weights of a model are read where their file is mapped.
TEST(LostWeights, EndTheRunWithAMessageAndKeepWhatIsFinished) {
  for (const bool folder_output : {false, true}) {
    const TemporaryFolder snapshot, out;
    for (const auto& entry : fs::directory_iterator(data("narrow"))) {
      fs::copy_file(entry.path(), snapshot / entry.path().filename().string());
    }
    const std::string target = folder_output ? out.path().string() : out / "pages.jsonl";
    std::vector<std::string> arguments = {
        "--model", snapshot.path().string(), "--stats", "--batch", "1",   "--format",
        "jsonl",   "--max-tokens",           "200",     "-o",      target};
    arguments.insert(arguments.end(), 200, kSmallWord);
    Process process(arguments);
    process.read_until_error("tok/s");
    fs::resize_file(snapshot / "model.safetensors", 4096);
    ASSERT_TRUE(process.ends_within(60));
    const ProcessResult result = process.wait();
    EXPECT_EQ(result.exit_code, 4) << result.signal;
    EXPECT_THAT(lines_of(result.err).back(), StartsWith("glm-ocr: " + (snapshot / "model.safetensors") +
                                                        ": can no longer be read: it was truncated"));
    ASSERT_FALSE(out.names().empty());
    const std::vector<json> pages = json_lines(read_all(out / out.names()[0]));
    ASSERT_GE(pages.size(), 1u);
    EXPECT_EQ(pages[0]["file"], kSmallWord);
  }
}

}  // namespace
}  // namespace glmocr::integration
