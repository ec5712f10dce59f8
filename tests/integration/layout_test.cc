// SPDX-License-Identifier: Apache-2.0
// `layout`: where its results go, and what is left of a run that fails or is interrupted.
#include <gmock/gmock.h>
#include <signal.h>
#include <unistd.h>

#include "integration/program.h"

namespace glmocr::integration {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;

const std::string kModel = data("layout-small");

ProcessResult layout(std::vector<std::string> arguments, const ProcessOptions& options = {}) {
  arguments.insert(arguments.begin(), {"layout", "--layout-model", kModel});
  return run(arguments, options);
}

TEST(Layout, PicturesOfTheSameNameDoNotReplaceEachOther) {
  const TemporaryFolder folder, out, dumps;
  for (const char* name : {"a", "b"}) {
    fs::create_directory(folder / name);
    fs::copy_file(kSmallWord, fs::path(folder / name) / "page.png");
  }
  const std::string a = folder / "a" + "/page.png", b = folder / "b" + "/page.png";
  const ProcessResult result = layout({"--format", "png", "-o", out.path().string(), a, b});
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_THAT(out.names(), ElementsAre("page.png.2.layout.png", "page.png.layout.png"));
  EXPECT_THAT(result.err, HasSubstr(b + ": written as page.png.2.layout.png"));
  EXPECT_EQ(layout({"--dump", dumps.path().string(), a, b}).exit_code, 0);
  EXPECT_THAT(dumps.names(), ElementsAre("page.png", "page.png.2"));
}

TEST(Layout, AnInputIsNeverTheOutput) {
  const TemporaryFolder folder;
  fs::copy_file(kSmallWord, folder / "page.png");
  for (const char* format : {"json", "png"}) {
    const ProcessResult result = layout({"--format", format, "-o", folder / "page.png", folder / "page.png"});
    EXPECT_EQ(result.exit_code, 2) << format;
    EXPECT_THAT(result.err, HasSubstr("one of the pictures")) << format;
  }
  EXPECT_EQ(read_all(folder / "page.png"), read_all(kSmallWord));
}

TEST(Layout, PlacesThatCannotBeWrittenAreRefusedBeforeTheWork) {
  const TemporaryFolder folder;
  EXPECT_THAT(layout({"-o", folder.path().string(), kSmallWord}).err, HasSubstr("is a folder"));
  EXPECT_EQ(layout({"-o", folder / "none/x.json", kSmallWord}).exit_code, 2);
  EXPECT_EQ(layout({"-", "-"}).exit_code, 2);
  const ProcessResult several = layout({"--format", "png", kSmallWord, kSmallWord});
  EXPECT_EQ(several.exit_code, 2);
  EXPECT_EQ(several.out, "");
  EXPECT_THAT(several.err, HasSubstr("several pages as PNG need a folder"));
}

TEST(Layout, ADashIsStandardOutput) {
  const ProcessResult result = layout({"-o", "-", kSmallWord});
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_EQ(json_lines(result.out).size(), 1u);
}

TEST(Layout, AFileIsReplacedAsAWhole) {
  const TemporaryFolder folder;
  write_all(folder / "old.json", "old");
  const ProcessResult result = layout({"-o", folder / "old.json", "nowhere.png", kSmallWord});
  EXPECT_EQ(result.exit_code, 1);
  const std::vector<json> lines = json_lines(read_all(folder / "old.json"));
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_EQ(lines[0]["error"]["code"], "input");
  EXPECT_THAT(folder.names(), ElementsAre("old.json"));  // no temporary file
}

TEST(Layout, EveryFailureNamesItsPage) {
  ProcessOptions options;
  options.environment = {{"GLMOCR_CPU_ISA", "baseline"}};  // others take more for weights
  const ProcessResult result = layout({"--memory", "1M", kSmallWord}, options);
  EXPECT_EQ(result.exit_code, 5);
  EXPECT_THAT(result.err, HasSubstr(kSmallWord + ": "));
}

TEST(LayoutSignals, AnInterruptedRunKeepsThePagesBefore) {
  for (const int signal : {SIGINT, SIGTERM}) {
    const TemporaryFolder folder;
    ProcessOptions options;
    options.open_input = true;  // the run waits for its second page
    Process process({"layout", "--layout-model", kModel, "--dump", folder / "dump", "-o",
                     folder / "pages.json", kSmallWord, "-"},
                    options);
    while (!fs::exists(folder / "dump/word_56x56.png/pred_boxes.npy") && process.running()) ::usleep(1000);
    ::usleep(300'000);  // until the page is added
    process.send(signal);
    const ProcessResult result = process.wait();
    EXPECT_EQ(result.exit_code, 128 + signal);
    EXPECT_THAT(result.err, HasSubstr("interrupted: 1 page written"));
    ASSERT_EQ(json_lines(read_all(folder / "pages.json")).size(), 1u);
  }
}

}  // namespace
}  // namespace glmocr::integration
