// SPDX-License-Identifier: Apache-2.0
#include "pdf/worker_process.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "base/error.h"

namespace glmocr::pdf {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

constexpr const char* kProgram = "glm-ocr-pdf";
constexpr std::chrono::milliseconds kCancelInterval(100);
// By how much longer a worker waits before it ends itself.
constexpr std::chrono::seconds kGrace(5);

[[noreturn]] void fail_start(const std::string& what) {
  const int number = errno;
  fail(ErrorCode::device, cat("PDF files cannot be rendered: ", what, ": ", std::strerror(number)));
}

// A copy above the descriptors that the worker gets, so that none of those is overwritten before it is moved.
Descriptor moved_up(int fd, const char* what) {
  Descriptor copy(::fcntl(fd, F_DUPFD_CLOEXEC, 10));
  if (copy.get() < 0) fail_start(what);
  return copy;
}

// Of this process's environment only what the worker looks at; the rest is none of a renderer's business.
std::vector<std::string> worker_environment() {
  std::vector<std::string> variables = {"LC_ALL=C"};
  for (const char* name : {"GLMOCR_PDFIUM", "LD_LIBRARY_PATH", "PATH"}) {
    if (const char* value = std::getenv(name)) variables.push_back(cat(name, "=", value));
  }
  return variables;
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> list;
  for (std::string& text : texts) list.push_back(text.data());
  list.push_back(nullptr);
  return list;
}

// Of all workers of this process as many are at work at a time as there are cores.
class Cores {
 public:
  // Waits for one. Throws Error{cancelled}.
  explicit Cores(const std::function<bool()>& cancelled) {
    std::unique_lock lock(mutex());
    while (used() >= count()) {
      changed().wait_for(lock, kCancelInterval);
      if (used() >= count() && cancelled && cancelled()) fail(ErrorCode::cancelled, "interrupted");
    }
    ++used();
  }
  ~Cores() {
    const std::lock_guard lock(mutex());
    --used();
    changed().notify_one();
  }
  Cores(const Cores&) = delete;
  Cores& operator=(const Cores&) = delete;

 private:
  static int count() {
    static const int cores = std::max(static_cast<int>(std::thread::hardware_concurrency()), 1);
    return cores;
  }
  static std::mutex& mutex() {
    static std::mutex guard;
    return guard;
  }
  static std::condition_variable& changed() {
    static std::condition_variable condition;
    return condition;
  }
  static int& used() {  // guarded by mutex()
    static int workers = 0;
    return workers;
  }
};

// posix_spawn's two objects.
class SpawnPlan {
 public:
  SpawnPlan() {
    ok_ = ::posix_spawn_file_actions_init(&actions_) == 0 && ::posix_spawnattr_init(&attributes_) == 0;
    sigset_t none, all;
    ::sigemptyset(&none);
    ::sigfillset(&all);
    constexpr short kFlags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP;
    // A group of its own: Ctrl-C at a terminal is for this process, which then ends its worker.
    ok_ = ok_ && ::posix_spawnattr_setflags(&attributes_, kFlags) == 0 &&
          ::posix_spawnattr_setsigmask(&attributes_, &none) == 0 &&
          ::posix_spawnattr_setsigdefault(&attributes_, &all) == 0 &&
          ::posix_spawnattr_setpgroup(&attributes_, 0) == 0;
    for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
      ok_ = ok_ && ::posix_spawn_file_actions_addopen(&actions_, fd, "/dev/null", O_RDWR, 0) == 0;
    }
  }
  ~SpawnPlan() {
    ::posix_spawn_file_actions_destroy(&actions_);
    ::posix_spawnattr_destroy(&attributes_);
  }
  SpawnPlan(const SpawnPlan&) = delete;
  SpawnPlan& operator=(const SpawnPlan&) = delete;

  void give(int fd, int as) { ok_ = ok_ && ::posix_spawn_file_actions_adddup2(&actions_, fd, as) == 0; }
  // 0, or the number of an error.
  int start(pid_t& pid, const std::string& program, char* const* arguments, char* const* environment) {
    if (!ok_) return ENOMEM;
    return ::posix_spawn(&pid, program.c_str(), &actions_, &attributes_, arguments, environment);
  }

 private:
  bool ok_ = false;
  posix_spawn_file_actions_t actions_{};
  posix_spawnattr_t attributes_{};
};

