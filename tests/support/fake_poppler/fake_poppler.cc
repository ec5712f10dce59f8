// SPDX-License-Identifier: Apache-2.0
// In place of pdfinfo and pdftoppm, under whose names it is started: the second says, in the place of a page's first pixels,
// what it could do in its jail. The last word of the document chooses.
#include <fcntl.h>
#include <linux/io_uring.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>

namespace {

std::string text;

void tried(const char* name, long result) {
  text += std::string(name) + "=" + std::to_string(result < 0 ? errno : 0) + " ";
}

void attempt() {
  char program[] = "/bin/true";
  char* const arguments[] = {program, nullptr};
  const rlimit unlimited{RLIM_INFINITY, RLIM_INFINITY};
  // What must work: libraries and fonts are read.
  tried("read", ::open("/etc/passwd", O_RDONLY));
  text += "| ";
  tried("write", ::open("/dev/null", O_WRONLY));
  tried("readwrite", ::open("/dev/null", O_RDWR));
  tried("create", ::open("/tmp/glm-ocr-pdf-escaped", O_RDONLY | O_CREAT, 0600));
  tried("temporary", ::open("/tmp", O_RDWR | O_TMPFILE, 0600));
  tried("openat2", ::syscall(SYS_openat2, AT_FDCWD, "/etc/passwd", nullptr, 0));
  tried("rename", ::rename("/tmp/glm-ocr-a", "/tmp/glm-ocr-b"));
  tried("unlink", ::unlink("/tmp/glm-ocr-a"));
  tried("inet", ::socket(AF_INET, SOCK_STREAM, 0));
  tried("unix", ::socket(AF_UNIX, SOCK_STREAM, 0));
  tried("exec", ::execv(program, arguments));
  tried("execveat", ::syscall(SYS_execveat, AT_FDCWD, program, arguments, nullptr, 0));
  const long child = ::syscall(SYS_clone, SIGCHLD, nullptr, nullptr, nullptr, 0);
  if (child == 0) ::_exit(0);
  tried("fork", child);
  tried("kill", ::kill(::getppid(), 0));
  tried("ptrace", ::ptrace(PTRACE_ATTACH, ::getppid(), nullptr, nullptr));
  io_uring_params parameters{};
  tried("io_uring", ::syscall(SYS_io_uring_setup, 1, &parameters));
  tried("limit", ::setrlimit(RLIMIT_AS, &unlimited));
  // Where the jail lets the path of a program be: nothing may be mapped there.
  void* const place = reinterpret_cast<void*>(0x10000);
  constexpr int kAnonymous = MAP_PRIVATE | MAP_ANONYMOUS;
  const auto mapped = [](void* at) { return at == MAP_FAILED ? -1L : 0L; };
  tried("map", mapped(::mmap(place, 4096, PROT_READ | PROT_WRITE, kAnonymous | MAP_FIXED, -1, 0)));
  tried("grow", mapped(::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, kAnonymous | MAP_GROWSDOWN, -1, 0)));
  void* elsewhere = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, kAnonymous, -1, 0);
  tried("move", mapped(::mremap(elsewhere, 4096, 4096, MREMAP_MAYMOVE | MREMAP_FIXED, place)));
  tried("socketfd", ::write(3, "x", 1));
  // The one address that is allowed holds nothing.
  ::execve(static_cast<const char*>(place), arguments, nullptr);
  text += "again=" + std::to_string(errno);
}

std::string last_word(const char* file) {
  std::ifstream document(file);
  std::string word, last;
  while (document >> word) last = word;
  return last;
}

}  // namespace

int main(int count, char** arguments) {
  const std::string what = last_word(arguments[count - 1]);
  if (std::strstr(arguments[0], "pdfinfo") != nullptr) {
    if (what == "broken") std::fputs("Syntax Error: no good\n", stderr);
    if (what == "broken") return 1;
    std::puts("Title: x\nPages:    1\nPage    1 size: 400 x 100 pts (A0)\nPage    1 rot: 0");
    return 0;
  }
  if (what == "attempt") attempt();
  if (what == "crash") std::abort();
  if (what == "memory") {
    while (void* more = std::malloc(1 << 24)) std::memset(more, 1, 1 << 24);
    text = "refused";
  }
  const int width = what == "wide" ? 100'000 : 400, height = 100;
  std::printf("P6\n%d %d\n255\n", width, height);
  if (what == "hang") {
    for (;;) ::usleep(1000);
  }
  text.resize(static_cast<std::size_t>(3 * width * height), '\0');
  std::fwrite(text.data(), 1, what == "short" ? 1000 : text.size(), stdout);
  if (what == "long") std::fwrite(text.data(), 1, text.size(), stdout);
  return 0;
}
