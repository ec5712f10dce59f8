// SPDX-License-Identifier: Apache-2.0
#include "integration/program.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <sstream>
#include <stdexcept>

namespace glmocr::integration {
namespace {

namespace fs = std::filesystem;

struct Pipe {
  Pipe() {
    if (::pipe2(ends, O_CLOEXEC) != 0) throw std::runtime_error("pipe2 failed");
  }
  int ends[2];
};

void make_small_and_nonblocking(int pipe) {
  ::fcntl(pipe, F_SETPIPE_SZ, 4096);
  ::fcntl(pipe, F_SETFL, O_WRONLY | O_NONBLOCK);
}

// Until a writer would have to wait.
void fill(int pipe) {
  make_small_and_nonblocking(pipe);
  const char byte = '\n';
  while (::write(pipe, &byte, 1) == 1) {
  }
  ::fcntl(pipe, F_SETFL, O_WRONLY);
}

void close_end(int& fd) {
  if (fd >= 0) ::close(fd);
  fd = -1;
}

// In the child: resets what the developer's shell may have changed, then runs the program.
[[noreturn]] void become_program(const std::vector<std::string>& arguments, const ProcessOptions& options,
                                 int in, int out, int err) {
  for (const int signal : {SIGINT, SIGTERM, SIGPIPE}) ::signal(signal, SIG_DFL);
  if (options.no_threads) {
    rlimit limit{};
    ::getrlimit(RLIMIT_STACK, &limit);
    limit.rlim_cur = std::min<rlim_t>(limit.rlim_max, rlim_t{1} << 44);
    ::setrlimit(RLIMIT_STACK, &limit);
  }
  if (options.ignore_sigpipe) ::signal(SIGPIPE, SIG_IGN);
  for (const char* name : {"GLMOCR_MODEL", "GLMOCR_CPU_ISA", "GLMOCR_PDFIUM", "GLMOCR_PDF_WORKER",
                           "HF_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME"}) {
    ::unsetenv(name);
  }
  for (const auto& variable : options.environment)
    ::setenv(variable.first.c_str(), variable.second.c_str(), 1);
  ::dup2(in, STDIN_FILENO);
  ::dup2(err, STDERR_FILENO);
  if (options.closed_input) ::close(STDIN_FILENO);
  if (options.closed_errors) ::close(STDERR_FILENO);
  if (options.closed_output) {
    ::close(STDOUT_FILENO);
  } else if (!options.output_file.empty()) {
    ::dup2(::open(options.output_file.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0666), STDOUT_FILENO);
  } else {
    ::dup2(out, STDOUT_FILENO);
  }
  std::vector<char*> argv;
  std::string program = GLMOCR_PROGRAM;
  argv.push_back(program.data());
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  ::execv(program.c_str(), argv.data());
  ::_exit(127);
}

}  // namespace

Process::Process(const std::vector<std::string>& arguments, const ProcessOptions& options)
    : input_(options.standard_input) {
  ::signal(SIGPIPE, SIG_IGN);  // the child may end before it has read its input
  Pipe in, out, err;
  if (options.full_output) fill(out.ends[1]);
  if (options.nonblocking_output) make_small_and_nonblocking(out.ends[1]);
  pid_ = ::fork();
  if (pid_ < 0) throw std::runtime_error("fork failed");
  if (pid_ == 0) become_program(arguments, options, in.ends[0], out.ends[1], err.ends[1]);
  ::close(in.ends[0]);
  ::close(out.ends[1]);
  ::close(err.ends[1]);
  in_ = in.ends[1];
  out_ = out.ends[0];
  err_ = err.ends[0];
  ::fcntl(in_, F_SETFL, O_NONBLOCK);
  if (input_.empty() && !options.open_input) close_end(in_);
}

Process::~Process() {
  if (pid_ > 0) {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  close_end(in_);
  close_end(out_);
  close_end(err_);
}

void Process::send(int signal) const { ::kill(pid_, signal); }
void Process::close_output() { close_end(out_); }

// Reads and writes what is possible now. False when both streams have ended.
bool Process::read_some() {
  if (out_ < 0 && err_ < 0) return false;
  pollfd fds[] = {{out_, POLLIN, 0}, {err_, POLLIN, 0}, {input_.empty() ? -1 : in_, POLLOUT, 0}};
  ::poll(fds, 3, -1);
  char block[4096];
  if (fds[0].revents != 0) {
    const ssize_t got = ::read(out_, block, sizeof block);
    if (got > 0) result_.out.append(block, static_cast<std::size_t>(got));
    if (got == 0) close_end(out_);
  }
  if (fds[1].revents != 0) {
    const ssize_t got = ::read(err_, block, sizeof block);
    if (got > 0) result_.err.append(block, static_cast<std::size_t>(got));
    if (got == 0) close_end(err_);
  }
  if (fds[2].revents != 0) {
    const ssize_t put = ::write(in_, input_.data(), input_.size());
    if (put > 0) input_.erase(0, static_cast<std::size_t>(put));
    if (put < 0 && errno != EAGAIN) input_.clear();
    if (input_.empty()) close_end(in_);
  }
  return true;
}

void Process::read_until_line() {
  while (result_.out.find('\n') == std::string::npos && out_ >= 0) read_some();
}

void Process::read_until_error(const std::string& text) {
  char block[4096];
  while (result_.err.find(text) == std::string::npos && err_ >= 0) {
    const ssize_t got = ::read(err_, block, sizeof block);
    if (got > 0) result_.err.append(block, static_cast<std::size_t>(got));
    if (got == 0) close_end(err_);
  }
}

bool Process::ends_within(int seconds) const {
  for (int i = 0; i < 100 * seconds && running(); ++i) ::usleep(10'000);
  return !running();
}

bool Process::running() const {
  siginfo_t state{};
  return ::waitid(P_PID, static_cast<id_t>(pid_), &state, WEXITED | WNOHANG | WNOWAIT) == 0 &&
         state.si_pid == 0;
}

ProcessResult Process::wait() {
  while (read_some()) {
  }
  int status = 0;
  rusage usage{};
  ::wait4(pid_, &status, 0, &usage);
  result_.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin_).count();
  result_.peak_memory = std::int64_t{1024} * usage.ru_maxrss;
  pid_ = -1;
  if (WIFEXITED(status)) result_.exit_code = WEXITSTATUS(status);
  if (WIFSIGNALED(status)) result_.signal = WTERMSIG(status);
  return result_;
}

ProcessResult run(const std::vector<std::string>& arguments, const ProcessOptions& options) {
  return Process(arguments, options).wait();
}

std::string data(const std::string& name) { return std::string(GLMOCR_TEST_DATA) + "/" + name; }
std::string picture(const std::string& name) { return data("pictures/" + name); }

std::string read_all(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error("cannot read " + path.string());
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

void write_all(const fs::path& path, const std::string& content) {
  std::ofstream file(path, std::ios::binary);
  file << content << std::flush;
  if (!file) throw std::runtime_error("cannot write " + path.string());
}

std::vector<std::string> lines_of(const std::string& text) {
  std::istringstream stream(text);
  std::vector<std::string> lines;
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

std::vector<nlohmann::json> json_lines(const std::string& text) {
  std::vector<nlohmann::json> objects;
  for (const std::string& line : lines_of(text)) objects.push_back(nlohmann::json::parse(line));
  return objects;
}

}  // namespace glmocr::integration
