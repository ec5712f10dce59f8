// SPDX-License-Identifier: Apache-2.0
// Pictures that are encoded in slices, beside other requests: nobody waits for a large one, nothing is lost when a
// request ends half-way, and slices do not change a text.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <limits>
#include <memory>

#include "engine/core.h"
#include "support/expect_error.h"
#include "support/faulty_device.h"
#include "unit/engine/test_model.h"

namespace glmocr::engine {
namespace {

constexpr EngineOptions kForPictures{.kv_memory = 4 << 20, .page_size = 8};
constexpr PictureSize kLargest{1792, 2688};  // 24,576 patches, the most that the published limits allow
constexpr double kSlicesOfTheLargest = 400;

double flop_of(const GlmOcr& model, const Request& request) {
  const GridTHW& grid = request.images.at(0).grid;
  return model.vision().flop({&grid, 1});
}

EngineOptions with_slices(const GlmOcr& model) {
  static const Request largest = test_request(model, "large", {kLargest});
  EXPECT_EQ(largest.images.at(0).grid.patches(), 24'576);
  EngineOptions options = kForPictures;
  options.kv_memory = 9000 * kv_bytes_per_token(model);
  options.vision_flop = flop_of(model, largest) / kSlicesOfTheLargest;
  return options;
}

// Steps until the request has its first token. It may get others after the return.
int steps_to_first_token(Core& core, Request request, int most) {
  const auto begun = std::make_shared<bool>(false);
  request.options.on_token = [begun](const TokenEvent&) { *begun = true; };
  const Job job = submit(core, std::move(request));
  for (int steps = 1; steps <= most; ++steps) {
    core.step();
    if (*begun) return steps;
  }
  return most + 1;
}

class CorePictures : public testing::Test {
 protected:
  static void SetUpTestSuite() { model_ = load_test_model("cpu", {.threads = 2}); }
  static void TearDownTestSuite() { model_ = {}; }
  static const GlmOcr& model() { return *model_.model; }

 private:
  static inline TestModel model_;
};

// Counted in steps, each of which encodes one slice.
TEST_F(CorePictures, ASmallPictureWaitsAtMostThreeSlicesForALargeOne) {
  const EngineOptions options = with_slices(model());
  for (const PictureSize& size : {PictureSize{84, 84}, {560, 560}, {840, 1120}}) {
    const auto small = [&] { return test_request(model(), "Text Recognition:", {size}, 2); };
    Core alone(model(), options);
    const int own = steps_to_first_token(alone, small(), 100);
    ASSERT_LE(own, 100);

    Core core(model(), options);
    const Job large = submit(core, test_request(model(), "large", {kLargest}, 2));
    for (int i = 0; i < 5; ++i) core.step();
    EXPECT_LE(steps_to_first_token(core, small(), 100), own + 3) << size.width;
    EXPECT_FALSE(large.done());
    large.cancel();
    core.step();
    EXPECT_TRUE(large.done());
  }
}

TEST_F(CorePictures, OthersGoOnDecodingWhileALargeOneIsEncoded) {
  Core core(model(), with_slices(model()));
  Request text = test_request(model(), "on and on", {}, 1000);
  text.stop_ids.clear();
  int tokens = 0;
  text.options.on_token = [&](const TokenEvent&) { ++tokens; };
  const Job decoding = submit(core, std::move(text));
  core.step();
  const Job large = submit(core, test_request(model(), "large", {kLargest}, 2));
  for (int i = 0; i < 5; ++i) {
    const int before = tokens;
    for (int slice = 0; slice < TextPace::kMostSlices; ++slice) core.step();
    EXPECT_GT(tokens, before);
  }
  EXPECT_FALSE(large.done());
}

TEST(TextPaceTest, PicturesGetSevenEighthsOfTheTime) {
  TextPace pace;
  EXPECT_FALSE(pace.texts_wait()) << "nothing is known yet";
  pace.texts_ran(0.02);
  for (int i = 0; i < 4; ++i) {
    EXPECT_TRUE(pace.texts_wait()) << i;
    pace.slice_ran(0.036);
  }
  EXPECT_FALSE(pace.texts_wait());
  pace.texts_ran({});  // beside a prompt: the time says nothing
  EXPECT_TRUE(pace.texts_wait());
}

TEST(TextPaceTest, TextsGrowInEveryStepWhereSlicesAreSlow) {
  TextPace pace;
  for (int step = 0; step < 5; ++step) {
    EXPECT_FALSE(pace.texts_wait()) << step;
    pace.slice_ran(0.5);
    pace.texts_ran(0.06);
  }
}

TEST(TextPaceTest, TextsDoNotWaitForMoreThanSomeSlices) {
  TextPace pace;
  pace.slice_ran(0.001);
  pace.texts_ran(100);
  for (int i = 1; i < TextPace::kMostSlices; ++i) {
    EXPECT_TRUE(pace.texts_wait());
    pace.slice_ran(0.001);
  }
  EXPECT_FALSE(pace.texts_wait());
}

// Small pictures come without end, each as soon as the one before is encoded; the large one is encoded all the same.
TEST_F(CorePictures, ALargePictureEndsAmongEndlessSmallOnes) {
  EngineOptions options = kForPictures;
  options.max_sequences = 4;
  const PictureSize large_size{560, 840};
  Request large = test_request(model(), "large", {large_size}, 1);
  options.vision_flop = flop_of(model(), large) / 20;
  Core core(model(), options);
  const Job job = submit(core, std::move(large));
  core.step();
  Job small;
  int served = 0;
  int steps = 0;
  for (; !job.done() && steps < 1000; ++steps) {
    if (steps == 0 || small.done()) {
      ++served;
      small = submit(core, test_request(model(), "small", {{280, 280}}, 1));
    }
    core.step();
  }
  EXPECT_TRUE(job.done());
  EXPECT_GT(served, 20) << "the small ones did not overtake it";
  EXPECT_LE(steps, 20 * (kMostOvertakes + 1) + 20);
}

TEST_F(CorePictures, SlicesDoNotChangeATextOrItsLogprobs) {
  std::vector<Request> requests = mixed_requests(model());
  const std::vector<Result> expected = run_together(model(), requests, kForPictures);
  for (const double flop : {1e6, 3e7}) {
    EngineOptions options = kForPictures;
    options.vision_flop = flop;
    EngineStats stats;
    const std::vector<Result> sliced = run_together(model(), requests, options, &stats);
    for (std::size_t i = 0; i < requests.size(); ++i) {
      EXPECT_EQ(sliced[i].tokens, expected[i].tokens) << i;
      EXPECT_EQ(sliced[i].logprobs, expected[i].logprobs) << i;
      EXPECT_EQ(sliced[i].timings.vision_ms > 0, sliced[i].image_tokens > 0);
    }
    EXPECT_EQ(stats.failed, 0);
  }
}

// In every step of its encoding one of two requests of a batch is cancelled; the other gets its text.
TEST_F(CorePictures, ACancelledRequestDoesNotHarmItsBatch) {
  const auto request = [&] { return test_request(model(), "Text Recognition:", {{112, 140}}, 5); };
  const std::vector<TokenId> expected = run_alone(model(), request(), kForPictures).tokens;
  EngineOptions options = kForPictures;
  options.vision_flop = 2 * flop_of(model(), request()) / 12;
  int steps_of_encoding = 0;
  for (int at = 0; at < 40; ++at) {
    Core core(model(), options);
    const Job first = submit(core, request()), second = submit(core, request());
    for (int i = 0; i < at; ++i) core.step();
    const bool encoding = core.stats().patches == 0;
    (at % 2 == 0 ? first : second).cancel();
    while (core.step()) {
    }
    EXPECT_EQ((at % 2 == 0 ? second : first).wait().tokens, expected) << at;
    EXPECT_EQ(core.stats().failed, 0);
    steps_of_encoding += encoding ? 1 : 0;
  }
  EXPECT_GE(steps_of_encoding, 10);
}

TEST_F(CorePictures, ATimeLimitEndsARequestBetweenSlices) {
  Core core(model(), with_slices(model()));
  Request large = test_request(model(), "large", {kLargest}, 2);
  large.options.time_limit = std::chrono::milliseconds(1);
  const Job job = submit(core, std::move(large));
  int steps = 0;
  while (core.step()) ++steps;
  EXPECT_EQ(job.wait().finish_reason, FinishReason::time_limit);
  EXPECT_LE(steps, 3);
}

// Whatever call of the device fails while pictures of two requests are encoded together: a request gets its text or the
// error, never another text.
TEST(CorePicturesFailure, AFailedSliceChangesNoText) {
  auto owner = std::make_unique<test::FaultyDevice>(open_device("ref", {.threads = 1}));
  test::FaultyDevice& faulty = *owner;
  const auto model = GlmOcr::load(std::filesystem::path(GLMOCR_TEST_DATA) / "awkward", faulty, DType::f32);
  const auto request = [&](const char* text) { return test_request(*model, text, {{56, 84}, {84, 56}}, 3); };
  const std::vector<TokenId> expected = run_alone(*model, request("one"), kForPictures).tokens,
                             expected_other = run_alone(*model, request("two"), kForPictures).tokens;
  EngineOptions options = kForPictures;
  const Request sample = request("one");
  options.vision_flop = flop_of(*model, sample) / 2;
  int failed = 0, recovered = 0;
  for (std::int64_t call = 0;; call += 13) {
    Core core(*model, options);
    const Job one = submit(core, request("one")), two = submit(core, request("two"));
    core.step();  // admits
    faulty.fail_once_after(call);
    if (call % 2 == 1) one.cancel();
    while (core.step()) {
    }
    if (!faulty.has_failed()) break;
    const auto check = [&](const Job& job, const std::vector<TokenId>& tokens) {
      try {
        const Result result = job.wait();
        if (result.finish_reason == FinishReason::cancelled) return;
        EXPECT_EQ(result.tokens, tokens) << "call " << call;
        ++recovered;
      } catch (const Error&) {
        ++failed;
      }
    };
    check(one, expected);
    check(two, expected_other);
    EXPECT_EQ(core.stats().free_pages, core.stats().total_pages);
  }
  faulty.fail_once_after(std::numeric_limits<std::int64_t>::max());
  EXPECT_GT(recovered, 10);
  EXPECT_LT(failed, recovered);
}

// What is half encoded belongs to the budget: it is refused at submit where it can never fit, and two that fit one
// after the other wait for each other.
TEST(CorePicturesMemory, HalfEncodedPicturesShareTheBudget) {
  const auto memory = std::make_shared<MemoryBudget>(std::int64_t{24} << 20);
  const TestModel limited = load_test_model("cpu", {.threads = 1, .memory = memory});
  EngineOptions options;
  options.vision_flop = 1e8;
  Core core(*limited.model, options);
  const EngineLimits& limits = core.limits();
  ASSERT_GT(limits.picture_patches, 1600);
  ASSERT_LT(limits.picture_patches, 24'576);
  expect_error(ErrorCode::memory, {"picture 1 of 24576 patches", "to be encoded", "the memory limit leaves"},
               [&] { submit(core, test_request(*limited.model, "large", {kLargest})); });
  std::vector<Job> jobs;
  for (const PictureSize& size : {PictureSize{560, 560}, {560, 532}, {504, 560}, {84, 84}, {280, 280}}) {
    const Request request = test_request(*limited.model, "Text Recognition:", {size}, 3);
    for (bool submitted = false; !submitted;) {
      try {
        jobs.push_back(submit(core, request));
        submitted = true;
      } catch (const Error& error) {
        ASSERT_EQ(error.code(), ErrorCode::busy) << error.what();
        ASSERT_TRUE(core.step()) << "busy without work";
      }
    }
  }
  while (core.step()) {
  }
  for (const Job& job : jobs) EXPECT_GT(job.wait().completion_tokens, 0);
  EXPECT_LE(memory->peak(), memory->limit());
}

}  // namespace
}  // namespace glmocr::engine
