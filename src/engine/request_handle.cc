// SPDX-License-Identifier: Apache-2.0
#include "engine/request_handle.h"

namespace glmocr::engine {

Completion RequestHandle::wait() const {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return completion_.has_value(); });
  return *completion_;
}

bool RequestHandle::done() const {
  const std::lock_guard lock(mutex_);
  return completion_.has_value();
}

std::optional<TokenEvent> RequestHandle::next() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return !events_.empty() || completion_.has_value(); });
  if (events_.empty()) return std::nullopt;
  TokenEvent event = std::move(events_.front());
  events_.pop_front();
  return event;
}

void RequestHandle::publish(const TokenEvent& event) {
  {
    const std::lock_guard lock(mutex_);
    events_.push_back(event);
  }
  changed_.notify_all();
}

void RequestHandle::finish(Completion completion) {
  {
    const std::lock_guard lock(mutex_);
    GLMOCR_CHECK(!completion_);
    completion_ = std::move(completion);
  }
  changed_.notify_all();
}

}  // namespace glmocr::engine
