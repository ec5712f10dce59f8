// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace glmocr {

// A file mapped read-only into memory; unmapped with the object. The constructor throws Error{input} naming
// the file.
class MappedFile {
 public:
  MappedFile() = default;
  explicit MappedFile(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;

  std::span<const std::byte> bytes() const { return {data_, size_}; }

  // Gives back the memory of these pages, where they are this file's; bytes that are used again are read again.
  void release(std::span<const std::byte> part) const;

 private:
  const std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

// Files of text are refused beyond this size: reading a device may never end.
inline constexpr std::int64_t kLongestText = std::int64_t{256} << 20;

enum class FileKind { any, regular };  // regular: a pipe without a writer would be waited for

// The whole file as a string. Throws Error{input} naming the file and the system's reason, Error{memory} where it has
// more than `most` bytes.
std::string read_file(const std::filesystem::path& path, std::int64_t most = kLongestText,
                      FileKind kind = FileKind::any);

// What is left of an open file, such as standard input; `name` is its name in errors. Waits for the writer of a pipe that
// somebody made non-blocking. Throws as read_file does.
std::string read_descriptor(int fd, const std::string& name, std::int64_t most = kLongestText);

// A file that is written piece by piece and takes the place of `path` as a whole, so that a reader sees either the old
// content or all of the new: a temporary file next to it, fsync, rename. A file that exists keeps its permissions; a new one
// gets those of the process's umask. The functions throw Error{input} naming the file. Without commit(), no file is left.
class AtomicFile {
 public:
  explicit AtomicFile(std::filesystem::path path);
  ~AtomicFile();
  AtomicFile(AtomicFile&&) noexcept;

  void write(std::string_view piece);
  void commit();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// The same for a content that is there.
void write_file_atomically(const std::filesystem::path& path, std::string_view content);

}  // namespace glmocr
