// SPDX-License-Identifier: Apache-2.0
#include "kernel_test.h"
#include "sampling_tables.h"

namespace glmocr::test {
namespace {

class SampleTest : public KernelTest {
 protected:
  std::int64_t gap_ = 3;  // between rows of logits

  std::vector<Choice> run(Device& device, const Numbers& logits, std::int64_t vocab,
                          const std::vector<SamplingRow>& rows, const std::vector<Ids>& seen = {}) {
    const ArenaScope scope(device);
    const Tensor on_device = make(device, logits, {std::ssize(rows), vocab}, dtype_, gap_);
    const SamplingTables tables = make_sampling_tables(device, rows, vocab, seen);
    device.ops().sample(on_device, tables);
    return download_choices(device, tables);
  }

  // Chooses these ids (kNotFinite: none, for a logit that is no number) and moves the tables on.
  void choose(Device& device, const Ids& ids, std::int64_t vocab, const SamplingTables& sampling,
              const DecodeTables& next) {
    Numbers logits(std::ssize(ids) * vocab, 1);
    for (std::int64_t r = 0; r < std::ssize(ids); ++r) {
      logits[r * vocab + std::max(ids[r], 0)] = ids[r] == kNotFinite ? NAN : 2;
    }
    device.ops().sample(make(device, logits, {std::ssize(ids), vocab}, dtype_), sampling, next);
    EXPECT_EQ(download_ints(device, sampling.ids), ids);
  }

