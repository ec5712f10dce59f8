// SPDX-License-Identifier: Apache-2.0
#include "kernels/host/sampling.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "base/numbers.h"

namespace glmocr {
namespace {

constexpr std::int64_t kWordBits = 32;

// Grows to the largest vocabulary used and is freed when the thread ends.
struct Scratch {
  std::vector<float> logits;
  std::vector<std::int32_t> ids;
  std::vector<double> weights;
};
thread_local Scratch scratch;

template <class T>
std::span<T> grown(std::vector<T>& values, std::int64_t count) {
  if (std::ssize(values) < count) values.resize(count);
  return std::span(values).first(count);
}

// The penalty of Keskar et al. (CTRL) as transformers applies it: above 1 it lowers the logit on either side
// of zero.
void penalize(std::span<float> logits, float penalty, const std::int32_t* seen) {
  for (std::int64_t word = 0; word * kWordBits < std::ssize(logits); ++word) {
    for (std::uint32_t bits = seen[word]; bits != 0; bits &= bits - 1) {
      const std::int64_t id = word * kWordBits + std::countr_zero(bits);
      if (id >= std::ssize(logits)) return;
      logits[id] = logits[id] > 0 ? logits[id] / penalty : logits[id] * penalty;
    }
  }
}

double log_sum_exp(std::span<const float> logits, float largest) {
  double sum = 0;
  for (const float logit : logits) sum += std::exp(double{logit} - largest);
  return largest + std::log(sum);
}

// The `count` ids with the largest logits (all if there are fewer), best first; the lower id first among
// equals. In this thread's scratch.
std::span<const std::int32_t> best_ids(std::span<const float> logits, std::int64_t count) {
  const std::span<std::int32_t> ids = grown(scratch.ids, std::ssize(logits));
  std::iota(ids.begin(), ids.end(), 0);
  count = std::min(count, std::ssize(ids));
  const auto better = [&](std::int32_t a, std::int32_t b) {
    const float x = logits[a], y = logits[b];
    return x != y ? x > y : a < b;
  };
  std::partial_sort(ids.begin(), ids.begin() + count, ids.end(), better);
  return ids.first(count);
}

std::int32_t draw(std::span<const float> logits, const SamplingRow& row) {
  const auto ids = best_ids(logits, row.top_k > 0 ? row.top_k : std::ssize(logits));
  const std::span<double> weights = grown(scratch.weights, std::ssize(ids));
  const float largest = logits[ids[0]];
  double total = 0;
  for (std::int64_t i = 0; i < std::ssize(ids); ++i) {
    total += weights[i] = std::exp((double{logits[ids[i]]} - largest) / row.temperature);
  }
  // top_p keeps the fewest best ids whose total probability reaches it, min_p the ids of at least min_p times
  // the best one's probability. The best id is always kept.
  std::int64_t kept = 1;
  double kept_total = weights[0];
  while (kept < std::ssize(ids) && kept_total < row.top_p * total &&
         weights[kept] >= row.min_p * weights[0]) {
    kept_total += weights[kept++];
  }
  const std::uint64_t seed = std::uint64_t{row.seed_high} << 32 | row.seed_low;
  double left = uniform_from(seed, row.position) * kept_total;
  for (std::int64_t i = 0; i < kept; ++i) {
    left -= weights[i];
    if (left < 0) return ids[i];
  }
  return ids[kept - 1];
}

using Words = std::array<std::int32_t, sizeof(SamplingRow) / 4>;

std::int32_t* words_of(const SamplingTables& tables, std::int64_t r) {
  return tables.params.as<std::int32_t>() + r * tables.params.row_stride();
}

}  // namespace

double uniform_from(std::uint64_t seed, std::uint64_t position) {
  // Two rounds of the SplitMix64 finalizer (Steele, Lea, Flood 2014) over a mix of both counters.
  std::uint64_t state = seed * 0x9E3779B97F4A7C15u + position;
  for (int round = 0; round < 2; ++round) {
    state += 0x9E3779B97F4A7C15u;
    state = (state ^ state >> 30) * 0xBF58476D1CE4E5B9u;
    state = (state ^ state >> 27) * 0x94D049BB133111EBu;
    state ^= state >> 31;
  }
  return (state >> 11) * 0x1p-53;
}

SamplingRow sampling_row(const SamplingTables& tables, std::int64_t r) {
  Words words;
  std::copy_n(words_of(tables, r), words.size(), words.begin());
  return std::bit_cast<SamplingRow>(words);
}

void check_sampling_tables(const SamplingTables& tables, const DecodeTables& next, std::int64_t rows,
                           std::int64_t vocab) {
  GLMOCR_CHECK(tables.params.rank() == 2 && tables.params.columns() * 4 == sizeof(SamplingRow));
  GLMOCR_CHECK(tables.params.rows() >= rows && tables.ids.numel() >= rows && tables.logprobs.numel() >= rows);
  GLMOCR_CHECK(tables.ids.is_contiguous() && tables.logprobs.is_contiguous());
  GLMOCR_CHECK(!tables.seen ||
               (tables.seen.rows() >= rows && tables.seen.columns() >= divide_up(vocab, kWordBits)));
  if (!next.ids) return;
  GLMOCR_CHECK(next.ids.numel() == rows && next.slots.numel() >= rows && next.positions.size(1) >= rows);
  GLMOCR_CHECK(next.page_size > 0 && next.context_lens.numel() >= rows && next.page_table.size(0) >= rows);
}

std::span<float> thread_logits(std::int64_t vocab) { return grown(scratch.logits, vocab); }

std::int64_t usable_vocab(std::int64_t vocab, const SamplingRow& row) {
  return row.vocab_limit > 0 ? std::min<std::int64_t>(row.vocab_limit, vocab) : vocab;
}

void penalize_row(std::span<float> logits, const SamplingTables& tables, std::int64_t r) {
  const float penalty = sampling_row(tables, r).repetition_penalty;
  if (penalty == 1) return;
  const std::int32_t* seen = tables.seen.as<std::int32_t>();
  GLMOCR_CHECK(seen);
  penalize(logits, penalty, seen + r * tables.seen.row_stride());
}

void put_failed(const SamplingTables& tables, std::int64_t r) {
  tables.ids.as<std::int32_t>()[r] = kNotFinite;
  tables.logprobs.as<float>()[r] = std::numeric_limits<float>::quiet_NaN();
}

void put_sampled(const SamplingTables& tables, std::int64_t r, std::int32_t id, std::span<const float> logits,
                 double normalizer, std::span<const std::int32_t> best) {
  const auto logprob = [&](std::int32_t of) -> float { return logits[of] - normalizer; };
  tables.ids.as<std::int32_t>()[r] = id;
  tables.logprobs.as<float>()[r] = logprob(id);
  const std::int64_t asked = sampling_row(tables, r).top_logprobs;
  if (asked <= 0) return;
  GLMOCR_CHECK(asked <= tables.top_ids.columns() && asked <= tables.top_logprobs.columns());
  std::int32_t* top_ids = tables.top_ids.as<std::int32_t>() + r * tables.top_ids.row_stride();
  float* top_logprobs = tables.top_logprobs.as<float>() + r * tables.top_logprobs.row_stride();
  for (const std::int32_t top : best) {
    *top_ids++ = top;
    *top_logprobs++ = logprob(top);
  }
}

void sample_row(std::span<float> logits, const SamplingTables& tables, std::int64_t r) {
  const SamplingRow row = sampling_row(tables, r);
  logits = logits.first(usable_vocab(std::ssize(logits), row));
  if (!std::all_of(logits.begin(), logits.end(), [](float logit) { return std::isfinite(logit); })) {
    put_failed(tables, r);
    return;
  }
  penalize_row(logits, tables, r);
  const auto best = std::max_element(logits.begin(), logits.end());  // the lowest id among equals
  const double normalizer = log_sum_exp(logits, *best);
  const auto greedy = static_cast<std::int32_t>(best - logits.begin());
  const std::int32_t id = row.temperature > 0 ? draw(logits, row) : greedy;
  std::span<const std::int32_t> top;
  if (row.top_logprobs > 0) top = best_ids(logits, row.top_logprobs);
  put_sampled(tables, r, id, logits, normalizer, top);
}

void advance_tables(const DecodeTables& next, const SamplingTables& sampling) {
  const std::int64_t rows = next.ids.numel(), pages = next.page_table.columns(),
                     axes = next.positions.size(0);
  std::int32_t* slots = next.slots.as<std::int32_t>();
  for (std::int64_t r = 0; r < rows; ++r) {
    if (slots[r] < 0) continue;
    const std::int32_t id = sampling.ids.as<std::int32_t>()[r];
    if (id < 0) {
      slots[r] = -1;
      continue;
    }
    next.ids.as<std::int32_t>()[r] = id;
    for (std::int64_t axis = 0; axis < axes; ++axis) {
      ++next.positions.as<std::int32_t>()[axis * next.positions.strides[0] + r];
    }
    const std::int32_t last =
        next.context_lens.as<std::int32_t>()[r]++;  // index of the new context's last token
    const std::int64_t at = last / next.page_size;
    const std::int32_t* table = next.page_table.as<std::int32_t>() + r * next.page_table.strides[0];
    const std::int32_t page = at < pages ? table[at] : -1;
    slots[r] = page < 0 ? -1 : page * next.page_size + last % next.page_size;

    SamplingRow row = sampling_row(sampling, r);
    ++row.position;
    std::ranges::copy(std::bit_cast<Words>(row), words_of(sampling, r));
    if (const std::int64_t word = id / kWordBits; sampling.seen && word < sampling.seen.columns()) {
      std::int32_t& bits = sampling.seen.as<std::int32_t>()[r * sampling.seen.row_stride() + word];
      bits |= std::bit_cast<std::int32_t>(std::uint32_t{1} << id % kWordBits);
    }
  }
}

}  // namespace glmocr
