// SPDX-License-Identifier: Apache-2.0
#include "engine/step_tables.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

#include "base/error.h"
#include "support/recording_device.h"
#include "unit/engine/test_model.h"

namespace glmocr::engine {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr int kTablePages = 4;
constexpr TableSizes kSizes{.rows = 64, .sequences = 4, .pages = 16, .logit_rows = 8};

std::vector<std::int32_t> values(const Tensor& tensor) {
  std::vector<std::int32_t> all;
  for (std::int64_t row = 0; row < tensor.rows(); ++row) {
    const Tensor one =
        tensor.rank() == 2 ? tensor.slice(0, row, row + 1) : tensor.slice(0, row, tensor.size(0));
    std::vector<std::int32_t> part(one.numel());
    test_model().device().download(one, part.data());
    all.insert(all.end(), part.begin(), part.end());
    if (tensor.rank() == 1) break;
  }
  return all;
}

// Sequences with the given pages, and tables for them.
class StepTablesTest : public testing::Test {
 protected:
  Sequence& add(Request request, std::vector<std::int32_t> pages) {
    sequences_.push_back(std::make_unique<Sequence>(std::move(request), model_.config(), model_.tokenizer(),
                                                    std::int64_t{1} << 20));
    Sequence& sequence = *sequences_.back();
    sequence.pages() = std::move(pages);
    if (sequence.image_tokens() > 0) fill_features(sequence);
    return sequence;
  }

  // Feature f of a sequence is a row whose values are all f + 1.
  void fill_features(Sequence& sequence) {
    Device& device = model_.device();
    const Shape shape{sequence.image_tokens(), model_.config().text.hidden_size};
    sequence.features() = device.allocate(shape.numel() * size_of(DType::f32));
    std::vector<float> rows(shape.numel());
    for (std::int64_t i = 0; i < std::ssize(rows); ++i) rows[i] = static_cast<float>(i / shape[1] + 1);
    device.upload(rows.data(), sequence.features().view(shape, DType::f32));
  }

  // Rows of picture features in the order of their rows in the step, by number; -1 where no feature goes.
  std::vector<int> features_of_rows(const StepTables& tables, const StepKey& key) {
    std::vector<int> features(key.rows, -1);
    if (!key.features) return features;
    const std::vector<std::int32_t> rows = values(tables.feature_rows(key));
    const std::int64_t width = model_.config().text.hidden_size;
    std::vector<float> table(key.rows * width);
    model_.device().download(tables.features(key), table.data());
    for (std::int64_t f = 0; f < key.rows; ++f) {
      if (rows[f] >= 0) features[rows[f]] = static_cast<int>(table[f * width]) - 1;
    }
    return features;
  }

