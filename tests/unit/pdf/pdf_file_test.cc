// SPDX-License-Identifier: Apache-2.0
// PdfFile with its worker and, in place of PDFium, a library that does what a renderer must not
// (tests/support/fake_pdfium).
#include "pdf/pdf_file.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <sstream>
#include <thread>
#include <utility>
#include <vector>

#include "support/environment_variable.h"
#include "support/expect_error.h"
#include "support/temporary_folder.h"

namespace glmocr {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

class FakePdf : public testing::Test {
 protected:
  PdfFile open(const std::string& pages, PdfOptions options = {}) {
    return PdfFile::open_bytes("%PDF\n" + pages, "fake.pdf", options);
  }
  // What the fake library says in the place of pixels.
  std::string said(PdfFile& file, std::int64_t page = 0) {
    return reinterpret_cast<const char*>(file.render(page).rgb.data());
  }

  void expect_lost(const std::string& page, const std::string& why, PdfOptions options = {}) {
    PdfFile file = open("400 100 say before\n" + page + "\n400 100 say after\n", options);
    EXPECT_EQ(said(file, 0), "before");
    expect_error(ErrorCode::input, {"fake.pdf: page 2: ", why}, [&] { file.render(1); });
    EXPECT_EQ(file.worker_pid(), -1);
    EXPECT_EQ(said(file, 2), "after");
    EXPECT_EQ(said(file, 0), "before");
  }

  EnvironmentVariable library_{"GLMOCR_PDFIUM", GLMOCR_FAKE_PDFIUM};
};

TEST_F(FakePdf, PagesAreRenderedInAnyOrder) {
  PdfFile file = open("72 36 say one\n36 72 say two\n");
  EXPECT_EQ(file.page_count(), 2);
  EXPECT_EQ(file.renderer_name(), "PDFium");
  std::int64_t bytes = 0;
  const Image second = file.render(1, [&](std::int64_t count) { bytes = count; });
  EXPECT_EQ(second.width, 100);
  EXPECT_EQ(second.height, 200);
  EXPECT_EQ(bytes, 3 * 100 * 200);
  EXPECT_EQ(second.rgb.size(), 3u * 100 * 200);
  EXPECT_EQ(second.rgb.back(), 255);
  EXPECT_EQ(said(file, 0), "one");
  EXPECT_EQ(said(file, 1), "two");
}

// Rows are padded in the shared memory and not in the picture.
TEST_F(FakePdf, PaddingIsRemoved) {
  PdfOptions options;
  options.dpi = 72;
  PdfFile file = open("3 2 say 0123456789abcdefghi\n", options);
  const Image image = file.render(0);
  EXPECT_EQ(image.width, 3);
  EXPECT_EQ(image.height, 2);
  EXPECT_EQ(std::string(image.rgb.begin(), image.rgb.end()), "012345678cdefghi" + std::string("\0\xff", 2));
}

TEST_F(FakePdf, TheWorkerCanNeitherOpenFilesNorSocketsNorStartPrograms) {
  PdfFile file = open("400 100 attempt\n400 100 say alive\n");
  const std::string text = said(file);
  std::istringstream outcomes(text);
  int count = 0;
  for (std::string outcome; outcomes >> outcome; ++count) {
    EXPECT_TRUE(outcome.ends_with("=1")) << outcome << ", expected EPERM";
  }
  EXPECT_EQ(count, 19) << text;
  for (const char* name : {"open=", "inet=", "unix=", "exec=", "fork="}) EXPECT_THAT(text, HasSubstr(name));
  EXPECT_EQ(said(file, 1), "alive");
  EXPECT_NE(::access("/tmp/glm-ocr-pdf-escaped", F_OK), 0);
}

TEST_F(FakePdf, TheWorkerHasNothingButItsDescriptorsAndAFewVariables) {
  const EnvironmentVariable secret("GLMOCR_TEST_SECRET", "x");
  const EnvironmentVariable path("LD_LIBRARY_PATH", nullptr);
  const int inherited = ::open("/etc/passwd", O_RDONLY);  // not close-on-exec
  PdfFile file = open("400 100 start\n");
  EXPECT_EQ(said(file), "fds 0 1 2 3 4 5; env LC_ALL GLMOCR_PDFIUM PATH; no fonts");
  ::close(inherited);
}

TEST_F(FakePdf, ALostWorkerCostsOnePage) {
  expect_lost("400 100 crash", "by signal 11");
  expect_lost("400 100 overflow", "by signal 11");
  expect_lost("400 100 exit", "with exit code 7");
}

TEST_F(FakePdf, AnAbortIsALostPage) { expect_lost("400 100 abort", "the renderer ended by signal "); }

TEST_F(FakePdf, MemoryIsLimited) {
  // Aborts at the limit: beyond 3 GiB it would end by another signal.
  expect_lost("400 100 memory", "the renderer ended by signal ");
  PdfFile file = open("400 100 memory\n");
  try {
    file.render(0);
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), testing::Not(HasSubstr("User defined signal"))) << "the limit was not reached";
  }
}

