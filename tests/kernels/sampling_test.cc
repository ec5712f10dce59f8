// SPDX-License-Identifier: Apache-2.0
#include "kernels/host/sampling.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <memory>
#include <set>
#include <vector>

#include "sampling_tables.h"

namespace glmocr {
namespace {

using test::Choice;
using test::Ids;

// What the definition chooses for rows of the same logits.
std::vector<Choice> sample_rows(const std::vector<float>& logits, const std::vector<SamplingRow>& rows,
                                const Ids& seen = {}) {
  static const std::unique_ptr<Device> device = open_device("ref");
  const ArenaScope scope(*device);
  const std::int64_t n = std::ssize(rows), vocab = std::ssize(logits);
  const Tensor on_device = device->scratch({n, vocab}, DType::f32);
  for (std::int64_t r = 0; r < n; ++r) device->upload(logits.data(), on_device.slice(0, r, r + 1));
  const SamplingTables tables =
      test::make_sampling_tables(*device, rows, vocab, std::vector<Ids>(rows.size(), seen), 100);
  device->ops().sample(on_device, tables);
  return test::download_choices(*device, tables);
}

Choice sample(const std::vector<float>& logits, const SamplingRow& row, const Ids& seen = {}) {
  return sample_rows(logits, {row}, seen)[0];
}

std::map<std::int32_t, int> draws(const std::vector<float>& logits, const SamplingRow& row, int count) {
  std::vector<SamplingRow> rows(count, row);
  for (int i = 0; i < count; ++i) rows[i].position = i;
  std::map<std::int32_t, int> counts;
  for (const Choice& choice : sample_rows(logits, rows)) ++counts[choice.id];
  return counts;
}

std::set<std::int32_t> ids(const std::map<std::int32_t, int>& counts) {
  std::set<std::int32_t> all;
  for (const auto& entry : counts) all.insert(entry.first);
  return all;
}

std::vector<float> logs(const std::vector<double>& probabilities) {
  std::vector<float> values;
  for (const double p : probabilities) values.push_back(std::log(p));
  return values;
}

TEST(Sampling, GreedyTakesTheLowestIdAmongEquals) {
  EXPECT_EQ(sample({1, 3, 3, 2}, {}).id, 1);
  EXPECT_EQ(sample({-0.0f, 0.0f}, {}).id, 0);
}

TEST(Sampling, LogprobsSumToOne) {
  const std::vector<float> logits{1.5f, -2, 0.25f, 7, 6.5f, -30};
  SamplingRow row;
  row.top_logprobs = 6;
  const Choice token = sample(logits, row);
  ASSERT_EQ(token.top.size(), 6u);
  double total = 0;
  for (std::int64_t i = 0; i < std::ssize(token.top); ++i) {
    total += std::exp(double{token.top[i].second});
    if (i > 0) {
      EXPECT_LE(token.top[i].second, token.top[i - 1].second);
    }
  }
  EXPECT_NEAR(total, 1, 1e-6);
  EXPECT_EQ(token.top[0].first, 3);
  EXPECT_EQ(token.logprob, token.top[0].second);
  row.top_logprobs = 100;  // more than there are
  EXPECT_EQ(sample(logits, row).top.size(), 6u);
}

TEST(Sampling, LogprobIgnoresTemperatureAndCuts) {
  const std::vector<float> logits = logs({0.5, 0.3, 0.2});
  SamplingRow row;
  row.temperature = 0.3f;
  row.top_k = 1;
  EXPECT_NEAR(sample(logits, row).logprob, std::log(0.5), 1e-6);
}

TEST(Sampling, PenaltyPushesBothSignsDown) {
  const Ids seen{0, 2};
  SamplingRow row;
  row.repetition_penalty = 2;
  EXPECT_EQ(sample({4, 3, -1, -1.5f}, row, seen).id, 1);    // 4 → 2
  EXPECT_EQ(sample({-9, -8, -1, -1.5f}, row, seen).id, 3);  // −1 → −2
  row.repetition_penalty = 1;
  EXPECT_EQ(sample({4, 3, -1, -1.5f}, row, seen).id, 0);
}

TEST(Sampling, PenaltyIgnoresIdsOutsideTheVocabulary) {
  SamplingRow row;
  row.repetition_penalty = 5;
  EXPECT_EQ(sample({1, 2}, row, {4, 31}).id, 1);
  row.vocab_limit = 1;
  EXPECT_NEAR(sample({1, 2}, row, {1}).logprob, 0, 1e-6);
}

TEST(Sampling, VocabLimitHoldsForGreedyAndDrawn) {
  SamplingRow row;
  row.vocab_limit = 2;
  EXPECT_EQ(sample({0, 1, 50}, row).id, 1);
  row.temperature = 1;
  EXPECT_EQ(ids(draws({0, 1, 50}, row, 200)), (std::set<std::int32_t>{0, 1}));
  row.top_logprobs = 3;
  EXPECT_EQ(sample({0, 1, 50}, row).top.size(), 2u);
}

TEST(Sampling, FrequenciesFollowTheProbabilities) {
  SamplingRow row;
  row.temperature = 1;
  const int count = 20000;
  auto seen = draws(logs({0.6, 0.3, 0.1}), row, count);
  // Five standard deviations of a binomial count.
  for (const auto& [id, p] : std::map<int, double>{{0, 0.6}, {1, 0.3}, {2, 0.1}}) {
    EXPECT_NEAR(seen[id], count * p, 5 * std::sqrt(count * p * (1 - p))) << id;
  }
  row.temperature = 0.5f;  // squares them: 0.36 : 0.09 : 0.01
  seen = draws(logs({0.6, 0.3, 0.1}), row, count);
  EXPECT_NEAR(seen[0], count * 0.36 / 0.46, 5 * std::sqrt(count * 0.17));
}

TEST(Sampling, TopK) {
  SamplingRow row;
  row.temperature = 1;
  row.top_k = 2;
  EXPECT_EQ(ids(draws(logs({0.2, 0.3, 0.1, 0.4}), row, 500)), (std::set<std::int32_t>{1, 3}));
  row.top_k = 99;
  EXPECT_EQ(ids(draws(logs({0.2, 0.3, 0.1, 0.4}), row, 500)), (std::set<std::int32_t>{0, 1, 2, 3}));
}

TEST(Sampling, TopPKeepsTheFewestThatReachIt) {
  SamplingRow row;
  row.temperature = 1;
  const std::vector<float> logits = logs({0.1, 0.5, 0.15, 0.25});
  row.top_p = 0.7f;  // 0.5 + 0.25 reach it
  EXPECT_EQ(ids(draws(logits, row, 500)), (std::set<std::int32_t>{1, 3}));
  row.top_p = 0.8f;
  EXPECT_EQ(ids(draws(logits, row, 500)), (std::set<std::int32_t>{1, 2, 3}));
  row.top_p = 0;  // one always stays
  EXPECT_EQ(ids(draws(logits, row, 50)), (std::set<std::int32_t>{1}));
}

TEST(Sampling, MinPIsRelativeToTheBest) {
  SamplingRow row;
  row.temperature = 1;
  row.min_p = 0.4f;  // 0.2 and better
  EXPECT_EQ(ids(draws(logs({0.1, 0.5, 0.15, 0.25}), row, 500)), (std::set<std::int32_t>{1, 3}));
}

TEST(Sampling, SameSeedAndPositionGiveTheSameToken) {
  std::vector<float> logits(100);
  for (int i = 0; i < 100; ++i) logits[i] = i % 13 * 0.1f;
  SamplingRow row;
  row.temperature = 1;
  std::set<std::int32_t> tokens;
  for (std::uint32_t seed = 0; seed < 4; ++seed) {
    for (std::int32_t position = 0; position < 50; ++position) {
      row.seed_low = seed % 2;
      row.seed_high = seed / 2;
      row.position = position;
      const std::int32_t token = sample(logits, row).id;
      EXPECT_EQ(sample(logits, row).id, token);
      tokens.insert(token);
    }
  }
  EXPECT_GT(tokens.size(), 50u);  // 200 draws from 100 nearly equal ids
}

TEST(Sampling, UniformNumbersAreUniformAndIndependentOfEachOther) {
  // The mean, and the correlation of neighbours, within five standard deviations.
  const int n = 20000;
  for (const bool over_seeds : {false, true}) {
    double sum = 0, product = 0, before = 0.5;
    for (int i = 0; i < n; ++i) {
      const double u = over_seeds ? uniform_from(i, 7) : uniform_from(7, i);
      ASSERT_GE(u, 0);
      ASSERT_LT(u, 1);
      sum += u;
      product += (u - 0.5) * (before - 0.5);
      before = u;
    }
    EXPECT_NEAR(sum / n, 0.5, 5 * std::sqrt(1.0 / 12 / n));
    EXPECT_NEAR(product / n, 0, 5.0 / 12 / std::sqrt(n));
  }
  EXPECT_NE(uniform_from(1, 2), uniform_from(2, 1));
}

}  // namespace
}  // namespace glmocr
