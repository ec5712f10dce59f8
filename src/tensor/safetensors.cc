// SPDX-License-Identifier: Apache-2.0
#include "tensor/safetensors.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <set>

#include "base/json.h"

namespace glmocr {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kMaxHeaderBytes = 100'000'000;  // the limit of the reference implementation

// Bytes of a value of a safetensors type; nothing for an unknown type.
std::optional<std::int64_t> bytes_of_type(const std::string& name) {
  static const std::map<std::string, std::int64_t> sizes{
      {"F64", 8}, {"F32", 4}, {"F16", 2},     {"BF16", 2},    {"I64", 8}, {"U64", 8}, {"I32", 4}, {"U32", 4},
      {"I16", 2}, {"U16", 2}, {"F8_E4M3", 1}, {"F8_E5M2", 1}, {"I8", 1},  {"U8", 1},  {"BOOL", 1}};
  const auto found = sizes.find(name);
  return found == sizes.end() ? std::nullopt : std::optional(found->second);
}

[[noreturn]] void bad(const fs::path& file, const std::string& what) {
  fail(ErrorCode::model, cat(file.string(), ": ", what));
}

std::vector<std::int64_t> read_integers(const Json& entry, const char* key, const fs::path& file,
                                        const std::string& tensor) {
  std::vector<std::int64_t> values;
  if (entry.is_object() && entry.contains(key) && entry[key].is_array()) {
    for (const Json& value : entry[key]) {
      if (!value.is_number_unsigned()) bad(file, cat("tensor ", tensor, ": ", key, " holds ", value.dump()));
      values.push_back(value.get<std::int64_t>());
    }
    return values;
  }
  bad(file, cat("tensor ", tensor, ": no list \"", key, "\" in the header"));
}

StoredTensor read_entry(const Json& entry, const std::string& name, const fs::path& file,
                        std::span<const std::byte> data) {
  const std::vector<std::int64_t> shape = read_integers(entry, "shape", file, name);
  const std::vector<std::int64_t> offsets = read_integers(entry, "data_offsets", file, name);
  if (!entry.contains("dtype") || !entry["dtype"].is_string()) bad(file, cat("tensor ", name, ": no dtype"));
  if (offsets.size() != 2 || offsets[0] < 0 || offsets[1] < offsets[0] || offsets[1] > std::ssize(data)) {
    bad(file, cat("tensor ", name, ": data_offsets ", entry["data_offsets"].dump(), " leave the file's ",
                  data.size(), " bytes of data (is the file truncated?)"));
  }
  if (shape.size() > Shape::kMaxRank) bad(file, cat("tensor ", name, ": ", shape.size(), " dimensions"));
  StoredTensor tensor;
  tensor.file = file.string();
  tensor.dtype_name = entry["dtype"].get<std::string>();
  tensor.shape = Shape(shape);
  tensor.data = data.data() + offsets[0];
  tensor.bytes = offsets[1] - offsets[0];
  if (const auto size = bytes_of_type(tensor.dtype_name)) {
    std::int64_t expected = *size;
    for (const std::int64_t dim : shape) {
      if (dim < 0 || __builtin_mul_overflow(expected, dim, &expected)) {
        bad(file, cat("tensor ", name, ": impossible shape ", to_string(tensor.shape)));
      }
    }
    if (expected != tensor.bytes) {
      bad(file, cat("tensor ", name, ": shape ", to_string(tensor.shape), " of ", tensor.dtype_name,
                    " needs ", expected, " bytes, data_offsets give ", tensor.bytes));
    }
  }
  return tensor;
}

void check_overlaps(const std::map<std::string, StoredTensor>& tensors, const fs::path& file) {
  std::vector<std::pair<const std::byte*, const std::string*>> starts;
  for (const auto& [name, tensor] : tensors) {
    if (tensor.file == file.string() && tensor.bytes > 0) starts.emplace_back(tensor.data, &name);
  }
  std::sort(starts.begin(), starts.end());
  for (std::int64_t i = 1; i < std::ssize(starts); ++i) {
    const StoredTensor& before = tensors.at(*starts[i - 1].second);
    if (before.data + before.bytes > starts[i].first) {
      bad(file, cat("tensors ", *starts[i - 1].second, " and ", *starts[i].second, " overlap"));
    }
  }
}

// File name of each tensor as the index says.
std::map<std::string, std::string> read_index(const fs::path& path) {
  const Json index = load_json(path);
  if (!index.is_object() || !index.contains("weight_map") || !index["weight_map"].is_object()) {
    bad(path, "no object \"weight_map\"");
  }
  std::map<std::string, std::string> shard_of;
  for (const auto& [tensor, file] : index["weight_map"].items()) {
    if (!file.is_string()) bad(path, cat("weight_map: ", tensor, " names no file"));
    const auto name = file.get<std::string>();
    if (fs::path(name).filename() != name || name.empty()) {
      bad(path, cat("weight_map: ", tensor, " names \"", name, "\", which is not a file of this folder"));
    }
    shard_of[tensor] = name;
  }
  if (shard_of.empty()) bad(path, "weight_map names no tensor");
  return shard_of;
}

}  // namespace