// Shared memory whose size nobody can change.
Descriptor make_pixel_memory(std::int64_t bytes) {
  Descriptor memory(::memfd_create("glm-ocr page", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (memory.get() < 0 || ::ftruncate(memory.get(), bytes) != 0 ||
      ::fcntl(memory.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
    fail_start("no shared memory");
  }
  return memory;
}

// The file that contains this code, and the running program.
std::vector<fs::path> places_of_this_code() {
  std::vector<fs::path> files{"/proc/self/exe"};
  static const char here = 0;
  Dl_info info{};
  if (::dladdr(&here, &info) != 0 && info.dli_fname != nullptr &&
      fs::path(info.dli_fname).has_parent_path()) {
    files.insert(files.begin(), info.dli_fname);
  }
  return files;
}

template <std::size_t kSize>
void make_printable(char (&text)[kSize]) {
  text[kSize - 1] = '\0';
  for (char* c = text; *c != '\0'; ++c) {
    if (*c < ' ' || *c > '~') *c = '?';
  }
}

}  // namespace

Descriptor::~Descriptor() {
  if (fd_ >= 0) ::close(fd_);
}
Descriptor::Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
Descriptor& Descriptor::operator=(Descriptor&& other) noexcept {
  std::swap(fd_, other.fd_);
  return *this;
}

std::string find_worker(const std::string& named) {
  const char* variable = std::getenv("GLMOCR_PDF_WORKER");
  std::string chosen = !named.empty() ? named : variable != nullptr ? variable : "";
  if (!chosen.empty()) {
    if (::access(chosen.c_str(), X_OK) == 0) return chosen;
    fail(ErrorCode::device, cat("PDF files cannot be rendered: ", chosen, ": ", std::strerror(errno)));
  }
  std::vector<std::string> places;
  for (const fs::path& file : places_of_this_code()) {
    std::error_code error;
    const fs::path folder = fs::weakly_canonical(file, error).parent_path();
    for (const fs::path& bin :
         {folder, folder.parent_path() / "bin", folder.parent_path().parent_path() / "bin"}) {
      std::string place = (bin / kProgram).string();
      if (::access(place.c_str(), X_OK) == 0) return place;
      if (std::find(places.begin(), places.end(), place) == places.end()) places.push_back(std::move(place));
    }
  }
  fail(ErrorCode::device,
       cat("PDF files cannot be rendered: the program ", kProgram, " is missing; looked for ",
           join(places, ", "), " (GLMOCR_PDF_WORKER names another place)"));
}

WorkerProcess::WorkerProcess(const std::string& program, const char* choice, int document,
                             std::int64_t pixel_bytes)
    : pixel_bytes_(pixel_bytes) {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) fail_start("no socket pair");
  socket_ = Descriptor(ends[0]);
  const Descriptor its_socket(ends[1]);
  const Descriptor memory = make_pixel_memory(pixel_bytes);
  void* pixels = ::mmap(nullptr, static_cast<std::size_t>(pixel_bytes), PROT_READ | PROT_WRITE, MAP_SHARED,
                        memory.get(), 0);
  if (pixels == MAP_FAILED) fail_start("no shared memory");
  pixels_ = static_cast<std::uint8_t*>(pixels);
  try {
    start(program, choice, document, its_socket.get(), memory.get());
  } catch (...) {
    ::munmap(pixels, static_cast<std::size_t>(pixel_bytes));
    throw;
  }
}

WorkerProcess::~WorkerProcess() {
  end();
  ::munmap(pixels_, static_cast<std::size_t>(pixel_bytes_));
}

void WorkerProcess::start(const std::string& program, const char* choice, int document, int socket,
                          int memory) {
  const Descriptor socket_up = moved_up(socket, "its socket"), document_up = moved_up(document, "its file"),
                   memory_up = moved_up(memory, "its memory");
  SpawnPlan plan;
  plan.give(socket_up.get(), kSocketFd);
  plan.give(document_up.get(), kDocumentFd);
  plan.give(memory_up.get(), kPixelsFd);
  std::vector<std::string> arguments = {program, choice};
  std::vector<std::string> variables = worker_environment();
  errno = plan.start(pid_, program, pointers(arguments).data(), pointers(variables).data());
  if (errno != 0) {
    pid_ = -1;
    fail_start(cat(program, " cannot be started"));
  }
}

Reply WorkerProcess::ask(Request request, std::chrono::milliseconds limit,
                         const std::function<bool()>& cancelled) {
  const Cores core(cancelled);
  request.time_limit_s =
      static_cast<std::int32_t>(std::chrono::ceil<std::chrono::seconds>(limit + kGrace).count());
  const ssize_t put = ::send(socket_.get(), &request, sizeof request, MSG_NOSIGNAL);
  if (put != ssize_t{sizeof request}) throw WorkerLost{cat("the renderer ended before it began", end())};
  if (!wait_for_reply(limit, cancelled)) {
    end();
    throw WorkerLost{cat("the renderer was ended after ", std::chrono::duration<double>(limit).count(),
                         " s without a result")};
  }
  return receive(request.command, request.max_side);
}

// False where the time is up.
bool WorkerProcess::wait_for_reply(std::chrono::milliseconds limit,
                                   const std::function<bool()>& cancelled) const {
  const Clock::time_point deadline = Clock::now() + limit;
  for (;;) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now());
    if (left.count() <= 0) return false;
    pollfd fd{socket_.get(), POLLIN, 0};
    if (::poll(&fd, 1, static_cast<int>(std::min(left, kCancelInterval).count())) > 0) return true;
    if (cancelled && cancelled()) fail(ErrorCode::cancelled, "interrupted");
  }
}

