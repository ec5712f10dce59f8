// SPDX-License-Identifier: Apache-2.0
#include "engine/batch.h"

#include <algorithm>

#include "base/error.h"
#include "engine/kv_cache.h"

namespace glmocr::engine {
namespace {

struct Position {
  std::int32_t temporal, height, width;
};

Position position_of(const MropePositions& prompt, std::int64_t index) {
  if (index < prompt.size()) {
    const auto i = static_cast<std::size_t>(index);
    return {prompt.temporal[i], prompt.height[i], prompt.width[i]};
  }
  const std::int32_t generated = static_cast<std::int32_t>(index) + prompt.delta;
  return {generated, generated, generated};
}

void append_rows(const RowSource& source, std::int64_t page_size, std::vector<Position>& positions,
                 RowBatch& batch) {
  for (std::int64_t i = source.begin; i < source.begin + source.count; ++i) {
    batch.ids.push_back(source.tokens[i]);
    positions.push_back(position_of(*source.positions, i));
    const std::int64_t page = source.pages[i / page_size];
    batch.slots.push_back(static_cast<std::int32_t>(page * page_size + i % page_size));
  }
}

// Only the prompt's image tokens stand for features: a generated one is a token like any other.
void append_features(const RowSource& source, std::size_t index, std::int64_t first_row,
                     TokenId image_token_id, RowBatch& batch) {
  const auto prompt = source.tokens.first(static_cast<std::size_t>(source.positions->size()));
  const auto begin = std::min(static_cast<std::size_t>(source.begin), prompt.size());
  const auto end = std::min(static_cast<std::size_t>(source.begin + source.count), prompt.size());
  FeatureRows features{.source = index};
  for (std::size_t i = begin; i < end; ++i) {
    if (prompt[i] != image_token_id) continue;
    features.rows.push_back(static_cast<std::int32_t>(first_row + static_cast<std::int64_t>(i - begin)));
  }
  if (features.rows.empty()) return;
  features.first = std::count(prompt.begin(), prompt.begin() + begin, image_token_id);
  batch.features.push_back(std::move(features));
}

void fill_page_table(std::span<const RowSource> sources, std::int64_t page_size, RowBatch& batch) {
  for (const std::int32_t context : batch.context_lens) {
    batch.max_pages = std::max(batch.max_pages, pages_for(context, page_size));
  }
  batch.page_table.resize(sources.size() * static_cast<std::size_t>(batch.max_pages));
  for (std::size_t s = 0; s < sources.size(); ++s) {
    const auto used = static_cast<std::size_t>(pages_for(batch.context_lens[s], page_size));
    std::copy_n(sources[s].pages.begin(), used, batch.page_table.begin() + s * batch.max_pages);
  }
  batch.max_context = static_cast<int>(batch.max_pages * page_size);
}

void lay_out_by_axis(std::span<const Position> positions, RowBatch& batch) {
  for (const auto axis : {&Position::temporal, &Position::height, &Position::width}) {
    for (const Position& position : positions) batch.positions.push_back(position.*axis);
  }
}

}  // namespace

RowBatch build_batch(std::span<const RowSource> sources, TokenId image_token_id, std::int64_t page_size) {
  RowBatch batch;
  std::vector<Position> positions;
  batch.row_starts.push_back(0);
  for (std::size_t s = 0; s < sources.size(); ++s) {
    const RowSource& source = sources[s];
    const std::int64_t end = source.begin + source.count;
    GLMOCR_CHECK(source.count > 0 && end <= std::ssize(source.tokens));
    GLMOCR_CHECK(pages_for(end, page_size) <= std::ssize(source.pages));
    append_features(source, s, batch.rows(), image_token_id, batch);
    append_rows(source, page_size, positions, batch);
    batch.row_starts.push_back(static_cast<std::int32_t>(batch.rows()));
    batch.context_lens.push_back(static_cast<std::int32_t>(end));
    batch.max_rows = std::max(batch.max_rows, static_cast<int>(source.count));
    if (source.sample) batch.logit_rows.push_back(static_cast<std::int32_t>(batch.rows() - 1));
  }
  lay_out_by_axis(positions, batch);
  fill_page_table(sources, page_size, batch);
  return batch;
}

std::uint64_t RowBatch::shape_key() const {
  std::uint64_t key = mix_key(0, rows());
  for (const std::int64_t value : {sequences(), max_pages, std::int64_t{max_rows}}) key = mix_key(key, value);
  key = mix_key(key, std::ssize(logit_rows));
  for (const FeatureRows& part : features) key = mix_key(key, std::ssize(part.rows));
  return key;
}

// FNV-1a over whole words, then a shift so that high bits reach low ones.
std::uint64_t mix_key(std::uint64_t key, std::int64_t value) {
  key = (key ^ static_cast<std::uint64_t>(value)) * 0x100000001B3u + 0x9E3779B97F4A7C15u;
  return key ^ key >> 29;
}

}  // namespace glmocr::engine
