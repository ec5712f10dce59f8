// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "models/glm_ocr/positions.h"
#include "models/tokenizer.h"

namespace glmocr::engine {

// The tokens [begin, begin + count) of one sequence, to be run in a step.
struct RowSource {
  std::span<const TokenId> tokens;            // prompt and output
  const MropePositions* positions = nullptr;  // of the prompt
  std::span<const std::int32_t> pages;        // room for begin + count tokens at least
  std::int64_t begin = 0;
  std::int64_t count = 0;
  bool sample = false;  // the last row gets logits
};

// Rows of a step that take picture features instead of token embeddings.
struct FeatureRows {
  std::size_t source = 0;          // whose features
  std::int64_t first = 0;          // the first of them, in the order of the sequence's image tokens
  std::vector<std::int32_t> rows;  // rows of the step, for features first, first + 1, …
};

// What DecoderInput wants, in host memory.
struct RowBatch {
  std::vector<TokenId> ids;                // [rows]
  std::vector<std::int32_t> positions;     // [3, rows]
  std::vector<std::int32_t> slots;         // [rows]
  std::vector<std::int32_t> row_starts;    // [sequences + 1]
  std::vector<std::int32_t> context_lens;  // [sequences]
  std::vector<std::int32_t> page_table;    // [sequences, max_pages], unused entries 0
  std::vector<std::int32_t> logit_rows;    // rows that get logits, in the order of the sources that sample
  std::vector<FeatureRows> features;
  std::int64_t max_pages = 0;
  int max_rows = 0;     // of a sequence
  int max_context = 0;  // max_pages whole pages: a bound that stays the same for many steps

  std::int64_t rows() const { return std::ssize(ids); }
  std::int64_t sequences() const { return std::ssize(context_lens); }
  // The same for batches whose tensors have the same shapes: Device::run_step.
  std::uint64_t shape_key() const;
};

// Positions come from the prompt's precomputed ids, whatever the chunk; a generated token at index s has
// s + delta on every axis (reference 4.5).
RowBatch build_batch(std::span<const RowSource> sources, TokenId image_token_id, std::int64_t page_size);

// Mixes a value into a key.
std::uint64_t mix_key(std::uint64_t key, std::int64_t value);

}  // namespace glmocr::engine
