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
  Sequence* sequence = nullptr;  // none: its request has ended meanwhile
  std::int64_t picture = 0;
};

// Pictures that are encoded together, in one step or several.
struct PictureBatch {
  std::vector<PictureJob> jobs;
  VisionPass pass;
};

// The most that one step may hold.
struct StepLimits {
  std::int64_t sequences = 0;
  std::int64_t prefill_rows = 0;  // of sequences with more than kFewRows rows
  std::int64_t context = 0;       // tokens of one sequence
  std::int64_t drafts = 0;
};

// A tensor of activations (f32, bf16) or indices (i32), as floats.
std::vector<float> download_floats(Device& device, const Tensor& tensor);

// Bytes of the features of this many image tokens.
std::int64_t feature_bytes(const GlmOcr& model, std::int64_t image_tokens);

// Runs planned steps on the device. An exception leaves the sequences as they were; the same rows, or some of
// them, may be run again.
//
// Sequences with at most kFewRows rows run in one pass of the decoder (the member few_), longer chunks of
// prompts in another (many_), so that each pass has one RowClass.
class StepRunner {
 public:
  StepRunner(const GlmOcr& model, KvCache& cache, const StepLimits& limits);
  ~StepRunner();
  StepRunner(const StepRunner&) = delete;
  StepRunner& operator=(const StepRunner&) = delete;

  // Bytes that the tables of a runner with these limits take on the device.
  static std::int64_t table_bytes(const GlmOcr& model, const StepLimits& limits, int page_size);

  // Allocates what pictures, of any sizes together, hold while they are encoded, and the features of their sequences.
  // `paid` as in VisionEncoder::begin. Throws Error{memory}.
  PictureBatch begin(std::vector<PictureJob> jobs, bool paid = false) const;
  // Goes on encoding them for at most `flop` floating-point operations, or one small group of rows. True once their
  // features are in their sequences. While VisionPass::reads_patches() the sequences must have their pictures.
  bool encode(PictureBatch& batch, double flop, const Observer& observer = {}) const;

  // A step that was launched. At most Device::step_sizes().depth are in flight at once.
  struct Ticket {
    std::int64_t few = 0, many = 0;  // rows of logits of each pass
    int slot = 0;                    // index into kept_
    bool alternatives = false;       // some row asks for log-probabilities of other tokens
  };

  // Starts one step. The list of sequences, their tokens and pages must not change until it is collected.
  // Before that, rows for which continues() is true may be launched; their sequences may take more pages.
  Ticket launch(std::span<const StepRows> rows, SequenceList sequences);
  // Whether the rows are the next tokens of those launched last, so that the device has their ids already.
  bool continues(std::span<const StepRows> rows) const;
  // Waits for the step. Returns one token per row with logits, in the order of `rows`, valid until the next
  // collect.
  std::span<const SampledToken> collect(const Ticket& ticket, std::span<const StepRows> rows,
                                        SequenceList sequences);

  // Makes the next launch stage all its tables. Called when sequences or their pages changed outside of a
  // step.
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

  void reserve_features(Sequence& sequence) const;
  void keep_features(const PictureBatch& batch) const;
  void split(std::span<const StepRows> rows);
  void run(const Pass& pass, const StepKey& key);
  Tensor run_decoder(const Pass& pass, const StepKey& key, const Observer& observer) const;
  void keep_results(const StepKey& key, const Ticket& ticket);
  void make_kept_results(std::int64_t logit_rows, int depth);
  void fetch(const SamplingTables& results, std::int64_t first, std::int64_t count, bool alternatives);

  const GlmOcr& model_;
  KvCache& cache_;
  Pass few_, many_;
  std::vector<StepRows> continued_;   // the rows that few_.tables are staged for; empty: they must be staged
  std::vector<SamplingTables> kept_;  // results of few_, one per step in flight; empty where depth is 1
  Buffer kept_memory_;
  int next_slot_ = 0;

  // Results on the host: the rows of logits of few_, then those of many_.
  std::vector<std::int32_t> ids_, top_ids_;
  std::vector<float> logprobs_, top_logprobs_;
  std::vector<SampledToken> tokens_;
};

}  // namespace glmocr::engine
