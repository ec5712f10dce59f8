// SPDX-License-Identifier: Apache-2.0
#include "engine/step_runner.h"

#include <algorithm>
#include <functional>
#include <utility>

#include "base/numbers.h"

namespace glmocr::engine {
namespace {

bool is_few(const StepRows& rows) { return rows.count <= kFewRows; }

std::int64_t logit_count(std::span<const StepRows> rows) {
  std::int64_t count = 0;
  for (const StepRows& r : rows) count += r.logits;
  return count;
}

}  // namespace

std::vector<float> download_floats(Device& device, const Tensor& tensor) {
  std::vector<float> values(tensor.numel());
  if (tensor.dtype == DType::bf16) {
    std::vector<bf16> stored(values.size());
    device.download(tensor, stored.data());
    std::transform(stored.begin(), stored.end(), values.begin(), [](bf16 value) { return to_float(value); });
  } else if (tensor.dtype == DType::i32) {
    std::vector<std::int32_t> stored(values.size());
    device.download(tensor, stored.data());
    std::copy(stored.begin(), stored.end(), values.begin());
  } else {
    GLMOCR_CHECK(tensor.dtype == DType::f32);
    device.download(tensor, values.data());
  }
  return values;
}

std::int64_t feature_bytes(const GlmOcr& model, std::int64_t image_tokens) {
  return image_tokens * model.config().text.hidden_size * size_of(model.compute());
}

TableSizes StepRunner::few_sizes(const StepLimits& limits, int page_size) {
  return {.rows = limits.sequences * kFewRows,
          .sequences = limits.sequences,
          .pages = pages_for(limits.context, page_size),
          .logit_rows = limits.sequences * (1 + limits.drafts)};
}

// Each sequence of this pass has more than kFewRows rows.
TableSizes StepRunner::many_sizes(const StepLimits& limits, int page_size) {
  const std::int64_t sequences =
      std::clamp<std::int64_t>(limits.prefill_rows / kFewRows, 1, limits.sequences);
  return {.rows = limits.prefill_rows,
          .sequences = sequences,
          .pages = pages_for(limits.context, page_size),
          .logit_rows = sequences};
}

std::int64_t StepRunner::table_bytes(const GlmOcr& model, const StepLimits& limits, int page_size) {
  return StepTables::bytes(model, few_sizes(limits, page_size)) +
         StepTables::bytes(model, many_sizes(limits, page_size));
}

StepRunner::~StepRunner() {
  try {
    model_.device().forget_steps();
  } catch (const Error&) {  // of a lost device
  }
}

StepRunner::StepRunner(const GlmOcr& model, KvCache& cache, const StepLimits& limits)
    : model_(model),
      cache_(cache),
      few_{StepTables(model, RowClass::few, few_sizes(limits, cache.page_size()), cache.page_size()), {}},
      many_{StepTables(model, RowClass::many, many_sizes(limits, cache.page_size()), cache.page_size()), {}} {
  const std::int64_t few_logits = few_sizes(limits, cache.page_size()).logit_rows;
  const std::int64_t logits = few_logits + many_sizes(limits, cache.page_size()).logit_rows;
  // Reserved here, so that steps take no memory from the system.
  for (auto* rows : {&few_.rows, &many_.rows, &continued_}) rows->reserve(limits.sequences);
  ids_.resize(logits);
  logprobs_.resize(logits);
  top_ids_.resize(logits * kMaxLogprobs);
  top_logprobs_.resize(logits * kMaxLogprobs);
  tokens_.reserve(logits);
  make_kept_results(few_logits, model.device().step_sizes().depth);
}

// Where several steps are in flight, a step must not overwrite the results of the previous one.
void StepRunner::make_kept_results(std::int64_t logit_rows, int depth) {
  if (depth <= 1) return;
  const std::int64_t word_rows = logit_rows * 4;
  const std::int64_t bytes = word_rows * (2 + 2 * kMaxLogprobs);
  kept_memory_ = model_.device().allocate(bytes * depth);
  for (int slot = 0; slot < depth; ++slot) {
    std::int64_t at = slot * bytes;
    const auto take = [&](const Shape& shape, DType dtype) {
      const Tensor tensor = kept_memory_.view(shape, dtype, at);
      at += tensor.bytes();
      return tensor;
    };
    SamplingTables tables;
    tables.ids = take({logit_rows}, DType::i32);
    tables.logprobs = take({logit_rows}, DType::f32);
    tables.top_ids = take({logit_rows, kMaxLogprobs}, DType::i32);
    tables.top_logprobs = take({logit_rows, kMaxLogprobs}, DType::f32);
    kept_.push_back(tables);
  }
}

// Their share of the budget was taken at submit.
void StepRunner::reserve_features(Sequence& sequence) const {
  if (sequence.features() || sequence.image_tokens() == 0) return;
  sequence.features() = model_.device().allocate_paid(feature_bytes(model_, sequence.image_tokens()));
}

PictureBatch StepRunner::begin(std::vector<PictureJob> jobs, bool paid) const {
  std::vector<GridTHW> grids;
  for (const PictureJob& job : jobs) {
    reserve_features(*job.sequence);
    grids.push_back(job.sequence->picture(job.picture).grid);
  }
  return {std::move(jobs), model_.vision().begin(grids, paid)};
}

bool StepRunner::encode(PictureBatch& batch, double flop, const Observer& observer) const {
  std::vector<const PreprocessedImage*> pictures;
  if (batch.pass.reads_patches()) {
    for (const PictureJob& job : batch.jobs) pictures.push_back(&job.sequence->picture(job.picture));
  }
  const auto patches = [&](std::int64_t begin, std::int64_t end) {
    return model_.patches(pictures, begin, end);
  };
  bool complete = false;
  model_.device().run_step([&] {
    if (observer && batch.pass.reads_patches()) {
      const ArenaScope scope(model_.device());
      observer("pixel_values", patches(0, batch.pass.patches()));
    }
    complete = model_.vision().run(batch.pass, patches, flop, observer);
    if (complete) keep_features(batch);
  });
  // The caller measures slices. A slice takes a thousand times longer than the gap that waiting leaves.
  model_.device().wait();
  return complete;
}

void StepRunner::keep_features(const PictureBatch& batch) const {
  const Tensor& features = batch.pass.features();
  std::int64_t next = 0;
  for (std::int64_t i = 0; i < std::ssize(batch.jobs); ++i) {
    const PictureJob& job = batch.jobs[i];
    const std::int64_t tokens = batch.pass.grids()[i].tokens(model_.config().preprocess.merge_size);
    const std::int64_t row = std::exchange(next, next + tokens);
    if (!job.sequence) continue;
    Sequence& sequence = *job.sequence;
    const std::int64_t first = sequence.first_feature(job.picture);
    const Tensor all =
        sequence.features().view({sequence.image_tokens(), features.columns()}, features.dtype);
    model_.device().copy(features.slice(0, row, row + tokens), all.slice(0, first, first + tokens));
  }
}

void StepRunner::split(std::span<const StepRows> rows) {
  few_.rows.clear();
  many_.rows.clear();
  for (const StepRows& r : rows) (is_few(r) ? few_ : many_).rows.push_back(r);
}

bool StepRunner::continues(std::span<const StepRows> rows) const {
  return !rows.empty() && std::equal(rows.begin(), rows.end(), continued_.begin(), continued_.end());
}

StepRunner::Ticket StepRunner::launch(std::span<const StepRows> rows, SequenceList sequences) {
  const bool next = continues(rows);
  split(rows);
  continued_.clear();
  Ticket ticket{.few = logit_count(few_.rows), .many = logit_count(many_.rows), .slot = next_slot_};
  for (const StepRows& r : rows) {
    const Sequence& sequence = *sequences[r.sequence];
    ticket.alternatives = ticket.alternatives || (r.logits > 0 && sequence.sampler().row(0).top_logprobs > 0);
  }
  if (!many_.rows.empty()) run(many_, many_.tables.stage(many_.rows, sequences));
  if (few_.rows.empty()) return ticket;

  const StepKey key =
      next ? few_.tables.stage_next(few_.rows, sequences) : few_.tables.stage(few_.rows, sequences);
  run(few_, key);
  if (!kept_.empty()) keep_results(key, ticket);
  next_slot_ = kept_.empty() ? 0 : (next_slot_ + 1) % static_cast<int>(kept_.size());
  if (key.advance) {
    continued_ = few_.rows;
    for (StepRows& r : continued_) ++r.begin;
  }
  return ticket;
}

// The body of a step consists of operations on weights, tables, keys and values (Device::run_step).
void StepRunner::run(const Pass& pass, const StepKey& key) {
  const auto body = [&] {
    Ops& ops = model_.device().ops();
    const Tensor rows = run_decoder(pass, key, {});
    if (key.logit_rows == 0) return;
    // Where every row is a sequence's next token, all rows have logits.
    const Tensor last = key.advance ? rows : ops.gather_rows(rows, pass.tables.logit_rows(key));
    const Tensor logits = model_.decoder().logits(last);
    const DecodeTables next = key.advance ? pass.tables.decode(key) : DecodeTables{};
    ops.sample(logits, pass.tables.sampling(key), next);
  };
  model_.device().run_step(key, std::ref(body));
}

// Runs the decoder over token embeddings, with picture features in the places of image tokens → [rows,
// hidden] after the final norm.
Tensor StepRunner::run_decoder(const Pass& pass, const StepKey& key, const Observer& observer) const {
  DecoderInput input;
  input.hidden = model_.decoder().embed(pass.tables.ids(key));
  if (key.features) {
    model_.device().ops().scatter_rows(pass.tables.features(key), pass.tables.feature_rows(key),
                                       input.hidden);
  }
  input.positions = pass.tables.positions(key);
  observe(observer, "position_ids", input.positions);
  input.slots = pass.tables.slots(key);
  input.batch = pass.tables.batch(key);
  input.cache = &cache_.store();
  return model_.decoder().forward(input, observer);
}

void StepRunner::keep_results(const StepKey& key, const Ticket& ticket) {
  const int slot = ticket.slot;
  const SamplingTables from = few_.tables.sampling(key);
  const std::int64_t count = std::min<std::int64_t>(key.logit_rows, kept_[slot].ids.size(0));
  const auto copy = [&](const Tensor& source, const Tensor& to) {
    model_.device().copy(source.slice(0, 0, count), to.slice(0, 0, count));
  };
  if (count == 0) return;
  copy(from.ids, kept_[slot].ids);
  copy(from.logprobs, kept_[slot].logprobs);
  if (!ticket.alternatives) return;
  copy(from.top_ids, kept_[slot].top_ids);
  copy(from.top_logprobs, kept_[slot].top_logprobs);
}

// Downloads the results of `count` rows of logits into the host's arrays, from row `first` on.
void StepRunner::fetch(const SamplingTables& results, std::int64_t first, std::int64_t count,
                       bool alternatives) {
  if (count == 0) return;
  Device& device = model_.device();
  device.download(results.ids.slice(0, 0, count), &ids_[first]);
  device.download(results.logprobs.slice(0, 0, count), &logprobs_[first]);
  if (!alternatives) return;
  device.download(results.top_ids.slice(0, 0, count), &top_ids_[first * kMaxLogprobs]);
  device.download(results.top_logprobs.slice(0, 0, count), &top_logprobs_[first * kMaxLogprobs]);
}

std::span<const SampledToken> StepRunner::collect(const Ticket& ticket, std::span<const StepRows> rows,
                                                  SequenceList sequences) {
  const StepKey few{.logit_rows = static_cast<int>(ticket.few)},
      many{.logit_rows = static_cast<int>(ticket.many)};
  fetch(kept_.empty() ? few_.tables.sampling(few) : kept_[ticket.slot], 0, ticket.few, ticket.alternatives);
  fetch(many_.tables.sampling(many), ticket.few, ticket.many, ticket.alternatives);
  tokens_.clear();
  std::int64_t next_few = 0, next_many = ticket.few;
  for (const StepRows& r : rows) {
    const std::int64_t alternatives = sequences[r.sequence]->sampler().row(0).top_logprobs;
    for (std::int64_t i = 0; i < r.logits; ++i) {
      const std::int64_t at = is_few(r) ? next_few++ : next_many++;
      SampledToken& token = tokens_.emplace_back(SampledToken{ids_[at], logprobs_[at], {}});
      for (std::int64_t k = at * kMaxLogprobs; k < at * kMaxLogprobs + alternatives; ++k) {
        token.top.emplace_back(top_ids_[k], top_logprobs_[k]);
      }
    }
  }
  return tokens_;
}

std::vector<float> StepRunner::logits(const StepRows& rows, SequenceList sequences,
                                      const Observer& observer) {
  restage();
  Pass& pass = is_few(rows) ? few_ : many_;
  const StepKey key = pass.tables.stage({&rows, 1}, sequences);
  std::vector<float> values;
  // The rows that pad the step to a size of the device are no part of the tensors.
  const Observer rows_only = [&](const std::string& name, const Tensor& tensor) {
    if (name != "position_ids")
      return observer(name, tensor.slice(0, 0, std::min<std::int64_t>(rows.count, tensor.size(0))));
    const ArenaScope scope(model_.device());
    const Tensor positions = model_.device().scratch({3, rows.count}, tensor.dtype);
    for (int axis = 0; axis < 3; ++axis) {
      model_.device().copy(tensor.slice(0, axis, axis + 1).slice(1, 0, rows.count),
                           positions.slice(0, axis, axis + 1));
    }
    observer(name, positions);
  };
  model_.device().run_step([&] {
    const Tensor all = run_decoder(pass, key, observer ? rows_only : Observer());
    const Tensor last = model_.decoder().logits(all.slice(0, rows.count - 1, rows.count));
    observe(observer, "logits", last);
    values = download_floats(model_.device(), last);
  });
  return values;
}

}  // namespace glmocr::engine
