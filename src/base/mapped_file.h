// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstddef>
#include <filesystem>
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

 private:
  const std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

// The whole file as a string. Throws Error{input} naming the file and the system's reason.
std::string read_file(const std::filesystem::path& path);

// Writes a file so that a reader sees either the old content or all of the new: a temporary file next to it,
// fsync, rename. A file that exists keeps its permissions; a new one gets those of the process's umask.
// Throws Error{input} naming the file, and then leaves no temporary file.
void write_file_atomically(const std::filesystem::path& path, std::string_view content);

}  // namespace glmocr
