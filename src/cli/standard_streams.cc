// SPDX-License-Identifier: Apache-2.0
#include "cli/standard_streams.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/error.h"
#include "base/mapped_file.h"

namespace glmocr::cli {

void keep_standard_streams_open() {
  // open() takes the lowest free number, so the loop fills gaps from below.
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::fcntl(fd, F_GETFD) < 0 && errno == EBADF) static_cast<void>(::open("/dev/null", O_RDWR));
  }
}

void write_standard_output(std::string_view text) {
  while (!text.empty()) {
    const ssize_t put = ::write(STDOUT_FILENO, text.data(), text.size());
    if (put < 0 && errno == EINTR) continue;
    if (put < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
      // The caller shares a pipe or terminal that somebody made non-blocking.
      pollfd ready{STDOUT_FILENO, POLLOUT, 0};
      ::poll(&ready, 1, -1);
      continue;
    }
    if (put < 0 && errno == EPIPE) throw OutputClosed{};
    if (put < 0) throw OutputError(cat("standard output: cannot be written: ", std::strerror(errno)));
    text.remove_prefix(put);
  }
}

std::string read_standard_input() { return read_descriptor(STDIN_FILENO, "standard input"); }

}  // namespace glmocr::cli
