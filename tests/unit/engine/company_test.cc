// SPDX-License-Identifier: Apache-2.0
// The results of a sequence do not depend on what else runs: logits, texts and log-probabilities are equal bit
// for bit, on every device of this machine, in fp32 and bf16.
#include <gtest/gtest.h>

#include <cctype>
#include <filesystem>
#include <numeric>

#include "engine/step_runner.h"
#include "unit/engine/test_model.h"

namespace glmocr::engine {
namespace {

constexpr int kPageSize = 8;
constexpr StepLimits kCompanyLimits{.sequences = 20, .prefill_rows = 512, .context = 640};

using Param = std::tuple<std::string, DType>;

std::vector<std::string> device_names() {
  std::vector<std::string> names;
  for (const std::string& name : available_devices()) {
    if (name != "cpu") names.push_back(name);  // the first of the others
  }
  return names;
}

std::string param_name(const testing::TestParamInfo<Param>& info) {
  std::string name = std::get<0>(info.param) + "_" + std::string(to_string(std::get<1>(info.param)));
  for (char& c : name) {
    if (!std::isalnum(static_cast<unsigned char>(c))) c = '_';
  }
  return name;
}

class Company : public testing::TestWithParam<Param> {
 protected:
  const GlmOcr& model() const { return *model_.model; }

  TestModel model_ = load_test_model(std::get<0>(GetParam()), {.threads = 2}, std::get<1>(GetParam()));
};

INSTANTIATE_TEST_SUITE_P(On, Company,
                         testing::Combine(testing::ValuesIn(device_names()),
                                          testing::Values(DType::f32, DType::bf16)),
                         param_name);

// Sequences with a cache of their own, whose tokens are given instead of chosen.
class Table {
 public:
  explicit Table(const GlmOcr& model)
      : model_(model),
        cache_(model.device(), model.decoder().kv_spec(1500, kPageSize)),
        runner_(model, cache_, kCompanyLimits) {}

  // A sequence of `prompt` and `output` tokens that look random; equal seeds give equal tokens.
  std::size_t add(std::int64_t prompt, std::int64_t output, unsigned seed) {
    const auto token = [&] { return static_cast<TokenId>((seed = seed * 1664525 + 1013904223) >> 8) % 400; };
    Request request;
    for (std::int64_t i = 0; i < prompt; ++i) request.prompt.ids.push_back(token());
    request.prompt.positions = mrope_positions(request.prompt.ids, model_.config().image_token_id, {}, 2);
    request.options.sampling.logprobs = kMaxLogprobs;
    sequences_.push_back(std::make_unique<Sequence>(std::move(request), model_.config(), model_.tokenizer(),
                                                    std::int64_t{1} << 20));
    for (std::int64_t i = 0; i < output; ++i) sequences_.back()->accept({.token = token()}, {});
    cache_.pool().take(pages_for(prompt + output, kPageSize), sequences_.back()->pages());
    return sequences_.size() - 1;
  }

  // The logits of the last of these rows, and the token chosen from it when it runs along with other rows.
  std::vector<float> logits(const StepRows& rows) { return runner_.logits(rows, sequences_, {}); }
  std::vector<SampledToken> run(const std::vector<StepRows>& rows) {
    const StepRunner::Ticket ticket = runner_.launch(rows, sequences_);
    const std::span<const SampledToken> tokens = runner_.collect(ticket, rows, sequences_);
    return {tokens.begin(), tokens.end()};
  }

