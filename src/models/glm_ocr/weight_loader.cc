// SPDX-License-Identifier: Apache-2.0
#include "models/glm_ocr/weight_loader.h"

#include <algorithm>
#include <cstring>

#include "models/glm_ocr/tensor_names.h"

namespace glmocr {
namespace {

constexpr std::int64_t kPoolBytes = std::int64_t{1} << 20;  // small tensors share buffers of this size

DType stored_type(const StoredTensor& stored, const std::string& name) {
  if (stored.dtype_name == "BF16") return DType::bf16;
  if (stored.dtype_name == "F16") return DType::f16;
  if (stored.dtype_name == "F32") return DType::f32;
  fail(ErrorCode::model, cat(stored.file, ": tensor ", name, " is stored as ", stored.dtype_name,
                             ", expected BF16, F16 or F32"));
}

float value_at(const StoredTensor& stored, DType dtype, std::int64_t i) {
  const std::byte* at = stored.data + i * size_of(dtype);
  if (dtype == DType::f32) {
    float value;
    std::memcpy(&value, at, sizeof value);
    return value;
  }
  std::uint16_t bits;
  std::memcpy(&bits, at, sizeof bits);
  return dtype == DType::bf16 ? to_float(bf16{bits}) : to_float(f16{bits});
}

std::string join(const std::vector<std::string>& items, std::size_t most = 10) {
  std::string text;
  for (std::size_t i = 0; i < std::min(items.size(), most); ++i) text += "\n  " + items[i];
  if (items.size() > most) text += cat("\n  and ", items.size() - most, " more");
  return text;
}

}  // namespace

const StoredTensor* WeightLoader::find(const std::string& name, const std::vector<Shape>& shapes,
                                       bool required) {
  const auto& tensors = weights_.files.tensors();
  auto found = tensors.find(name);
  if (found == tensors.end()) found = tensors.find(mlx_name(name));
  if (found == tensors.end()) {
    if (required) missing_.push_back(cat(name, " ", to_string(shapes[0])));
    return nullptr;
  }
  taken_.insert(found->first);
  const StoredTensor& stored = found->second;
  if (std::find(shapes.begin(), shapes.end(), stored.shape) == shapes.end()) {
    misshapen_.push_back(cat(found->first, " in ", stored.file, ": found ", to_string(stored.shape),
                             ", expected ", to_string(shapes[0])));
    return nullptr;
  }
  stored_type(stored, found->first);
  TensorGroup& group = weights_.groups.back();
  ++group.tensors;
  group.parameters += stored.shape.numel();
  group.bytes += stored.bytes;
  return &stored;
}

Tensor WeightLoader::own(const void* host, const Shape& shape, DType dtype) {
  const std::int64_t bytes = shape.numel() * size_of(dtype);
  weights_.copied_bytes += bytes;
  Tensor tensor;
  if (bytes > kPoolBytes / 4) {
    weights_.buffers.push_back(device_.allocate(bytes));
    tensor = weights_.buffers.back().view(shape, dtype);
  } else {
    if (!pool() || pool_used_ + bytes > kPoolBytes) {
      pool_index_ = weights_.buffers.size();
      weights_.buffers.push_back(device_.allocate(kPoolBytes));
      pool_used_ = 0;
    }
    tensor = pool()->view(shape, dtype, pool_used_);
    pool_used_ += (bytes + 63) / 64 * 64;
  }
  device_.upload(host, tensor);
  return tensor;
}

Tensor WeightLoader::as_stored(const StoredTensor& stored, const Shape& shape) {
  const DType dtype = stored_type(stored, "");
  if (compute_ == DType::bf16 && dtype != DType::bf16) {
    std::vector<bf16> values(static_cast<std::size_t>(shape.numel()));
    for (std::size_t i = 0; i < values.size(); ++i) {
      values[i] = to_bf16(value_at(stored, dtype, static_cast<std::int64_t>(i)));
    }
    ++converted_;
    return own(values.data(), shape, DType::bf16);
  }
  const Tensor host(const_cast<std::byte*>(stored.data), shape, dtype);
  Buffer owner;
  const Tensor placed = device_.place(host, owner);
  if (owner) {
    weights_.copied_bytes += owner.bytes();
    weights_.buffers.push_back(std::move(owner));
  }
  return placed;
}

Tensor WeightLoader::permuted(const StoredTensor& stored, const Shape& from, const std::vector<int>& order) {
  const DType source = stored_type(stored, "");
  const DType target = compute_ == DType::bf16 ? DType::bf16 : source;
  std::vector<std::int64_t> strides(order.size(), 1), index(order.size(), 0);
  for (std::size_t i = order.size() - 1; i > 0; --i) strides[i - 1] = strides[i] * from[static_cast<int>(i)];
  std::vector<std::byte> values(static_cast<std::size_t>(from.numel()) * size_of(target));
  for (std::int64_t at = 0; at < from.numel(); ++at) {
    std::int64_t offset = 0;
    for (std::size_t i = 0; i < order.size(); ++i) offset += index[i] * strides[order[i]];
    std::byte* to = values.data() + at * size_of(target);
    if (source == target) {
      std::memcpy(to, stored.data + offset * size_of(source), size_of(source));
    } else {
      const bf16 value = to_bf16(value_at(stored, source, offset));
      std::memcpy(to, &value, sizeof value);
    }
    for (std::size_t i = order.size(); i-- > 0;) {  // count up, last dimension fastest
      if (++index[i] < from[order[i]]) break;
      index[i] = 0;
    }
  }
  return own(values.data(), {from[0], from.numel() / from[0]}, target);
}

Tensor WeightLoader::matrix(const std::string& name, std::int64_t rows, std::int64_t columns) {
  const StoredTensor* stored = find(name, {{rows, columns}});
  return stored ? as_stored(*stored, {rows, columns}) : Tensor();
}

Tensor WeightLoader::vector(const std::string& name, std::int64_t size) {
  const StoredTensor* stored = find(name, {Shape{size}});
  if (!stored) return Tensor();
  const DType dtype = stored_type(*stored, name);
  std::vector<float> values(static_cast<std::size_t>(size));
  for (std::int64_t i = 0; i < size; ++i) {
    const float value = value_at(*stored, dtype, i);
    values[i] = compute_ == DType::bf16 ? round_to_bf16(value) : value;
  }
  return own(values.data(), {size}, DType::f32);
}

LinearWeights WeightLoader::linear(const std::string& prefix, std::int64_t out, std::int64_t in, bool bias) {
  LinearWeights weights;
  weights.weight = matrix(prefix + ".weight", out, in);
  if (bias) weights.bias = vector(prefix + ".bias", out);
  return weights;
}

namespace {

// [out, in, a, b] → [out, a, b, in]
Shape channels_last(const Shape& kernel) {
  std::vector<std::int64_t> dims{kernel[0]};
  for (int i = 2; i < kernel.rank(); ++i) dims.push_back(kernel[i]);
  dims.push_back(kernel[1]);
  return Shape(dims);
}

std::vector<int> to_channels_last(int rank) {
  std::vector<int> order{0};
  for (int i = 2; i < rank; ++i) order.push_back(i);
  order.push_back(1);
  return order;
}

std::vector<int> to_channels_first(int rank) {
  std::vector<int> order{0, rank - 1};
  for (int i = 1; i + 1 < rank; ++i) order.push_back(i);
  return order;
}

}  // namespace

Tensor WeightLoader::convolution(const std::string& name, const Shape& kernel) {
  const StoredTensor* stored = find(name, {kernel, channels_last(kernel)});
  if (!stored) return Tensor();
  if (stored->shape == kernel) return as_stored(*stored, {kernel[0], kernel.numel() / kernel[0]});
  return permuted(*stored, stored->shape, to_channels_first(kernel.rank()));
}

Tensor WeightLoader::convolution_channels_last(const std::string& name, const Shape& kernel) {
  const StoredTensor* stored = find(name, {kernel, channels_last(kernel)});
  if (!stored) return Tensor();
  if (stored->shape == kernel) return permuted(*stored, kernel, to_channels_last(kernel.rank()));
  return as_stored(*stored, {kernel[0], kernel.numel() / kernel[0]});
}

bool WeightLoader::set_aside(const std::string& name, const Shape& shape) {
  return find(name, {shape}, false) != nullptr;
}

void WeightLoader::finish() {
  std::vector<std::string> unexpected;
  for (const auto& [name, stored] : weights_.files.tensors()) {
    if (!taken_.contains(name))
      unexpected.push_back(cat(name, " ", to_string(stored.shape), " in ", stored.file));
  }
  std::string text;
  if (!missing_.empty()) text += cat("\nmissing (", missing_.size(), "):", join(missing_));
  if (!misshapen_.empty()) text += cat("\nof another shape (", misshapen_.size(), "):", join(misshapen_));
  if (!unexpected.empty()) text += cat("\nunexpected (", unexpected.size(), "):", join(unexpected));
  if (!text.empty()) fail(ErrorCode::model, "the tensors do not fit config.json:" + text);
  if (converted_ > 0) weights_.notes.push_back(cat(converted_, " matrices were turned into bf16"));
}

}  // namespace glmocr
