// SPDX-License-Identifier: Apache-2.0
// Ctrl-C, closed pipes, full disks.
#include <gmock/gmock.h>
#include <signal.h>
#include <unistd.h>

#include "integration/program.h"

namespace glmocr::integration {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using testing::IsEmpty;

// More work than can end before a signal arrives: a short page, then many long ones.
std::vector<std::string> long_run(std::vector<std::string> options) {
  options.insert(options.end(), {"--format", "jsonl", "--batch", "2", kSmallWord});
  options.insert(options.end(), 200, kPage);
  return options;
}

TEST(Signals, TheFirstCtrlCEndsTheRunAndKeepsWhatIsFinished) {
  for (const int signal : {SIGINT, SIGTERM}) {
    Process process(long_run({}));
    process.read_until_line();
    process.send(signal);
    const ProcessResult result = process.wait();
    EXPECT_EQ(result.exit_code, 128 + signal);
    EXPECT_THAT(result.err, HasSubstr("interrupted: "));
    const std::vector<json> pages = json_lines(result.out);
    ASSERT_GE(pages.size(), 1u);
    EXPECT_LT(pages.size(), 201u);
    EXPECT_EQ(pages[0]["file"], kSmallWord);
    for (const json& page : pages) EXPECT_NE(page["finish_reason"], "cancelled");
  }
}

TEST(Signals, FilesInTheFolderOfAnInterruptedRunHoldWholePages) {
  const TemporaryFolder folder;
  ProcessOptions options;
  Process process(long_run({"-v", "-o", folder.path().string()}), options);
  while (folder.names().empty() && process.running()) ::usleep(1000);
  process.send(SIGINT);
  EXPECT_EQ(process.wait().exit_code, 130);
  for (const std::string& name : folder.names()) {
    EXPECT_THAT(name, testing::EndsWith(".jsonl"));  // no temporary files
    EXPECT_EQ(json_lines(read_all(folder / name)).size(), 1u) << name;
  }
}

TEST(Signals, AnInterruptedRunWritesTheFinishedPagesToItsFile) {
  const TemporaryFolder folder;
  Process process(long_run({"--stats", "-o", folder / "pages.jsonl"}));
  process.read_until_error("tok/s");
  process.send(SIGINT);
  EXPECT_EQ(process.wait().exit_code, 130);
  ASSERT_THAT(folder.names(), testing::ElementsAre("pages.jsonl"));
  const std::vector<json> pages = json_lines(read_all(folder / "pages.jsonl"));
  ASSERT_GE(pages.size(), 1u);
  EXPECT_LT(pages.size(), 201u);
  EXPECT_EQ(pages[0]["file"], kSmallWord);
}

TEST(Signals, CtrlCEndsARunThatWaitsForItsInput) {
  const TemporaryFolder folder;
  ProcessOptions options;
  options.open_input = true;
  Process process({"--format", "jsonl", kSmallWord, "-"}, options);
  process.read_until_line();
  process.send(SIGINT);
  const ProcessResult result = process.wait();
  EXPECT_EQ(result.exit_code, 130);
  EXPECT_EQ(json_lines(result.out).size(), 1u);
}

// After the first one the program still wants to write a page, which nobody takes.
TEST(Signals, ASecondOneKills) {
  ProcessOptions options;
  options.full_output = true;
  Process process(long_run({"-v", "--stats"}), options);
  process.read_until_error("tok/s");  // the first page is read
  process.send(SIGINT);
  process.read_until_error("interrupted: ");
  EXPECT_FALSE(process.ends_within(1));
  process.send(SIGTERM);
  EXPECT_EQ(process.wait().signal, SIGTERM);
}

TEST(Pipes, AReaderThatGoesAwayEndsTheRunQuietly) {
  Process process(long_run({}));
  process.read_until_line();
  process.close_output();
  const ProcessResult result = process.wait();
  EXPECT_EQ(result.signal, SIGPIPE);
  EXPECT_THAT(result.err, IsEmpty());
}

TEST(Pipes, TheSameWhereTheSignalIsIgnored) {
  ProcessOptions options;
  options.ignore_sigpipe = true;
  Process process(long_run({}), options);
  process.read_until_line();
  process.close_output();
  const ProcessResult result = process.wait();
  EXPECT_EQ(result.exit_code, 141);
  EXPECT_THAT(result.err, IsEmpty());
}

TEST(Pipes, NoStandardOutputAtAll) {
  ProcessOptions options;
  options.closed_output = true;
  const ProcessResult result = run({kSmallWord}, options);
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_THAT(result.err, IsEmpty());
}

TEST(Pipes, AFullDiskIsAnError) {
  ProcessOptions options;
  options.output_file = "/dev/full";
  for (const std::vector<std::string>& arguments :
       {std::vector<std::string>{kSmallWord}, {"info"}, {"--help"}, {"tokenize", "x"}}) {
    const ProcessResult result = run(arguments, options);
    EXPECT_EQ(result.exit_code, 1);
    EXPECT_THAT(result.err, HasSubstr("standard output: cannot be written"));
  }
}

TEST(Progress, NoBarWhereStandardErrorIsNoTerminal) {
  EXPECT_THAT(run({kSmallWord, kSmallWord}).err, IsEmpty());
}

}  // namespace
}  // namespace glmocr::integration