 private:
  const GlmOcr& model_;
  KvCache cache_;
  StepRunner runner_;
  std::vector<std::unique_ptr<Sequence>> sequences_;
};

void expect_equal(const SampledToken& a, const SampledToken& b) {
  EXPECT_EQ(a.token, b.token);
  EXPECT_EQ(a.logprob, b.logprob);
  EXPECT_EQ(a.top, b.top);
}

// 16 rows after a context of 70 run one by one, and in several groupings.
TEST_P(Company, TheRowsOfASequenceMayBeGroupedInAnyWay) {
  constexpr std::int64_t kPrompt = 70;
  const auto logits_of = [&](const std::vector<std::int64_t>& groups) {
    Table table(model());
    table.add(kPrompt, 17, 5);
    table.logits({.count = kPrompt, .logits = 1});
    std::vector<std::vector<float>> ends(17);  // by the number of rows run
    std::int64_t done = 0;
    for (const std::int64_t count : groups) {
      std::vector<float> values = table.logits({.begin = kPrompt + done, .count = count, .logits = 1});
      done += count;
      ends[done] = std::move(values);
    }
    return ends;
  };
  const auto single = logits_of(std::vector<std::int64_t>(16, 1));
  std::vector<std::vector<std::int64_t>> groupings{{16}, {3, 5, 8}, {8, 8}, {15, 1}, {1, 2, 3, 4, 6}};
  for (std::int64_t first = 2; first < 16; ++first) groupings.push_back({first, 16 - first});
  for (const std::vector<std::int64_t>& groups : groupings) {
    const auto grouped = logits_of(groups);
    for (std::size_t i = 1; i < grouped.size(); ++i) {
      if (grouped[i].empty()) continue;
      EXPECT_EQ(grouped[i], single[i]) << groups[0] << " rows first, after " << i;
    }
  }
}

// 1 to 16 sequences decode together, alone and along with the prefill of another.
TEST_P(Company, SequencesThatDecodeTogetherGetWhatTheyGetAlone) {
  const auto prepare = [&](Table& table, int count) {
    std::vector<StepRows> rows;
    for (int i = 0; i < count; ++i) {
      const std::int64_t prompt = 20 + 3 * i;
      const std::size_t sequence = table.add(prompt, 4, 100 + i);
      table.logits({.sequence = sequence, .count = prompt, .logits = 1});
      rows.push_back({sequence, prompt, 1, 1});
    }
    return rows;
  };
  std::vector<SampledToken> alone;
  {
    Table table(model());
    for (const StepRows& row : prepare(table, 16)) alone.push_back(table.run({row})[0]);
  }
  for (const int count : {1, 2, 3, 4, 5, 7, 8, 9, 12, 15, 16}) {
    SCOPED_TRACE(count);
    Table table(model());
    std::vector<StepRows> rows = prepare(table, count);
    const std::size_t newcomer = table.add(512, 0, 3);
    const std::vector<SampledToken> together = table.run(rows);
    for (int i = 0; i < count; ++i) expect_equal(together[i], alone[i]);
    rows.push_back({newcomer, 0, 512, 1});
    const std::vector<SampledToken> beside_prefill = table.run(rows);
    for (int i = 0; i < count; ++i) expect_equal(beside_prefill[i], alone[i]);
  }
}

// The results of a prefill do not depend on the other prefills in its pass.
TEST_P(Company, PromptsThatShareAStepGetWhatTheyGetAlone) {
  const std::vector<std::int64_t> sizes{17, 40, 64, 129, 200};
  std::vector<SampledToken> alone;
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    Table table(model());
    const std::size_t sequence = table.add(sizes[i], 0, 50 + i);
    alone.push_back(table.run({{sequence, 0, sizes[i], 1}})[0]);
  }
  Table table(model());
  std::vector<StepRows> rows;
  for (std::size_t i = 0; i < sizes.size(); ++i)
    rows.push_back({table.add(sizes[i], 0, 50 + i), 0, sizes[i], 1});
  const std::vector<SampledToken> together = table.run(rows);
  for (std::size_t i = 0; i < sizes.size(); ++i) expect_equal(together[i], alone[i]);
}

// Whole requests: alone, with 5 and with 16 running, and with so few pages that some are preempted.
TEST_P(Company, ARequestGivesTheSameResultInAnyBatch) {
  std::vector<Request> requests;
  for (int copy = 0; copy < 3; ++copy) {
    for (Request& request : mixed_requests(model())) {
      request.options.sampling.seed += copy;
      requests.push_back(std::move(request));
    }
  }
  const auto run = [&](int sequences, std::int64_t tokens, EngineStats* stats = nullptr) {
    EngineOptions options{.max_sequences = sequences, .page_size = 4, .prefill_chunk = 32};
    options.kv_memory = tokens * kv_bytes_per_token(model());
    return run_together(model(), requests, options, stats);
  };
  const std::vector<Result> alone = run(1, 2000);
  EngineStats stats;
  for (const std::vector<Result>& batch : {run(5, 2000), run(16, 2000), run(16, 150, &stats)}) {
    for (std::size_t i = 0; i < alone.size(); ++i) {
      EXPECT_EQ(batch[i].text, alone[i].text) << i;
      EXPECT_EQ(batch[i].tokens, alone[i].tokens) << i;
      EXPECT_EQ(batch[i].logprobs, alone[i].logprobs) << i;
    }
  }
  EXPECT_GT(stats.preemptions, 0);
}

}  // namespace
}  // namespace glmocr::engine