TEST_F(FakePdf, TimeIsLimited) {
  PdfOptions options;
  options.time_limit = std::chrono::milliseconds(2500);
  const auto start = std::chrono::steady_clock::now();
  expect_lost("400 100 hang", "ended after 2.5 s without a result", options);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(60));
}

TEST_F(FakePdf, AWorkerThatIsKilledFromOutsideCostsOnePage) {
  PdfFile file = open("400 100 say one\n400 100 say two\n");
  ASSERT_GT(file.worker_pid(), 0);
  ::kill(file.worker_pid(), SIGKILL);
  expect_error(ErrorCode::input, {"fake.pdf: page 1: the renderer ended", "by signal 9"},
               [&] { file.render(0); });
  EXPECT_EQ(said(file, 0), "one");
}

TEST_F(FakePdf, AForgedReplyIsALostPage) {
  expect_lost("400 100 forge 10", "another version");
  expect_lost("400 100 forge 10000", "another version");
}

TEST_F(FakePdf, RenderingCanBeCancelled) {
  std::atomic<bool> stop = false;
  PdfOptions options;
  options.cancelled = [&stop] { return stop.load(); };
  PdfFile file = open("400 100 hang\n", options);
  std::thread canceller([&stop] {
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    stop = true;
  });
  expect_error(ErrorCode::cancelled, {"interrupted"}, [&] { file.render(0); });
  canceller.join();
}

TEST_F(FakePdf, TheWorkerEndsWithItsFile) {
  int pid = -1;
  {
    PdfFile file = open("400 100 say one\n");
    pid = file.worker_pid();
    EXPECT_EQ(::kill(pid, 0), 0);
  }
  EXPECT_NE(::kill(pid, 0), 0);
}

TEST_F(FakePdf, Passwords) {
  const std::string locked = "password s3cret \xC3\xA4\n400 100 say open\n";
  expect_error(ErrorCode::input, {"fake.pdf: is a PDF file, and it is encrypted and needs a password"},
               [&] { open(locked); });
  PdfOptions options;
  options.password = "wrong";
  expect_error(ErrorCode::input, {"fake.pdf: is a PDF file, and the password is wrong"},
               [&] { open(locked, options); });
  options.password = "s3cret \xC3\xA4";
  PdfFile file = open(locked, options);
  EXPECT_EQ(said(file), "open");
  options.password = std::string(2000, 'x');
  expect_error(ErrorCode::usage, {"a password has at most 1023 bytes"}, [&] { open(locked, options); });
}

TEST_F(FakePdf, PagesWithoutSizeAndFilesWithoutPages) {
  PdfFile file = open("0 10 say no\nnothing\n10 10 say yes\n");
  expect_error(ErrorCode::input, {"fake.pdf: page 1: the page has no size"}, [&] { file.render(0); });
  EXPECT_THROW(file.render(1), MissingPage);
  expect_error(ErrorCode::input, {"fake.pdf: page 4: the page does not exist"}, [&] { file.render(3); });
  expect_error(ErrorCode::input, {"page 0: the page does not exist"}, [&] { file.render(-1); });
  EXPECT_EQ(said(file, 2), "yes");
  expect_error(ErrorCode::input, {"fake.pdf: is a PDF file without pages"}, [&] { open(""); });
}

TEST_F(FakePdf, AFileThatBreaksTheWorkerWhenOpened) {
  expect_error(ErrorCode::input,
               {"fake.pdf: is a PDF file that cannot be opened: the renderer ended by signal"},
               [&] { open("open-crash\n"); });
  PdfOptions options;
  options.time_limit = std::chrono::milliseconds(200);
  expect_error(ErrorCode::input,
               {"fake.pdf: is a PDF file that cannot be opened: the renderer was ended after 0.2 s"},
               [&] { open("open-hang\n", options); });
}

