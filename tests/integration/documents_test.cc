// SPDX-License-Identifier: Apache-2.0
// PDF files and TIFF files with several pages, read whole.
#include <dirent.h>
#include <gmock/gmock.h>
#include <signal.h>
#include <unistd.h>

#include <fstream>

#include "integration/fake_renderer.h"
#include "integration/program.h"
#include "support/pdf_writer.h"
#include "support/tiff_writer.h"

namespace glmocr::integration {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

std::string three_pages() {
  return pdf_of({{pdf_text("First page")}, {pdf_text("Second page")}, {pdf_text("Third page")}});
}

// The library that does what a renderer must not, in place of PDFium.
// By each renderer of this machine: "" is PDFium, "poppler" what is used without it.
class Pdf : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    if (GetParam() == std::string("poppler")) options_.environment = {{"GLMOCR_PDFIUM", ""}};
    write_all(file_, three_pages());
    const ProcessResult probe = run({"--stats", file_}, options_);
    const bool pdfium_missing = options_.environment.empty() && ::access(GLMOCR_PDFIUM_PLACE, F_OK) != 0;
    if (pdfium_missing || probe.err.find("PDF files need") != std::string::npos) {
      GTEST_SKIP() << (options_.environment.empty() ? "PDFium" : "poppler") << " is not on this machine";
    }
  }

  ProcessOptions options_;
  TemporaryFolder folder_;
  const std::string file_ = folder_ / "three.pdf";
};

TEST_P(Pdf, PagesAreTextsBetweenFormFeeds) {
  const ProcessResult result = run({file_}, options_);
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_THAT(result.err, IsEmpty());
  EXPECT_EQ(result.out, "First page\n\fSecond page\n\fThird page\n");
  EXPECT_EQ(run({"--pages", "3,1", file_}, options_).out, "First page\n\fThird page\n");
  EXPECT_EQ(run({"--stream", file_}, options_).out, result.out);
}

TEST_P(Pdf, JsonHasAnObjectPerPage) {
  const std::vector<json> lines = json_lines(run({"-f", "jsonl", file_, kSmallWord}, options_).out);
  ASSERT_EQ(lines.size(), 4u);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(lines[i]["file"], file_);
    EXPECT_EQ(lines[i]["page"], i + 1);
  }
  EXPECT_EQ(lines[1]["text"], "Second page");
  EXPECT_FALSE(lines[3].contains("page"));
  const json list = json::parse(run({"-f", "json", "--pages", "2", file_}, options_).out);
  ASSERT_TRUE(list.is_array());
  EXPECT_EQ(list.size(), 1u);
  EXPECT_EQ(list[0]["page"], 2);
}

TEST_P(Pdf, AFolderGetsOneFilePerInput) {
  const TemporaryFolder out;
  const ProcessResult result = run({"-o", out.path().string(), file_, kSmallWord, file_}, options_);
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_THAT(out.names(), ElementsAre("three.pdf.2.text", "three.pdf.text", "word_56x56.png.text"));
  EXPECT_EQ(read_all(out / "three.pdf.text"), "First page\n\fSecond page\n\fThird page\n");
  EXPECT_EQ(read_all(out / "three.pdf.2.text"), read_all(out / "three.pdf.text"));
  run({"-f", "json", "-o", out.path().string(), file_}, options_);
  EXPECT_EQ(json::parse(read_all(out / "three.pdf.json")).size(), 3u);
}

TEST_P(Pdf, StandardInputAndPipes) {
  ProcessOptions options = options_;
  options.standard_input = three_pages();
  EXPECT_EQ(run({"--pages", "2-", "-"}, options).out, "Second page\n\fThird page\n");
  EXPECT_EQ(run({"--pages", "1", "/dev/stdin"}, options).out, "First page\n");
}

TEST_P(Pdf, ResolutionIsAnOption) {
  const ProcessResult result = run({"--stats", "--dpi", "150", "--pages", "1", file_}, options_);
  EXPECT_THAT(result.err, HasSubstr("three.pdf: page 1: 417x20"));
}

TEST_P(Pdf, Passwords) {
  const std::string locked = data("pdf/aes256.pdf");
  const ProcessResult without = run({locked}, options_);
  EXPECT_EQ(without.exit_code, 3);
  EXPECT_EQ(without.err,
            "glm-ocr: " + locked + ": is a PDF file, and it is encrypted and needs a password\n");
  write_all(folder_ / "password", "reader\r\nmore\n");
  EXPECT_EQ(run({"--password-file", folder_ / "password", locked}, options_).out, "Secret text\n");
  write_all(folder_ / "password", "guess");
  EXPECT_THAT(run({"--password-file", folder_ / "password", locked, kSmallWord}, options_).err,
              HasSubstr("the password is wrong"));
  const ProcessResult wrong = run({"layout", "--password-file", folder_ / "password", locked}, options_);
  EXPECT_EQ(wrong.exit_code, 3);
  EXPECT_THAT(wrong.err, HasSubstr("the password is wrong"));
  write_all(folder_ / "password", "reader\n");
  EXPECT_EQ(json_lines(run({"layout", "--password-file", folder_ / "password", locked}, options_).out).size(),
            1u);
}

INSTANTIATE_TEST_SUITE_P(All, Pdf, testing::Values("PDFium", "poppler"),
                         [](const auto& info) { return std::string(info.param); });

