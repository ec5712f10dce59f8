// SPDX-License-Identifier: Apache-2.0
#include "base/mapped_file.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "base/error.h"
#include "base/memory.h"
#include "base/numbers.h"

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

// 0 for a pipe or a device.
std::int64_t file_size(int fd, const std::filesystem::path& path) {
  struct stat info {};
  if (::fstat(fd, &info) != 0) fail_system(path, "cannot be examined");
  if (S_ISDIR(info.st_mode)) fail(ErrorCode::input, cat(path.string(), ": is a folder, expected a file"));
  return info.st_size;
}

// Does not wait for the writer of a pipe. Throws where the file is neither regular nor a folder.
int open_regular(const std::filesystem::path& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  struct stat info {};
  if (fd < 0 || ::fstat(fd, &info) != 0 || S_ISREG(info.st_mode) || S_ISDIR(info.st_mode)) return fd;
  ::close(fd);
  fail(ErrorCode::input, cat(path.string(), ": is a pipe or a device, expected a file"));
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

[[noreturn]] void refuse_length(const std::string& name, std::int64_t most) {
  fail(ErrorCode::memory, cat(name, ": has more than ", size_text(most), ", the most that is read"));
}

// Grows in large steps, none of them from more than half of `most`: while the content is copied, little of it exists twice.
void append(std::string& content, std::string_view block, const std::string& name, std::int64_t most) {
  const std::size_t size = content.size() + block.size();
  if (size > static_cast<std::size_t>(most)) refuse_length(name, most);
  if (size > content.capacity()) {
    const std::size_t larger = 4 * content.capacity();
    content.reserve(std::max<std::size_t>(size, larger > static_cast<std::size_t>(most) / 2 ? most : larger));
  }
  content += block;
}

void read_rest(std::string& content, int fd, const std::string& name, std::int64_t most) {
  char block[1 << 16];
  for (;;) {
    const ssize_t got = ::read(fd, block, sizeof block);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
      pollfd ready{fd, POLLIN, 0};
      ::poll(&ready, 1, -1);
      continue;
    }
    if (got < 0) fail_system(name, "cannot be read");
    if (got == 0) return;
    append(content, {block, static_cast<std::size_t>(got)}, name, most);
  }
}

}  // namespace

MappedFile::MappedFile(const std::filesystem::path& path) {
  const FileDescriptor file(open_regular(path));
  if (file.get() < 0) fail_system(path, "cannot be opened");
  size_ = file_size(file.get(), path);
  if (size_ == 0) return;
  void* mapped = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file.get(), 0);
  if (mapped == MAP_FAILED) fail_system(path, "cannot be mapped");
  data_ = static_cast<const std::byte*>(mapped);
}

MappedFile::~MappedFile() {
  if (data_) ::munmap(const_cast<std::byte*>(data_), size_);
}

void MappedFile::release(std::span<const std::byte> part) const {
  const std::size_t page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  if (!data_ || part.data() < data_ || part.data() + part.size() > data_ + size_) return;
  const std::size_t begin = round_up<std::size_t>(part.data() - data_, page);
  const std::size_t end = (part.data() + part.size() - data_) / page * page;
  if (begin < end) ::madvise(const_cast<std::byte*>(data_) + begin, end - begin, MADV_DONTNEED);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

std::string read_file(const std::filesystem::path& path, std::int64_t most, FileKind kind) {
  const FileDescriptor file(kind == FileKind::any ? ::open(path.c_str(), O_RDONLY | O_CLOEXEC)
                                                  : open_regular(path));
  if (file.get() < 0) fail_system(path, "cannot be opened");
  const std::int64_t size = file_size(file.get(), path);
  if (size > most) refuse_length(path.string(), most);
  std::string content;
  content.reserve(size);
  read_rest(content, file.get(), path.string(), most);
  return content;
}

std::string read_descriptor(int fd, const std::string& name, std::int64_t most) {
  std::string content;
  read_rest(content, fd, name, most);
  return content;
}

struct AtomicFile::State {
  explicit State(std::filesystem::path path) : path(std::move(path)) {}

  mode_t first_mode() {
    replaces = ::stat(path.c_str(), &old) == 0;
    return replaces ? old.st_mode & 0777 & ~S_IRWXG & ~S_IRWXO : 0666;
  }

  std::filesystem::path path;
  struct stat old {};
  bool replaces = false;
  TemporaryFile file{path, first_mode()};
};

AtomicFile::AtomicFile(std::filesystem::path path) : state_(std::make_unique<State>(std::move(path))) {}
AtomicFile::~AtomicFile() = default;
AtomicFile::AtomicFile(AtomicFile&&) noexcept = default;

void AtomicFile::write(std::string_view piece) {
  while (!piece.empty()) {
    const ssize_t put = ::write(state_->file.get(), piece.data(), piece.size());
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) fail_system(state_->path, "cannot be written");
    piece.remove_prefix(put);
  }
}

void AtomicFile::commit() {
  const int file = state_->file.get();
  if (state_->replaces && ::fchmod(file, state_->old.st_mode & 0777) != 0)
    fail_system(state_->path, "cannot be written");
  if (::fsync(file) != 0) fail_system(state_->path, "cannot be written");
  state_->file.become(state_->path);
}

void write_file_atomically(const std::filesystem::path& path, std::string_view content) {
  AtomicFile file(path);
  file.write(content);
  file.commit();
}

}  // namespace glmocr
