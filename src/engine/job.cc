// SPDX-License-Identifier: Apache-2.0
#include "engine/job.h"

#include <utility>

#include "base/error.h"

namespace glmocr {

Result Job::State::wait() const {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return ended(); });
  if (error_) std::rethrow_exception(error_);
  return *result_;
}

bool Job::State::done() const {
  const std::lock_guard lock(mutex_);
  return ended();
}

NextEvent Job::State::next(std::optional<Clock::duration> timeout) {
  const auto ready = [&] { return !events_.empty() || ended(); };
  std::unique_lock lock(mutex_);
  const Clock::time_point now = Clock::now();
  if (!timeout || *timeout > Clock::time_point::max() - now) {  // longer than the clock can tell
    changed_.wait(lock, ready);
  } else if (!changed_.wait_until(lock, now + *timeout, ready)) {
    return {.kind = NextEvent::Kind::timeout};
  }
  if (events_.empty()) return {.kind = NextEvent::Kind::end};
  NextEvent next{.kind = NextEvent::Kind::event, .event = std::move(events_.front())};
  events_.pop_front();
  return next;
}

void Job::State::publish(const TokenEvent& event) {
  {
    const std::lock_guard lock(mutex_);
    events_.push_back(event);
  }
  changed_.notify_all();
}

void Job::State::finish(Result result) { end(std::move(result), nullptr); }
void Job::State::fail(std::exception_ptr error) { end(std::nullopt, std::move(error)); }

void Job::State::end(std::optional<Result> result, std::exception_ptr error) {
  {
    const std::lock_guard lock(mutex_);
    GLMOCR_CHECK(!ended());
    result_ = std::move(result);
    error_ = std::move(error);
  }
  changed_.notify_all();
}

Result Job::wait() const { return state_->wait(); }
bool Job::done() const { return state_->done(); }
void Job::cancel() const { state_->cancel(); }

std::optional<TokenEvent> Job::next() const {
  NextEvent next = state_->next(std::nullopt);
  if (next.kind == NextEvent::Kind::end) return std::nullopt;
  return std::move(next.event);
}

NextEvent Job::next(std::chrono::steady_clock::duration timeout) const { return state_->next(timeout); }

}  // namespace glmocr