  const GlmOcr& model_ = test_model();
  std::vector<std::unique_ptr<Sequence>> sequences_;
};

std::vector<std::int32_t> pages_from(std::int32_t first, int count) {
  std::vector<std::int32_t> pages(count);
  std::iota(pages.begin(), pages.end(), first);
  return pages;
}

TEST_F(StepTablesTest, AWholePrompt) {
  const Sequence& sequence = add(test_request(model_, "Text Recognition:", {{84, 112}}), pages_from(3, 16));
  const std::int64_t n = sequence.prompt_tokens();
  ASSERT_GT(n, kFewRows);
  StepTables tables(model_, RowClass::many, kSizes, kTablePages);
  const StepRows all{.count = n, .logits = 1};
  const StepKey key = tables.stage({&all, 1}, sequences_);

  EXPECT_EQ(key, (StepKey{.row_class = RowClass::many,
                          .rows = static_cast<int>(n),
                          .sequences = 1,
                          .pages = static_cast<int>(divide_up<std::int64_t>(n, kTablePages)),
                          .logit_rows = 1,
                          .features = true}));
  EXPECT_EQ(values(tables.ids(key)),
            std::vector<TokenId>(sequence.tokens().begin(), sequence.tokens().end()));
  std::vector<std::int32_t> positions = sequence.positions().temporal;
  for (const auto* axis : {&sequence.positions().height, &sequence.positions().width}) {
    positions.insert(positions.end(), axis->begin(), axis->end());
  }
  EXPECT_EQ(values(tables.positions(key)), positions);
  std::vector<std::int32_t> slots(n);
  std::iota(slots.begin(), slots.end(), 3 * kTablePages);
  EXPECT_EQ(values(tables.slots(key)), slots);
  EXPECT_THAT(values(tables.logit_rows(key)), ElementsAre(n - 1));
  const PagedBatch batch = tables.batch(key);
  EXPECT_THAT(values(batch.row_starts), ElementsAre(0, n));
  EXPECT_THAT(values(batch.context_lens), ElementsAre(n));
  EXPECT_EQ(values(batch.page_table), pages_from(3, key.pages));
  EXPECT_GE(batch.max_context, n);

  int next = 0;
  const std::vector<int> features = features_of_rows(tables, key);
  for (std::int64_t i = 0; i < n; ++i) {
    const bool image = sequence.tokens()[i] == model_.config().image_token_id;
    EXPECT_EQ(features[i], image ? next++ : -1);
  }
  EXPECT_EQ(next, sequence.image_tokens());
}

TEST_F(StepTablesTest, ChunksHoldWhatTheWholeHolds) {
  const Sequence& sequence =
      add(test_request(model_, "two of them", {{84, 84}, {56, 168}}), {9, 2, 5, 11, 0, 7, 3, 8, 1, 4, 6, 10});
  const std::int64_t n = sequence.prompt_tokens();
  StepTables many(model_, RowClass::many, kSizes, kTablePages),
      few(model_, RowClass::few, kSizes, kTablePages);
  const StepRows all{.count = n};
  const StepKey whole_key = many.stage({&all, 1}, sequences_);
  const std::vector<std::int32_t> slots = values(many.slots(whole_key)),
                                  positions = values(many.positions(whole_key));
  const std::vector<int> features = features_of_rows(many, whole_key);
  for (std::int64_t chunk = 1; chunk <= n; ++chunk) {
    for (std::int64_t begin = 0; begin < n; begin += chunk) {
      const StepRows rows{.begin = begin, .count = std::min(chunk, n - begin)};
      StepTables& tables = rows.count <= kFewRows ? few : many;
      const StepKey key = tables.stage({&rows, 1}, sequences_);
      const std::vector<std::int32_t> slot_part = values(tables.slots(key)),
                                      part = values(tables.positions(key));
      const std::vector<int> feature_part = features_of_rows(tables, key);
      for (std::int64_t i = 0; i < rows.count; ++i) {
        EXPECT_EQ(slot_part[i], slots[begin + i]);
        EXPECT_EQ(feature_part[i], features[begin + i]);
        for (std::int64_t axis = 0; axis < 3; ++axis) {
          EXPECT_EQ(part[axis * rows.count + i], positions[axis * n + begin + i]);
        }
      }
    }
  }
}

TEST_F(StepTablesTest, OutputContinuesAtIndexPlusDelta) {
  Sequence& sequence = add(test_request(model_, "Text Recognition:", {{84, 112}}), pages_from(0, 12));
  const TokenId image = model_.config().image_token_id;  // in the output it is an ordinary token
  for (const TokenId token : {40, image, 42}) sequence.accept({.token = token}, Sequence::Clock::now());
  const std::int64_t n = sequence.prompt_tokens();
  const auto first = static_cast<std::int32_t>(n) + sequence.positions().delta;
  ASSERT_NE(sequence.positions().delta, 0);
  StepTables tables(model_, RowClass::few, kSizes, kTablePages);
  const StepRows rows{.begin = n, .count = 3, .logits = 1};
  const StepKey key = tables.stage({&rows, 1}, sequences_);
  EXPECT_THAT(values(tables.ids(key)), ElementsAre(40, image, 42));
  EXPECT_THAT(values(tables.positions(key)), ElementsAre(first, first + 1, first + 2, first, first + 1,
                                                         first + 2, first, first + 1, first + 2));
  EXPECT_FALSE(key.features);
  EXPECT_THAT(values(tables.logit_rows(key)), ElementsAre(2));
  EXPECT_THAT(values(tables.batch(key).context_lens), ElementsAre(n + 3));
}

TEST_F(StepTablesTest, SequencesLieOneAfterTheOtherWithLogitsOfTheirOwn) {
  add(test_request(model_, "one"), pages_from(0, 4));
  add(test_request(model_, "another one"), pages_from(8, 4));
  Request penalised = test_request(model_, "a third");
  penalised.options.sampling.repetition_penalty = 2;
  const Sequence& third = add(std::move(penalised), pages_from(4, 4));
  const std::vector<StepRows> rows{{.sequence = 2, .begin = 1, .count = 5, .logits = 2},
                                   {.sequence = 0, .begin = 0, .count = 3},
                                   {.sequence = 1, .begin = 2, .count = 4, .logits = 1}};
  StepTables tables(model_, RowClass::few, kSizes, kTablePages);
  const StepKey key = tables.stage(rows, sequences_);
  EXPECT_EQ(key.rows, 12);
  EXPECT_THAT(values(tables.batch(key).row_starts), ElementsAre(0, 5, 8, 12));
  EXPECT_THAT(values(tables.batch(key).context_lens), ElementsAre(6, 3, 6));
  EXPECT_THAT(values(tables.batch(key).page_table), ElementsAre(4, 5, 0, 1, 8, 9));
  EXPECT_THAT(values(tables.logit_rows(key)), ElementsAre(3, 4, 11));
  const SamplingTables sampling = tables.sampling(key);
  const std::vector<std::int32_t> words = values(sampling.params);
  const auto row = [&](int i) {
    SamplingRow r;
    std::memcpy(static_cast<void*>(&r), &words[i * 10], sizeof r);
    return r;
  };
  EXPECT_EQ(row(0).position, 5);  // of the token after index 4
  EXPECT_EQ(row(1).position, 6);
  EXPECT_EQ(row(2).position, 6);
  EXPECT_EQ(row(1).repetition_penalty, 2);
  EXPECT_EQ(row(2).repetition_penalty, 1);
  const std::vector<std::int32_t> seen = values(sampling.seen.slice(0, 1, 2));
  for (std::int64_t word = 0; word < std::ssize(third.sampler().seen()); ++word) {
    EXPECT_EQ(static_cast<std::uint32_t>(seen[word]), third.sampler().seen()[word]);
  }
}

TEST_F(StepTablesTest, TheKeyTellsShapesApartAndNothingElse) {
  Sequence& a = add(test_request(model_, "a text of its own"), pages_from(0, 8));
  Sequence& b = add(test_request(model_, "and quite another"), {9, 8, 6, 1, 12, 13, 14, 15});
  for (Sequence* sequence : {&a, &b}) {
    for (int i = 0; i < 10; ++i) sequence->accept({.token = 5}, Sequence::Clock::now());
  }
  StepTables tables(model_, RowClass::few, kSizes, kTablePages);
  const auto key = [&](std::vector<StepRows> rows) { return tables.stage(rows, sequences_); };
  const std::int64_t n = std::min(a.prompt_tokens(), b.prompt_tokens());
  EXPECT_EQ(key({{0, n + 4, 1, 1}}), key({{1, n + 4, 1, 1}}));
  EXPECT_TRUE(key({{0, a.prompt_tokens(), 1, 1}}).advance);
  EXPECT_FALSE(key({{0, 4, 1, 1}}).advance) << "a row of a prompt";
  const std::vector<std::vector<StepRows>> different{
      {{0, 4, 3, 0}}, {{0, 4, 3, 1}}, {{0, 4, 2, 0}}, {{0, 0, 3, 0}}, {{0, 4, 1, 0}, {1, 4, 2, 0}}};
  for (std::size_t i = 0; i < different.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) EXPECT_FALSE(key(different[i]) == key(different[j])) << i << ' ' << j;
  }
}

