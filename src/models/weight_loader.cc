// SPDX-License-Identifier: Apache-2.0
#include "models/weight_loader.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <utility>

#include "base/memory_budget.h"
#include "base/numbers.h"
#include "base/threads.h"
#include "tensor/int8.h"

namespace glmocr {
namespace {

constexpr std::int64_t kPoolBytes = 1 << 18;   // vectors share buffers of this size
constexpr std::int64_t kPoolAlignment = 64;    // of a vector in its buffer
constexpr std::int64_t kBlockBytes = 1 << 18;  // converted and uploaded together
constexpr std::int64_t kInt8RowBytes =
    64;                               // that a device may add to a row in eight bits, its scale included
constexpr std::int64_t kListed = 10;  // tensors that an error names of each kind

// The type of a tensor, which `find` has checked.
DType type_of(const StoredTensor& stored) {
  if (stored.dtype_name == "I8") return DType::i8;
  return stored.dtype_name == "BF16" ? DType::bf16 : stored.dtype_name == "F16" ? DType::f16 : DType::f32;
}

float value_at(const std::byte* data, DType dtype, std::int64_t i) {
  const std::byte* at = data + i * size_of(dtype);  // may be misaligned
  if (dtype == DType::f32) {
    float value;
    std::memcpy(&value, at, sizeof value);
    return value;
  }
  std::uint16_t bits;
  std::memcpy(&bits, at, sizeof bits);
  return dtype == DType::bf16 ? to_float(bf16{bits}) : to_float(f16{bits});
}

// Values of any type as fp32; `data` may be misaligned.
void widen(const std::byte* data, DType dtype, std::vector<float>& values) {
  const std::int64_t count = std::ssize(values);
  if (dtype == DType::f32) {
    std::memcpy(values.data(), data, count * sizeof(float));
  } else if (dtype == DType::bf16) {
    for (std::int64_t i = 0; i < count; ++i) {
      bf16 value;
      std::memcpy(&value, data + i * 2, sizeof value);
      values[i] = to_float(value);
    }
  } else {
    for (std::int64_t i = 0; i < count; ++i) values[i] = value_at(data, dtype, i);
  }
}

// [out, in, a, b] becomes [out, a, b, in].
Shape channel_last(const Shape& kernel) {
  Shape turned = kernel;
  for (int i = 2; i < kernel.rank(); ++i) turned[i - 1] = kernel[i];
  turned[-1] = kernel[1];
  return turned;
}

std::vector<int> as_stored(const Shape& shape) {
  std::vector<int> order(shape.rank());
  std::iota(order.begin(), order.end(), 0);
  return order;
}

// For every value of a row, in the order of the result, its place in the stored row.
std::vector<std::int64_t> places_in_row(const Shape& stored, const std::vector<int>& order) {
  std::vector<std::int64_t> strides(order.size(), 1);
  for (int i = stored.rank() - 1; i > 0; --i) strides[i - 1] = strides[i] * stored[i];
  std::vector<std::int64_t> places{0};
  for (const int dim : order) {
    if (dim == 0) continue;
    std::vector<std::int64_t> longer;
    for (const std::int64_t place : places) {
      for (std::int64_t i = 0; i < stored[dim]; ++i) longer.push_back(place + i * strides[dim]);
    }
    places = std::move(longer);
  }
  return places;
}

std::string list(const std::string& what, const std::vector<std::string>& items) {
  if (items.empty()) return "";
  const std::int64_t shown = std::min(std::ssize(items), kListed);
  std::string text = cat("; ", what, " (", items.size(), "): ", join(std::span(items).first(shown), ", "));
  if (std::ssize(items) > shown) text += cat(" and ", std::ssize(items) - shown, " more");
  return text;
}

}  // namespace

void widen_values(const StoredTensor& stored, std::int64_t first, std::vector<float>& values) {
  widen(stored.data + first * size_of(type_of(stored)), type_of(stored), values);
}

WeightLoader::WeightLoader(SafetensorsFiles files, Device& device, DType compute, Spelling spelling)
    : device_(device), compute_(compute), spelling_(std::move(spelling)) {
  loaded_.files = std::move(files);
}

WeightLoader::WeightLoader(Maker maker, Device& device, DType compute)
    : device_(device), compute_(compute), maker_(std::move(maker)) {}

const WeightLoader::Named* WeightLoader::find_name(const std::string& name) const {
  const auto& tensors = loaded_.files.tensors();
  auto found = tensors.find(name);
  if (found == tensors.end() && spelling_) found = tensors.find(spelling_(name));
  return found == tensors.end() ? nullptr : &*found;
}

// The tensor, if it has one of these shapes and a type we can read.
const StoredTensor* WeightLoader::find(const std::string& name, const std::vector<Shape>& shapes,
                                       bool required) {
  if (maker_) return make(name, shapes[0]);
  const Named* found = find_name(name);
  if (found == nullptr) {
    if (required) missing_.push_back(cat(name, " ", to_string(shapes[0])));
    return nullptr;
  }
  const auto& [stored_name, stored] = *found;
  taken_.insert(stored_name);
  if (std::find(shapes.begin(), shapes.end(), stored.shape) == shapes.end()) {
    misshapen_.push_back(cat(stored_name, " in ", stored.file, ": found ", to_string(stored.shape),
                             ", expected ", to_string(shapes[0])));
    return nullptr;
  }
  check_type(stored_name, stored);
  count(stored);
  return &stored;
}

// A matrix that may be stored in eight bits.
const StoredTensor* WeightLoader::find_matrix(const std::string& name, std::int64_t out_features,
                                              std::int64_t in_features) {
  const Named* found = find_name(name);
  const bool eight_bits = found != nullptr && found->second.dtype_name == "I8";
  if (!eight_bits || found->second.shape != Shape{out_features, in_features}) {
    return find(name, {{out_features, in_features}});
  }
  taken_.insert(found->first);
  count(found->second);
  return &found->second;
}

void WeightLoader::check_type(const std::string& name, const StoredTensor& stored) const {
  if (stored.dtype_name == "BF16" || stored.dtype_name == "F16" || stored.dtype_name == "F32") return;
  fail(ErrorCode::model, cat(stored.file, ": tensor ", name, " is stored as ", stored.dtype_name,
                             ", expected BF16, F16 or F32"));
}

const StoredTensor* WeightLoader::make(const std::string& name, const Shape& shape) {
  const StoredTensor& stored = loaded_.made.emplace(name, maker_(name, shape)).first->second.stored;
  count(stored);
  return &stored;
}

void WeightLoader::count(const StoredTensor& stored) {
  TensorGroup& group = loaded_.groups.back();
  ++group.tensors;
  group.parameters += stored.shape.numel();
  group.bytes += stored.bytes;
}

void WeightLoader::keep(Buffer buffer) { loaded_.buffers.push_back(std::move(buffer)); }

// Memory for a vector, in a buffer that many share.
Tensor WeightLoader::small_memory(const Shape& shape, DType dtype) {
  const std::int64_t bytes = round_up(shape.numel() * size_of(dtype), kPoolAlignment);
  if (!pool_ || pool_.size(0) < bytes) {
    Buffer buffer = device_.allocate(std::max(bytes, kPoolBytes));
    pool_ = buffer.view({buffer.bytes()}, DType::u8);
    keep(std::move(buffer));
  }
  const Tensor memory(pool_.data, shape, dtype, pool_.device);
  pool_ = pool_.slice(0, bytes, pool_.size(0));
  return memory;
}

// A copy in memory of the device, converted and reordered some rows at a time.
Tensor WeightLoader::convert(const StoredTensor& stored, const std::vector<int>& order, DType target,
                             Buffer& owner) {
  const DType source = type_of(stored);
  const std::int64_t rows = stored.shape[0], columns = stored.shape.numel() / rows;
  const std::vector<std::int64_t> places = places_in_row(stored.shape, order);
  owner = device_.allocate(rows * columns * size_of(target));
  const Tensor matrix = owner.view({rows, columns}, target);
  const std::int64_t row_bytes = columns * size_of(target);
  const std::int64_t block = std::clamp<std::int64_t>(kBlockBytes / row_bytes, 1, rows);
  std::vector<std::byte> values(block * row_bytes);
  for (std::int64_t begin = 0; begin < rows; begin += block) {
    const std::int64_t end = std::min(begin + block, rows);
    std::byte* to = values.data();
    for (std::int64_t row = begin; row < end; ++row) {
      const std::byte* from = stored.data + row * columns * size_of(source);
      for (const std::int64_t place : places) {
        if (source == target) {
          std::memcpy(to, from + place * size_of(source), size_of(source));
        } else {
          const bf16 value = to_bf16(value_at(from, source, place));
          std::memcpy(to, &value, sizeof value);
        }
        to += size_of(target);
      }
    }
    device_.upload(values.data(), matrix.slice(0, begin, end));
  }
  return matrix;
}

Weight WeightLoader::prepare(const StoredTensor& stored, const std::vector<int>& order, WeightUse use) {
  return prepare_parts(stored, order, use, 1)[0];
}

std::vector<Weight> WeightLoader::prepare_parts(const StoredTensor& stored, const std::vector<int>& order,
                                                WeightUse use, int parts) {
  const DType source = type_of(stored);
  const DType target = compute_ == DType::bf16 ? DType::bf16 : source;
  const std::int64_t rows = stored.shape[0];
  const bool reorder = !std::is_sorted(order.begin(), order.end());
  Buffer converted;
  Tensor matrix(const_cast<std::byte*>(stored.data), {rows, stored.shape.numel() / rows}, source);
  if (reorder || source != target) matrix = convert(stored, order, target, converted);
  if (source != target) ++converted_;
  std::vector<Weight> weights;
  std::int64_t in_place = 0;
  for (int part = 0; part < parts; ++part) {
    Buffer prepared;
    const Tensor own = matrix.slice(0, part * rows / parts, (part + 1) * rows / parts);
    weights.push_back(device_.prepare(own, use, prepared));
    if (!prepared) in_place += own.bytes();
    if (prepared) {
      loaded_.copied_bytes += prepared.bytes();
      keep(std::move(prepared));
    }
  }
  // A device that made copies of its own does not need the converted one.
  if (converted && in_place > 0) {
    loaded_.copied_bytes += converted.bytes();
    keep(std::move(converted));
  } else if (!converted) {
    loaded_.mapped_bytes += in_place;
  }
  if (matrix.data != stored.data || in_place == 0) release(stored);
  return weights;
}

// The file's pages are not needed any more; nor is a tensor that was made.
void WeightLoader::release(const StoredTensor& stored) {
  if (!maker_) return loaded_.files.release(stored);
  for (auto& [name, made] : loaded_.made) {
    if (&made.stored == &stored) made.memory.reset();
  }
}

namespace {

// Rows of any type in eight bits, on all threads.
void quantize_rows(const std::byte* rows, DType type, const Tensor& values, float* scales, ThreadPool& pool) {
  const std::int64_t width = values.size(1);
  pool.parallel_for(values.size(0), 16, [&](std::int64_t begin, std::int64_t end) {
    std::vector<float> row(width);
    for (std::int64_t r = begin; r < end; ++r) {
      widen(rows + r * width * size_of(type), type, row);
      scales[r] = quantize_row(row.data(), width, values.as<std::int8_t>() + r * width);
    }
  });
}

}  // namespace

std::vector<Weight> WeightLoader::prepare_int8(const StoredTensor& stored, const StoredTensor* scales,
                                               int parts) {
  const std::int64_t rows = stored.shape[0];
  std::vector<std::int8_t> made;  // does not outlive this call, so the device must have room for a copy
  std::vector<float> factors(rows);
  Tensor values(const_cast<std::byte*>(stored.data), stored.shape, DType::i8);
  if (scales) {
    widen(scales->data, type_of(*scales), factors);
  } else {
    made.resize(stored.shape.numel());
    values.data = made.data();
    quantize_rows(stored.data, type_of(stored), values, factors.data(),
                  *shared_thread_pool(device_.threads()));
    ++quantized_;
  }
  std::vector<Weight> weights;
  std::int64_t in_place = 0;
  for (int part = 0; part < parts; ++part) {
    const std::int64_t begin = part * rows / parts, end = (part + 1) * rows / parts;
    Buffer owner;
    const Tensor own = values.slice(0, begin, end);
    weights.push_back(
        device_.prepare_int8(own, Tensor(factors.data() + begin, {end - begin}, DType::f32), owner));
    if (weights.back().data.data == own.data) in_place += own.bytes();
    loaded_.copied_bytes += owner.bytes();
    keep(std::move(owner));
  }
  loaded_.mapped_bytes += in_place;
  if (in_place > 0) ++without_room_;
  if (in_place == 0) release(stored);
  return weights;
}

Weight WeightLoader::matrix(const std::string& name, std::int64_t out_features, std::int64_t in_features,
                            WeightUse use) {
  const StoredTensor* stored = find(name, {{out_features, in_features}});
  return stored ? prepare(*stored, as_stored(stored->shape), use) : Weight();
}

Tensor WeightLoader::vector(const std::string& name, std::int64_t size) {
  const StoredTensor* stored = find(name, {Shape{size}});
  if (!stored) return Tensor();
  std::vector<float> values(size);
  for (std::int64_t i = 0; i < size; ++i) {
    const float value = value_at(stored->data, type_of(*stored), i);
    values[i] = compute_ == DType::bf16 ? round_to_bf16(value) : value;
  }
  const Tensor vector = small_memory({size}, DType::f32);
  device_.upload(values.data(), vector);
  loaded_.copied_bytes += vector.bytes();
  return vector;
}

Weight WeightLoader::linear(const std::string& prefix, std::int64_t out_features, std::int64_t in_features,
                            bool bias) {
  return linear_parts(prefix, 1, out_features, in_features, bias)[0];
}

std::vector<Weight> WeightLoader::linear_parts(const std::string& prefix, int parts,
                                               std::int64_t out_features, std::int64_t in_features,
                                               bool bias) {
  const std::int64_t rows = parts * out_features;
  std::vector<Weight> weights(parts);
  if (const StoredTensor* stored = find_matrix(prefix + ".weight", rows, in_features)) {
    const bool eight_bits = stored->dtype_name == "I8";
    const StoredTensor* scales =
        eight_bits ? find(prefix + ".weight_scale", {{rows, 1}, Shape{rows}}) : nullptr;
    // What has no room in eight bits is used as it is stored.
    const bool has_room = device_.memory()->has_room_to_prepare(rows * (in_features + kInt8RowBytes));
    if (!has_room && quantizes_ && !eight_bits) ++without_room_;
    const bool becomes_eight_bits = quantizes_ && !eight_bits && has_room;
    if (scales || becomes_eight_bits) weights = prepare_int8(*stored, scales, parts);
    if (!eight_bits && !becomes_eight_bits) {
      weights = prepare_parts(*stored, as_stored(stored->shape), WeightUse::linear, parts);
    }
  }
  if (!bias) return weights;
  const Tensor all = vector(prefix + ".bias", rows);
  for (int part = 0; all && part < parts; ++part) {
    weights[part].bias = all.slice(0, part * out_features, (part + 1) * out_features);
  }
  return weights;
}

Weight WeightLoader::convolution(const std::string& prefix, const Shape& kernel, Columns columns) {
  const StoredTensor* stored = find(prefix + ".weight", {kernel, channel_last(kernel)});
  Weight weight;
  if (stored) {
    const int last = kernel.rank() - 1;
    const bool is_last = stored->shape != kernel, wants_last = columns == Columns::channel_last;
    std::vector<int> order = as_stored(kernel);
    if (is_last && !wants_last) std::rotate(order.begin() + 1, order.begin() + last, order.end());
    if (!is_last && wants_last) std::rotate(order.begin() + 1, order.begin() + 2, order.end());
    weight = prepare(*stored, order, WeightUse::linear);
  }
  weight.bias = vector(prefix + ".bias", kernel[0]);
  return weight;
}

std::vector<double> WeightLoader::values(const std::string& name, const Shape& shape) {
  const StoredTensor* stored = find(name, {shape});
  if (!stored) return {};
  std::vector<double> values(shape.numel());
  for (std::int64_t i = 0; i < shape.numel(); ++i) values[i] = value_at(stored->data, type_of(*stored), i);
  return values;
}

Weight WeightLoader::keep_matrix(const std::vector<float>& values, std::int64_t out_features,
                                 std::int64_t in_features, WeightUse use, DType dtype) {
  Buffer raw = device_.allocate(out_features * in_features * size_of(dtype)), prepared;
  const Tensor matrix = raw.view({out_features, in_features}, dtype);
  if (dtype == DType::f32) {
    device_.upload(values.data(), matrix);
  } else {
    GLMOCR_CHECK(dtype == DType::bf16);
    std::vector<bf16> rounded(values.size());
    std::transform(values.begin(), values.end(), rounded.begin(), to_bf16);
    device_.upload(rounded.data(), matrix);
  }
  const Weight weight = device_.prepare(matrix, use, prepared);
  Buffer& owner = prepared ? prepared : raw;
  loaded_.copied_bytes += owner.bytes();
  keep(std::move(owner));
  return weight;
}

Tensor WeightLoader::keep_vector(const std::vector<float>& values, const Shape& shape) {
  const Tensor vector = small_memory(shape, DType::f32);
  device_.upload(values.data(), vector);
  loaded_.copied_bytes += vector.bytes();
  return vector;
}

bool WeightLoader::set_aside(const std::string& name, const Shape& shape) {
  return find(name, {shape}, false) != nullptr;
}

LoadedTensors WeightLoader::finish() {
  std::vector<std::string> unexpected;
  for (const auto& [name, stored] : loaded_.files.tensors()) {
    const bool ignored = !ignored_suffix_.empty() && name.ends_with(ignored_suffix_);
    if (!taken_.contains(name) && !ignored)
      unexpected.push_back(cat(name, " ", to_string(stored.shape), " in ", stored.file));
  }
  const std::string text =
      list("missing", missing_) + list("of another shape", misshapen_) + list("unexpected", unexpected);
  if (!text.empty()) fail(ErrorCode::model, "the tensors do not fit config.json" + text);
  if (converted_ > 0) note(cat(converted_, " matrices were converted to bf16"));
  if (without_room_ > 0) {
    note(cat(without_room_,
             " matrices are used as their file holds them, which is slower: the memory limit has no room ",
             "for prepared ones"));
  }
  if (quantized_ > 0) note(cat(quantized_, " matrices were converted to eight bits"));
  return std::move(loaded_);
}

}  // namespace glmocr
