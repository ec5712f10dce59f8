// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "base/memory_budget.h"
#include "engine/admission.h"
#include "engine/sequence.h"

namespace glmocr::engine {

using SequenceQueue = std::vector<std::unique_ptr<Sequence>>;

// The requests that no device has begun, and how much each device has of the others. Any thread.
//
// A device joins as a member and takes requests only when it can run them, the oldest first. Pages differ much in cost, and
// what waits here any device may still take. A member takes no more than its share: the mean, over the members that
// have room, of the prompt tokens that they hold and that wait. So a few requests are spread over all devices, and many
// fill each of them.
//
// The members have one model and one set of limits, so a request that fits one of them fits each. The bytes of its
// pictures are taken at submit from the budget of any member, and move to that of the member that takes it.
class RequestQueue {
 public:
  // The model must outlive the queue and the sequences.
  RequestQueue(const GlmOcr& model, const EngineLimits& limits);
  ~RequestQueue();  // cancels what waits
  RequestQueue(const RequestQueue&) = delete;
  RequestQueue& operator=(const RequestQueue&) = delete;

  const EngineLimits& limits() const { return limits_; }

  // As Engine::submit.
  std::shared_ptr<JobState> submit(Request request);
  // Throws Error{busy} where no more requests may wait, and Error{device} where no member is left.
  void check_open() const;
  // Throws what submit would throw for this request, now.
  void check(const Request& request) const;
  std::int64_t waiting() const;  // requests, without those that a member has taken

  // What a member has taken and not ended.
  struct Load {
    std::int64_t requests = 0;
    std::int64_t waiting = 0;  // of these, for memory of their device; then it takes no others
    std::int64_t tokens = 0;   // of their prompts
  };

  // Returns the member's number. `memory`: the budget of its device.
  std::size_t join(std::shared_ptr<MemoryBudget> memory);
  void report(std::size_t member, const Load& load);
  // Whether `take` may find something. Requests that were cancelled are for whoever comes first.
  bool has_work_for(std::size_t member) const;
  // Appends what the member is to run now.
  void take(std::size_t member, SequenceQueue& sequences);
  // Waits for work. False: the queue was closed.
  bool wait_for_work(std::size_t member);
  // The member's device is lost. Its requests wait again, before the others; those that lost a device before do not, so
  // that a request that breaks devices does not break all of them. Returns the requests that are to fail: these, and
  // all where no member is left.
  SequenceQueue leave(std::size_t member, SequenceQueue sequences, std::exception_ptr error);

  void close();  // members stop
  bool closed() const;

 private:
  struct Member {
    std::shared_ptr<MemoryBudget> memory;
    Load load;
    bool lost = false;
  };
  struct Waiting {
    std::unique_ptr<Sequence> sequence;
    std::shared_ptr<MemoryBudget> memory;  // in which its pictures are counted
  };
  struct CountedShare {
    MemoryShare share;
    std::shared_ptr<MemoryBudget> memory;
  };

  // With mutex_ held.
  void check_open_locked() const;
  bool has_room(const Member& member) const;
  bool may_take(const Member& member) const;
  bool has_cancelled() const;
  bool has_work(const Member& member) const;
  std::unique_ptr<Sequence> take_next(Member& member);
  std::unique_ptr<Sequence> remove(std::ptrdiff_t index);

  CountedShare take_memory(const Request& request) const;

  const GlmOcr& model_;
  const EngineLimits limits_;

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Member> members_;
  std::deque<Waiting> waiting_;      // oldest first
  std::int64_t waiting_tokens_ = 0;  // of their prompts
  std::exception_ptr lost_;          // why no member is left
  bool closed_ = false;
};

}  // namespace glmocr::engine