// PDFium reads in small pieces and anywhere; the file may be larger than the shared memory's rows.
TEST_F(FakePdf, LargeFilesAreReadInPieces) {
  std::string pages;
  for (int i = 0; i < 20'000; ++i) pages += "400 100 say page " + std::to_string(i) + "\n";
  const TemporaryFolder folder;
  PdfFile file = PdfFile::open(folder.write("large.pdf", "%PDF\n" + pages), {});
  EXPECT_EQ(file.page_count(), 20'000);
  EXPECT_EQ(said(file, 19'999), "page 19999");
}

// The worker takes no event of its socket for the end of this process.
TEST_F(FakePdf, ManyRequestsInAShortTime) {
  PdfOptions options;
  options.dpi = 72;
  PdfFile file = open("9 9 say one\n9 9 say two\n", options);
  const int worker = file.worker_pid();
  for (int i = 0; i < 5000; ++i) ASSERT_EQ(said(file, i % 2), i % 2 == 0 ? "one" : "two") << i;
  EXPECT_EQ(file.worker_pid(), worker);
}

TEST_F(FakePdf, NoMoreWorkersAreAtWorkThanThereAreCores) {
  const int cores = static_cast<int>(std::max(std::thread::hardware_concurrency(), 1U)), files = cores + 3;
  std::vector<std::pair<long, long>> spans(static_cast<std::size_t>(files));
  std::vector<std::thread> threads;
  for (auto& span : spans) {
    threads.emplace_back([&] {
      PdfFile file = open("400 100 work 60\n");
      std::istringstream(said(file)) >> span.first >> span.second;
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const auto& one : spans) {
    EXPECT_GT(one.second, 0);
    const auto beside = std::count_if(spans.begin(), spans.end(), [&](const auto& other) {
      return other.first <= one.first && other.second > one.first + 1;
    });
    EXPECT_LE(beside, cores);
  }
}

TEST_F(FakePdf, OptionsOutOfRange) {
  PdfOptions options;
  options.dpi = 0;
  expect_error(ErrorCode::usage, {"dpi is 0, expected 1 to 2400"}, [&] { open("1 1 say x\n", options); });
  options.dpi = 200;
  options.max_side = kMaxPdfSide + 1;
  expect_error(ErrorCode::usage, {"max_side is 10001"}, [&] { open("1 1 say x\n", options); });
}

TEST_F(FakePdf, WhatIsMissingIsNamed) {
  PdfOptions options;
  options.worker = "/nowhere/glm-ocr-pdf";
  expect_error(ErrorCode::device, {"/nowhere/glm-ocr-pdf: No such file"},
               [&] { open("1 1 say x\n", options); });
  {
    const EnvironmentVariable worker("GLMOCR_PDF_WORKER", "/nowhere/else");
    expect_error(ErrorCode::device, {"/nowhere/else: No such file"}, [&] { open("1 1 say x\n"); });
  }
  {
    const EnvironmentVariable library("GLMOCR_PDFIUM", "/nowhere/libpdfium.so");
    expect_error(ErrorCode::device, {"fake.pdf: GLMOCR_PDFIUM: /nowhere/libpdfium.so: cannot open"},
                 [&] { open("1 1 say x\n"); });
  }
  {
    const EnvironmentVariable library("GLMOCR_PDFIUM", "");
    const EnvironmentVariable path("PATH", "/nowhere");
    expect_error(ErrorCode::device, {"fake.pdf: PDF files need PDFium", "pdftoppm"},
                 [&] { open("1 1 say x\n"); });
  }
  options.worker = "/bin/false";  // no worker at all
  expect_error(ErrorCode::input, {"the renderer ended"}, [&] { open("1 1 say x\n", options); });
  expect_error(ErrorCode::input, {"/nowhere/a.pdf: cannot be opened: No such file"},
               [&] { PdfFile::open("/nowhere/a.pdf", {}); });
  expect_error(ErrorCode::input, {"/tmp: is not a regular file"}, [&] { PdfFile::open("/tmp", {}); });
}

}  // namespace
}  // namespace glmocr
