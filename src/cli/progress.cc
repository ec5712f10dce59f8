// SPDX-License-Identifier: Apache-2.0
#include "cli/progress.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "base/error.h"

namespace glmocr::cli {
namespace {

constexpr auto kInterval = std::chrono::milliseconds(150);
constexpr auto kSpeedWindow = std::chrono::seconds(5);

std::string clock_text(double seconds) {
  const long total = std::lround(std::ceil(seconds));
  char text[32];
  if (total >= 3600) {
    std::snprintf(text, sizeof text, "%ld:%02ld:%02ld", total / 3600, total / 60 % 60, total % 60);
  } else {
    std::snprintf(text, sizeof text, "%ld:%02ld", total / 60, total % 60);
  }
  return text;
}

// From the mean time per finished page.
double seconds_left(const ProgressState& state) {
  const std::int64_t left = state.pages - state.pages_done;
  return state.elapsed_seconds / state.pages_done * left;
}

// One decimal where the whole part alone would say little.
std::string speed_text(double speed) {
  char text[32];
  std::snprintf(text, sizeof text, speed < 10 ? "%.1f" : "%.0f", speed);
  return text;
}

}  // namespace

std::string progress_line(const ProgressState& state, int columns) {
  std::string facts = cat(state.pages_done, "/", state.pages, state.pages == 1 ? " page" : " pages");
  if (state.pages_done > 0 && state.elapsed_seconds > 0)
    facts += cat("  ", speed_text(60 * state.pages_done / state.elapsed_seconds), " pages/min");
  facts += cat("  ", std::lround(state.tokens_per_second), " tok/s");
  if (state.pages_done > 0 && state.pages_done < state.pages) {
    facts += cat("  ", clock_text(seconds_left(state)), " left");
  }
  const std::int64_t room = columns - 1 - std::ssize(facts) - 3;  // brackets and a space
  if (room < 10) return facts.substr(0, std::max(columns - 1, 0));
  const std::int64_t width = std::min<std::int64_t>(room, 30);
  const std::int64_t filled = state.pages > 0 ? width * state.pages_done / state.pages : 0;
  return cat("[", std::string(filled, '#'), std::string(width - filled, '-'), "] ", facts);
}

Progress::Progress(Console& console, std::function<ProgressState()> state)
    : console_(console), state_(std::move(state)) {
  if (!console.is_terminal() || console.verbosity() == Verbosity::quiet) return;
  thread_ = std::thread([this] {
    std::unique_lock lock(mutex_);
    while (!stopping_.wait_for(lock, kInterval, [this] { return stop_; })) draw();
  });
}

Progress::~Progress() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  stopping_.notify_all();
  if (thread_.joinable()) thread_.join();
  console_.clear_status();
}

void Progress::draw() {
  ProgressState state = state_();
  const Clock::time_point now = Clock::now();
  history_.emplace_back(now, state.tokens);
  while (now - history_.front().first > kSpeedWindow) history_.pop_front();
  const double seconds = std::chrono::duration<double>(now - history_.front().first).count();
  if (seconds > 0) {
    state.tokens_per_second = (state.tokens - history_.front().second) / seconds;
  }
  state.elapsed_seconds = std::chrono::duration<double>(now - start_).count();
  console_.show_status(progress_line(state, console_.columns()));
}

}  // namespace glmocr::cli
