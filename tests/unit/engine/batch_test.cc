// SPDX-License-Identifier: Apache-2.0
#include "engine/batch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "base/error.h"

namespace glmocr::engine {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr TokenId kImage = 99;
constexpr std::int64_t kPageSize = 4;

// Two text tokens, a picture of 2 × 3 tokens, one text token.
struct Prompted {
  std::vector<TokenId> tokens{1, 2, kImage, kImage, kImage, kImage, kImage, kImage, 3};
  MropePositions positions = mrope_positions(tokens, kImage, std::vector<GridTHW>{{1, 4, 6}}, 2);
  std::vector<std::int32_t> pages{5, 0, 7, 2};

  RowSource rows(std::int64_t begin, std::int64_t count, bool sample = false) const {
    return {tokens, &positions, pages, begin, count, sample};
  }
};

RowBatch build(const std::vector<RowSource>& sources) { return build_batch(sources, kImage, kPageSize); }

TEST(BuildBatch, AWholePrompt) {
  const Prompted prompt;
  const RowBatch batch = build({prompt.rows(0, 9, true)});
  EXPECT_EQ(batch.ids, prompt.tokens);
  EXPECT_THAT(batch.positions, ElementsAre(0, 1, 2, 2, 2, 2, 2, 2, 5,    // temporal
                                           0, 1, 2, 2, 2, 3, 3, 3, 5,    // height
                                           0, 1, 2, 3, 4, 2, 3, 4, 5));  // width
  EXPECT_THAT(batch.slots, ElementsAre(20, 21, 22, 23, 0, 1, 2, 3, 28));
  EXPECT_THAT(batch.row_starts, ElementsAre(0, 9));
  EXPECT_THAT(batch.context_lens, ElementsAre(9));
  EXPECT_THAT(batch.page_table, ElementsAre(5, 0, 7));
  EXPECT_THAT(batch.logit_rows, ElementsAre(8));
  ASSERT_EQ(batch.features.size(), 1u);
  EXPECT_EQ(batch.features[0].source, 0u);
  EXPECT_EQ(batch.features[0].first, 0);
  EXPECT_THAT(batch.features[0].rows, ElementsAre(2, 3, 4, 5, 6, 7));
  EXPECT_EQ(batch.max_rows, 9);
}

TEST(BuildBatch, ChunksTakeTheSamePositionsAndFeaturesAsTheWhole) {
  const Prompted prompt;
  const RowBatch whole = build({prompt.rows(0, 9)});
  for (std::int64_t chunk = 1; chunk <= 9; ++chunk) {
    std::vector<std::int32_t> slots, temporal, height, width, features;
    for (std::int64_t begin = 0; begin < 9; begin += chunk) {
      const std::int64_t count = std::min<std::int64_t>(chunk, 9 - begin);
      const RowBatch part = build({prompt.rows(begin, count)});
      slots.insert(slots.end(), part.slots.begin(), part.slots.end());
      const auto axis = part.positions.begin();
      temporal.insert(temporal.end(), axis, axis + count);
      height.insert(height.end(), axis + count, axis + 2 * count);
      width.insert(width.end(), axis + 2 * count, part.positions.end());
      for (const FeatureRows& f : part.features) {
        for (std::size_t i = 0; i < f.rows.size(); ++i) {
          // Feature f belongs to token 2 + f.
          EXPECT_EQ(begin + f.rows[i], 2 + f.first + static_cast<std::int64_t>(i));
          features.push_back(static_cast<std::int32_t>(f.first + static_cast<std::int64_t>(i)));
        }
      }
    }
    EXPECT_EQ(slots, whole.slots);
    temporal.insert(temporal.end(), height.begin(), height.end());
    temporal.insert(temporal.end(), width.begin(), width.end());
    EXPECT_EQ(temporal, whole.positions);
    EXPECT_THAT(features, ElementsAre(0, 1, 2, 3, 4, 5));
  }
}

TEST(BuildBatch, GeneratedTokensContinueAtIndexPlusDelta) {
  Prompted prompt;
  prompt.tokens.insert(prompt.tokens.end(), {40, kImage, 42});  // a generated image token has no features
  const RowBatch batch = build({prompt.rows(9, 3, true)});
  EXPECT_EQ(prompt.positions.delta, 6 - 9);
  EXPECT_THAT(batch.positions, ElementsAre(6, 7, 8, 6, 7, 8, 6, 7, 8));
  EXPECT_THAT(batch.features, IsEmpty());
  EXPECT_THAT(batch.logit_rows, ElementsAre(2));
  EXPECT_THAT(batch.context_lens, ElementsAre(12));
}

TEST(BuildBatch, SequencesLieOneAfterTheOther) {
  Prompted a, b, c;
  b.pages = {1, 3};
  c.pages = {4};
  const RowBatch batch = build({a.rows(8, 1, true), b.rows(1, 5), c.rows(0, 2, true)});
  EXPECT_THAT(batch.ids, ElementsAre(3, 2, kImage, kImage, kImage, kImage, 1, 2));
  EXPECT_THAT(batch.row_starts, ElementsAre(0, 1, 6, 8));
  EXPECT_THAT(batch.context_lens, ElementsAre(9, 6, 2));
  EXPECT_THAT(batch.slots, ElementsAre(28, 5, 6, 7, 12, 13, 16, 17));
  EXPECT_EQ(batch.max_pages, 3);
  EXPECT_THAT(batch.page_table, ElementsAre(5, 0, 7, 1, 3, 0, 4, 0, 0));
  EXPECT_THAT(batch.logit_rows, ElementsAre(0, 7));
  EXPECT_EQ(batch.max_rows, 5);
  EXPECT_EQ(batch.max_context, 12);
  EXPECT_GE(batch.max_context, 9);
  ASSERT_EQ(batch.features.size(), 1u);
  EXPECT_EQ(batch.features[0].source, 1u);
  EXPECT_THAT(batch.features[0].rows, ElementsAre(2, 3, 4, 5));
}

TEST(BuildBatch, TheKeyTellsShapesApartAndNothingElse) {
  const Prompted a;
  Prompted b;
  b.pages = {9, 8, 6, 1};
  b.tokens[0] = 50;
  EXPECT_EQ(build({a.rows(4, 3)}).shape_key(), build({b.rows(4, 3)}).shape_key());
  const std::vector<std::vector<RowSource>> different{{a.rows(4, 3)},
                                                      {a.rows(4, 3, true)},
                                                      {a.rows(4, 2)},
                                                      {a.rows(0, 3)},
                                                      {a.rows(5, 4)},
                                                      {a.rows(4, 1), b.rows(4, 2)},
                                                      {a.rows(4, 2), b.rows(4, 2)}};
  std::set<std::uint64_t> keys;
  for (const auto& sources : different) keys.insert(build(sources).shape_key());
  EXPECT_EQ(keys.size(), different.size());
}

TEST(BuildBatch, RowsWithoutAPageAreOurOwnBug) {
  Prompted prompt;
  prompt.pages = {1, 2};
  EXPECT_THROW(build({prompt.rows(0, 9)}), Error);
  EXPECT_NO_THROW(build({prompt.rows(0, 8)}));
}

}  // namespace
}  // namespace glmocr::engine
