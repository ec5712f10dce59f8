// SPDX-License-Identifier: Apache-2.0
#include "pdf_worker/child_program.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "pdf_worker/jail.h"
#include "pdf_worker/renderer.h"

namespace glmocr::pdf {
namespace {

constexpr std::size_t kMostErrors = 2000;
constexpr int kNoJail = 125, kNotStarted = 126;  // exit codes of a child that did not become the program

// Closed when it goes out of scope.
struct Pipe {
  Pipe() {
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) throw Failure{Status::no_renderer, "no pipe to a renderer"};
  }
  ~Pipe() {
    ::close(ends[0]);
    close_write_end();
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
  void close_write_end() {
    if (ends[1] >= 0) ::close(ends[1]);
    ends[1] = -1;
  }
  std::array<int, 2> ends{};
};

[[noreturn]] void become_program(const std::string& path, std::vector<char*>& arguments, const Pipe& out,
                                 const Pipe& err) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);  // it ends with this worker
  ::dup2(out.ends[1], STDOUT_FILENO);
  ::dup2(err.ends[1], STDERR_FILENO);
  if (!enter_program_jail()) ::_exit(kNoJail);
  become(path.c_str(), arguments.data(), environ);
  ::_exit(kNotStarted);
}

// Reads what is there. False at the end of the stream.
bool read_some(int fd, const std::function<void(std::span<const char>)>& use) {
  std::array<char, 1 << 16> block;
  const ssize_t got = ::read(fd, block.data(), block.size());
  if (got < 0) return errno == EINTR;
  if (got > 0) use({block.data(), static_cast<std::size_t>(got)});
  return got > 0;
}

}  // namespace

ProgramEnd run_program(const std::string& path, const std::vector<std::string>& arguments,
                       const std::function<bool(std::span<const char>)>& on_output) {
  std::vector<char*> argv{const_cast<char*>(path.c_str())};
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  Pipe out, err;
  const pid_t child = ::fork();
  if (child < 0) throw Failure{Status::no_renderer, path + " cannot be started"};
  if (child == 0) become_program(path, argv, out, err);
  out.close_write_end();
  err.close_write_end();

  ProgramEnd end;
  bool out_open = true, err_open = true;
  while (out_open || err_open) {
    std::array<pollfd, 2> fds{
        {{out_open ? out.ends[0] : -1, POLLIN, 0}, {err_open ? err.ends[0] : -1, POLLIN, 0}}};
    if (::poll(fds.data(), fds.size(), -1) < 0) continue;
    if (fds[0].revents != 0) {
      out_open = read_some(out.ends[0], [&](std::span<const char> piece) {
        if (!on_output(piece)) ::kill(child, SIGKILL);
      });
    }
    if (fds[1].revents != 0) {
      err_open = read_some(err.ends[0], [&](std::span<const char> piece) {
        if (end.errors.size() < kMostErrors) end.errors.append(piece.data(), piece.size());
      });
    }
  }
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFEXITED(status)) end.exit_code = WEXITSTATUS(status);
  if (WIFSIGNALED(status)) end.signal = WTERMSIG(status);
  if (end.exit_code == kNoJail)
    throw Failure{Status::no_renderer, "this system has no seccomp filters to render PDF files in"};
  if (end.exit_code == kNotStarted) throw Failure{Status::no_renderer, path + " cannot be started"};
  return end;
}

}  // namespace glmocr::pdf
