// SPDX-License-Identifier: Apache-2.0
#include "models/glm_ocr/quantize_files.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/mapped_file.h"
#include "base/numbers.h"
#include "models/glm_ocr/config.h"
#include "models/glm_ocr/tensor_names.h"
#include "models/weight_loader.h"
#include "tensor/int8.h"

namespace glmocr {
namespace {

namespace fs = std::filesystem;

constexpr const char* kConfig = "config.json";
constexpr const char* kIndex = "model.safetensors.index.json";

// A tensor of the new file: one of the old snapshot, as it is, in eight bits, or the scales of one.
struct Output {
  enum class Kind { copy, values, scales } kind = Kind::copy;
  std::string name;
  const StoredTensor* from = nullptr;

  std::string dtype() const {
    return kind == Kind::values ? "I8" : kind == Kind::scales ? "F32" : from->dtype_name;
  }
  std::int64_t bytes() const {
    if (kind == Kind::values) return from->shape.numel();
    return kind == Kind::scales ? 4 * from->shape[0] : from->bytes;
  }
  std::vector<std::int64_t> shape() const {
    if (kind == Kind::scales) return {from->shape[0], 1};
    std::vector<std::int64_t> dims;
    for (int i = 0; i < from->shape.rank(); ++i) dims.push_back(from->shape[i]);
    return dims;
  }
};

// What WeightLoader::linear loads. The draft layer is not loaded yet and stays as it is.
bool is_product(const std::string& name, const StoredTensor& tensor, const std::string& mtp) {
  const bool named =
      name.ends_with("proj.weight") || name.ends_with("qkv.weight") || name.ends_with("lm_head.weight");
  return named && tensor.shape.rank() == 2 && !name.starts_with(mtp) && !name.starts_with(mlx_name(mtp));
}

void check_type(const std::string& name, const StoredTensor& tensor) {
  const std::string& type = tensor.dtype_name;
  if (type == "BF16" || type == "F16" || type == "F32") return;
  const std::string where = cat(tensor.file, ": tensor ", name);
  if (type == "I8") fail(ErrorCode::model, cat(where, " has eight bits already"));
  fail(ErrorCode::model, cat(where, " is stored as ", type, ", expected BF16, F16 or F32"));
}

std::vector<Output> outputs_of(const SafetensorsFiles& files, const std::string& mtp) {
  std::vector<Output> outputs;
  for (const auto& [name, tensor] : files.tensors()) {
    if (!is_product(name, tensor, mtp)) {
      outputs.push_back({Output::Kind::copy, name, &tensor});
      continue;
    }
    check_type(name, tensor);
    outputs.push_back({Output::Kind::values, name, &tensor});
    outputs.push_back({Output::Kind::scales, name + "_scale", &tensor});
  }
  return outputs;
}

// Length and text of the header, as safetensors begins.
std::string header_of(const std::vector<Output>& outputs) {
  Json header = {{"__metadata__", {{"format", "pt"}}}};
  std::int64_t at = 0;
  for (const Output& output : outputs) {
    header[output.name] = {
        {"dtype", output.dtype()}, {"shape", output.shape()}, {"data_offsets", {at, at + output.bytes()}}};
    at += output.bytes();
  }
  std::string text = header.dump();
  text.resize(round_up<std::size_t>(text.size(), 8), ' ');
  const std::uint64_t length = text.size();
  std::string bytes(sizeof length, '\0');
  std::memcpy(bytes.data(), &length, sizeof length);
  return bytes + text;
}

std::string_view bytes_of(const void* data, std::int64_t size) {
  return {static_cast<const char*>(data), static_cast<std::size_t>(size)};
}

void check_cancelled(const std::function<bool()>& cancelled) {
  if (cancelled && cancelled()) fail(ErrorCode::cancelled, "interrupted");
}

// The rows of a matrix one by one: their values are written, or their scales.
void write_quantized(AtomicFile& file, const Output& output, const std::function<bool()>& cancelled) {
  const std::int64_t rows = output.from->shape[0], width = output.from->shape[1];
  std::vector<float> row(width), scales;
  std::vector<std::int8_t> values(width);
  for (std::int64_t r = 0; r < rows; ++r) {
    check_cancelled(cancelled);
    widen_values(*output.from, r * width, row);
    scales.push_back(quantize_row(row.data(), width, values.data()));
    if (!std::isfinite(scales.back())) {
      fail(ErrorCode::model, cat(output.from->file, ": tensor ", output.name, ": row ", r,
                                 " holds a value that is not finite (NaN or infinity)"));
    }
    if (output.kind == Output::Kind::values) file.write(bytes_of(values.data(), width));
  }
  if (output.kind == Output::Kind::scales) file.write(bytes_of(scales.data(), 4 * rows));
}

Json quantization_config() {
  const Json weights = {
      {"num_bits", 8}, {"type", "int"}, {"symmetric", true}, {"strategy", "channel"}, {"dynamic", false}};
  const Json activations = {
      {"num_bits", 8}, {"type", "int"}, {"symmetric", true}, {"strategy", "token"}, {"dynamic", true}};
  return {
      {"quant_method", "compressed-tensors"},
      {"format", "int-quantized"},
      {"quantization_status", "compressed"},
      {"ignore", Json::array()},
      {"config_groups",
       {{"group_0", {{"targets", {"Linear"}}, {"weights", weights}, {"input_activations", activations}}}}}};
}

// A file of weights in any form, or one that says where those are.
bool has_weights(std::string_view name) {
  constexpr std::array<std::string_view, 11> kEnds = {".safetensors", ".bin",     ".pt",        ".pth",
                                                      ".ckpt",        ".gguf",    ".onnx",      ".onnx_data",
                                                      ".h5",          ".msgpack", ".index.json"};
  return std::any_of(kEnds.begin(), kEnds.end(), [&](std::string_view end) { return name.ends_with(end); });
}

// In no memory of this process, whatever the file's size.
void copy_mapped(const fs::path& from, const fs::path& to) {
  MappedFile source;
  try {
    source = MappedFile(from);
  } catch (const Error& error) {
    fail(ErrorCode::model, error.what());
  }
  AtomicFile file(to);
  file.write(bytes_of(source.bytes().data(), std::ssize(source.bytes())));
  file.commit();
}

// All files but those with weights; config.json comes last, so that a folder with one is complete.
void copy_others(const fs::path& from, const fs::path& to) {
  std::error_code error;
  for (fs::directory_iterator entry(from, error), end; !error && entry != end; entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    std::error_code ignored;  // of a link to itself, for example
    if (entry->is_regular_file(ignored) && name != kConfig && !has_weights(name))
      copy_mapped(entry->path(), to / name);
  }
  if (error) fail(ErrorCode::model, cat(from.string(), ": cannot be listed: ", error.message()));
}

}  // namespace

QuantizedSnapshot quantize_files(const fs::path& from, const fs::path& to,
                                 const std::function<bool()>& cancelled) {
  const GlmOcrConfig config = load_config(from);
  for (const char* name : {kConfig, kIndex}) {  // another snapshot's; with its index, this one would not load
    std::error_code ignored;
    if (fs::exists(to / name, ignored)) {
      fail(ErrorCode::usage, cat(to.string(), ": holds a ", name, " already"));
    }
  }
  const SafetensorsFiles files = SafetensorsFiles::open(from);
  const std::vector<Output> outputs = outputs_of(files, mtp_prefix(config.text.num_hidden_layers));
  std::error_code error;
  fs::create_directories(to, error);
  if (error) fail(ErrorCode::input, cat(to.string(), ": cannot be made: ", error.message()));

  QuantizedSnapshot result;
  for (const auto& entry : files.tensors()) result.bytes_before += entry.second.bytes;
  AtomicFile file(to / "model.safetensors");
  file.write(header_of(outputs));
  for (const Output& output : outputs) {
    check_cancelled(cancelled);
    result.bytes_after += output.bytes();
    if (output.kind == Output::Kind::values) ++result.matrices;
    if (output.kind == Output::Kind::copy) {
      file.write(bytes_of(output.from->data, output.from->bytes));
    } else {
      write_quantized(file, output, cancelled);
    }
  }
  file.commit();
  copy_others(from, to);
  Json json = load_json(from / kConfig);
  json["quantization_config"] = quantization_config();
  write_file_atomically(to / kConfig, json.dump(2) + "\n");
  return result;
}

}  // namespace glmocr
