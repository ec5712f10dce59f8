// SPDX-License-Identifier: Apache-2.0
// Pages in their regions, over a real engine with a small model whose texts mean nothing. PDF files are those of the
// library in place of PDFium (tests/support/fake_pdfium).
#include "glmocr/document.h"

#include <gmock/gmock.h>

#include <atomic>
#include <cmath>
#include <limits>
#include <thread>

#include "glmocr/glmocr.h"
#include "support/environment_variable.h"
#include "support/expect_error.h"
#include "support/peak_memory.h"
#include "support/refuse_memory.h"
#include "support/temporary_folder.h"
#include "support/tiff_writer.h"
#include "unit/document/test_inputs.h"
#include "unit/regions/drawn_page.h"

namespace glmocr {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

Region part(Box box, RegionLabel label = RegionLabel::text) {
  Region region;
  region.label = label;
  region.task = region_task(label);
  region.box = box;
  return region;
}

// These regions on every page.
RegionFinder always(std::vector<Region> regions) {
  return [regions](const Image&) { return regions; };
}

DocumentReaderOptions short_texts(RegionFinder regions) {
  DocumentReaderOptions options;
  options.regions = std::move(regions);
  options.read.max_tokens = 3;
  options.turn_pages = false;
  return options;
}

std::vector<ReadPage> read_all(DocumentReader& reader) {
  std::vector<ReadPage> pages;
  while (std::optional<ReadPage> page = reader.next()) pages.push_back(std::move(*page));
  return pages;
}

std::vector<ReadPage> read_all(const std::vector<std::string>& files, const DocumentReaderOptions& options) {
  Engine engine(narrow_model());
  DocumentReader reader(engine, files, options);
  return read_all(reader);
}

class Regions : public testing::Test {
 protected:
  std::string tiff(int pages, std::uint32_t side = 120) const {
    std::vector<TiffPage> list;
    for (int i = 0; i < pages; ++i) list.push_back({side, side, static_cast<std::uint8_t>(200 + i % 50)});
    return folder_.write("scan.tiff", tiff_of(list)).string();
  }