void SafetensorsFiles::add_file(const fs::path& path) {
  std::error_code ignored;
  if (!fs::exists(path, ignored)) bad(path, "does not exist");
  try {
    files_.push_back(std::make_shared<const MappedFile>(path));
  } catch (const Error& error) {
    fail(ErrorCode::model, error.what());
  }
  const std::span<const std::byte> bytes = files_.back()->bytes();
  std::uint64_t header_size = 0;
  if (bytes.size() < sizeof header_size) bad(path, cat("is no safetensors file: ", bytes.size(), " bytes"));
  std::memcpy(&header_size, bytes.data(), sizeof header_size);
  if (header_size > kMaxHeaderBytes || header_size > bytes.size() - sizeof header_size) {
    bad(path, cat("is no safetensors file, or truncated: a header of ", header_size, " bytes in a file of ",
                  bytes.size()));
  }
  const auto* text = reinterpret_cast<const char*>(bytes.data() + sizeof header_size);
  const Json header = parse_json({text, header_size}, cat(path.string(), ": header"));
  if (!header.is_object()) bad(path, "the header is no JSON object");
  const std::span<const std::byte> data = bytes.subspan(sizeof header_size + header_size);
  for (const auto& [name, entry] : header.items()) {
    if (name == "__metadata__") continue;
    StoredTensor tensor = read_entry(entry, name, path, data);
    const auto [place, fresh] = tensors_.emplace(name, std::move(tensor));
    if (!fresh) bad(path, cat("tensor ", name, " is in ", place->second.file, " too"));
  }
  check_overlaps(tensors_, path);
}

SafetensorsFiles SafetensorsFiles::open(const fs::path& snapshot) {
  SafetensorsFiles files;
  std::error_code ignored;
  const fs::path index = snapshot / "model.safetensors.index.json";
  if (!fs::exists(index, ignored)) {
    const fs::path single = snapshot / "model.safetensors";
    if (!fs::exists(single, ignored)) {
      bad(snapshot, "holds neither model.safetensors nor model.safetensors.index.json");
    }
    files.add_file(single);
    return files;
  }
  const std::map<std::string, std::string> shard_of = read_index(index);
  std::set<std::string> shards;
  for (const auto& [tensor, shard] : shard_of) shards.insert(shard);
  for (const std::string& shard : shards) files.add_file(snapshot / shard);
  for (const auto& [tensor, shard] : shard_of) {
    const auto found = files.tensors_.find(tensor);
    if (found == files.tensors_.end()) bad(index, cat("tensor ", tensor, " is not in ", shard));
    const std::string stored_in = fs::path(found->second.file).filename().string();
    if (stored_in != shard) {
      bad(index, cat("tensor ", tensor, " is in ", stored_in, ", not ", shard));
    }
  }
  for (const auto& [tensor, stored] : files.tensors_) {
    if (!shard_of.contains(tensor)) {
      bad(stored.file, cat("tensor ", tensor, " is not in the index"));
    }
  }
  return files;
}

void SafetensorsFiles::release(const StoredTensor& tensor) const {
  for (const auto& file : files_) file->release({tensor.data, static_cast<std::size_t>(tensor.bytes)});
}

}  // namespace glmocr
