// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda/transfers.h"

#include <algorithm>
#include <cstring>

namespace glmocr::cuda {

Uploads::Uploads(const Context& context)
    : context_(context),
      ring_(2 * kHalf, context.device),
      half_read_{Event(context.device), Event(context.device)} {}

void Uploads::upload(const void* host, void* to, std::int64_t bytes) {
  const auto* from = static_cast<const std::byte*>(host);
  auto* target = static_cast<std::byte*>(to);
  while (bytes > 0) {
    if (used_ == kHalf) {
      check(cudaEventRecord(half_read_[half_], context_.stream), context_.device, "cudaEventRecord");
      half_ = 1 - half_;
      used_ = 0;
      check(cudaEventSynchronize(half_read_[half_]), context_.device, "upload");
    }
    const std::int64_t part = std::min(bytes, kHalf - used_);
    std::byte* staged = ring_.data() + half_ * kHalf + used_;
    std::memcpy(staged, from, part);
    check(cudaMemcpyAsync(target, staged, part, cudaMemcpyHostToDevice, context_.stream), context_.device,
          "upload");
    used_ = std::min(kHalf, round_up<std::int64_t>(used_ + part, 64));
    from += part;
    target += part;
    bytes -= part;
  }
}

void FinishedCopies::add(const Range& target) {
  drop(target);
  if (copies_.size() == kMost) free_.splice(free_.end(), copies_, copies_.begin());
  if (free_.empty()) free_.push_back({{}, Event(context_.device)});
  free_.front().target = target;
  check(cudaEventRecord(free_.front().event, context_.stream), context_.device, "cudaEventRecord");
  copies_.splice(copies_.end(), free_, free_.begin());
}

void FinishedCopies::drop(const Range& written) {
  for (auto copy = copies_.begin(); copy != copies_.end();) {
    const auto next = std::next(copy);
    if (copy->target.overlaps(written)) free_.splice(free_.end(), copies_, copy);
    copy = next;
  }
}

void FinishedCopies::drop_all() { free_.splice(free_.end(), copies_); }

cudaEvent_t FinishedCopies::find(const Range& bytes) const {
  for (const Copy& copy : copies_) {
    if (copy.target.contains(bytes)) return copy.event;
  }
  return nullptr;
}

}  // namespace glmocr::cuda
