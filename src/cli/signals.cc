// SPDX-License-Identifier: Apache-2.0
#include "cli/signals.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "base/error.h"

namespace glmocr::cli {
namespace {

constexpr int kSignals[] = {SIGINT, SIGTERM};

// A signal handler may do little more than write a byte, which the watcher's thread reads. 0 ends that
// thread.
int wake_pipe[2] = {-1, -1};

void wake(unsigned char byte) {
  const int saved = errno;
  static_cast<void>(!::write(wake_pipe[1], &byte, 1));
  errno = saved;
}

void on_signal(int signal) {
  for (const int handled : kSignals) ::signal(handled, SIG_DFL);  // the next one ends the process
  wake(signal);
}

void install(int signal, void (*handler)(int)) {
  struct sigaction old {};
  ::sigaction(signal, nullptr, &old);
  if (old.sa_handler == SIG_IGN) return;
  struct sigaction action {};
  action.sa_handler = handler;
  action.sa_flags = SA_RESTART;
  ::sigaction(signal, &action, nullptr);
}

}  // namespace

InterruptWatcher::InterruptWatcher(std::function<void()> on_interrupt)
    : on_interrupt_(std::move(on_interrupt)) {
  GLMOCR_CHECK(::pipe2(wake_pipe, O_CLOEXEC) == 0);
  thread_ = std::thread([this] { watch(); });
  for (const int signal : kSignals) install(signal, on_signal);
}

InterruptWatcher::~InterruptWatcher() {
  for (const int signal : kSignals) install(signal, SIG_DFL);
  wake(0);
  thread_.join();
  ::close(wake_pipe[0]);
  ::close(wake_pipe[1]);
}

void InterruptWatcher::watch() {
  unsigned char byte = 0;
  ssize_t got = 0;
  do {
    got = ::read(wake_pipe[0], &byte, 1);
  } while (got < 0 && errno == EINTR);
  if (got != 1 || byte == 0) return;
  signal_ = byte;
  on_interrupt_();
}

}  // namespace glmocr::cli
