// SPDX-License-Identifier: Apache-2.0
// The queue over a real engine with a small model, whose texts mean nothing.
#include "document/page_queue.h"

#include <gmock/gmock.h>

#include <chrono>
#include <future>
#include <thread>
#include <utility>

#include "base/error.h"
#include "support/peak_memory.h"
#include "support/temporary_folder.h"
#include "unit/document/test_inputs.h"

namespace glmocr {
namespace {

using testing::HasSubstr;
using namespace std::string_literals;

const std::string kWord = picture("word_112x56.png");
const std::string kLine = picture("line_308x84.png");
const std::string kLong = picture("paragraph_448x140.png");

PageQueueOptions short_texts() {
  PageQueueOptions options;
  options.read.max_tokens = 4;
  return options;
}

std::vector<Page> take_all(PageQueue& queue) {
  std::vector<Page> pages;
  while (std::optional<Page> page = queue.take()) pages.push_back(std::move(*page));
  return pages;
}

TEST(PageQueue, PagesComeInInputOrderAndOnesThatFailDoNotStopTheOthers) {
  const TemporaryFolder folder;
  const std::string text = folder.write("text.png", "Dear reader,\n").string();
  const std::vector<std::string> files = {kLong, folder / "missing.png", kWord, folder.path().string(), text,
                                          kLine};
  Engine engine(narrow_model());
  PageQueue queue(engine, files, short_texts());
  EXPECT_EQ(queue.size(), 6);
  const std::vector<Page> pages = take_all(queue);
  ASSERT_EQ(pages.size(), files.size());
  std::int64_t tokens = 0;
  for (std::size_t i = 0; i < files.size(); ++i) {
    EXPECT_EQ(pages[i].file, files[i]);
    if (files[i] == kLong || files[i] == kWord || files[i] == kLine) {
      ASSERT_FALSE(pages[i].error) << pages[i].error->what();
      EXPECT_EQ(pages[i].result.completion_tokens, 4);
      EXPECT_TRUE(pages[i].events.empty());
      tokens += pages[i].result.completion_tokens;
    } else {
      ASSERT_TRUE(pages[i].error);
      EXPECT_EQ(pages[i].error->code(), ErrorCode::input);
      EXPECT_THAT(pages[i].error->what(), HasSubstr(files[i]));
    }
  }
  EXPECT_EQ(pages[2].width, 112);
  EXPECT_EQ(pages[2].height, 56);
  EXPECT_GT(pages[2].decode_image_ms, 0);
  EXPECT_THAT(pages[3].error->what(), HasSubstr("is a folder"));
  EXPECT_THAT(pages[4].error->what(), HasSubstr("not a picture"));
  EXPECT_EQ(queue.finished(), queue.size());
  EXPECT_EQ(queue.tokens(), tokens);
  EXPECT_FALSE(queue.take());
}

// 43 bytes whose header says that both sides have this length, and whose pixels are missing.
std::string gif_without_pixels(const std::string& side) {
  return "GIF89a" + side + side + "\x80\0\0"s + "\0\0\0\xff\xff\xff"s + "\x21\xf9\4\0\0\0\0\0,\0\0\0\0"s +
         side + side + "\0"s + "\2\1\x44\0;"s;
}

TEST(PageQueue, LargePicturesAreDecodedOneAfterTheOther) {
  if (!kMemoryIsMeasurable) GTEST_SKIP() << "a sanitizer keeps freed memory";
  const TemporaryFolder folder;
  const std::vector<std::string> files(6, folder.write("large.gif", gif_without_pixels("\0\x20"s)).string());
  Engine engine(narrow_model());
  std::vector<Page> pages;
  const std::int64_t growth = peak_growth([&] {
    PageQueue queue(engine, files, short_texts());
    pages = take_all(queue);
  });
  ASSERT_EQ(pages.size(), files.size());
  for (const Page& page : pages) {
    ASSERT_TRUE(page.error);
    EXPECT_THAT(page.error->what(), HasSubstr("large.gif: GIF picture: "));
  }
  EXPECT_LT(growth, 300 << 20);  // one has 192 MiB
}

TEST(PageQueue, APictureAboveTheBoundGoesAlone) {
  Engine engine(narrow_model());
  PageQueueOptions options = short_texts();
  options.bytes_ahead = 3 * 112 * 56;
  PageQueue queue(engine, {kWord, kLong, kWord, kLine, kLong, kWord}, options);
  const std::vector<Page> pages = take_all(queue);
  ASSERT_EQ(pages.size(), 6u);
  for (const Page& page : pages) EXPECT_FALSE(page.error) << page.error->what();
}

TEST(PageQueue, TextIsStreamedAndEventsAreCollected) {
  Engine engine(narrow_model());
  PageQueueOptions options = short_texts();
  options.collect_events = true;
  PageQueue queue(engine, {kLine}, options);
  std::string streamed;
  const std::optional<Page> page = queue.take([&](std::string_view piece) { streamed += piece; });
  ASSERT_TRUE(page && !page->error);
  EXPECT_EQ(streamed, page->result.text);
  ASSERT_EQ(page->events.size(), page->result.tokens.size());
  for (std::size_t i = 0; i < page->events.size(); ++i) {
    EXPECT_EQ(page->events[i].token, page->result.tokens[i]);
  }
}

constexpr EngineOptions kNarrow{.max_sequences = 1, .max_waiting = 1};

// An engine that is busy, because its thread stays in a callback, until it is told to go on.
class BusyEngine {
 public:
  BusyEngine() {
    ReadOptions options;
    options.max_tokens = 2;
    std::promise<void> stays;
    options.on_token = [this, &stays, told = false](const TokenEvent&) mutable {
      if (!std::exchange(told, true)) stays.set_value();
      go_on_.wait();
    };
    const std::vector<Image> images = {load_image(kWord)};
    jobs_.push_back(engine_.submit(images, options));
    stays.get_future().wait();  // else its thread might still take what waits, and have room for more
    options.on_token = {};
    try {
      for (int i = 0; i < 100; ++i) jobs_.push_back(engine_.submit(images, options));
      ADD_FAILURE() << "the engine was never busy";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::busy) << error.what();
    }
  }
  ~BusyEngine() { go_on(); }
  void go_on() {
    if (!went_on_) may_go_on_.set_value();
    went_on_ = true;
  }
  Engine& engine() { return engine_; }
  const std::vector<Job>& jobs() const { return jobs_; }