  TemporaryFolder folder_;
  const std::string word_ = std::string(GLMOCR_TEST_DATA) + "/pictures/word_112x56.png";
};

TEST_F(Regions, AreReadInTheirOrder) {
  const std::vector<Region> regions = {
      part({0, 0, 112, 20}, RegionLabel::doc_title), part({0, 20, 50, 40}, RegionLabel::image),
      part({0, 0, 112, 20}, RegionLabel::header), part({0, 20, 112, 56}, RegionLabel::table)};
  DocumentReaderOptions options = short_texts(always(regions));
  const std::vector<ReadPage> pages = read_all({word_, tiff(2)}, options);
  ASSERT_EQ(pages.size(), 3u);
  EXPECT_EQ(pages[0].page.file, word_);
  EXPECT_EQ(pages[0].page.number, 0);
  EXPECT_EQ(pages[0].page.width, 112);
  EXPECT_EQ(pages[0].page.height, 56);
  EXPECT_TRUE(pages[0].last);
  EXPECT_FALSE(pages[1].last);
  EXPECT_EQ(pages[2].input, 1);
  EXPECT_EQ(pages[2].page.number, 2);
  for (const ReadPage& page : pages) {
    ASSERT_FALSE(page.page.error);
    ASSERT_EQ(page.page.regions.size(), 4u);
    const std::vector<Region>& found = page.page.regions;
    EXPECT_TRUE(found[0].content);
    EXPECT_FALSE(found[1].content) << "a picture";
    EXPECT_FALSE(found[2].content) << "furniture is not read";
    EXPECT_TRUE(found[3].content);
    EXPECT_EQ(found[3].finish_reason, FinishReason::length);
    EXPECT_LT(found[3].mean_logprob, 0);
    EXPECT_EQ(page.tokens, 6);
    EXPECT_TRUE(page.image.rgb.empty());
    EXPECT_THAT(page.page.warnings, ElementsAre("region 0 (doc_title): the text is cut off: too many tokens",
                                                "region 3 (table): the text is cut off: too many tokens"));
  }
  EXPECT_NE(*pages[0].page.regions[0].content, *pages[0].page.regions[3].content);
  options.read_all = options.keep_images = true;
  const ReadPage all = read_all({word_}, options)[0];
  EXPECT_EQ(*all.page.regions[2].content, *all.page.regions[0].content) << "the same pixels";
  EXPECT_FALSE(all.page.regions[1].content);
  EXPECT_EQ(all.image.width, 112);
}

std::string grey_picture(const Image& image) {
  std::string picture = "P5 " + std::to_string(image.width) + " " + std::to_string(image.height) + " 255\n";
  for (std::size_t i = 0; i < image.rgb.size(); i += 3) picture += static_cast<char>(image.rgb[i]);
  return picture;
}

// The model's texts mean nothing: it is never sure of them. They end at the first letter of a kind.
TEST_F(Regions, DoubtfulOnesAreReadAgainRowByRow) {
  DrawnPage drawn(320, 160);
  for (const int baseline : {40, 82, 124}) drawn.line(10, baseline, 310, 24);
  const std::string file = folder_.write("lines.pgm", grey_picture(drawn.image)).string();
  DocumentReaderOptions options = short_texts(always({part({0, 0, 320, 160})}));
  options.read.max_tokens = 200;
  options.read.stop = {"e", "a", "i", "o"};
  options.second_look = false;
  const ReadPage once = read_all({file}, options)[0];
  ASSERT_TRUE(once.page.regions[0].content);
  ASSERT_EQ(once.page.regions[0].finish_reason, FinishReason::stop);
  options.second_look = true;
  const ReadPage twice = read_all({file}, options)[0];
  EXPECT_GE(twice.tokens, once.tokens + 3) << "three rows";
  ASSERT_TRUE(twice.page.regions[0].content);
  options.compat_crops = true;
  const ReadPage compat = read_all({file}, options)[0];
  EXPECT_EQ(compat.tokens, once.tokens);
  EXPECT_EQ(*compat.page.regions[0].content, *once.page.regions[0].content);
}

TEST_F(Regions, ThatMayBeReadTwiceEndWhenTheirPageIsTaken) {
  for (const bool twice : {false, true}) {
    DocumentReaderOptions options = short_texts(always({part({0, 0, 60, 60})}));
    options.second_look = twice;
    Engine engine(narrow_model());
    DocumentReader reader(engine, {word_}, options);
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (engine.stats().finished == 0 && std::chrono::steady_clock::now() < end) std::this_thread::yield();
    ASSERT_EQ(engine.stats().finished, 1);
    while (!twice && reader.finished_pages() == 0 && std::chrono::steady_clock::now() < end)
      std::this_thread::yield();
    EXPECT_EQ(reader.finished_pages(), twice ? 0 : 1);
    EXPECT_TRUE(reader.next());
    EXPECT_EQ(reader.finished_pages(), 1);
  }
}

// A page whose rows cannot be cut out keeps what was read of it, and the run goes on.
TEST_F(Regions, WithoutMemoryForASecondLookKeepTheirText) {
  if (!kRefusesMemory) GTEST_SKIP() << "with an allocator of the sanitizer's";
  DrawnPage drawn(320, 160);
  for (const int baseline : {40, 82, 124}) drawn.line(10, baseline, 310, 24);
  const std::string file = folder_.write("lines.pgm", grey_picture(drawn.image)).string();
  DocumentReaderOptions options = short_texts(always({part({0, 0, 320, 160})}));
  options.read.max_tokens = 200;
  options.read.stop = {"e", "a", "i", "o"};
  std::vector<ReadPage> pages;
  {
    Engine engine(narrow_model());
    DocumentReader reader(engine, {file, file}, options);
    const RefuseMemory refuse(16 << 10);
    pages = read_all(reader);
  }
  ASSERT_EQ(pages.size(), 2u);
  for (const ReadPage& page : pages) {
    EXPECT_FALSE(page.page.error);
    ASSERT_TRUE(page.page.regions[0].content);
    EXPECT_FALSE(page.page.regions[0].content->empty());
    EXPECT_THAT(page.page.warnings,
                ElementsAre("region 0 (text): could not be read again: not enough memory"));
  }
}

TEST_F(Regions, OfContentsAreReadInPiecesAndJoined) {
  DrawnPage drawn(500, 100);
  for (const int baseline : {40, 82}) {
    drawn.line(10, baseline, 120, 24);
    for (int x = 130; x < 440; x += 12) drawn.bar(x, baseline - 4, x + 4, baseline);
    drawn.line(450, baseline, 490, 24);
  }
  const std::string file = folder_.write("contents.pgm", grey_picture(drawn.image)).string();
  DocumentReaderOptions options =
      short_texts(always({part({0, 0, 500, 100}), part({0, 0, 500, 100}, RegionLabel::table)}));
  const ReadPage page = read_all({file}, options)[0];
  EXPECT_EQ(page.tokens, 2 * 3 + 3) << "two pieces, and a table as a whole";
  EXPECT_THAT(*page.page.regions[0].content, HasSubstr("\n"));
  EXPECT_EQ(page.page.regions[0].finish_reason, FinishReason::length);
  options.second_look = false;
  EXPECT_EQ(read_all({file}, options)[0].tokens, 2 * 3);
}

TEST_F(Regions, ManyMoreThanTheEngineTakesAtOnceAreAllRead) {
  const std::vector<Region> regions(40, part({0, 0, 60, 60}));
  DocumentReaderOptions options = short_texts(always(regions));
  options.read.max_tokens = 1;
  options.pages_ahead = 2;
  Engine engine(narrow_model(), {.max_sequences = 2, .max_waiting = 3});
  DocumentReader reader(engine, {tiff(3)}, options);
  const std::vector<ReadPage> pages = read_all(reader);
  ASSERT_EQ(pages.size(), 3u);
  for (const ReadPage& page : pages) {
    ASSERT_FALSE(page.page.error) << page.page.error->what();
    for (const Region& region : page.page.regions) EXPECT_TRUE(region.content);
  }
  EXPECT_EQ(reader.finished_pages(), 3);
  EXPECT_EQ(reader.pages(), 3);
  EXPECT_EQ(reader.tokens(), 3 * 40);
}

// A region that cannot be read does not take its page along.
TEST_F(Regions, OneThatCannotBeReadHasTheError) {
  const std::string file =
      folder_.write("wide.pgm", "P5 900 60 255\n" + std::string(900 * 60, '\x80')).string();
  DocumentReaderOptions options =
      short_texts(always({part({0, 0, 90, 60}), part({0, 0, 900, 1}), part({100, 0, 190, 60})}));
  options.second_look = false;  // it would be read with white around it
  const std::vector<ReadPage> pages = read_all({file, file}, options);
  ASSERT_EQ(pages.size(), 2u);
  for (const ReadPage& page : pages) {
    ASSERT_FALSE(page.page.error);
    ASSERT_TRUE(page.page.regions[1].error) << "300 times as wide as high";
    EXPECT_EQ(page.page.regions[1].error->code(), ErrorCode::input);
    EXPECT_FALSE(page.page.regions[1].content);
    EXPECT_TRUE(page.page.regions[0].content);
    EXPECT_TRUE(page.page.regions[2].content);
    EXPECT_THAT(page.page.warnings, testing::Contains(testing::StartsWith("region 1 (text): ")));
  }
}

TEST_F(Regions, ThatLieBesideThePageOrAreNoNumbersAreNotRead) {
  constexpr double nan = std::numeric_limits<double>::quiet_NaN();
  constexpr double infinity = std::numeric_limits<double>::infinity();
  for (const bool compat : {false, true}) {
    DocumentReaderOptions options = short_texts(always(
        {part({500, 500, 600, 600}), part({nan, 0, 50, 50}), part({50, 50, 10, 10}), part({0, 0, 0, 0}),
         part({-1e300, -infinity, 1e300, infinity}), part({-500, -500, -400, -400})}));
    options.compat_crops = compat;
    options.keep_images = true;
    const ReadPage page = read_all({word_}, options).at(0);
    ASSERT_FALSE(page.page.error) << page.page.error->what();
    ASSERT_EQ(page.page.regions.size(), 6u);
    EXPECT_TRUE(page.page.regions[4].content) << "the whole page";
    for (const std::size_t i : {0u, 2u, 3u, 5u}) EXPECT_FALSE(page.page.regions[i].content) << i;
  }
}

TEST_F(Regions, NoneIsAPageWithoutText) {
  const std::vector<ReadPage> pages = read_all({word_, tiff(3)}, short_texts(always({})));
  ASSERT_EQ(pages.size(), 4u);
  for (const ReadPage& page : pages) {
    EXPECT_FALSE(page.page.error);
    EXPECT_THAT(page.page.regions, IsEmpty());
  }
}

TEST_F(Regions, WhatTheirFinderThrowsIsTheErrorOfThePage) {
  std::atomic<int> calls = 0;
  const auto finder = [&calls](const Image&) -> std::vector<Region> {
    switch (calls++ % 4) {
      case 0:
        throw Error(ErrorCode::device, "no device");
      case 1:
        throw std::bad_alloc();
      case 2:
        throw std::runtime_error("a bug");
      default:
        throw 42;
    }
  };
  const std::vector<ReadPage> pages = read_all({tiff(4)}, short_texts(finder));
  ASSERT_EQ(pages.size(), 4u);
  std::vector<std::string> messages;
  for (const ReadPage& page : pages) {
    ASSERT_TRUE(page.page.error);
    messages.emplace_back(page.page.error->what());
    EXPECT_EQ(page.page.file, folder_ / "scan.tiff");
    EXPECT_THAT(page.page.regions, IsEmpty());
  }
  EXPECT_THAT(messages, testing::UnorderedElementsAre("no device", "not enough memory", "a bug",
                                                      "an exception that is no std::exception"));
}

TEST_F(Regions, OfPagesThatAreLeftOutAreNotLookedFor) {
  std::atomic<int> calls = 0;
  DocumentReaderOptions options = short_texts([&calls](const Image&) {
    ++calls;
    return std::vector<Region>();
  });
  const std::string scan = tiff(5);
  std::vector<std::int64_t> opened;
  options.skip = [&](std::int64_t input, std::int64_t number) {
    if (number == 0) opened.push_back(input);
    if (input == 2) return number == 0;
    return input == 0 ? number != 2 && number != 4 && number != 0 : number > 0;
  };
  const std::vector<ReadPage> pages = read_all({scan, scan, folder_ / "missing", scan}, options);
  ASSERT_EQ(pages.size(), 2u);
  EXPECT_EQ(pages[0].page.number, 2);
  EXPECT_FALSE(pages[0].last);
  EXPECT_EQ(pages[1].page.number, 4);
  EXPECT_TRUE(pages[1].last) << "of those that are wanted";
  EXPECT_EQ(calls, 2);
  EXPECT_THAT(opened, ElementsAre(0, 1, 2, 3));
}

TEST_F(Regions, CancelEndsPagesInEveryState) {
  for (const int milliseconds : {0, 1, 5, 20, 60}) {
    Engine engine(narrow_model(), {.max_sequences = 2, .max_waiting = 2});
    DocumentReaderOptions options = short_texts(always(std::vector<Region>(6, part({0, 0, 112, 56}))));
    options.read.max_tokens = 40;
    options.pages_ahead = 3;
    DocumentReader reader(engine, {tiff(6), word_, tiff(6), word_}, options);
    std::thread canceller([&] {
      std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
      reader.cancel();
    });
    bool cancelled = false;
    for (const ReadPage& page : read_all(reader)) {
      EXPECT_FALSE(cancelled && !page.page.error && page.page.regions.size() != 6u);
      if (page.page.error) {
        EXPECT_EQ(page.page.error->code(), ErrorCode::cancelled) << page.page.error->what();
        cancelled = true;
        continue;
      }
      for (const Region& region : page.page.regions) {
        EXPECT_TRUE(region.content);
        EXPECT_NE(region.finish_reason, FinishReason::cancelled) << "a page that is not whole has an error";
      }
    }
    canceller.join();
    EXPECT_FALSE(reader.next());
  }
}

TEST_F(Regions, AReaderMayEndBeforeItsPages) {
  Engine engine(narrow_model(), {.max_sequences = 2, .max_waiting = 2});
  for (int pages = 0; pages < 3; ++pages) {
    DocumentReader reader(engine, {tiff(6)},
                          short_texts(always(std::vector<Region>(3, part({0, 0, 60, 60})))));
    for (int i = 0; i < pages; ++i) EXPECT_FALSE(reader.next()->page.error);
  }
}

// Pages wait for whoever takes them, in a bounded number, however fast they are read.
TEST_F(Regions, ImagesThatAreKeptAreFew) {
  std::atomic<int> calls = 0;
  DocumentReaderOptions options = short_texts([&calls](const Image&) {
    ++calls;
    return std::vector<Region>();
  });
  options.keep_images = true;
  options.pages_ahead = 3;
  Engine engine(narrow_model());
  DocumentReader reader(engine, {tiff(30, 300)}, options);
  for (int taken = 0; taken < 30; ++taken) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    EXPECT_LE(calls, taken + 3);
    const std::optional<ReadPage> page = reader.next();
    ASSERT_TRUE(page);
    EXPECT_EQ(page->page.number, taken + 1);
    EXPECT_EQ(page->image.width, 300);
  }
  EXPECT_FALSE(reader.next());
}

