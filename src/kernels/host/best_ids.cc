// SPDX-License-Identifier: Apache-2.0
#include "kernels/host/best_ids.h"

#include <algorithm>
#include <functional>
#include <limits>

#include "base/numbers.h"

namespace glmocr {
namespace {

constexpr std::int64_t kBlock = 64, kLanes = 16;
static_assert(kBlock % kLanes == 0);

// Written so that a compiler keeps the lanes in vectors.
float largest_of_block(const float* logits) {
  float lanes[kLanes];
  std::copy_n(logits, kLanes, lanes);
  for (std::int64_t i = kLanes; i < kBlock; i += kLanes) {
    for (std::int64_t l = 0; l < kLanes; ++l) lanes[l] = logits[i + l] > lanes[l] ? logits[i + l] : lanes[l];
  }
  return *std::max_element(lanes, lanes + kLanes);
}

}  // namespace

void BestIds::begin(std::span<const float> logits) {
  logits_ = logits;
  const std::int64_t size = std::ssize(logits);
  largest_.resize(divide_up(size, kBlock));
  // All that take() may need, so that a step never waits for memory because its logits are flatter than those before.
  order_.reserve(largest_.size());
  ids_.reserve(size);
  const std::int64_t whole = size / kBlock;
  for (std::int64_t b = 0; b < whole; ++b) largest_[b] = largest_of_block(logits.data() + b * kBlock);
  if (whole < std::ssize(largest_)) {
    largest_[whole] = *std::max_element(logits.begin() + whole * kBlock, logits.end());
  }
}

// At least `count` logits are this large: the largest ones of so many blocks.
float BestIds::lower_bound(std::int64_t count) {
  if (count > std::ssize(largest_)) return -std::numeric_limits<float>::infinity();
  order_ = largest_;
  const auto last = order_.begin() + (count - 1);
  std::nth_element(order_.begin(), last, order_.end(), std::greater<>());
  return *last;
}

std::span<const std::int32_t> BestIds::take(std::int64_t count) {
  const std::int64_t size = std::ssize(logits_);
  count = std::min(count, size);
  ids_.clear();
  if (count <= 0) return {};
  const float bound = lower_bound(count);
  for (std::int64_t b = 0; b < std::ssize(largest_); ++b) {
    if (largest_[b] < bound) continue;
    const std::int64_t end = std::min((b + 1) * kBlock, size);
    for (std::int64_t i = b * kBlock; i < end; ++i) {
      if (logits_[i] >= bound) ids_.push_back(static_cast<std::int32_t>(i));
    }
  }
  const auto better = [&](std::int32_t a, std::int32_t b) {
    const float x = logits_[a], y = logits_[b];
    return x != y ? x > y : a < b;
  };
  if (count == size) {
    std::sort(ids_.begin(), ids_.end(), better);
  } else {
    std::partial_sort(ids_.begin(), ids_.begin() + count, ids_.end(), better);
  }
  return std::span(ids_).first(count);
}

}  // namespace glmocr