 private:
  bool went_on_ = false;
  std::promise<void> may_go_on_;
  std::shared_future<void> go_on_ = may_go_on_.get_future().share();
  Engine engine_{narrow_model(), kNarrow};
  std::vector<Job> jobs_;
};

// 40 pictures of 6 MiB before an engine that takes all and finishes none.
std::int64_t growth_of_a_long_queue(const PageQueueOptions& options) {
  const TemporaryFolder folder;
  const std::string picture =
      folder.write("grey.pgm", "P5 1456 1456 255\n" + std::string(1456 * 1456, '\x80')).string();
  std::promise<void> may_go_on;
  const std::shared_future<void> go_on = may_go_on.get_future().share();
  std::int64_t growth = 0;
  Engine engine(narrow_model(), {.max_sequences = 1, .max_waiting = 256});
  ReadOptions held;
  held.max_tokens = 2;
  held.on_token = [&](const TokenEvent&) { go_on.wait(); };
  const Job job = engine.submit(std::vector<Image>{load_image(kWord)}, held);
  growth = peak_growth([&] {
    PageQueue queue(engine, std::vector<std::string>(40, picture), options);
    std::this_thread::sleep_for(std::chrono::milliseconds(1500));
    queue.cancel();
    may_go_on.set_value();
  });
  job.wait();
  return growth;
}

TEST(PageQueue, FewPicturesAreInMemory) {
  if (!kMemoryIsMeasurable) GTEST_SKIP() << "a sanitizer keeps freed memory";
  PageQueueOptions options = short_texts();
  options.pages_ahead = 4;
  EXPECT_LT(growth_of_a_long_queue(options), 100 << 20);
  options.pages_ahead = 64;
  options.bytes_ahead = std::int64_t{24} << 20;
  EXPECT_LT(growth_of_a_long_queue(options), 100 << 20);
  options.bytes_ahead = std::int64_t{1} << 30;
  EXPECT_GT(growth_of_a_long_queue(options), 100 << 20);  // not all of them on a busy machine
}

// Under a memory limit pictures that are decoded wait for each other.
TEST(PageQueue, DecodingStaysWithinTheMemoryLimit) {
  LoadOptions load;
  load.dtype = ComputeType::fp32;
  load.memory_limit = std::int64_t{256} << 20;
  const Model limited = Model::load(std::string(GLMOCR_SOURCE_DIR) + "/tests/data/narrow", load);
  LoadingEngine loading(limited, {});
  PageQueueOptions options = short_texts();
  options.decoding_memory = loading.decoding_memory();
  EXPECT_EQ(options.decoding_memory, loading.decoding.bytes());
  EXPECT_NEAR(static_cast<double>(options.decoding_memory), 64 << 20, 1 << 20);
  const TemporaryFolder folder;
  const std::string fits =
      folder.write("fits.gif", gif_without_pixels("\xa0\x0f")).string();  // 4000 a side: 45.8 MiB
  const std::string large = folder.write("large.gif", gif_without_pixels("\0\x20"s)).string();
  const std::vector<std::string> files = {kWord, fits, fits, large, fits, fits, kWord};
  std::vector<Page> pages;
  const std::int64_t growth = peak_growth([&] {
    PageQueue queue(*loading.engine, files, options);
    pages = take_all(queue);
  });
  ASSERT_EQ(pages.size(), files.size());
  for (const Page& page : pages) {
    EXPECT_EQ(page.error.has_value(), page.file != kWord);
    if (page.file == kWord) continue;
    EXPECT_EQ(page.error->code(), page.file == large ? ErrorCode::memory : ErrorCode::input)
        << page.error->what();
    if (page.file != large) continue;
    EXPECT_THAT(page.error->what(),
                HasSubstr("the picture takes 192.1 MiB to decode; the memory limit leaves 63.9 MiB"));
  }
  EXPECT_LE(loading.engine->stats().peak_memory_bytes, load.memory_limit);
  if (!kMemoryIsMeasurable) return;
  EXPECT_LT(growth, 80 << 20) << "two at once take 92 MiB";
}

TEST(PageQueue, WaitsWhileTheEngineIsBusy) {
  BusyEngine busy;
  PageQueue queue(busy.engine(), std::vector<std::string>(8, kWord), short_texts());
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  EXPECT_EQ(queue.finished(), 0);
  busy.go_on();
  const std::vector<Page> pages = take_all(queue);
  ASSERT_EQ(pages.size(), 8u);
  for (const Page& page : pages) {
    ASSERT_FALSE(page.error) << page.error->what();
    EXPECT_EQ(page.result.text, pages[0].result.text);
  }
  for (const Job& job : busy.jobs()) EXPECT_EQ(job.wait().completion_tokens, 2);
}

TEST(PageQueue, CancelEndsTheWaitForABusyEngine) {
  BusyEngine busy;
  {
    PageQueue queue(busy.engine(), {kWord, kWord}, {});
    queue.cancel();
    for (const Page& page : take_all(queue)) {
      ASSERT_TRUE(page.error);
      EXPECT_EQ(page.error->code(), ErrorCode::cancelled);
    }
  }
}

TEST(PageQueue, CancelEndsWhatRunsWhatWaitsAndWhatIsNotLoaded) {
  Engine engine(narrow_model(), kNarrow);
  PageQueue queue(engine, std::vector<std::string>(40, kLong), {});
  int pieces = 0;
  std::optional<Page> page = queue.take([&](std::string_view) {
    if (++pieces == 3) queue.cancel();
  });
  int taken = 0, cancelled = 0;
  for (; page; page = queue.take()) {
    ++taken;
    EXPECT_EQ(page->file, kLong);
    if (!page->error) continue;  // it had ended before
    ++cancelled;
    EXPECT_EQ(page->error->code(), ErrorCode::cancelled);
  }
  EXPECT_EQ(taken, 40);
  EXPECT_GT(cancelled, 20);
}

TEST(PageQueue, ItsEndCancelsWhatWasNotTaken) {
  Engine engine(narrow_model(), kNarrow);
  {
    PageQueueOptions options;
    options.pages_ahead = 3;
    const PageQueue queue(engine, std::vector<std::string>(40, kLong), options);
    while (queue.tokens() == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  // The engine updates its figures after a request has ended.
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (engine.stats().waiting + engine.stats().running > 0 && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  EXPECT_EQ(engine.stats().waiting, 0);
  EXPECT_EQ(engine.stats().running, 0);
  EXPECT_LE(engine.stats().finished, 4);
}

}  // namespace
}  // namespace glmocr