TEST_F(Regions, OptionsOutOfRangeAreRefused) {
  Engine engine(narrow_model());
  DocumentReaderOptions options;
  options.pages_ahead = 0;
  expect_error(ErrorCode::usage, {"pages_ahead: 0"}, [&] { DocumentReader(engine, {word_}, options); });
  options.pages_ahead = 1;
  options.pages = "0";
  expect_error(ErrorCode::usage, {"\"0\""}, [&] { DocumentReader(engine, {word_}, options); });
}

// `letters` of the library in place of PDFium is a text layer.
class LayerOfPdf : public Regions {
 protected:
  void SetUp() override {
    if (std::string(GLMOCR_FAKE_PDFIUM).empty())
      GTEST_SKIP() << "PDF files cannot be rendered on this system";
  }
  EnvironmentVariable library_{"GLMOCR_PDFIUM", GLMOCR_FAKE_PDFIUM};
};

TEST_F(LayerOfPdf, AloneNeedsNoModel) {
  const std::string file =
      folder_.write("a.pdf", "%PDF-\n200 100 letters one\n200 100 crash\n200 100 letters three\n").string();
  DocumentReaderOptions options = short_texts(always({}));
  options.text_layer = TextLayerUse::only;
  const std::vector<ReadPage> pages = read_all({file, word_}, options);
  ASSERT_EQ(pages.size(), 4u);
  ASSERT_EQ(pages[0].page.regions.size(), 1u) << "a line in no region";
  EXPECT_EQ(*pages[0].page.regions[0].content, "one");
  EXPECT_EQ(pages[0].page.regions[0].source, TextSource::text_layer);
  ASSERT_TRUE(pages[1].page.error);
  EXPECT_THAT(pages[1].page.error->what(), HasSubstr("page 2: the renderer ended by signal"));
  EXPECT_EQ(*pages[2].page.regions.at(0).content, "three");
  EXPECT_FALSE(pages[3].page.error);
  EXPECT_EQ(pages[2].tokens + pages[3].tokens, 0);
}

TEST_F(LayerOfPdf, IsNotBelievedWhereNothingIsSeen) {
  const std::string file = folder_.write("a.pdf", "%PDF-\n200 100 letters one\n").string();
  DocumentReaderOptions options = short_texts(whole_page_region());
  for (const TextLayerUse use : {TextLayerUse::automatic, TextLayerUse::off}) {
    options.text_layer = use;
    const ReadPage page = read_all({file}, options).at(0);
    EXPECT_EQ(page.page.regions.at(0).source, TextSource::picture);
    EXPECT_EQ(page.tokens, 3);
  }
}

}  // namespace
}  // namespace glmocr
