// SPDX-License-Identifier: Apache-2.0
#include "base/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "base/error.h"

namespace glmocr {
namespace {

class FileDescriptor {
 public:
  explicit FileDescriptor(int fd) : fd_(fd) {}
  ~FileDescriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  FileDescriptor(const FileDescriptor&) = delete;
  FileDescriptor& operator=(const FileDescriptor&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

[[noreturn]] void fail_system(const std::filesystem::path& path, const char* what) {
  fail(ErrorCode::input, cat(path.string(), ": ", what, ": ", std::strerror(errno)));
}

std::int64_t regular_file_size(int fd, const std::filesystem::path& path) {
  struct stat info {};
  if (::fstat(fd, &info) != 0) fail_system(path, "cannot be examined");
  if (S_ISDIR(info.st_mode)) fail(ErrorCode::input, cat(path.string(), ": is a folder, expected a file"));
  return info.st_size;
}

// A new file in the folder of `path` under a name of its own, removed unless it becomes `path`. The name is
// short, so that every name that the folder takes can be written.
class TemporaryFile {
 public:
  // The process's umask is taken off the mode, by the system.
  TemporaryFile(const std::filesystem::path& path, mode_t mode) {
    static std::atomic<unsigned> count = 0;
    do {
      name_ = path.parent_path() / cat(".", ::getpid(), "-", count++, ".tmp");
      fd_ = ::open(name_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    } while (fd_ < 0 && errno == EEXIST);
    if (fd_ < 0) fail_system(path, "cannot be written");
  }
  ~TemporaryFile() {
    ::close(fd_);
    if (!name_.empty()) ::unlink(name_.c_str());
  }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;

  int get() const { return fd_; }
  void become(const std::filesystem::path& path) {
    if (::rename(name_.c_str(), path.c_str()) != 0) fail_system(path, "cannot be written");
    name_.clear();
  }

 private:
  std::filesystem::path name_;
  int fd_ = -1;
};

}  // namespace

MappedFile::MappedFile(const std::filesystem::path& path) {
  const FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.get() < 0) fail_system(path, "cannot be opened");
  size_ = regular_file_size(file.get(), path);
  if (size_ == 0) return;
  void* mapped = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file.get(), 0);
  if (mapped == MAP_FAILED) fail_system(path, "cannot be mapped");
  data_ = static_cast<const std::byte*>(mapped);
}

MappedFile::~MappedFile() {
  if (data_) ::munmap(const_cast<std::byte*>(data_), size_);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

std::string read_file(const std::filesystem::path& path) {
  const FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.get() < 0) fail_system(path, "cannot be opened");
  std::string content;
  content.reserve(regular_file_size(file.get(), path));
  char block[1 << 16];
  for (;;) {
    const ssize_t got = ::read(file.get(), block, sizeof block);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail_system(path, "cannot be read");
    if (got == 0) return content;
    content.append(block, got);
  }
}

void write_file_atomically(const std::filesystem::path& path, std::string_view content) {
  struct stat old {};
  const bool replaces = ::stat(path.c_str(), &old) == 0;
  TemporaryFile file(path, replaces ? old.st_mode & 0777 & ~S_IRWXG & ~S_IRWXO : 0666);
  while (!content.empty()) {
    const ssize_t put = ::write(file.get(), content.data(), content.size());
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) fail_system(path, "cannot be written");
    content.remove_prefix(put);
  }
  if (replaces && ::fchmod(file.get(), old.st_mode & 0777) != 0) fail_system(path, "cannot be written");
  if (::fsync(file.get()) != 0) fail_system(path, "cannot be written");
  file.become(path);
}

}  // namespace glmocr
