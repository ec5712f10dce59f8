// SPDX-License-Identifier: Apache-2.0
// Inputs as a stream of pages. PDF files are those of the library in place of PDFium (tests/support/fake_pdfium).
#include "document/page_source.h"

#include <gmock/gmock.h>

#include "document/page_queue.h"
#include "support/environment_variable.h"
#include "support/expect_error.h"
#include "support/temporary_folder.h"
#include "support/tiff_writer.h"

namespace glmocr {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class Pages : public testing::Test {
 protected:
  void SetUp() override {
    if (std::string(GLMOCR_FAKE_PDFIUM).empty())
      GTEST_SKIP() << "PDF files cannot be rendered on this system";
  }

  // "FILE:NUMBER" of all pages, with a star for the last of an input, or the error.
  std::vector<std::string> listed(const std::vector<std::string>& files, const std::string& ranges = "") {
    DocumentOptions options;
    options.pdf.dpi = 72;
    if (!ranges.empty()) options.pages = PageRanges::parse(ranges);
    PageSource source(files, options);
    std::vector<std::string> list;
    while (const std::optional<SourcePage> page = source.next()) {
      list.push_back(page->page.error ? std::string(page->page.error->what())
                                      : std::filesystem::path(page->page.file).filename().string() + ":" +
                                            std::to_string(page->page.number) + (page->page.last ? "*" : ""));
    }
    return list;
  }