TEST_F(StepTablesTest, RowsWithoutAPageAreOurOwnBug) {
  add(test_request(model_, "no picture at all"), {1, 2});
  StepTables tables(model_, RowClass::few, kSizes, kTablePages);
  const StepRows fits{.count = 8}, does_not{.count = 9};
  EXPECT_THROW(tables.stage({&does_not, 1}, sequences_), Error);
  EXPECT_NO_THROW(tables.stage({&fits, 1}, sequences_));
}

TEST(StepTablesOnBuckets, WhatPadsAStepGoesNowhere) {
  const TestModel model = load_recording_model();
  std::vector<std::unique_ptr<Sequence>> sequences;
  sequences.push_back(std::make_unique<Sequence>(test_request(*model.model, "five tokens of it"),
                                                 model.model->config(), model.model->tokenizer(), 1000));
  sequences[0]->pages() = {3, 1, 2, 0};
  StepTables tables(*model.model, RowClass::few, kSizes, kTablePages);
  const StepRows rows{.begin = 1, .count = 5, .logits = 1};
  const StepKey key = tables.stage({&rows, 1}, sequences);
  EXPECT_EQ(key.rows, 8);
  EXPECT_EQ(key.sequences, 2);
  EXPECT_EQ(key.logit_rows, 2);
  EXPECT_THAT(values(tables.slots(key)), ElementsAre(13, 14, 15, 4, 5, -1, -1, -1));
  EXPECT_THAT(values(tables.batch(key).row_starts), ElementsAre(0, 5, 5));
  EXPECT_THAT(values(tables.batch(key).context_lens), ElementsAre(6, 0));
  EXPECT_THAT(values(tables.ids(key).slice(0, 5, 8)), Each(0));
}

}  // namespace
}  // namespace glmocr::engine
