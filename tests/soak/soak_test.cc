// SPDX-License-Identifier: Apache-2.0
// The engine under load: requests of every size, refused ones, random cancellation, time limits, and a device whose
// memory and operations fail at random. Each request is answered once, with what it gets alone or with the error that
// hit it, and memory does not grow. GLMOCR_SOAK_REQUESTS sets how many there are (scripts/test.sh --long: 10,000).
#include <gtest/gtest.h>
#include <malloc.h>

#include <cstdlib>
#include <deque>
#include <filesystem>
#include <iostream>
#include <random>
#include <thread>

#include "engine/core.h"
#include "engine/job.h"
#include "kernels/kernels.h"
#include "support/faulty_device.h"
#include "support/peak_memory.h"
#include "support/recording_device.h"

namespace glmocr::engine {
namespace {

constexpr int kTemplates = 24;
constexpr std::int64_t kMemoryLimit = std::int64_t{12} << 20;
constexpr int kPageSize = 8;
constexpr int kPages = 26;  // for the longest request, but not for several

EngineOptions small(const GlmOcr& model) {
  const std::int64_t page = model.device().kv_page_bytes(model.decoder().kv_spec(1, kPageSize));
  return {.max_sequences = 6, .max_waiting = 12, .kv_memory = kPages * page, .page_size = kPageSize};
}

int requests() {
  const char* wanted = std::getenv("GLMOCR_SOAK_REQUESTS");
  return wanted != nullptr ? std::atoi(wanted) : kMemoryIsMeasurable ? 400 : 200;
}

Image noise(int height, int width, unsigned seed) {
  std::mt19937 random(seed);
  Image image{.width = width, .height = height};
  for (int i = 0; i < height * width * 3; ++i) image.rgb.push_back(static_cast<std::uint8_t>(random() >> 24));
  return image;
}

// A request of a kind, always the same one.
Request make(const GlmOcr& model, int kind) {
  constexpr int kSides[] = {28, 56, 84, 112};
  std::mt19937 random(static_cast<unsigned>(kind));
  const auto below = [&](int bound) { return static_cast<int>(random() % static_cast<unsigned>(bound)); };
  std::vector<Image> images;
  for (int i = kind % 3; i > 0; --i) {
    images.push_back(noise(kSides[below(4)], kSides[below(4)], static_cast<unsigned>(10 * kind + i)));
  }
  ReadOptions options;
  options.prompt = std::string(static_cast<std::size_t>(1 + below(60)), 'a');
  options.max_tokens = 1 + below(kind % 4 == 0 ? 60 : 16);
  options.sampling.temperature = kind % 2 == 0 ? 0.0f : 1.5f;
  options.sampling.seed = static_cast<std::uint64_t>(kind);
  options.sampling.repetition_penalty = kind % 5 == 0 ? 1.1f : 1.0f;
  if (kind % 6 == 0) options.stop = {"e"};
  return make_request(model, images, options);
}

struct Loaded {
  explicit Loaded(std::unique_ptr<Device> inner) : device(std::move(inner)) {
    model = GlmOcr::load(std::filesystem::path(GLMOCR_TEST_DATA) / "narrow", device, DType::f32);
  }
  test::FaultyDevice device;
  std::unique_ptr<GlmOcr> model;
};

std::vector<Request> templates(const GlmOcr& model) {
  std::vector<Request> requests;
  for (int kind = 0; kind < kTemplates; ++kind) requests.push_back(make(model, kind));
  return requests;
}

std::vector<Result> alone(const GlmOcr& model, const std::vector<Request>& requests) {
  std::vector<Result> results;
  for (const Request& request : requests) {
    Core core(model, small(model));
    const Job job = JobAccess::make(core.submit(Request(request)));
    while (core.step()) {
    }
    results.push_back(job.wait());
  }
  return results;
}

struct Counts {
  std::int64_t whole = 0, cut = 0, failed = 0, refused = 0, busy = 0;
  std::int64_t answered() const { return whole + cut + failed + refused; }
};

class Soak {
 public:
  // About one in `odds` calls of the device fails.
  Soak(std::unique_ptr<Device> inner, unsigned odds)
      : loaded_(std::move(inner)),
        model_(*loaded_.model),
        templates_(templates(model_)),
        alone_(alone(model_, templates_)),
        core_(model_, small(model_)) {
    loaded_.device.set_odds(odds);
  }
  ~Soak() {
    core_.close();
    thread_.join();
  }

  // Submits so many requests and waits for all.
  void run(int count) {
    for (int i = 0; i < count; ++i) {
      submit();
      if (random_() % 4 == 0 && !open_.empty()) open_[random_() % open_.size()].job.cancel();
      while (std::ssize(open_) > 40) take_first();
    }
    while (!open_.empty()) take_first();
  }

  const Counts& counts() const { return counts_; }
  const test::FaultyDevice& device() const { return loaded_.device; }
  EngineStats stats() const { return core_.stats(); }

 private:
  struct Open {
    int kind;
    Job job;
  };