Reply WorkerProcess::receive(Command command, int max_side) {
  Reply reply;
  ssize_t got = 0;
  do {
    got = ::recv(socket_.get(), &reply, sizeof reply, 0);
  } while (got < 0 && errno == EINTR);
  if (got <= 0) throw WorkerLost{cat("the renderer ended", end())};
  check_reply(reply, got, command, max_side, pixel_bytes_);
  return reply;
}

// Ends the process and says how it ended: " by signal 11 (Segmentation fault)".
std::string WorkerProcess::end() {
  if (pid_ < 0) return "";
  // What ended by itself keeps its own reason; a closed socket is noticed a moment before.
  int status = 0;
  pid_t ended = 0;
  for (int i = 0; i < 50 && ended == 0; ++i) {
    if (i > 0) ::usleep(1000);
    if (socket_.get() >= 0) {
      char byte;
      const bool closed = ::recv(socket_.get(), &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
      if (!closed) break;
    }
    ended = ::waitpid(pid_, &status, WNOHANG);
  }
  if (ended == 0) {
    ::kill(pid_, SIGKILL);
    while ((ended = ::waitpid(pid_, &status, 0)) < 0 && errno == EINTR) {
    }
  }
  pid_ = -1;
  if (ended < 0) return "";
  if (WIFSIGNALED(status))
    return cat(" by signal ", WTERMSIG(status), " (", ::strsignal(WTERMSIG(status)), ")");
  return cat(" with exit code ", WEXITSTATUS(status));
}

void check_reply(Reply& reply, std::int64_t got, Command command, int max_side, std::int64_t pixel_bytes) {
  if (got != std::int64_t{sizeof reply} || reply.version != kProtocolVersion) {
    throw WorkerLost{"glm-ocr-pdf is of another version"};
  }
  make_printable(reply.message);
  make_printable(reply.renderer);
  if (reply.status > Status::no_renderer) throw WorkerLost{"the renderer gave an unknown answer"};
  if (reply.status != Status::ok) return;
  if (command == Command::open) {
    if (reply.page_count < 0 || reply.page_count > INT32_MAX)
      throw WorkerLost{"the renderer gave a number of pages that cannot be"};
    return;
  }
  if (command == Command::add_text) return;
  if (command == Command::save || command == Command::more) {
    if (reply.bytes < 0 || reply.bytes > pixel_bytes || (reply.more != 0 && reply.bytes == 0))
      throw WorkerLost{"the renderer gave a piece of a file of a size that cannot be"};
    return;
  }
  const bool size =
      reply.width > 0 && reply.height > 0 && reply.width <= max_side && reply.height <= max_side;
  const bool pixels =
      command != Command::render ||
      (reply.stride / 3 >= reply.width && std::int64_t{reply.stride} * reply.height <= pixel_bytes);
  if (!size || !pixels) throw WorkerLost{"the renderer gave a picture of a size that cannot be"};
  const bool text = command != Command::text ||
                    (reply.count >= -1 && reply.count <= kMaxCharacters &&
                     std::int64_t{reply.count} * std::int64_t{sizeof(Character)} <= pixel_bytes);
  if (!text) throw WorkerLost{"the renderer gave a number of characters that cannot be"};
}

}  // namespace glmocr::pdf
