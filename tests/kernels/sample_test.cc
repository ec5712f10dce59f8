// SPDX-License-Identifier: Apache-2.0
#include "kernel_test.h"

namespace glmocr::test {
namespace {

class SampleTest : public KernelTest {
 protected:
  void expect_same(const Numbers& logits, std::int64_t vocab, const std::vector<SampleRow>& rows,
                   const std::string& what) {
    SCOPED_TRACE(what);
    const ArenaScope tested_scope(*tested_), ref_scope(*ref_);
    const Shape shape{std::ssize(rows), vocab};
    const auto actual = tested_->ops().sample(make(*tested_, logits, shape, dtype_, 3), rows);
    const auto expected = ref_->ops().sample(make(*ref_, logits, shape, dtype_, 3), rows);
    ASSERT_EQ(actual.size(), rows.size());
    for (std::size_t r = 0; r < rows.size(); ++r) {
      EXPECT_EQ(actual[r].token, expected[r].token) << "row " << r;
      // −log Σexp: a sum of exact terms in parts of 256, each within 2 units; the logarithm halves nothing
      // below 1.
      EXPECT_NEAR(actual[r].logprob, expected[r].logprob, 256 * kUnit32) << "row " << r;
      EXPECT_EQ(actual[r].top, expected[r].top) << "row " << r;
    }
  }
};

TEST_P(SampleTest, GreedyOverSizes) {
  for (const std::int64_t vocab : {1, 2, 3, 7, 8, 9, 16, 17, 31, 100, 1000, 5000}) {
    const Numbers logits = random(3 * vocab, -20, 20);
    expect_same(logits, vocab, std::vector<SampleRow>(3), "vocab " + std::to_string(vocab));
  }
}

// The largest logit at every place a vector, its end or the next can have it.
TEST_P(SampleTest, GreedyFindsEveryPlace) {
  for (const std::int64_t vocab : {5, 16, 37}) {
    for (std::int64_t at = 0; at < vocab; ++at) {
      Numbers logits(static_cast<std::size_t>(vocab), -1);
      logits[at] = 2;
      expect_same(logits, vocab, {SampleRow{}}, std::to_string(at) + " of " + std::to_string(vocab));
    }
  }
}

TEST_P(SampleTest, TheLowestIdAmongEquals) {
  for (const std::int64_t vocab : {3, 16, 50}) {
    for (std::int64_t first = 0; first < vocab; ++first) {
      Numbers logits(static_cast<std::size_t>(vocab), -1);
      for (std::int64_t i = first; i < vocab; i += 3) logits[i] = 2;
      const Tensor t = make(*tested_, logits, {1, vocab}, dtype_);
      EXPECT_EQ(tested_->ops().sample(t, std::vector<SampleRow>(1))[0].token, first) << vocab;
    }
  }
}

TEST_P(SampleTest, PaddingRowsOfTheVocabularyAreNeverChosen) {
  Numbers logits(40, 0);
  logits[33] = 9;
  logits[12] = 1;
  SampleRow row;
  row.vocab_limit = 33;
  expect_same(logits, 40, {row}, "limit 33");
  EXPECT_EQ(tested_->ops().sample(make(*tested_, logits, {1, 40}, dtype_), std::vector{row})[0].token, 12);
  row.vocab_limit = 34;
  EXPECT_EQ(tested_->ops().sample(make(*tested_, logits, {1, 40}, dtype_), std::vector{row})[0].token, 33);
}

TEST_P(SampleTest, MixedRows) {
  const std::int64_t vocab = 200;
  const std::vector<std::int32_t> seen{3, 50, 199};
  std::vector<SampleRow> rows(5);
  rows[1].temperature = 0.7f;
  rows[1].seed = 5;
  rows[2].repetition_penalty = 1.3f;
  rows[2].seen = seen;
  rows[3].top_logprobs = 4;
  rows[4].temperature = 1.5f;
  rows[4].top_k = 20;
  rows[4].top_p = 0.9f;
  rows[4].min_p = 0.02f;
  for (std::uint64_t position = 0; position < 20; ++position) {
    for (SampleRow& row : rows) row.position = position;
    expect_same(random(5 * vocab, -4, 4), vocab, rows, "position " + std::to_string(position));
  }
}

GLMOCR_KERNEL_SUITE(SampleTest);

}  // namespace
}  // namespace glmocr::test
