// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <span>
#include <vector>

#include "engine/kv_cache.h"
#include "engine/step_tables.h"
#include "models/observer.h"

namespace glmocr::engine {

// A picture of a sequence that is to be encoded.
struct PictureJob {
  Sequence* sequence = nullptr;
  std::int64_t picture = 0;
};

// The most that one step may hold.
struct StepLimits {
  std::int64_t sequences = 0;
  std::int64_t prefill_rows = 0;  // of sequences with more than kFewRows rows
  std::int64_t context = 0;       // tokens of one sequence
  std::int64_t drafts = 0;
};

// Bytes of the features of so many image tokens.
std::int64_t feature_bytes(const GlmOcr& model, std::int64_t image_tokens);

// The part of the engine that talks to the device: runs what was planned. An exception leaves the sequences as they
// were; the same rows, or some of them, may be run again.
//
// Sequences with few rows run in one pass of the decoder, the chunks of prompts in another (RowClass), so that what a
// sequence computes does not depend on the others.
class StepRunner {
 public:
  StepRunner(const GlmOcr& model, KvCache& cache, const StepLimits& limits);
  ~StepRunner() { model_.device().forget_steps(); }
  StepRunner(const StepRunner&) = delete;
  StepRunner& operator=(const StepRunner&) = delete;

  // Bytes that the tables of such a runner take on the device.
  static std::int64_t table_bytes(const GlmOcr& model, const StepLimits& limits, int page_size);

  // Memory for the features of a sequence's pictures; the request took it from the budget when it was submitted.
  void reserve_features(Sequence& sequence) const;

  // Encodes pictures, of any sizes together, into their sequences' features.
  void encode(std::span<const PictureJob> jobs, const Observer& observer = {}) const;

  // A step that was started. At most Device::step_sizes().depth are under way at a time.
  struct Ticket {
    std::int64_t few = 0, many = 0;  // rows of logits of each pass
    int slot = 0;                    // of the results
    bool alternatives = false;       // some row asks for log-probabilities of other tokens
  };

  // Starts one step. The list of sequences, their tokens and pages stay as they are until it is collected, except
  // that rows which all decode may be launched once more, one token on, before that.
  Ticket launch(std::span<const StepRows> rows, SequenceList sequences);
  // Whether the rows continue those launched last, so that their tokens need not be known.
  bool continues(std::span<const StepRows> rows) const;
  // Waits for the step. One token for every row with logits, in the order of `rows`; valid until the next collect.
  std::span<const SampledToken> collect(const Ticket& ticket, std::span<const StepRows> rows,
                                        SequenceList sequences);

  // Forgets what the tables hold: to be called when sequences or their pages changed otherwise than by a step.
  void restage() { continued_.clear(); }

  // Runs rows of one sequence without sampling and returns the logits of its last row, [vocab_size].
  std::vector<float> logits(const StepRows& rows, SequenceList sequences, const Observer& observer);

 private:
  struct Pass {
    StepTables tables;
    std::vector<StepRows> rows;  // of the step being launched
  };
  static TableSizes few_sizes(const StepLimits& limits, int page_size);
  static TableSizes many_sizes(const StepLimits& limits, int page_size);

  void split(std::span<const StepRows> rows);
  void run(const Pass& pass, const StepKey& key);
  Tensor normed(const Pass& pass, const StepKey& key, const Observer& observer) const;
  void keep_results(const StepKey& key, int slot);
  void make_kept_results(std::int64_t logit_rows, int depth);
  void fetch(const SamplingTables& results, std::int64_t first, std::int64_t count, bool alternatives);

  const GlmOcr& model_;
  KvCache& cache_;
  Pass few_, many_;
  std::vector<StepRows> continued_;  // rows that the tables of the few hold already; none: they hold nothing
  std::vector<SamplingTables>
      kept_;  // results of the few for every step under way; none where that is one step
  Buffer kept_memory_;
  int next_slot_ = 0;

  // What collect reads: the rows of logits of the few, then those of the many.
  std::vector<std::int32_t> ids_, top_ids_;
  std::vector<float> logprobs_, top_logprobs_;
  std::vector<SampledToken> tokens_;
};

}  // namespace glmocr::engine
