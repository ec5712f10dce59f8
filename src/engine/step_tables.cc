// SPDX-License-Identifier: Apache-2.0
#include "engine/step_tables.h"

#include <algorithm>

#include "base/numbers.h"
#include "engine/kv_cache.h"

namespace glmocr::engine {
namespace {

constexpr std::int64_t kAlignment = 64;
constexpr std::int64_t kSamplingWords = sizeof(SamplingRow) / sizeof(std::int32_t);

std::int64_t seen_words(const GlmOcr& model) { return divide_up(model.config().text.vocab_size, 32); }

TableSizes in_buckets(const TableSizes& sizes, const Device& device) {
  const auto bucket = [&](std::int64_t count) -> std::int64_t {
    return device.bucket(static_cast<int>(count));
  };
  return {bucket(sizes.rows), bucket(sizes.sequences), bucket(sizes.pages), bucket(sizes.logit_rows)};
}

}  // namespace

std::int64_t StepTables::bytes(const GlmOcr& model, const TableSizes& wanted) {
  const TableSizes s = in_buckets(wanted, model.device());
  constexpr std::int64_t kTables = 15;
  const std::int64_t words = 6 * s.rows + 2 * s.sequences + 1 + s.sequences * s.pages +
                             s.logit_rows * (3 + kSamplingWords + seen_words(model) + 2 * kMaxLogprobs);
  return 4 * words + s.rows * model.config().text.hidden_size * size_of(model.compute()) +
         kTables * kAlignment;
}

StepTables::StepTables(const GlmOcr& model, RowClass row_class, const TableSizes& wanted, int page_size)
    : model_(model),
      row_class_(row_class),
      page_size_(page_size),
      buffer_(model.device().allocate(bytes(model, wanted))) {
  const TableSizes s = in_buckets(wanted, model.device());
  for (auto* table : {&ids_, &slots_, &feature_rows_}) place(*table, {s.rows});
  place(positions_, {3, s.rows});
  place(row_starts_, {s.sequences + 1});
  place(context_lens_, {s.sequences});
  place(logit_rows_, {s.logit_rows});
  params_.tensor = take({s.logit_rows, kSamplingWords}, DType::i32);
  params_.host.resize(s.logit_rows);
  page_table_ = take({s.sequences, s.pages}, DType::i32);
  const std::vector<std::int32_t> no_pages(page_table_.numel(),
                                           -1);  // sample() may look at those not staged yet
  model.device().upload(no_pages.data(), page_table_);
  features_ = take({s.rows, model.config().text.hidden_size}, model.compute());
  seen_ = take({s.logit_rows, seen_words(model)}, DType::i32);
  sampled_ids_ = take({s.logit_rows}, DType::i32);
  logprobs_ = take({s.logit_rows}, DType::f32);
  top_ids_ = take({s.logit_rows, kMaxLogprobs}, DType::i32);
  top_logprobs_ = take({s.logit_rows, kMaxLogprobs}, DType::f32);
  staged_pages_.resize(s.sequences);
}

Tensor StepTables::take(const Shape& shape, DType dtype) {
  const Tensor tensor = buffer_.view(shape, dtype, placed_);
  placed_ += round_up(tensor.bytes(), kAlignment);
  return tensor;
}

template <class T>
void StepTables::place(Table<T>& table, const Shape& shape) {
  table.tensor = take(shape, dtype_of<T>);
  table.host.resize(shape.numel());
}

template <class T>
void StepTables::upload(const Table<T>& table, std::int64_t count) {
  model_.device().upload(table.host.data(), table.tensor.slice(0, 0, count));
}

StepKey StepTables::stage(std::span<const StepRows> rows, SequenceList sequences) {
  row_count_ = logit_count_ = feature_count_ = 0;
  for (std::int64_t s = 0; s < std::ssize(rows); ++s) {
    Sequence& sequence = *sequences[rows[s].sequence];
    GLMOCR_CHECK(rows[s].count > 0 && rows[s].end() <= std::ssize(sequence.tokens()));
    GLMOCR_CHECK(pages_for(rows[s].end(), page_size_) <= std::ssize(sequence.pages()));
    GLMOCR_CHECK((rows[s].count <= kFewRows) == (row_class_ == RowClass::few));
    row_starts_.host[s] = static_cast<std::int32_t>(row_count_);
    context_lens_.host[s] = static_cast<std::int32_t>(rows[s].end());
    copy_features(rows[s], sequence);
    write_logits(rows[s], sequence);
    write_rows(rows[s], sequence);
    upload_pages(s, sequence.pages());
  }
  StepKey key = key_of(rows, sequences);
  pad(key, std::ssize(rows));
  upload(ids_, key.rows);
  upload(slots_, key.rows);
  for (std::int64_t axis = 0; axis < 3; ++axis) {
    model_.device().upload(&positions_.host[axis * positions_.tensor.size(1)],
                           positions_.tensor.slice(0, axis, axis + 1).slice(1, 0, key.rows));
  }
  upload(row_starts_, key.sequences + 1);
  upload(context_lens_, key.sequences);
  upload(logit_rows_, key.logit_rows);
  if (key.logit_rows > 0) upload(params_, key.logit_rows);
  if (key.features) upload(feature_rows_, key.rows);
  return key;
}

StepKey StepTables::stage_next(std::span<const StepRows> rows, SequenceList sequences) {
  bool new_pages = false;
  for (std::int64_t s = 0; s < std::ssize(rows); ++s) {
    const std::vector<std::int32_t>& pages = sequences[rows[s].sequence]->pages();
    const std::int64_t page = rows[s].begin / page_size_;
    slots_.host[s] = static_cast<std::int32_t>(pages[page] * page_size_ + rows[s].begin % page_size_);
    if (std::ssize(pages) == staged_pages_[s]) continue;
    upload_pages(s, pages);
    new_pages = true;
  }
  const StepKey key = key_of(rows, sequences);
  if (new_pages) upload(slots_, key.rows);
  return key;
}

// Sizes are in the device's buckets. `advance` is set where every row is the next token of its sequence.
StepKey StepTables::key_of(std::span<const StepRows> rows, SequenceList sequences) const {
  StepKey key{.row_class = row_class_, .advance = true};
  std::int64_t row_count = 0, logit_count = 0, pages = 0;
  for (const StepRows& r : rows) {
    row_count += r.count;
    logit_count += r.logits;
    pages = std::max(pages, pages_for(r.end(), page_size_));
    const bool decodes = r.count == 1 && r.logits == 1 && r.begin >= sequences[r.sequence]->prompt_tokens();
    key.advance = key.advance && decodes;
  }
  const auto bucket = [&](std::int64_t count) { return model_.device().bucket(static_cast<int>(count)); };
  key.rows = bucket(row_count);
  key.sequences = bucket(std::ssize(rows));
  key.pages = bucket(pages);
  key.logit_rows = logit_count == 0 ? 0 : bucket(logit_count);
  key.features = !key.advance && feature_count_ > 0;
  return key;
}

// Fills the tables up to the sizes of the key with rows that are not written and sequences without rows.
void StepTables::pad(const StepKey& key, std::int64_t sequence_count) {
  const std::int64_t axis = positions_.tensor.size(1);
  for (std::int64_t r = row_count_; r < key.rows; ++r) {
    ids_.host[r] = 0;
    slots_.host[r] = -1;
    for (std::int64_t a = 0; a < 3; ++a) positions_.host[a * axis + r] = 0;
  }
  for (std::int64_t s = sequence_count; s < key.sequences; ++s) context_lens_.host[s] = 0;
  for (std::int64_t s = sequence_count; s <= key.sequences; ++s) {
    row_starts_.host[s] = static_cast<std::int32_t>(row_count_);
  }
  for (std::int64_t f = feature_count_; f < key.rows; ++f) feature_rows_.host[f] = -1;
  for (std::int64_t l = logit_count_; l < key.logit_rows; ++l) {
    logit_rows_.host[l] = 0;
    params_.host[l] = {};
  }
}

void StepTables::write_rows(const StepRows& rows, const Sequence& sequence) {
  const MropePositions& prompt = sequence.positions();
  const std::int64_t axis = positions_.tensor.size(1);
  for (std::int64_t i = rows.begin; i < rows.end(); ++i, ++row_count_) {
    const std::int64_t r = row_count_;
    ids_.host[r] = sequence.tokens()[i];
    const std::int64_t slot = sequence.pages()[i / page_size_] * page_size_ + i % page_size_;
    slots_.host[r] = static_cast<std::int32_t>(slot);
    const bool output = i >= prompt.size();
    const auto next = static_cast<std::int32_t>(i) + prompt.delta;
    positions_.host[r] = output ? next : prompt.temporal[i];
    positions_.host[axis + r] = output ? next : prompt.height[i];
    positions_.host[2 * axis + r] = output ? next : prompt.width[i];
  }
}

// The last rows of the sequence get logits. row_count_ is the index of its first row.
void StepTables::write_logits(const StepRows& rows, const Sequence& sequence) {
  for (std::int64_t i = rows.end() - rows.logits; i < rows.end(); ++i, ++logit_count_) {
    logit_rows_.host[logit_count_] = static_cast<std::int32_t>(row_count_ + i - rows.begin);
    params_.host[logit_count_] = sequence.sampler().row(i + 1);
    const std::span<const std::uint32_t> seen = sequence.sampler().seen();
    if (seen.empty()) continue;
    const Tensor row = seen_.slice(0, logit_count_, logit_count_ + 1).slice(1, 0, std::ssize(seen));
    model_.device().upload(seen.data(), row);
  }
}

// Only image tokens of the prompt are replaced by features: one in the output is an ordinary token.
void StepTables::copy_features(const StepRows& rows, Sequence& sequence) {
  if (sequence.image_tokens() == 0 || rows.begin >= sequence.prompt_tokens()) return;
  const std::span<const TokenId> prompt = sequence.tokens().first(sequence.prompt_tokens());
  const TokenId image = model_.config().image_token_id;
  const std::int64_t end = std::min(rows.end(), sequence.prompt_tokens());
  const std::int64_t first_row = row_count_, first = feature_count_;
  for (std::int64_t i = rows.begin; i < end; ++i) {
    if (prompt[i] == image)
      feature_rows_.host[feature_count_++] = static_cast<std::int32_t>(first_row + i - rows.begin);
  }
  const std::int64_t count = feature_count_ - first;
  if (count == 0) return;
  const std::int64_t before = std::count(prompt.begin(), prompt.begin() + rows.begin, image);
  const Tensor all = sequence.features().view({sequence.image_tokens(), features_.size(1)}, features_.dtype);
  model_.device().copy(all.slice(0, before, before + count), features_.slice(0, first, first + count));
}

void StepTables::upload_pages(std::int64_t index, const std::vector<std::int32_t>& pages) {
  staged_pages_[index] = std::ssize(pages);
  model_.device().upload(pages.data(), page_table_.slice(0, index, index + 1).slice(1, 0, std::ssize(pages)));
}

PagedBatch StepTables::batch(const StepKey& key) const {
  return {.row_starts = row_starts_.tensor.slice(0, 0, key.sequences + 1),
          .context_lens = context_lens_.tensor.slice(0, 0, key.sequences),
          .page_table = page_table_.slice(0, 0, key.sequences).slice(1, 0, key.pages),
          .max_rows = key.advance                   ? 1
                      : row_class_ == RowClass::few ? std::min(kFewRows, key.rows)
                                                    : key.rows,
          .max_context = static_cast<int>(key.pages * page_size_),
          .rows = row_class_};
}

SamplingTables StepTables::sampling(const StepKey& key) const {
  const auto part = [&](const Tensor& table) { return table.slice(0, 0, key.logit_rows); };
  return {.params = part(params_.tensor),
          .seen = part(seen_),
          .ids = part(sampled_ids_),
          .logprobs = part(logprobs_),
          .top_ids = part(top_ids_),
          .top_logprobs = part(top_logprobs_)};
}

DecodeTables StepTables::decode(const StepKey& key) const {
  return {.ids = ids(key),
          .positions = positions(key),
          .slots = slots(key),
          .context_lens = context_lens_.tensor.slice(0, 0, key.sequences),
          .page_table = page_table_.slice(0, 0, key.sequences),
          .page_size = static_cast<int>(page_size_)};
}

}  // namespace glmocr::engine