  TemporaryFolder folder_;
  EnvironmentVariable library_{"GLMOCR_PDFIUM", GLMOCR_FAKE_PDFIUM};
  const std::string pdf_ = folder_.write("a.pdf", "%PDF-\n9 9 say 1\n9 9 say 2\n9 9 say 3\n");
  const std::string tiff_ = folder_.write("b.tiff", tiff_of({{2, 1, 1}, {2, 1, 2}}));
  const std::string single_ = folder_.write("c.tiff", tiff_of({{2, 1, 1}}));
  const std::string picture_ = std::string(GLMOCR_TEST_DATA) + "/pictures/word_56x56.png";
};

TEST_F(Pages, ComeInTheOrderOfTheInputs) {
  EXPECT_THAT(listed({tiff_, picture_, pdf_, single_}),
              ElementsAre("b.tiff:1", "b.tiff:2*", "word_56x56.png:0*", "a.pdf:1", "a.pdf:2", "a.pdf:3*",
                          "c.tiff:0*"));
}

TEST_F(Pages, AreSelected) {
  EXPECT_THAT(listed({tiff_, pdf_}, "1,3"), ElementsAre("b.tiff:1*", "a.pdf:1", "a.pdf:3*"));
  EXPECT_THAT(listed({tiff_, pdf_, picture_}, "3-"),
              ElementsAre(tiff_ + ": has 2 pages; asked for: 3-", "a.pdf:3*",
                          picture_ + ": has 1 page; asked for: 3-"));
}

TEST_F(Pages, OfWhatCannotBeOpenedAreOneError) {
  const std::string crash = folder_.write("crash.pdf", "%PDF-\nopen-crash\n");
  EXPECT_THAT(listed({crash, folder_.path().string(), picture_}),
              ElementsAre(HasSubstr("crash.pdf: is a PDF file that cannot be opened"),
                          HasSubstr("is a folder"), "word_56x56.png:0*"));
}

TEST_F(Pages, ArePdfByContentEvenBehindOtherBytes) {
  const std::string late = folder_.write("late.png", "\n\n%PDF\n9 9 say 1\n");
  // The library in place of PDFium takes the first line for the header.
  EXPECT_THAT(listed({folder_.write("p.png", "%PDF-\n9 9 say 1\n")}), ElementsAre("p.png:1*"));
  EXPECT_THAT(listed({folder_.write("q", "rubbish %PDF-\n9 9 say 1\n")}), ElementsAre("q:1*"));
  EXPECT_THAT(listed({late}), ElementsAre("late.png:0*")) << "not a PDF header";
}

TEST_F(Pages, OfATiffNameTheirPage) {
  std::string cut = tiff_of({{2, 1, 1}, {50, 50, 2}});
  cut.resize(cut.size() - 10);
  const std::string file = folder_.write("cut.tiff", cut);
  PageSource source({file}, {});
  EXPECT_EQ(source.next()->decode({}).image.width, 2);
  const std::optional<SourcePage> second = source.next();
  expect_error(ErrorCode::input, {file + ": page 2: TIFF picture: "}, [&] { second->decode({}); });
  EXPECT_FALSE(source.next());
}

TEST_F(Pages, LeftOfTheInputAreCounted) {
  PageSource source({pdf_, picture_}, {});
  EXPECT_EQ(source.pages_left(), 0);
  source.next();
  EXPECT_EQ(source.pages_left(), 2);
  source.next();
  source.next();
  EXPECT_EQ(source.pages_left(), 0);
}

// A file may count a million pages and have none of them.
TEST_F(Pages, ThatAreMissingInARowAreGivenUp) {
  std::string many = "%PDF-\n9 9 say 1\n";
  for (int i = 0; i < 1000; ++i) many += "missing\n";
  const std::string file = folder_.write("many.pdf", many);
  PageSource source({file, picture_}, {});
  int missing = 0, pages = 0;
  std::string last;
  while (const std::optional<SourcePage> page = source.next()) {
    ++pages;
    if (page->page.error) {
      last = page->page.error->what();
      EXPECT_EQ(page->page.number, 22);
      EXPECT_TRUE(page->page.last);
      continue;
    }
    try {
      page->decode({});
    } catch (const MissingPage&) {
      ++missing;
    }
  }
  EXPECT_EQ(missing, 20);
  EXPECT_EQ(last,
            file + ": page 22 and the 979 after it are given up: many pages before them do not exist either");
  EXPECT_EQ(pages, 1 + 20 + 1 + 1) << "the next input is read";
}

TEST_F(Pages, AreDecodedByTheQueue) {
  LoadOptions load;
  load.dtype = ComputeType::fp32;
  const Model model = Model::load(std::string(GLMOCR_SOURCE_DIR) + "/tests/data/narrow", load);
  Engine engine(model);
  PageQueueOptions options;
  options.read.max_tokens = 4;
  const std::string crash = folder_.write("crash.pdf", "%PDF-\n56 56 say 1\n56 56 crash\n28 56 say 3\n");
  PageQueue queue(engine, {picture_, crash, pdf_}, options);
  std::vector<std::string> sizes;
  while (const std::optional<Page> page = queue.take()) {
    sizes.push_back(page->error ? page->error->what()
                                : std::to_string(page->width) + "x" + std::to_string(page->height));
    EXPECT_GE(queue.size(), 3);
  }
  EXPECT_THAT(sizes,
              ElementsAre("56x56", "156x156", HasSubstr("crash.pdf: page 2: the renderer ended by signal 11"),
                          "78x156", "25x25", "25x25", "25x25"));
  EXPECT_EQ(queue.size(), 7);
  EXPECT_EQ(queue.finished(), 7);
}

TEST_F(Pages, ThatAreRenderedWhenTheQueueIsCancelledAreCancelled) {
  LoadOptions load;
  load.dtype = ComputeType::fp32;
  const Model model = Model::load(std::string(GLMOCR_SOURCE_DIR) + "/tests/data/narrow", load);
  Engine engine(model);
  PageQueue queue(engine, {folder_.write("hang.pdf", "%PDF-\n56 56 hang\n"), picture_}, {});
  std::thread canceller([&queue] {
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    queue.cancel();
  });
  int pages = 0;
  while (const std::optional<Page> page = queue.take()) {
    ++pages;
    if (page->number == 1) {
      ASSERT_TRUE(page->error);
      EXPECT_EQ(page->error->code(), ErrorCode::cancelled);
    }
  }
  EXPECT_EQ(pages, 2);
  canceller.join();
}

}  // namespace
}  // namespace glmocr
