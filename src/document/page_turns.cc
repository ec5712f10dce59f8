// SPDX-License-Identifier: Apache-2.0
#include "document/page_turns.h"

namespace glmocr {

std::shared_ptr<void> PageTurns::claim(std::int64_t page) {
  const std::lock_guard lock(state_->mutex);
  const std::pair<std::int64_t, std::int64_t> claim(page, state_->next_claim++);
  state_->claims.insert(claim);
  return {nullptr, [state = state_, claim](void*) {
            const std::lock_guard end(state->mutex);
            state->claims.erase(claim);
            state->changed.notify_all();
          }};
}

PageTurns::Turn::Turn(PageTurns& turns, std::int64_t page, std::chrono::milliseconds patience)
    : turns_(turns) {
  State& state = *turns.state_;
  std::unique_lock lock(state.mutex);
  const auto first = [&] { return state.claims.empty() || state.claims.begin()->first >= page; };
  state.changed.wait_for(lock, patience, [&] { return !state.busy && first(); });
  state.changed.wait(lock, [&] { return !state.busy; });
  state.busy = true;
  state.claims.erase(state.claims.lower_bound({page, 0}), state.claims.lower_bound({page + 1, 0}));
}

PageTurns::Turn::~Turn() {
  State& state = *turns_.state_;
  const std::lock_guard lock(state.mutex);
  state.busy = false;
  state.changed.notify_all();
}

}  // namespace glmocr
