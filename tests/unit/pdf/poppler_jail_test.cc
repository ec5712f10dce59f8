// SPDX-License-Identifier: Apache-2.0
// The jail of poppler's programs, and what becomes of a bad one (tests/support/fake_poppler).
#include <gmock/gmock.h>
#include <unistd.h>

#include <filesystem>
#include <sstream>

#include "pdf/pdf_file.h"
#include "support/environment_variable.h"
#include "support/expect_error.h"
#include "support/temporary_folder.h"

namespace glmocr {
namespace {

using testing::HasSubstr;

class FakePoppler : public testing::Test {
 protected:
  FakePoppler() {
    for (const char* name : {"pdfinfo", "pdftoppm"})
      std::filesystem::create_symlink(GLMOCR_FAKE_POPPLER, folder_ / name);
    options_.dpi = 72;
    options_.renderer = PdfRenderer::poppler;
  }
  PdfFile open(const std::string& command) const {
    return PdfFile::open_bytes("%PDF " + command, "fake.pdf", options_);
  }
  void expect_lost(const std::string& command, const std::string& why) {
    PdfFile file = open(command);
    expect_error(ErrorCode::input, {"fake.pdf: page 1: ", why}, [&] { file.render(0); });
  }

  TemporaryFolder folder_;
  EnvironmentVariable path_{"PATH", folder_.path().c_str()};
  PdfOptions options_;
};

TEST_F(FakePoppler, TheProgramCanReadAndNothingElse) {
  PdfFile file = open("attempt");
  const std::string text = reinterpret_cast<const char*>(file.render(0).rgb.data());
  EXPECT_THAT(text, testing::StartsWith("read=0 | "));
  EXPECT_THAT(text, testing::EndsWith("again=14")) << "EFAULT: nothing is at the address";
  std::istringstream outcomes(text.substr(text.find('|') + 1));
  int count = 0;
  for (std::string outcome; outcomes >> outcome;) {
    if (outcome.starts_with("again")) continue;
    ++count;
    EXPECT_TRUE(outcome.ends_with("=1")) << outcome << ", expected EPERM";
  }
  EXPECT_EQ(count, 20) << text;
  EXPECT_NE(::access("/tmp/glm-ocr-pdf-escaped", F_OK), 0);
}

TEST_F(FakePoppler, MemoryIsLimited) {
  PdfFile file = open("memory");
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(file.render(0).rgb.data())), "refused");
}

TEST_F(FakePoppler, WhatIsNoPictureIsALostPage) {
  expect_lost("crash", "poppler ended by signal ");
  expect_lost("short", "poppler renders nothing");
  expect_lost("long", "poppler ended by signal 9");
  expect_lost("wide", "poppler ended by signal 9");
  expect_error(ErrorCode::input,
               {"fake.pdf: is a PDF file, and it is broken, or no PDF file: poppler: Syntax Error: no good"},
               [&] { open("broken"); });
}

TEST_F(FakePoppler, TimeIsLimited) {
  options_.time_limit = std::chrono::milliseconds(2500);
  expect_lost("hang", "the renderer was ended after 2.5 s");
}

}  // namespace
}  // namespace glmocr
