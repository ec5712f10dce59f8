// SPDX-License-Identifier: Apache-2.0
#include "engine/request_handle.h"

#include <gtest/gtest.h>

#include <thread>

namespace glmocr::engine {
namespace {

TEST(RequestHandle, StreamsEveryEventOnceAndThenEnds) {
  RequestHandle handle;
  std::thread writer([&] {
    for (int i = 0; i < 200; ++i) handle.publish({.token = i, .text = std::to_string(i)});
    handle.finish({.text = "all", .finish_reason = FinishReason::length});
  });
  for (int i = 0; i < 200; ++i) {
    const auto event = handle.next();
    ASSERT_TRUE(event);
    EXPECT_EQ(event->token, i);
    EXPECT_EQ(event->text, std::to_string(i));
  }
  EXPECT_FALSE(handle.next());
  EXPECT_FALSE(handle.next());
  EXPECT_TRUE(handle.done());
  EXPECT_EQ(handle.wait().text, "all");
  EXPECT_EQ(handle.wait().finish_reason, FinishReason::length);  // again
  writer.join();
}

TEST(RequestHandle, EventsStayAfterTheEnd) {
  RequestHandle handle;
  EXPECT_FALSE(handle.done());
  handle.publish({.token = 4});
  handle.finish({});
  EXPECT_TRUE(handle.done());
  ASSERT_TRUE(handle.next());
  EXPECT_FALSE(handle.next());
}

TEST(RequestHandle, CancelOnlyAsks) {
  RequestHandle handle;
  EXPECT_FALSE(handle.cancel_requested());
  handle.cancel();
  EXPECT_TRUE(handle.cancel_requested());
  EXPECT_FALSE(handle.done());
}

TEST(Completion, MeanLogprob) {
  EXPECT_EQ(Completion{}.mean_logprob(), 0);
  Completion completion;
  completion.logprobs = {-1, -2, -6};
  EXPECT_DOUBLE_EQ(completion.mean_logprob(), -3);
}

}  // namespace
}  // namespace glmocr::engine
