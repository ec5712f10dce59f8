// SPDX-License-Identifier: Apache-2.0
#include "cli/signals.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <utility>

#include "base/error.h"
#include "cli/exit_code.h"

namespace glmocr::cli {
namespace {

constexpr int kSignals[] = {SIGINT, SIGTERM};

// A signal handler may do little more than write a byte, which the watcher's thread reads: the number of the
// signal. 0 ends that thread.
int wake_pipe[2] = {-1, -1};
std::atomic<bool> watching = false;
std::atomic<std::uintptr_t> lost_address = 0;
static_assert(std::atomic<bool>::is_always_lock_free && std::atomic<std::uintptr_t>::is_always_lock_free);

void wake(unsigned char byte) {
  const int saved = errno;
  static_cast<void>(!::write(wake_pipe[1], &byte, 1));
  errno = saved;
}

void on_signal(int signal) {
  for (const int handled : kSignals) ::signal(handled, SIG_DFL);  // the next one ends the process
  wake(signal);
}

void on_bus_error(int signal, siginfo_t* info, void*) {
  if (info->si_code != BUS_ADRERR) {  // sent by somebody, or a bug: end as usual
    ::signal(signal, SIG_DFL);
    ::raise(signal);
    return;
  }
  if (watching) {
    lost_address = reinterpret_cast<std::uintptr_t>(info->si_addr);
    wake(static_cast<unsigned char>(signal));
    for (;;) ::pause();
  }
  static constexpr char kMessage[] =
      "glm-ocr: the weights can no longer be read: a file was truncated, or its disk failed, while the "
      "program ran\n";
  static_cast<void>(!::write(STDERR_FILENO, kMessage, sizeof kMessage - 1));
  ::_exit(kModelUnusable);
}

// The file that is mapped at the address; "" where there is none.
std::string mapped_file_at(std::uintptr_t address) {
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    // begin-end permissions offset device inode      path
    unsigned long begin = 0, end = 0;
    int path = 0;
    if (std::sscanf(line.c_str(), "%lx-%lx %*s %*s %*s %*s %n", &begin, &end, &path) == 2 && path > 0 &&
        begin <= address && address < end) {
      return line.substr(path);
    }
  }
  return "";
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

void handle_lost_files() {
  struct sigaction action {};
  action.sa_sigaction = on_bus_error;
  action.sa_flags = SA_SIGINFO;
  ::sigaction(SIGBUS, &action, nullptr);
}

std::string lost_file_message(const std::string& file) {
  return cat(file, ": can no longer be read: it was truncated, or its disk failed, while the program ran");
}

InterruptWatcher::InterruptWatcher(std::function<void()> on_interrupt,
                                   std::function<void(const std::string& file)> on_lost_file)
    : on_interrupt_(std::move(on_interrupt)), on_lost_file_(std::move(on_lost_file)) {
  GLMOCR_CHECK(::pipe2(wake_pipe, O_CLOEXEC) == 0);
  thread_ = std::thread([this] { watch(); });
  watching = true;
  for (const int signal : kSignals) install(signal, on_signal);
}

InterruptWatcher::~InterruptWatcher() {
  for (const int signal : kSignals) install(signal, SIG_DFL);
  watching = false;
  wake(0);
  thread_.join();
  ::close(wake_pipe[0]);
  ::close(wake_pipe[1]);
}

void InterruptWatcher::watch() {
  for (;;) {
    unsigned char byte = 0;
    const ssize_t got = ::read(wake_pipe[0], &byte, 1);
    if (got < 0 && errno == EINTR) continue;
    if (got != 1 || byte == 0) return;
    if (byte == SIGBUS) {
      on_lost_file_(mapped_file_at(lost_address));
    } else if (signal_ == 0) {
      signal_ = byte;
      on_interrupt_();
    }
  }
}

}  // namespace glmocr::cli
