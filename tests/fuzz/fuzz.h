// SPDX-License-Identifier: Apache-2.0
// What the fuzzers share. A fuzzer ends with a crash where the code under test crashes, hangs, takes too much memory,
// throws anything but the documented Error, or breaks a promise that expect() checks.
#pragma once
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "glmocr/error.h"

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t max_size);

namespace glmocr::fuzz {

inline void expect(bool promise, std::string_view what) {
  if (promise) return;
  std::fprintf(stderr, "broken promise: %.*s\n", static_cast<int>(what.size()), what.data());
  std::abort();
}

// Runs `action`. False where it throws an Error of one of these codes, whose message must name `name`.
template <class Action>
bool attempt(std::initializer_list<ErrorCode> codes, std::string_view name, Action action) {
  try {
    action();
    return true;
  } catch (const Error& error) {
    const std::string message = error.what();
    expect(std::find(codes.begin(), codes.end(), error.code()) != codes.end(), "another code: " + message);
    expect(message.find(name) != std::string::npos, "the message lacks the name: " + message);
    return false;
  }
}

inline std::string_view as_text(const std::uint8_t* data, std::size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

// The parts of an input, which NUL bytes separate; at most `most`: the last one may hold NUL bytes.
inline std::vector<std::string> parts(std::string_view input, std::size_t most) {
  std::vector<std::string> found;
  while (found.size() + 1 < most) {
    const std::size_t end = input.find('\0');
    if (end == std::string_view::npos) break;
    found.emplace_back(input.substr(0, end));
    input.remove_prefix(end + 1);
  }
  found.emplace_back(input);
  return found;
}

// A folder in memory for the files of one run, removed when the fuzzer ends.
class Folder {
 public:
  Folder() {
    std::string name = std::filesystem::exists("/dev/shm") ? "/dev/shm" : "/tmp";
    name += "/glmocr-fuzz-XXXXXX";
    expect(::mkdtemp(name.data()) != nullptr, "no folder");
    path_ = name;
  }
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;

  const std::filesystem::path& path() const { return path_; }
  void write(const std::string& name, std::string_view content) const {
    std::ofstream file(path_ / name, std::ios::binary | std::ios::trunc);
    file.write(content.data(), static_cast<std::streamsize>(content.size()));
    expect(file.flush().good(), "the folder is full");
  }
  void remove(const std::string& name) const {
    std::error_code ignored;
    std::filesystem::remove(path_ / name, ignored);
  }

 private:
  std::filesystem::path path_;
};

}  // namespace glmocr::fuzz
