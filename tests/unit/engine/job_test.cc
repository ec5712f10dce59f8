// SPDX-License-Identifier: Apache-2.0
#include "engine/job.h"

#include <gtest/gtest.h>

#include <thread>

#include "base/error.h"

namespace glmocr::engine {
namespace {

using namespace std::chrono_literals;
using Kind = NextEvent::Kind;

struct JobTest : testing::Test {
  std::shared_ptr<JobState> state = std::make_shared<JobState>();
  Job job = JobAccess::make(state);
};

TEST_F(JobTest, StreamsEveryEventOnceAndThenEnds) {
  std::thread writer([&] {
    for (int i = 0; i < 200; ++i) state->publish({.token = i, .text = std::to_string(i)});
    state->finish({.text = "all", .finish_reason = FinishReason::length});
  });
  for (int i = 0; i < 200; ++i) {
    const auto event = job.next();
    ASSERT_TRUE(event);
    EXPECT_EQ(event->token, i);
    EXPECT_EQ(event->text, std::to_string(i));
  }
  EXPECT_FALSE(job.next());
  EXPECT_FALSE(job.next());
  EXPECT_TRUE(job.done());
  EXPECT_EQ(job.wait().text, "all");
  EXPECT_EQ(job.wait().finish_reason, FinishReason::length);  // again
  writer.join();
}

TEST_F(JobTest, EventsStayAfterTheEnd) {
  EXPECT_FALSE(job.done());
  state->publish({.token = 4});
  state->finish({});
  EXPECT_TRUE(job.done());
  ASSERT_TRUE(job.next());
  EXPECT_FALSE(job.next());
}

TEST_F(JobTest, TellsEventTimeoutAndEndApart) {
  EXPECT_EQ(job.next(0ms).kind, Kind::timeout);
  EXPECT_EQ(job.next(2ms).kind, Kind::timeout);
  state->publish({.token = 4});
  const NextEvent next = job.next(0ms);
  EXPECT_EQ(next.kind, Kind::event);
  EXPECT_EQ(next.event.token, 4);
  EXPECT_EQ(job.next(0ms).kind, Kind::timeout);
  state->finish({});
  EXPECT_EQ(job.next(0ms).kind, Kind::end);
}

TEST_F(JobTest, ATimedWaitEndsWithTheEvent) {
  std::thread writer([&] { state->publish({.token = 9}); });
  EXPECT_EQ(job.next(1h).event.token, 9);
  writer.join();
}

TEST_F(JobTest, ATimeLongerThanTheClockTellsIsNoLimit) {
  std::thread writer([&] {
    std::this_thread::sleep_for(20ms);
    state->publish({.token = 9});
  });
  EXPECT_EQ(job.next(std::chrono::steady_clock::duration::max()).event.token, 9);
  writer.join();
}

TEST_F(JobTest, CancelOnlyAsks) {
  EXPECT_FALSE(state->cancel_requested());
  job.cancel();
  EXPECT_TRUE(state->cancel_requested());
  EXPECT_FALSE(job.done());
}

TEST_F(JobTest, WaitThrowsWhatTheRequestFailedWith) {
  state->publish({.token = 1});
  state->fail(std::make_exception_ptr(Error(ErrorCode::memory, "too large")));
  EXPECT_TRUE(job.done());
  for (int i = 0; i < 2; ++i) {
    try {
      job.wait();
      ADD_FAILURE() << "returned";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::memory);
    }
  }
  EXPECT_TRUE(job.next());
  EXPECT_FALSE(job.next());
}

}  // namespace
}  // namespace glmocr::engine
