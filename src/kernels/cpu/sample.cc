// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/cpu/cpu_ops.h"
#include "kernels/cpu/values.h"
#include "kernels/host/best_ids.h"
#include "kernels/host/sampling.h"

// Sampling as kernels/host/sampling.cc defines it, with one pass of the processor's vectors over the exponentials of a row
// (KernelTable::greedy) in place of one exponential after the other, and without sorting the vocabulary.
namespace glmocr::cpu {
namespace {

// Weights below this logarithm of a share of the best one's are rounded to it, so that no sum meets an infinity.
constexpr float kLeastLog = -200;
constexpr std::int64_t kFirstIds = 64;  // of which a draw is tried first

// Rows for which only the largest logit and its probability are asked.
bool is_plain_greedy(const SamplingRow& row) {
  return row.temperature <= 0 && row.repetition_penalty == 1 && row.top_logprobs == 0;
}

// Grows to the largest vocabulary used and is freed when the thread ends.
struct Scratch {
  BestIds best;
  std::vector<float> scaled;
  std::vector<double> weights;
};
thread_local Scratch scratch;

struct Greedy {
  float largest = 0;
  std::int64_t index = -1;  // -1: a logit is not finite
  double sum = 0;           // Σ exp(logit − largest)
};

Greedy greedy(const KernelTable& kernels, const void* values, Type type, std::int64_t count) {
  Greedy found;
  kernels.greedy(values, type, count, &found.largest, &found.index, &found.sum);
  return found;
}

// Σ exp((logit − largest) / temperature) over all logits.
double total_weight(const KernelTable& kernels, std::span<const float> logits, float largest,
                    float temperature) {
  std::vector<float>& scaled = scratch.scaled;
  if (scaled.size() < logits.size()) scaled.resize(logits.size());
  for (std::size_t i = 0; i < logits.size(); ++i) {
    const float value = (logits[i] - largest) / temperature;
    scaled[i] = value > kLeastLog ? value : kLeastLog;
  }
  return greedy(kernels, scaled.data(), Type::f32, std::ssize(logits)).sum;
}

// The ids that a draw looks at, best first, and their weights: more of them whenever it has seen all.
class Candidates {
 public:
  Candidates(std::span<const float> logits, const SamplingRow& row, float largest)
      : size_(row.top_k > 0 ? std::min<std::int64_t>(row.top_k, std::ssize(logits)) : std::ssize(logits)),
        logits_(logits),
        largest_(largest),
        temperature_(row.temperature) {
    scratch.weights.reserve(size_);
    grow(row.top_k > 0 ? size_ : kFirstIds);
  }

  std::int64_t size() const { return size_; }  // of all there are
  std::int32_t id(std::int64_t i) const { return ids_[i]; }
  double weight(std::int64_t i) {
    if (i >= std::ssize(ids_)) grow(8 * std::ssize(ids_));
    return scratch.weights[i];
  }

 private:
  void grow(std::int64_t count) {
    ids_ = scratch.best.take(std::min(count, size_));
    std::vector<double>& weights = scratch.weights;
    weights.clear();
    for (const std::int32_t id : ids_)
      weights.push_back(std::exp((double{logits_[id]} - largest_) / temperature_));
  }

  std::int64_t size_;
  std::span<const float> logits_;
  float largest_, temperature_;
  std::span<const std::int32_t> ids_;
};

// As in sampling.cc: top_p keeps the fewest best ids whose total probability reaches it, min_p the ids of at least min_p
// times the best one's probability.
std::int32_t draw(const KernelTable& kernels, std::span<const float> logits, const SamplingRow& row,
                  float largest) {
  scratch.best.begin(logits);
  Candidates candidates(logits, row, largest);
  double total = 0;
  if (candidates.size() < std::ssize(logits)) {
    for (std::int64_t i = 0; i < candidates.size(); ++i) total += candidates.weight(i);
  } else {
    total = total_weight(kernels, logits, largest, row.temperature);
  }
  double kept_total = total;
  std::int64_t kept = candidates.size();
  if (row.top_p < 1 || row.min_p > 0) {
    kept_total = candidates.weight(0);
    for (kept = 1; kept < candidates.size() && kept_total < row.top_p * total; ++kept) {
      const double weight = candidates.weight(kept);
      if (weight < row.min_p * candidates.weight(0)) break;
      kept_total += weight;
    }
  }
  const std::uint64_t seed = std::uint64_t{row.seed_high} << 32 | row.seed_low;
  double left = uniform_from(seed, row.position) * kept_total;
  for (std::int64_t i = 0; i + 1 < kept; ++i) {
    left -= candidates.weight(i);
    if (left < 0) return candidates.id(i);
  }
  candidates.weight(kept - 1);  // they are all there then
  return candidates.id(kept - 1);
}

// Logits that the caller may change, the penalty applied. False where they are not finite.
bool sample_finite(const KernelTable& kernels, std::span<float> logits, const SamplingTables& tables,
                   std::int64_t r) {
  const SamplingRow row = sampling_row(tables, r);
  const Greedy best = greedy(kernels, logits.data(), Type::f32, std::ssize(logits));
  if (best.index < 0) return false;
  const double normalizer = best.largest + std::log(best.sum);
  const std::int32_t id =
      row.temperature > 0 ? draw(kernels, logits, row, best.largest) : static_cast<std::int32_t>(best.index);
  std::span<const std::int32_t> top;
  if (row.top_logprobs > 0) {
    scratch.best.begin(logits);
    top = scratch.best.take(row.top_logprobs);
  }
  put_sampled(tables, r, id, logits, normalizer, top);
  return true;
}

}  // namespace

void CpuOps::sample(const Tensor& logits, const SamplingTables& tables, const DecodeTables& next) {
  const std::int64_t vocab = logits.columns(), stride = logits.row_stride();
  GLMOCR_CHECK(is_compute_type(logits.dtype));
  check_sampling_tables(tables, next, logits.rows(), vocab);
  const Type type = type_of(logits.dtype);
  const auto sample = [&](std::int64_t r) {
    const SamplingRow row = sampling_row(tables, r);
    if (is_plain_greedy(row)) {
      const Greedy best = greedy(kernels_, at(logits, r * stride), type, usable_vocab(vocab, row));
      if (best.index < 0) return put_failed(tables, r);
      tables.ids.as<std::int32_t>()[r] = static_cast<std::int32_t>(best.index);
      tables.logprobs.as<float>()[r] = -std::log(best.sum);
      return;
    }
    const std::span<float> copy = thread_logits(vocab);
    const auto fill = [&] { kernels_.convert(copy.data(), Type::f32, at(logits, r * stride), type, vocab); };
    fill();
    const std::span<float> usable = copy.first(usable_vocab(vocab, row));
    penalize_row(usable, tables, r);
    if (sample_finite(kernels_, usable, tables, r)) return;
    // Not finite, or only since the penalty: rare, and told apart by the plain way.
    fill();
    sample_row(copy, tables, r);
  };
  parallel(logits.rows(), 16 * vocab, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t r = begin; r < end; ++r) sample(r);
  });
  if (next.ids) advance_tables(next, tables);
}

}  // namespace glmocr::cpu
