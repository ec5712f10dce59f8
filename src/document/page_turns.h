// SPDX-License-Identifier: Apache-2.0
// The order in which threads get the pages of a document that gives one at a time.
#pragma once
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <set>
#include <utility>

namespace glmocr {

class PageTurns {
 public:
  PageTurns() : state_(std::make_shared<State>()) {}

  // Until the claim is dropped, or the page has had a turn, later pages wait for it; but not longer than a second, should
  // its thread never ask.
  std::shared_ptr<void> claim(std::int64_t page);

  // While it exists, no other turn does.
  class Turn {
   public:
    Turn(PageTurns& turns, std::int64_t page, std::chrono::milliseconds patience = kPatience);
    ~Turn();
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;

   private:
    PageTurns& turns_;
  };

 private:
  static constexpr std::chrono::milliseconds kPatience{1000};

  struct State {
    std::mutex mutex;
    std::condition_variable changed;
    std::set<std::pair<std::int64_t, std::int64_t>> claims;  // page, number of the claim
    std::int64_t next_claim = 0;
    bool busy = false;
  };
  std::shared_ptr<State> state_;
};

}  // namespace glmocr
