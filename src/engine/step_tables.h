// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "engine/sequence.h"
#include "models/glm_ocr/glm_ocr.h"
#include "tensor/device.h"

namespace glmocr::engine {

// The engine's requests in order of arrival; StepRows::sequence is an index into them.
using SequenceList = std::span<const std::unique_ptr<Sequence>>;

// The most of each that one pass of the decoder may have.
struct TableSizes {
  std::int64_t rows = 0;
  std::int64_t sequences = 0;
  std::int64_t pages = 0;       // of one sequence
  std::int64_t logit_rows = 0;  // rows that get logits
};

// What one pass of the decoder reads and writes besides weights, keys and values: tables on the device,
// allocated once, so that a recorded step finds every input at the same address. Inputs are written to host
// copies first.
class StepTables {
 public:
  // `wanted` sizes are rounded up to the device's buckets.
  StepTables(const GlmOcr& model, RowClass row_class, const TableSizes& wanted, int page_size);

  // Bytes that tables of these sizes take on the device.
  static std::int64_t bytes(const GlmOcr& model, const TableSizes& wanted);

  // Writes the inputs of these rows, all of one class, to the device and returns the key of the step. Tokens
  // of the prompt have its positions; an output token at index s has s + delta on every axis (docs/model.md).
  StepKey stage(std::span<const StepRows> rows, SequenceList sequences);

  // After a step with StepKey::advance the tables already describe the next token of the same rows. Writes
  // only the pages taken since.
  StepKey stage_next(std::span<const StepRows> rows, SequenceList sequences);

  // The parts of the tables that a step with this key uses, shapes as in DecoderInput and tensor/ops.h.
  Tensor ids(const StepKey& key) const { return ids_.tensor.slice(0, 0, key.rows); }
  Tensor features(const StepKey& key) const { return features_.slice(0, 0, key.rows); }  // [rows, hidden]
  Tensor feature_rows(const StepKey& key) const { return feature_rows_.tensor.slice(0, 0, key.rows); }
  Tensor logit_rows(const StepKey& key) const { return logit_rows_.tensor.slice(0, 0, key.logit_rows); }
  Tensor positions(const StepKey& key) const { return positions_.tensor.slice(1, 0, key.rows); }
  Tensor slots(const StepKey& key) const { return slots_.tensor.slice(0, 0, key.rows); }
  PagedBatch batch(const StepKey& key) const;
  SamplingTables sampling(const StepKey& key) const;
  DecodeTables decode(const StepKey& key) const;

 private:
  // A table on the device and its copy on the host.
  template <class T>
  struct Table {
    Tensor tensor;
    std::vector<T> host;  // as long as the tensor
  };
  template <class T>
  void place(Table<T>& table, const Shape& shape);
  Tensor take(const Shape& shape, DType dtype);
  template <class T>
  void upload(const Table<T>& table, std::int64_t count);

  void write_rows(const StepRows& rows, const Sequence& sequence);
  void write_logits(const StepRows& rows, const Sequence& sequence);
  void copy_features(const StepRows& rows, Sequence& sequence);
  void pad(const StepKey& key, std::int64_t sequence_count);
  void upload_pages(std::int64_t index, const std::vector<std::int32_t>& pages);
  StepKey key_of(std::span<const StepRows> rows, SequenceList sequences) const;

  const GlmOcr& model_;
  RowClass row_class_;
  std::int64_t page_size_;
  Buffer buffer_;
  std::int64_t placed_ = 0;  // bytes of buffer_

  Table<std::int32_t> ids_, slots_, feature_rows_;  // [rows]
  Table<std::int32_t> positions_;                   // [3, rows]
  Table<std::int32_t> row_starts_, context_lens_;   // [sequences + 1], [sequences]
  Table<std::int32_t> logit_rows_;                  // [logit_rows]
  Tensor page_table_;                               // [sequences, pages] i32
  Tensor features_;                                 // [rows, hidden]
  Table<SamplingRow> params_;                       // [logit_rows, 10] i32
  Tensor seen_;                                     // [logit_rows, ceil(vocab / 32)] i32
  Tensor sampled_ids_, logprobs_;                   // [logit_rows]
  Tensor top_ids_, top_logprobs_;                   // [logit_rows, kMaxLogprobs]

  std::int64_t row_count_ = 0, logit_count_ = 0, feature_count_ = 0;  // of the step being staged
  std::vector<std::int64_t> staged_pages_;  // per sequence: the number of pages written to the device
};

}  // namespace glmocr::engine
