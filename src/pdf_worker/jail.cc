// SPDX-License-Identifier: Apache-2.0
#include "pdf_worker/jail.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include <cstring>
#include <initializer_list>

#include "pdf/protocol.h"
#include "pdf_worker/filter.h"

namespace glmocr::pdf {
namespace {

using Kind = Condition::Kind;

constexpr rlim_t kMemory = rlim_t{1} << 30;
// Where become() keeps the path of the program. Below it and up to kLowestMapping the jail lets nothing be mapped.
constexpr std::uint64_t kPathAddress = 0x10000;  // the lowest that ordinary systems allow
constexpr std::uint64_t kLowestMapping = 0x100000;
constexpr int kPathSize = 4096;

void* path_address() { return reinterpret_cast<void*>(kPathAddress); }  // NOLINT(performance-no-int-to-ptr)

bool limit(int resource, rlim_t value) {
  rlimit limits{};
  if (::getrlimit(static_cast<__rlimit_resource_t>(resource), &limits) != 0) return false;
  if (limits.rlim_max != RLIM_INFINITY && limits.rlim_max < value) value = limits.rlim_max;
  limits = {value, value};
  return ::setrlimit(static_cast<__rlimit_resource_t>(resource), &limits) == 0;
}

bool set_limits(rlim_t descriptors) {
  return limit(RLIMIT_AS, kMemory) && limit(RLIMIT_CORE, 0) && limit(RLIMIT_FSIZE, 0) &&
         limit(RLIMIT_NOFILE, descriptors);
}

void allow_all(Filter& filter, std::initializer_list<int> calls) {
  for (const int call : calls) filter.allow(call);
}

// Memory without code, the clock, and the end.
void allow_computing(Filter& filter) {
  allow_all(filter,
            {SYS_brk, SYS_munmap, SYS_futex, SYS_exit, SYS_exit_group, SYS_rt_sigreturn, SYS_rt_sigprocmask,
             SYS_clock_gettime, SYS_gettimeofday, SYS_getrandom, SYS_getpid, SYS_gettid, SYS_sched_yield});
  filter.allow(SYS_madvise);
  filter.allow(SYS_mremap, {{3, Kind::has_none, MREMAP_FIXED}});
#ifdef SYS_time
  filter.allow(SYS_time);
#endif
}

}  // namespace

bool enter_jail() {
  Filter filter;
  allow_computing(filter);
  filter.allow(SYS_mmap, {{2, Kind::has_none, PROT_EXEC}, {4, Kind::is, static_cast<std::uint32_t>(-1)}});
  filter.allow(SYS_mprotect, {{2, Kind::has_none, PROT_EXEC}});
  filter.allow(SYS_read, {{0, Kind::is, kSocketFd}});
  filter.allow(SYS_write, {{0, Kind::is, kSocketFd}});
  filter.allow(SYS_recvfrom, {{0, Kind::is, kSocketFd}});
  filter.allow(SYS_pread64, {{0, Kind::is, kDocumentFd}});
  filter.allow(SYS_setitimer, {{0, Kind::is, ITIMER_REAL}});
  return set_limits(16) && filter.install();
}

bool enter_program_jail() {
  void* path = ::mmap(path_address(), kPathSize, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
  if (path != path_address()) return false;
  Filter filter;
  allow_computing(filter);
  filter.allow(SYS_execve, {{0, Kind::is_pointer, kPathAddress}});
  filter.allow(SYS_mmap, {{0, Kind::zero_or_above, kLowestMapping}, {3, Kind::has_none, MAP_GROWSDOWN}});
  filter.allow(SYS_mprotect);
  constexpr int kWriting = O_WRONLY | O_RDWR | O_CREAT | O_TRUNC;  // O_TMPFILE needs one of the first two
  filter.allow(SYS_openat, {{2, Kind::has_none, kWriting}});
#ifdef SYS_open
  filter.allow(SYS_open, {{1, Kind::has_none, kWriting}});
  allow_all(filter, {SYS_stat, SYS_lstat, SYS_access, SYS_readlink, SYS_arch_prctl});
#endif
  allow_all(filter, {SYS_read, SYS_pread64, SYS_readv, SYS_lseek, SYS_close, SYS_fstat, SYS_newfstatat,
                     SYS_statx, SYS_faccessat, SYS_readlinkat, SYS_getdents64, SYS_fadvise64, SYS_getcwd,
                     SYS_statfs, SYS_fstatfs});
  for (const int out : {STDOUT_FILENO, STDERR_FILENO}) {
    filter.allow(SYS_write, {{0, Kind::is, static_cast<std::uint64_t>(out)}});
    filter.allow(SYS_writev, {{0, Kind::is, static_cast<std::uint64_t>(out)}});
  }
  filter.allow(SYS_fcntl, {{1, Kind::is, F_GETFD}});
  filter.allow(SYS_fcntl, {{1, Kind::is, F_SETFD}});
  filter.allow(SYS_fcntl, {{1, Kind::is, F_GETFL}});
  filter.allow(SYS_prlimit64, {{2, Kind::is_pointer, 0}});  // reading them
  allow_all(filter, {SYS_set_tid_address, SYS_set_robust_list, SYS_rseq, SYS_rt_sigaction, SYS_uname,
                     SYS_sysinfo, SYS_sched_getaffinity, SYS_getuid, SYS_geteuid, SYS_getgid, SYS_getegid});
  return set_limits(64) && filter.install();
}

void become(const char* path, char* const* arguments, char* const* environment) {
  const std::size_t size = std::strlen(path) + 1;
  if (size > kPathSize) return;
  char* known = static_cast<char*>(path_address());
  std::memcpy(known, path, size);
  ::execve(known, arguments, environment);
}

}  // namespace glmocr::pdf