  void expect_same(const Numbers& logits, std::int64_t vocab, const std::vector<SamplingRow>& rows,
                   const std::string& what, const std::vector<Ids>& seen = {}) {
    SCOPED_TRACE(what);
    const auto actual = run(*tested_, logits, vocab, rows, seen);
    const auto expected = run(*ref_, logits, vocab, rows, seen);
    for (std::int64_t r = 0; r < std::ssize(rows); ++r) {
      EXPECT_EQ(actual[r].id, expected[r].id) << "row " << r;
      // log Σexp: a sum of exact terms in parts of 256, each within 2 units.
      EXPECT_NEAR(actual[r].logprob, expected[r].logprob, 256 * kUnit32) << "row " << r;
      ASSERT_EQ(actual[r].top.size(), expected[r].top.size()) << "row " << r;
      for (std::size_t i = 0; i < actual[r].top.size(); ++i) {
        EXPECT_EQ(actual[r].top[i].first, expected[r].top[i].first) << "row " << r << ", best id " << i;
        EXPECT_NEAR(actual[r].top[i].second, expected[r].top[i].second, 256 * kUnit32) << "row " << r;
      }
    }
  }
};

TEST_P(SampleTest, GreedyOverSizes) {
  for (const std::int64_t vocab : {1, 2, 3, 7, 8, 9, 16, 17, 31, 100, 1000, 5000}) {
    const Numbers logits = random(3 * vocab, -20, 20);
    expect_same(logits, vocab, std::vector<SamplingRow>(3), "vocab " + std::to_string(vocab));
  }
}

// Rows that a card can read 16 bytes at a time: its threads have some of them to read, all have one or several each, and
// more than they keep in registers. Behind a limit there are logits that are no numbers.
TEST_P(SampleTest, GreedyRowsInPacks) {
  SamplingRow limited;
  for (const std::int64_t vocab : {8, 64, 1000, 8192, 8200, 59392, 65536, 65544}) {
    limited.vocab_limit = static_cast<std::int32_t>(vocab - vocab / 3);
    for (const std::int64_t gap : {0, 8}) {
      gap_ = gap;
      Numbers logits = random(5 * vocab, -20, 20), coarse = logits;
      std::fill(logits.begin() + 2 * vocab + limited.vocab_limit, logits.begin() + 3 * vocab, NAN);
      logits[4 * vocab + vocab - 1] = 21;
      const std::vector<SamplingRow> rows{{}, {}, limited, {}, {}};
      const std::string what = "vocab " + std::to_string(vocab) + ", gap " + std::to_string(gap);
      expect_same(logits, vocab, rows, what);
      logits[3 * vocab + vocab / 2] = -INFINITY;
      const std::vector<Choice> choices = run(*tested_, logits, vocab, rows);
      EXPECT_EQ(choices[3].id, kNotFinite) << what;
      EXPECT_EQ(choices[4].id, vocab - 1) << what;
      for (float& logit : coarse) logit = std::round(logit / 10);
      expect_same(coarse, vocab, rows, what + ", equal logits");
    }
  }
}

// The largest logit at every place in a vector of the processor, at its end and in the next one.
TEST_P(SampleTest, GreedyFindsEveryPlace) {
  for (const std::int64_t vocab : {5, 16, 37}) {
    for (std::int64_t at = 0; at < vocab; ++at) {
      Numbers logits(vocab, -1);
      logits[at] = 2;
      expect_same(logits, vocab, {SamplingRow{}}, std::to_string(at) + " of " + std::to_string(vocab));
    }
  }
}

TEST_P(SampleTest, TheLowestIdAmongEquals) {
  for (const std::int64_t vocab : {3, 16, 50}) {
    for (std::int64_t first = 0; first < vocab; ++first) {
      Numbers logits(vocab, -1);
      for (std::int64_t i = first; i < vocab; i += 3) logits[i] = 2;
      EXPECT_EQ(run(*tested_, logits, vocab, {SamplingRow{}})[0].id, first) << vocab;
    }
  }
}

TEST_P(SampleTest, PaddingRowsOfTheVocabularyAreNeverChosen) {
  Numbers logits(40, 0);
  logits[33] = 9;
  logits[12] = 1;
  SamplingRow row;
  row.vocab_limit = 33;
  expect_same(logits, 40, {row}, "limit 33");
  EXPECT_EQ(run(*tested_, logits, 40, {row})[0].id, 12);
  row.vocab_limit = 34;
  EXPECT_EQ(run(*tested_, logits, 40, {row})[0].id, 33);
}

TEST_P(SampleTest, MixedRows) {
  const std::int64_t vocab = 200;
  std::vector<SamplingRow> rows(6);
  rows[1].temperature = 0.7f;
  rows[1].seed_low = 5;
  rows[2].repetition_penalty = 1.3f;
  rows[3].top_logprobs = 4;
  rows[4].temperature = 1.5f;
  rows[4].top_k = 20;
  rows[4].top_p = 0.9f;
  rows[4].min_p = 0.02f;
  rows[5].temperature = 2;
  rows[5].seed_high = 77;
  rows[5].repetition_penalty = 0.5f;
  rows[5].top_logprobs = 8;
  const std::vector<Ids> seen{{1}, {}, {3, 50, 199}, {}, {}, {0, 31, 32, 64, 127, 180}};
  for (std::int32_t position = 0; position < 20; ++position) {
    for (SamplingRow& row : rows) row.position = position;
    expect_same(random(6 * vocab, -4, 4), vocab, rows, "position " + std::to_string(position), seen);
  }
}

// Cuts that keep a few of many ids, most of them, and all; flat and steep; equal logits in plenty.
TEST_P(SampleTest, CutsOfALargeVocabulary) {
  const std::int64_t vocab = 3000;
  std::vector<SamplingRow> rows;
  for (const float temperature : {0.05f, 1.0f, 4.0f}) {
    for (const float top_p : {0.0f, 0.3f, 0.95f, 1.0f}) {
      for (const float min_p : {0.0f, 0.2f}) {
        for (const std::int32_t top_k : {0, 100}) {
          SamplingRow row;
          row.temperature = temperature;
          row.top_p = top_p;
          row.min_p = min_p;
          row.top_k = top_k;
          row.top_logprobs = 5;
          rows.push_back(row);
        }
      }
    }
  }
  const std::int64_t count = std::ssize(rows) * vocab;
  for (std::int32_t position = 0; position < 3; ++position) {
    for (SamplingRow& row : rows) row.position = position;
    expect_same(random(count, -8, 8), vocab, rows, "position " + std::to_string(position));
    Numbers coarse = random(count, -8, 8);
    for (float& logit : coarse) logit = std::round(logit);
    expect_same(coarse, vocab, rows, "equal logits, position " + std::to_string(position));
  }
}

// A temperature so low that quotients overflow, and a penalty that makes a logit infinite.
TEST_P(SampleTest, ExtremeParameters) {
  SamplingRow cold, penalty;
  cold.temperature = 1e-38f;
  penalty.repetition_penalty = 1e-38f;
  const std::int64_t vocab = 100;
  Numbers logits = random(2 * vocab, -20, 20);
  logits[7] = 21;
  expect_same(logits, vocab, {cold, SamplingRow{}}, "cold");
  EXPECT_EQ(run(*tested_, logits, vocab, {cold, SamplingRow{}})[0].id, 7);
  logits[vocab + 3] = 30;
  EXPECT_EQ(run(*tested_, logits, vocab, {SamplingRow{}, penalty}, {{}, {3}})[1].id,
            run(*ref_, logits, vocab, {SamplingRow{}, penalty}, {{}, {3}})[1].id);
}

// NaN and infinity at every place, for rows that take every way through the kernels. The row before them is
// not concerned, nor is a row whose vocabulary ends before.
TEST_P(SampleTest, LogitsThatAreNotFiniteAreReported) {
  SamplingRow alternatives, drawn, penalty;
  alternatives.top_logprobs = 3;
  drawn.temperature = 1;
  penalty.repetition_penalty = 1.5f;
  for (const std::int64_t vocab : {1, 5, 16, 37, 100}) {
    for (const float bad : {NAN, INFINITY, -INFINITY}) {
      for (std::int64_t at = 0; at < vocab; ++at) {
        Numbers logits = random(6 * vocab, -20, 20);
        for (std::int64_t r = 1; r < 6; ++r) logits[r * vocab + at] = bad;
        SamplingRow limited;
        limited.vocab_limit = std::max<std::int32_t>(static_cast<std::int32_t>(at), 1);
        for (Device* device : {tested_.get(), ref_.get()}) {
          SCOPED_TRACE(device->name() + ": " + std::to_string(bad) + " at " + std::to_string(at) + " of " +
                       std::to_string(vocab));
          const std::vector<Choice> choices =
              run(*device, logits, vocab, {{}, {}, alternatives, drawn, penalty, limited});
          EXPECT_GE(choices[0].id, 0);
          for (int r = 1; r < 5; ++r) {
            EXPECT_EQ(choices[r].id, kNotFinite) << r;
            EXPECT_TRUE(std::isnan(choices[r].logprob)) << r;
            EXPECT_TRUE(choices[r].top.empty()) << r;
          }
          EXPECT_EQ(choices[5].id >= 0, at > 0);
        }
      }
    }
  }
}

TEST_P(SampleTest, ARowThatIsNotFiniteDoesNotMoveOn) {
  for (Device* device : {tested_.get(), ref_.get()}) {
    const ArenaScope scope(*device);
    const SamplingTables sampling = make_sampling_tables(*device, std::vector<SamplingRow>(2), 70);
    DecodeTables tables;
    tables.page_size = 4;
    tables.ids = make_ints(*device, {60, 61}, {2});
    tables.positions = make_ints(*device, {5, 6, 5, 6, 5, 6}, {3, 2});
    tables.slots = make_ints(*device, {1, 5}, {2});
    tables.context_lens = make_ints(*device, {2, 2}, {2});
    tables.page_table = make_ints(*device, {0, 1}, {2, 1});
    choose(*device, {kNotFinite, 3}, 70, sampling, tables);
    EXPECT_EQ(download_ints(*device, tables.ids), (Ids{60, 3}));
    EXPECT_EQ(download_ints(*device, tables.positions), (Ids{5, 7, 5, 7, 5, 7}));
    EXPECT_EQ(download_ints(*device, tables.slots), (Ids{-1, 6}));
    EXPECT_EQ(download_ints(*device, tables.context_lens), (Ids{2, 3}));
    EXPECT_EQ(download_ints(*device, sampling.seen), (Ids{0, 0, 0, 8, 0, 0}));
  }
}

// The tables of a step may have more rows than the logits of this one; those rows stay as they are.
TEST_P(SampleTest, RowsBehindTheLogitsStay) {
  Device& device = *tested_;
  const SamplingTables tables = make_sampling_tables(device, std::vector<SamplingRow>(3), 4);
  const Ids before{7, 7, 7};
  device.upload(before.data(), tables.ids);
  device.ops().sample(make(device, {0, 1, 0, 0}, {1, 4}, dtype_), tables);
  EXPECT_EQ(download_ints(device, tables.ids), (Ids{1, 7, 7}));
}

// Rows in the middle of a page, at its end, at the end of the table, before a missing page, and padding.
TEST_P(SampleTest, EveryTableMovesOn) {
  for (Device* device : {tested_.get(), ref_.get()}) {
    SCOPED_TRACE(device->name());
    const ArenaScope scope(*device);
    const std::int64_t n = 5, vocab = 70;
    std::vector<SamplingRow> rows(n);
    for (std::int32_t r = 0; r < n; ++r) {
      rows[r].position = 10 * r;
      rows[r].top_p = 0.5f;
    }
    const SamplingTables sampling = make_sampling_tables(*device, rows, vocab, {{}, {32, 34}, {69}, {}, {5}});
    const Ids positions{5, 3, 11, 3, 7, -9, 6, 4, 12, 4, 7, -9, 7, 5, 13, 5, 7, -9};
    DecodeTables tables;
    tables.page_size = 4;
    tables.ids = make_ints(*device, {60, 61, 62, 63, 64}, {n});
    const Tensor wide = make_ints(*device, positions, {3, n + 1});
    tables.positions = wide.slice(1, 0, n);
    tables.slots = make_ints(*device, {81, 11, 27, 7, -1}, {n});
    tables.context_lens = make_ints(*device, {6, 4, 12, 4, 9}, {n});
    tables.page_table =
        make_ints(*device, {8, 20, 9, 99, 2, 5, 7, 99, 4, 3, 6, 99, 1, -1, -1, 99, 0, 0, 0, 99}, {n, 4})
            .slice(1, 0, 3);
    const Ids chosen{3, 33, 69, 0, 1};
    choose(*device, chosen, vocab, sampling, tables);

    EXPECT_EQ(download_ints(*device, tables.ids), (Ids{3, 33, 69, 0, 64}));
    EXPECT_EQ(download_ints(*device, wide),
              (Ids{6, 4, 12, 4, 7, -9, 7, 5, 13, 5, 7, -9, 8, 6, 14, 6, 7, -9}));
    EXPECT_EQ(download_ints(*device, tables.slots), (Ids{82, 20, -1, -1, -1}));
    EXPECT_EQ(download_ints(*device, tables.context_lens), (Ids{7, 5, 13, 5, 9}));
    EXPECT_EQ(download_ints(*device, sampling.seen), (Ids{8, 0, 0, 0, 7, 0, 0, 0, 32, 1, 0, 0, 32, 0, 0}));
    std::vector<SamplingRow> after(n);
    device->download(sampling.params, after.data());
    for (std::int32_t r = 0; r < n; ++r) {
      EXPECT_EQ(after[r].position, 10 * r + (r < 4)) << r;
      EXPECT_EQ(after[r].top_p, 0.5f);
    }
    // The rows that reached the end of their pages stay there.
    choose(*device, chosen, vocab, sampling, tables);
    EXPECT_EQ(download_ints(*device, tables.context_lens), (Ids{8, 6, 13, 5, 9}));
    EXPECT_EQ(download_ints(*device, tables.slots), (Ids{83, 21, -1, -1, -1}));
  }
}

GLMOCR_KERNEL_SUITE(SampleTest);

}  // namespace
}  // namespace glmocr::test
