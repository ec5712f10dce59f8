// SPDX-License-Identifier: Apache-2.0
#include "jobs/input_list.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <map>
#include <string_view>
#include <system_error>

#include "base/error.h"

namespace glmocr {
namespace {

namespace fs = std::filesystem;

constexpr std::array<std::string_view, 16> kExtensions = {".avif", ".bmp", ".gif",  ".heic", ".heif", ".jpeg",
                                                          ".jpg",  ".pbm", ".pdf",  ".pgm",  ".png",  ".pnm",
                                                          ".ppm",  ".tif", ".tiff", ".webp"};

bool is_hidden(const fs::path& path) { return path.filename().string().starts_with('.'); }

std::int64_t parse_part(std::string_view text, const std::string& whole) {
  std::int64_t value = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 0) {
    fail(ErrorCode::usage, cat("\"", whole, "\" is not like 0/4: a part from 0 and the number of parts"));
  }
  return value;
}

[[noreturn]] void fail_folder(const fs::path& folder, const std::error_code& error) {
  fail(ErrorCode::input, cat(folder.string(), ": cannot be read: ", error.message()));
}

bool is_same_folder(const fs::path& folder, const fs::path& other) {
  std::error_code error;
  return !other.empty() && fs::weakly_canonical(folder, error) == fs::weakly_canonical(other, error);
}

class NamedInputs {
 public:
  void add(const std::string& path, const std::string& name) {
    const auto [place, added] = paths_.emplace(name, path);
    if (!added) {
      fail(ErrorCode::usage, cat(path, ": would have the same output as ", place->second,
                                 ": read them in two runs, or the folder that holds both"));
    }
    inputs_.push_back({path, name});
  }
  std::vector<JobInput> take() { return std::move(inputs_); }

 private:
  std::vector<JobInput> inputs_;
  std::map<std::string, std::string> paths_;  // by name
};

}  // namespace

Shard Shard::parse(const std::string& text) {
  const std::size_t slash = text.find('/');
  Shard shard;
  shard.index = parse_part(std::string_view(text).substr(0, slash), text);
  shard.count = slash == std::string::npos ? 0 : parse_part(std::string_view(text).substr(slash + 1), text);
  if (shard.index >= shard.count) {
    fail(ErrorCode::usage, cat("\"", text, "\": there is no part ", shard.index, " of ", shard.count,
                               "; they are counted from 0"));
  }
  return shard;
}

bool Shard::has(const std::string& name) const {
  return name_hash(name) % static_cast<std::uint64_t>(count) == static_cast<std::uint64_t>(index);
}

std::uint64_t name_hash(const std::string& name) {
  std::uint64_t hash = 0xcbf29ce484222325;
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return hash;
}

std::string hexadecimal(std::uint64_t number) {
  std::string text;
  for (int shift = 60; shift >= 0; shift -= 4) text += "0123456789abcdef"[number >> shift & 15];
  return text;
}

bool has_document_extension(const fs::path& file) {
  std::string extension = file.extension().string();
  std::transform(extension.begin(), extension.end(), extension.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  return std::find(kExtensions.begin(), kExtensions.end(), extension) != kExtensions.end();
}

std::vector<fs::path> folder_files(const fs::path& folder, const fs::path& output) {
  std::vector<fs::path> files;
  std::error_code error;
  auto entry = fs::recursive_directory_iterator(folder, error);
  if (error) fail_folder(folder, error);
  while (entry != fs::recursive_directory_iterator()) {
    std::error_code ignored;
    const fs::path& path = entry->path();
    if (entry->is_directory(ignored) && (is_hidden(path) || is_same_folder(path, output)))
      entry.disable_recursion_pending();
    if (!is_hidden(path) && has_document_extension(path) && entry->is_regular_file(ignored))
      files.push_back(path);
    entry.increment(error);
    if (error) fail_folder(folder, error);
  }
  std::sort(files.begin(), files.end());
  return files;
}

void expand_folders(std::vector<std::string>& files, const fs::path& output) {
  std::vector<std::string> all;
  for (std::string& file : files) {
    std::error_code error;
    if (file == "-" || !fs::is_directory(file, error)) {
      all.push_back(std::move(file));
      continue;
    }
    const std::vector<fs::path> inside = folder_files(file, output);
    if (inside.empty())
      fail(ErrorCode::input, cat(file, ": there are no pictures or PDF files in this folder"));
    for (const fs::path& path : inside) all.push_back(path.string());
  }
  files = std::move(all);
}

std::vector<JobInput> list_inputs(const std::vector<std::string>& arguments, const fs::path& output) {
  NamedInputs inputs;
  for (const std::string& argument : arguments) {
    std::error_code error;
    if (argument == "-") {
      inputs.add(argument, "stdin");
    } else if (fs::is_directory(argument, error)) {
      if (is_same_folder(argument, output))
        fail(ErrorCode::usage,
             cat(argument, ": is the folder of outputs as well; the next run would read them"));
      for (const fs::path& file : folder_files(argument, output))
        inputs.add(file.string(), file.lexically_relative(argument).string());
    } else {
      inputs.add(argument, fs::path(argument).filename().string());
    }
  }
  return inputs.take();
}

}  // namespace glmocr
