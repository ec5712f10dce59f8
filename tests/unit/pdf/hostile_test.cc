// SPDX-License-Identifier: Apache-2.0
// Files that attack the renderer (tests/support/hostile_pdfs). Whatever becomes of them, this process goes on, in time, with
// pages or with messages that name the file. GLMOCR_TEST_VERBOSE=1 prints what became of each.
#include <gmock/gmock.h>

#include <chrono>
#include <cstdlib>
#include <iostream>

#include "pdf/pdf_file.h"
#include "support/hostile_pdfs.h"
#include "support/pdf_renderers.h"

namespace glmocr {
namespace {

using Clock = std::chrono::steady_clock;
using Outcome = HostilePdf::Outcome;

constexpr std::chrono::seconds kLimit(2);
constexpr std::int64_t kMostPages = 3;

struct Attempt {
  int pages = 0;
  std::vector<std::string> errors;
  double seconds = 0;
  int calls = 0;
};

// With a word on the first page.
void write_searchable(PdfFile& file, const Image& first) {
  std::string written;
  const auto writer = file.searchable([&](std::string_view bytes) { written += bytes; });
  SearchablePage page;
  page.width = first.width;
  page.height = first.height;
  page.lines = {{{1, 1, 20, 10}, "word", {}}};
  writer->add(page);
  writer->finish();
  EXPECT_GT(written.size(), 100u);
}

Attempt attempt(const HostilePdf& pdf, const PdfOptions& options) {
  Attempt result;
  const Clock::time_point start = Clock::now();
  const auto guarded = [&](auto action) {
    ++result.calls;
    try {
      action();
    } catch (const Error& error) {
      result.errors.emplace_back(error.what());
      EXPECT_EQ(to_string(error.code()), "input") << pdf.name << ": " << error.what();
    }
  };
  guarded([&] {
    PdfFile file = PdfFile::open_bytes(pdf.content, "file.pdf", options);
    Image first;
    for (std::int64_t page = 0; page < std::min(file.page_count(), kMostPages); ++page) {
      guarded([&] {
        const Image image = file.render(page);
        EXPECT_LE(std::max(image.width, image.height), options.max_side);
        ++result.pages;
        if (page == 0) first = image;
      });
      guarded([&] {
        const auto layer = file.text_layer(page);
        if (layer) {
          EXPECT_LE(layer->lines.size(), 1000000u);
        }
      });
    }
    if (first.width > 0 && file.renderer_name() == "PDFium") guarded([&] { write_searchable(file, first); });
  });
  result.seconds = std::chrono::duration<double>(Clock::now() - start).count();
  return result;
}

std::string described(const Attempt& attempt) {
  std::string text = std::to_string(attempt.pages) + " pages, " + std::to_string(attempt.seconds) + " s";
  for (const std::string& error : attempt.errors) text += "; " + error;
  return text;
}

class HostileFiles : public testing::TestWithParam<PdfRenderer> {};

TEST_P(HostileFiles, EndInPagesOrMessages) {
  if (!has_renderer(GetParam())) GTEST_SKIP() << renderer_name(GetParam()) << " is not on this machine";
  PdfOptions options;
  options.renderer = GetParam();
  options.dpi = 72;
  options.max_side = 1000;
  const std::vector<HostilePdf> files = hostile_pdfs();
  EXPECT_GE(files.size(), 60u);
  for (const HostilePdf& pdf : files) {
    options.time_limit = kLimit;
    Attempt result = attempt(pdf, options);
    if (pdf.outcome == Outcome::a_page && result.pages == 0) {  // on a busy machine, for want of time
      options.time_limit = 15 * kLimit;
      result = attempt(pdf, options);
    }
    if (std::getenv("GLMOCR_TEST_VERBOSE") != nullptr)
      std::cout << pdf.name << ": " << described(result) << "\n";
    SCOPED_TRACE(pdf.name + ": " + described(result));
    for (const std::string& error : result.errors) {
      EXPECT_THAT(error, testing::StartsWith("file.pdf: "));
      EXPECT_GT(error.size(), 20u);
    }
    EXPECT_TRUE(result.pages > 0 || !result.errors.empty());
    // A page takes two requests, and a worker that was lost opens the file again.
    EXPECT_LT(result.seconds,
              3 * result.calls * std::chrono::duration<double>(options.time_limit).count() + 5);
    if (pdf.outcome == Outcome::a_page) {
      EXPECT_GT(result.pages, 0);
    }
    if (pdf.outcome == Outcome::no_page) {
      EXPECT_EQ(result.pages, 0);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, HostileFiles, testing::Values(PdfRenderer::pdfium, PdfRenderer::poppler),
                         [](const auto& renderer) { return renderer_name(renderer.param); });

}  // namespace
}  // namespace glmocr