TEST(PdfPages, OneThatBreaksTheRendererIsAFailureOfItself) {
  const TemporaryFolder folder, out;
  const std::string file = folder / "bad.pdf";
  write_all(file, "%PDF-\n100 50 say a\n100 50 crash\n100 50 say c\n");
  const ProcessResult result = run({"-f", "jsonl", file, kSmallWord}, fake_renderer());
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(lines_of(result.err),
              ElementsAre(HasSubstr("bad.pdf: page 2: the renderer ended by signal 11")));
  const std::vector<json> lines = json_lines(result.out);
  ASSERT_EQ(lines.size(), 4u);
  EXPECT_EQ(lines[1]["page"], 2);
  EXPECT_THAT(lines[1]["error"]["message"].get<std::string>(), testing::StartsWith("the renderer ended"));
  EXPECT_TRUE(lines[2].contains("text"));
  // All pages of a single input: no input could be read.
  write_all(file, "%PDF-\n100 50 crash\n100 50 exit\n");
  EXPECT_EQ(run({file}, fake_renderer()).exit_code, 3);
  EXPECT_EQ(run({"-o", out.path().string(), file}, fake_renderer()).exit_code, 3);
  EXPECT_THAT(out.names(), IsEmpty());
}

TEST(PdfPages, WhatIsMissingIsSaidOnce) {
  const TemporaryFolder folder;
  write_all(folder / "a.pdf", three_pages());
  ProcessOptions options;
  options.environment = {{"GLMOCR_PDFIUM", ""}, {"PATH", "/nowhere"}};
  const ProcessResult result = run({folder / "a.pdf"}, options);
  EXPECT_EQ(result.exit_code, 6);
  EXPECT_THAT(lines_of(result.err),
              ElementsAre(AllOf(HasSubstr("a.pdf: PDF files need PDFium"), HasSubstr("pdftoppm"))));
  options.environment = {{"GLMOCR_PDF_WORKER", "/nowhere/worker"}};
  EXPECT_THAT(run({folder / "a.pdf"}, options).err, HasSubstr("/nowhere/worker: No such file"));
}

TEST(PdfPages, OptionsOutOfRange) {
  EXPECT_EQ(run({"--pages", "0", kSmallWord}).exit_code, 2);
  EXPECT_THAT(run({"--pages", "x", kSmallWord}).err, HasSubstr("--pages: \"x\" is no page number"));
  EXPECT_EQ(run({"--dpi", "0", kSmallWord}).exit_code, 2);
  EXPECT_THAT(run({"--password-file", "/nowhere/p", kSmallWord}).err,
              HasSubstr("/nowhere/p: cannot be opened"));
  EXPECT_EQ(run({"--pages", "1", kSmallWord}).exit_code, 0);
  EXPECT_EQ(run({"--pages", "2", kSmallWord}).exit_code, 3);
}

// The workers of a process: its children of that name.
std::vector<int> workers_of(int parent) {
  std::vector<int> found;
  DIR* folder = ::opendir("/proc");
  while (const dirent* entry = ::readdir(folder)) {
    std::ifstream stat(std::string("/proc/") + entry->d_name + "/stat");
    int pid = 0, of = 0;
    std::string name, state;
    if (stat >> pid >> name >> state >> of && of == parent && name == "(glm-ocr-pdf)") found.push_back(pid);
  }
  ::closedir(folder);
  return found;
}

// Whether a process runs: one that has ended may wait for long until its new parent looks at it.
bool runs(int pid) {
  std::ifstream stat("/proc/" + std::to_string(pid) + "/stat");
  std::string number, name, state;
  return stat >> number >> name >> state && state != "Z" && state != "X";
}

TEST(PdfPages, AWorkerDoesNotOutliveTheProgram) {
  const TemporaryFolder folder;
  write_all(folder / "hang.pdf", "%PDF-\n100 50 hang\n");
  for (const int signal : {SIGKILL, SIGINT}) {
    Process process({"-f", "jsonl", picture("word_112x56.png"), folder / "hang.pdf"}, fake_renderer());
    process.read_until_line();  // the picture: the page is being rendered, or soon will be
    ::usleep(300'000);
    const std::vector<int> workers = workers_of(process.pid());
    ASSERT_EQ(workers.size(), 1u);
    process.send(signal);
    EXPECT_TRUE(process.ends_within(10));
    const ProcessResult result = process.wait();
    EXPECT_EQ(result.exit_code, signal == SIGINT ? 130 : -1);
    int left = 100;
    while (runs(workers[0]) && --left > 0) ::usleep(50'000);
    EXPECT_GT(left, 0) << "the worker still runs after " << ::strsignal(signal);
  }
}

TEST(TiffPages, AreReadOneAfterTheOther) {
  const TemporaryFolder folder;
  const std::string file = folder / "scan.tiff";
  write_all(file, tiff_of({{60, 30, 255}, {90, 30, 255}}));
  const ProcessResult result = run({"--stats", "-f", "jsonl", file});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  const std::vector<json> lines = json_lines(result.out);
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_EQ(lines[1]["page"], 2);
  EXPECT_THAT(result.err, AllOf(HasSubstr("scan.tiff: page 1: 60x30 px"),
                                HasSubstr("scan.tiff: page 2: 90x30 px"), Not(HasSubstr("several pages"))));
  EXPECT_EQ(json_lines(run({"--pages", "2", "-f", "jsonl", file}).out).size(), 1u);
  // One page is a picture as others.
  write_all(file, tiff_of({{60, 30, 255}}));
  EXPECT_FALSE(json::parse(run({"-f", "json", file}).out).contains("page"));
}

}  // namespace
}  // namespace glmocr::integration
