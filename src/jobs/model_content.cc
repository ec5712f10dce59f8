// SPDX-License-Identifier: Apache-2.0
#include "jobs/model_content.h"

#include <algorithm>
#include <cstdint>
#include <map>
#include <system_error>

#include "base/error.h"
#include "base/mapped_file.h"
#include "jobs/input_list.h"

namespace glmocr {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kPiece = 64;                       // bytes: all values in it change with training
constexpr std::size_t kPieces = 2048;                    // of a file, or more
constexpr std::size_t kFarthest = std::size_t{1} << 20;  // between the beginnings of two

// Pieces of a file with weights; all of a small one.
std::string pieces_of(std::string_view bytes) {
  const std::size_t step = std::clamp(bytes.size() / kPieces, kPiece, kFarthest);
  std::string pieces;
  for (std::size_t at = 0; at < bytes.size(); at += step) pieces += bytes.substr(at, kPiece);
  return pieces;
}

}  // namespace

std::string model_content(const fs::path& snapshot) {
  std::map<std::string, std::string> contents;  // in the order of names
  std::error_code error;
  for (fs::directory_iterator entry(snapshot, error), end; !error && entry != end; entry.increment(error)) {
    const std::string type = entry->path().extension().string();
    if ((type != ".json" && type != ".safetensors") || !entry->is_regular_file()) continue;
    const MappedFile file(entry->path());
    const std::string_view bytes(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
    const std::string content = type == ".json" ? std::string(bytes) : pieces_of(bytes);
    contents[entry->path().filename().string()] = cat(bytes.size(), " ", name_hash(content));
  }
  if (error) fail(ErrorCode::input, cat(snapshot.string(), ": cannot be listed: ", error.message()));
  std::string all;
  for (const auto& [name, content] : contents) all += cat(name, " ", content, "\n");
  return hexadecimal(name_hash(all));
}

}  // namespace glmocr
