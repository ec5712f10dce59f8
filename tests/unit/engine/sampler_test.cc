// SPDX-License-Identifier: Apache-2.0
#include "engine/sampler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "base/error.h"

namespace glmocr::engine {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const std::vector<TokenId> kPrompt{7, 3, 7, 7, 9};

TEST(Sampler, PassesItsParametersOn) {
  const Sampler sampler({.temperature = 0.5f,
                         .top_p = 0.9f,
                         .min_p = 0.1f,
                         .top_k = 40,
                         .seed = 77 + (std::uint64_t{5} << 32),
                         .logprobs = 5},
                        kPrompt, 100);
  const SamplingRow row = sampler.row(12);
  EXPECT_EQ(row.temperature, 0.5f);
  EXPECT_EQ(row.top_p, 0.9f);
  EXPECT_EQ(row.min_p, 0.1f);
  EXPECT_EQ(row.top_k, 40);
  EXPECT_EQ(row.repetition_penalty, 1);
  EXPECT_EQ(row.seed_low, 77u);
  EXPECT_EQ(row.seed_high, 5u);
  EXPECT_EQ(row.position, 12);
  EXPECT_EQ(row.vocab_limit, 100);
  EXPECT_EQ(row.top_logprobs, 5);
  EXPECT_THAT(sampler.seen(), IsEmpty());
}

// The ids whose bits are set.
std::vector<TokenId> seen(const Sampler& sampler) {
  std::vector<TokenId> ids;
  for (TokenId id = 0; id < 32 * std::ssize(sampler.seen()); ++id) {
    if (sampler.seen()[id / 32] >> id % 32 & 1) ids.push_back(id);
  }
  return ids;
}

TEST(Sampler, ThePenaltySeesPromptAndOutputEachOnce) {
  Sampler sampler({.repetition_penalty = 1.1f}, kPrompt, 100);
  EXPECT_THAT(seen(sampler), ElementsAre(3, 7, 9));
  sampler.accept(3);
  sampler.accept(50);
  sampler.accept(50);
  EXPECT_THAT(seen(sampler), ElementsAre(3, 7, 9, 50));
  EXPECT_EQ(sampler.row(8).repetition_penalty, 1.1f);
}

TEST(Sampler, IdsBeyondTheTableAreNotSeen) {
  const Sampler sampler({.repetition_penalty = 2}, std::vector<TokenId>{7, 31, 32, 5000}, 8);
  EXPECT_THAT(seen(sampler), ElementsAre(7, 31));
}

TEST(Sampler, RefusesParametersOutOfRangeByName) {
  const float nan = std::numeric_limits<float>::quiet_NaN(),
              infinity = std::numeric_limits<float>::infinity();
  const std::vector<std::pair<SamplingParams, const char*>> cases{
      {{.temperature = -0.1f}, "temperature is -0.1"},
      {{.temperature = nan}, "temperature is nan"},
      {{.temperature = infinity}, "temperature is inf"},
      {{.top_p = -0.5f}, "top_p is -0.5, expected 0 to 1"},
      {{.top_p = 1.5f}, "top_p is 1.5"},
      {{.top_p = nan}, "top_p is nan"},
      {{.min_p = 2}, "min_p is 2"},
      {{.top_k = -1}, "top_k is -1, expected 0 or more"},
      {{.repetition_penalty = 0}, "repetition_penalty is 0"},
      {{.repetition_penalty = nan}, "repetition_penalty is nan"},
      {{.logprobs = -1}, "logprobs is -1"},
      {{.logprobs = 101}, "logprobs is 101, expected 0 to 100"}};
  for (const auto& [params, message] : cases) {
    try {
      Sampler::check(params);
      ADD_FAILURE() << "accepted: " << message;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::input);
      EXPECT_THAT(error.what(), HasSubstr(message));
    }
  }
  EXPECT_NO_THROW(Sampler::check({}));
  EXPECT_NO_THROW(
      Sampler::check({.temperature = 2, .top_p = 1e-5f, .min_p = 1, .top_k = 1, .logprobs = 100}));
}

}  // namespace
}  // namespace glmocr::engine
