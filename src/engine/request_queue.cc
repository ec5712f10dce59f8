// SPDX-License-Identifier: Apache-2.0
#include "engine/request_queue.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/error.h"
#include "base/memory.h"

namespace glmocr::engine {

RequestQueue::RequestQueue(const GlmOcr& model, const EngineLimits& limits)
    : model_(model), limits_(limits) {}

RequestQueue::~RequestQueue() {
  for (const Waiting& waiting : waiting_) {
    waiting.sequence->finish(FinishReason::cancelled, Sequence::Clock::now());
    waiting.sequence->complete_job();
  }
}

std::shared_ptr<JobState> RequestQueue::submit(Request request) {
  check_request(request, model_, limits_);
  CountedShare counted = take_memory(request);
  auto sequence = std::make_unique<Sequence>(std::move(request), model_.config(), model_.tokenizer(),
                                             limits_.context, std::move(counted.share));
  std::shared_ptr<JobState> job = sequence->job();
  {
    const std::lock_guard lock(mutex_);
    check_open_locked();
    waiting_tokens_ += sequence->prompt_tokens();
    waiting_.push_back({std::move(sequence), std::move(counted.memory)});
  }
  changed_.notify_all();
  return job;
}

void RequestQueue::check_open() const {
  const std::lock_guard lock(mutex_);
  check_open_locked();
}

void RequestQueue::check_open_locked() const {
  if (lost_) std::rethrow_exception(lost_);
  std::int64_t waiting = std::ssize(waiting_);
  for (const Member& member : members_) waiting += member.load.waiting;
  if (waiting < limits_.plan.max_waiting) return;
  fail(ErrorCode::busy,
       cat(waiting, " requests are waiting, as many as max_waiting allows: try again later"));
}

void RequestQueue::check(const Request& request) const {
  check_open();
  check_request(request, model_, limits_);
  take_memory(request);
}

// The share of pixels and features. The limits leave room for one request on each device, so where there is none, other
// requests have taken it.
RequestQueue::CountedShare RequestQueue::take_memory(const Request& request) const {
  const std::int64_t bytes = picture_bytes(model_, request);
  const std::lock_guard lock(mutex_);
  for (const Member& member : members_) {
    if (member.lost) continue;
    if (MemoryShare share = MemoryShare::try_take(member.memory, bytes)) {
      return {std::move(share), member.memory};
    }
  }
  if (lost_) std::rethrow_exception(lost_);
  fail(ErrorCode::busy, cat("the pictures of other requests fill the memory: ", size_text(bytes),
                            " are needed; try again later"));
}

std::int64_t RequestQueue::waiting() const {
  const std::lock_guard lock(mutex_);
  return std::ssize(waiting_);
}

std::size_t RequestQueue::join(std::shared_ptr<MemoryBudget> memory) {
  const std::lock_guard lock(mutex_);
  members_.push_back({.memory = std::move(memory)});
  return members_.size() - 1;
}

void RequestQueue::report(std::size_t member, const Load& load) {
  const std::lock_guard lock(mutex_);
  members_[member].load = load;
}

bool RequestQueue::has_room(const Member& member) const {
  return !member.lost && member.load.waiting == 0 && member.load.requests < limits_.plan.max_sequences;
}

// Whether the member has less than its share. As long as something waits, one of those with room has.
bool RequestQueue::may_take(const Member& member) const {
  if (waiting_.empty() || !has_room(member)) return false;
  std::int64_t tokens = waiting_tokens_, members = 0;
  for (const Member& other : members_) {
    if (!has_room(other)) continue;
    tokens += other.load.tokens;
    ++members;
  }
  return member.load.tokens * members < tokens;
}

bool RequestQueue::has_cancelled() const {
  return std::any_of(waiting_.begin(), waiting_.end(),
                     [](const Waiting& waiting) { return waiting.sequence->job()->cancel_requested(); });
}

bool RequestQueue::has_work(const Member& member) const {
  return may_take(member) || (!member.lost && has_cancelled());
}

bool RequestQueue::has_work_for(std::size_t member) const {
  const std::lock_guard lock(mutex_);
  return has_work(members_[member]);
}

void RequestQueue::take(std::size_t member, SequenceQueue& sequences) {
  const std::lock_guard lock(mutex_);
  Member& taker = members_[member];
  if (taker.lost) return;
  const std::size_t before = sequences.size();
  for (std::ptrdiff_t i = 0; i < std::ssize(waiting_);) {
    if (waiting_[i].sequence->job()->cancel_requested()) {
      sequences.push_back(remove(i));
    } else {
      ++i;
    }
  }
  while (may_take(taker)) {
    std::unique_ptr<Sequence> next = take_next(taker);
    if (!next) break;
    taker.load.tokens += next->prompt_tokens();
    ++taker.load.requests;
    sequences.push_back(std::move(next));
  }
  taker.load.waiting += std::ssize(sequences) - static_cast<std::ptrdiff_t>(before);  // until its next report
}

// The oldest whose pictures the member's memory has room for.
std::unique_ptr<Sequence> RequestQueue::take_next(Member& member) {
  const auto found = std::find_if(waiting_.begin(), waiting_.end(), [&](const Waiting& waiting) {
    return waiting.memory == member.memory || waiting.sequence->move_memory(member.memory);
  });
  return found == waiting_.end() ? nullptr : remove(found - waiting_.begin());
}

std::unique_ptr<Sequence> RequestQueue::remove(std::ptrdiff_t index) {
  std::unique_ptr<Sequence> sequence = std::move(waiting_[index].sequence);
  waiting_tokens_ -= sequence->prompt_tokens();
  waiting_.erase(waiting_.begin() + index);
  return sequence;
}

bool RequestQueue::wait_for_work(std::size_t member) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return closed_ || has_work(members_[member]); });
  return !closed_;
}

SequenceQueue RequestQueue::leave(std::size_t member, SequenceQueue sequences, std::exception_ptr error) {
  SequenceQueue failed;
  {
    const std::lock_guard lock(mutex_);
    members_[member].lost = true;
    members_[member].load = {};
    const bool last =
        std::all_of(members_.begin(), members_.end(), [](const Member& other) { return other.lost; });
    if (last) lost_ = std::move(error);
    std::reverse(sequences.begin(), sequences.end());  // each becomes the first
    for (auto& sequence : sequences) {
      if (last || sequence->devices_lost() > 1) {
        failed.push_back(std::move(sequence));
      } else {
        waiting_tokens_ += sequence->prompt_tokens();
        waiting_.push_front({std::move(sequence), members_[member].memory});
      }
    }
    while (last && !waiting_.empty()) failed.push_back(remove(0));
  }
  changed_.notify_all();
  return failed;
}

void RequestQueue::close() {
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
  }
  changed_.notify_all();
}

bool RequestQueue::closed() const {
  const std::lock_guard lock(mutex_);
  return closed_;
}

}  // namespace glmocr::engine