  void submit() {
    const int kind = static_cast<int>(random_() % kTemplates);
    const unsigned dice = random_() % 64;
    for (;;) {
      try {
        Request request = templates_[static_cast<std::size_t>(kind)];
        if (dice == 0) request.options.max_tokens = 0;
        if (dice == 1) request.prompt.ids.assign(100'000, 1);
        if (dice == 2) request.options.sampling.top_p = -1;
        if (dice == 3) request.options.time_limit = std::chrono::milliseconds(random_() % 20);
        if (dice == 4)
          request.options.on_token = [](const TokenEvent&) { fail(ErrorCode::input, "injected: callback"); };
        const bool refused = dice < 3;
        Job job = JobAccess::make(core_.submit(std::move(request)));
        EXPECT_FALSE(refused) << "an impossible request was admitted";
        open_.push_back({kind, std::move(job)});
        return;
      } catch (const Error& error) {
        if (error.code() != ErrorCode::busy) {
          EXPECT_LT(dice, 3u) << error.what();
          ++counts_.refused;
          return;
        }
        ++counts_.busy;
        if (open_.empty()) {
          std::this_thread::sleep_for(std::chrono::milliseconds(1));
        } else {
          take_first();
        }
      }
    }
  }

  // Waits for the oldest request, and looks at its answer twice.
  void take_first() {
    const Open open = std::move(open_.front());
    open_.pop_front();
    std::int64_t events = 0;
    while (const auto event = open.job.next()) {
      if (event->token >= 0) ++events;
    }
    EXPECT_FALSE(open.job.next());
    EXPECT_TRUE(open.job.done());
    const Result& whole = alone_[static_cast<std::size_t>(open.kind)];
    try {
      const Result result = open.job.wait();
      EXPECT_EQ(open.job.wait().tokens, result.tokens);
      EXPECT_EQ(events, std::ssize(result.tokens));
      if (result.finish_reason == whole.finish_reason) {
        EXPECT_EQ(result.text, whole.text) << open.kind;
        EXPECT_EQ(result.tokens, whole.tokens) << open.kind;
        ++counts_.whole;
      } else {
        EXPECT_TRUE(result.finish_reason == FinishReason::cancelled ||
                    result.finish_reason == FinishReason::time_limit);
        ASSERT_LE(result.tokens.size(), whole.tokens.size());
        EXPECT_TRUE(std::equal(result.tokens.begin(), result.tokens.end(), whole.tokens.begin()))
            << open.kind;
        ++counts_.cut;
      }
    } catch (const Error& error) {
      EXPECT_TRUE(std::string(error.what()).starts_with("injected: ")) << error.what();
      EXPECT_THROW(open.job.wait(), Error);
      ++counts_.failed;
    }
  }

  Loaded loaded_;
  const GlmOcr& model_;
  const std::vector<Request> templates_;
  const std::vector<Result> alone_;
  Core core_;
  std::thread thread_{[this] { core_.run(); }};
  std::deque<Open> open_;
  Counts counts_;
  std::mt19937 random_{1};
};

// In bytes, once the allocator has given back what is free.
struct Memory {
  std::int64_t resident = 0;
  std::int64_t heap = 0;  // allocated and not freed
};

Memory memory_in_use() {
  ::malloc_trim(0);
  const auto heap = ::mallinfo2();
  return {.resident = own_memory("VmRSS:"), .heap = static_cast<std::int64_t>(heap.uordblks + heap.hblkhd)};
}

std::ostream& operator<<(std::ostream& out, const Memory& memory) {
  return out << memory.resident / 1024 << " KiB (heap " << memory.heap / 1024 << ")";
}

void soak(std::unique_ptr<Device> inner, unsigned odds) {
  int count = requests();
  Soak soak(std::move(inner), odds);
  const int warm_up = std::min(1000, count / 3);
  soak.run(warm_up);
  const Memory early = memory_in_use();
  soak.run((count - warm_up) / 2);
  const Memory middle = memory_in_use();
  soak.run(count - warm_up - (count - warm_up) / 2);
  const Memory late = memory_in_use();
  // A few in 200 are preempted; whether one is depends on who meets whom.
  constexpr int kMore = 100;
  for (int i = 0; i < 10 && soak.stats().preemptions == 0; ++i, count += kMore) soak.run(kMore);
  const Counts& counts = soak.counts();
  std::cout << counts.whole << " whole, " << counts.cut << " cut, " << counts.failed << " failed, "
            << counts.refused << " refused, " << counts.busy << " times busy; "
            << soak.device().failed_allocations() << " allocations and " << soak.device().failed_operations()
            << " operations failed; " << soak.stats().preemptions << " preemptions; resident " << early
            << " after " << warm_up << ", " << middle << " in the middle, " << late << " at the end\n";
  EXPECT_EQ(counts.answered(), count);
  EXPECT_EQ(soak.stats().finished + soak.stats().failed, count - counts.refused);
  EXPECT_EQ(soak.stats().waiting + soak.stats().running, 0);
  EXPECT_EQ(soak.stats().free_pages, soak.stats().total_pages);
  EXPECT_GT(counts.whole, count / 3);
  EXPECT_GT(counts.cut, count / 100);
  EXPECT_GT(counts.failed, 0);
  EXPECT_GT(counts.refused, 0);
  EXPECT_GT(soak.stats().preemptions, 0);
  EXPECT_GT(soak.device().failed_operations() + soak.device().failed_allocations(), 0);
  if (kMemoryIsMeasurable) {
    // What is not freed does not grow, but for the steps that a device records.
    EXPECT_LT(late.heap - early.heap, early.heap / 100);
    // The allocator scatters what lives long over a few more pages in the first thousands of requests.
    constexpr std::int64_t kScattered = 1 << 20;
    EXPECT_LT(late.resident - early.resident, early.resident / 50 + kScattered);
    EXPECT_LT(late.resident - middle.resident, count < 5000 ? kScattered : middle.resident / 50);
  }
}

TEST(Soak, EachRequestIsAnsweredOnceAndMemoryDoesNotGrow) {
  soak(open_device("cpu", {.threads = 1, .memory = std::make_shared<MemoryBudget>(kMemoryLimit)}), 1000);
}

TEST(Soak, TheSameOnADeviceThatRecordsSteps) { soak(std::make_unique<test::RecordingDevice>(3), 200); }

}  // namespace
}  // namespace glmocr::engine
