// SPDX-License-Identifier: Apache-2.0
#include "kernels/host/sampling.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace glmocr {
namespace {

// Penalty of Keskar et al. (CTRL) as transformers applies it: towards "less likely" on either side of zero.
void penalise(std::span<float> logits, const SampleRow& row) {
  if (row.repetition_penalty == 1) return;
  for (const std::int32_t id : row.seen) {
    if (id < 0 || static_cast<std::size_t>(id) >= logits.size()) continue;
    float& logit = logits[id];
    logit = logit > 0 ? logit / row.repetition_penalty : logit * row.repetition_penalty;
  }
}

double log_sum_exp(std::span<const float> logits, float largest) {
  double sum = 0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit) - largest);
  return largest + std::log(sum);
}

// The `count` ids with the largest logits, best first; the lower id first among equals.
std::vector<std::int32_t> best_ids(std::span<const float> logits, std::size_t count) {
  std::vector<std::int32_t> ids(logits.size());
  std::iota(ids.begin(), ids.end(), 0);
  count = std::min(count, ids.size());
  const auto better = [&](std::int32_t a, std::int32_t b) {
    const float x = logits[a], y = logits[b];
    return x != y ? x > y : a < b;
  };
  std::partial_sort(ids.begin(), ids.begin() + count, ids.end(), better);
  ids.resize(count);
  return ids;
}

std::int32_t draw(std::span<const float> logits, const SampleRow& row) {
  const std::vector<std::int32_t> ids =
      best_ids(logits, row.top_k > 0 ? static_cast<std::size_t>(row.top_k) : logits.size());
  std::vector<double> weights(ids.size());
  const float largest = logits[ids[0]];
  double total = 0;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    const double distance = static_cast<double>(logits[ids[i]]) - largest;
    total += weights[i] = std::exp(distance / row.temperature);
  }
  // top_p keeps the fewest best ids whose probability reaches it; min_p those near the best one's. One stays
  // always.
  std::size_t kept = 1;
  double kept_total = weights[0];
  while (kept < ids.size() && kept_total < row.top_p * total && weights[kept] >= row.min_p * weights[0]) {
    kept_total += weights[kept++];
  }
  double left = uniform_from(row.seed, row.position) * kept_total;
  for (std::size_t i = 0; i < kept; ++i) {
    left -= weights[i];
    if (left < 0) return ids[i];
  }
  return ids[kept - 1];
}

}  // namespace

double uniform_from(std::uint64_t seed, std::uint64_t position) {
  // Two rounds of the SplitMix64 finaliser (Steele, Lea, Flood 2014) over a mix of both counters.
  std::uint64_t state = seed * 0x9E3779B97F4A7C15u + position;
  for (int round = 0; round < 2; ++round) {
    state += 0x9E3779B97F4A7C15u;
    state = (state ^ state >> 30) * 0xBF58476D1CE4E5B9u;
    state = (state ^ state >> 27) * 0x94D049BB133111EBu;
    state ^= state >> 31;
  }
  return static_cast<double>(state >> 11) * 0x1p-53;
}

SampledToken sample_row(std::span<float> logits, const SampleRow& row) {
  if (row.vocab_limit > 0 && static_cast<std::size_t>(row.vocab_limit) < logits.size()) {
    logits = logits.first(static_cast<std::size_t>(row.vocab_limit));
  }
  penalise(logits, row);
  const auto best =
      std::max_element(logits.begin(), logits.end());  // the first, that is the lowest id, among equals
  const float largest = *best;
  const double normaliser = log_sum_exp(logits, largest);
  SampledToken result;
  result.token = row.temperature > 0 ? draw(logits, row) : static_cast<std::int32_t>(best - logits.begin());
  result.logprob = static_cast<float>(logits[result.token] - normaliser);
  if (row.top_logprobs > 0) {
    for (const std::int32_t id : best_ids(logits, static_cast<std::size_t>(row.top_logprobs))) {
      result.top.emplace_back(id, static_cast<float>(logits[id] - normaliser));
    }
  }
  return result;
}

}  // namespace glmocr
