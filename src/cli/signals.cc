// SPDX-License-Identifier: Apache-2.0
#include "cli/signals.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
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

constexpr char kLost[] =
    ": can no longer be read: it was truncated, or its disk failed, while the program ran";

void put(const char* text) { static_cast<void>(!::write(STDERR_FILENO, text, std::strlen(text))); }

// The name of the file that is mapped at an address, by calls that a signal handler may make.
class MappedFileName {
 public:
  const char* name() const { return path_; }

  void find(std::uintptr_t address) {
    const int maps = ::open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
    char block[512];
    for (ssize_t got; path_[0] == 0 && (got = ::read(maps, block, sizeof block)) > 0;) {
      for (ssize_t i = 0; i < got && path_[0] == 0; ++i) add(block[i], address);
    }
    ::close(maps);
  }

 private:
  // begin-end permissions offset device inode      path
  void add(char c, std::uintptr_t address) {
    if (c != '\n') {
      if (length_ + 1 < sizeof line_) line_[length_++] = c;
      return;
    }
    line_[length_] = 0;
    length_ = 0;
    char* at = line_;
    const std::uintptr_t begin = number(at), end = number(at);
    const char* path = std::strchr(at, '/');
    if (path != nullptr && begin <= address && address < end) std::memcpy(path_, path, std::strlen(path) + 1);
  }
  // Hexadecimal; skips the character after it.
  static std::uintptr_t number(char*& at) {
    std::uintptr_t value = 0;
    for (; (*at >= '0' && *at <= '9') || (*at >= 'a' && *at <= 'f'); ++at) {
      value = 16 * value + static_cast<std::uintptr_t>(*at <= '9' ? *at - '0' : *at - 'a' + 10);
    }
    if (*at != 0) ++at;
    return value;
  }

  char line_[4352] = "";  // a path has at most 4096 bytes
  std::size_t length_ = 0;
  char path_[sizeof line_] = "";
};

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
  // Without memory of the heap, whose locks may be held.
  static MappedFileName file;
  file.find(reinterpret_cast<std::uintptr_t>(info->si_addr));
  put("glm-ocr: ");
  put(file.name()[0] != 0 ? file.name() : "the weights");
  put(kLost);
  put("\n");
  ::_exit(kModelUnusable);
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

std::string lost_file_message(const std::string& file) { return file + kLost; }

InterruptWatcher::InterruptWatcher(std::function<void()> on_interrupt,
                                   std::function<void(const std::string& file)> on_lost_file)
    : on_interrupt_(std::move(on_interrupt)), on_lost_file_(std::move(on_lost_file)) {
  if (::pipe2(wake_pipe, O_CLOEXEC) != 0) {
    fail(ErrorCode::device, cat("no pipe can be made to wait for signals: ", std::strerror(errno)));
  }
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
      static MappedFileName file;
      file.find(lost_address);
      on_lost_file_(file.name());
    } else if (signal_ == 0) {
      signal_ = byte;
      on_interrupt_();
    }
  }
}

}  // namespace glmocr::cli
