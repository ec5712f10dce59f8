// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "base/numbers.h"
#include "tensor/device.h"

// What selftest compares with ref.
namespace glmocr::checks {

// Numbers in [-1, 1), a function of the seed alone.
class Noise {
 public:
  explicit Noise(std::uint64_t seed) : state_(seed) {}
  float next() {
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    const std::int64_t high = state_ >> 33;
    return (high - (1 << 30)) * 0x1p-30f;
  }

 private:
  std::uint64_t state_;
};

using Ids = std::vector<std::int32_t>;

// Makes the operands of a check on one device and reads its results. Every device gets the same numbers.
// Lives as long as the check's tensors.
class Operands {
 public:
  Operands(Device& device, DType compute) : device_(device), compute_(compute), noise_(7) {}

  DType compute() const { return compute_; }
  Ops& ops() { return device_.ops(); }
  Tensor activations(const Shape& shape) { return upload(numbers(shape.numel()), shape, compute_); }
  Tensor vector(std::int64_t size) { return upload(numbers(size), {size}, DType::f32); }
  Tensor matrix(const Shape& shape) { return upload(numbers(shape.numel()), shape, DType::f32); }
  // [count, 4] f32: boxes in shares of a picture.
  Tensor boxes(std::int64_t count) {
    std::vector<float> values = numbers(4 * count);
    for (float& value : values) value = 0.5f + 0.5f * value;
    return upload(values, {count, 4}, DType::f32);
  }
  Tensor indices(const Ids& values, const Shape& shape) { return device_.upload_array(values.data(), shape); }
  Weight weight(std::int64_t out, std::int64_t in, DType dtype, WeightUse use, bool bias) {
    files_.push_back(stored(numbers(out * in), dtype));
    Weight weight =
        device_.prepare(Tensor(files_.back().data(), {out, in}, dtype), use, owners_.emplace_back());
    if (bias) weight.bias = vector(out);
    return weight;
  }
  // In eight bits, without bias.
  Weight int8_weight(std::int64_t out, std::int64_t in) {
    std::vector<float> scales(out);
    for (float& scale : scales) scale = 0.01f * (1.5f + noise_.next());
    std::vector<std::byte>& values = files_.emplace_back(out * in);
    for (std::byte& value : values)
      value = static_cast<std::byte>(static_cast<std::int8_t>(127 * noise_.next()));
    return device_.prepare_int8(Tensor(values.data(), {out, in}, DType::i8),
                                Tensor(scales.data(), {out}, DType::f32), owners_.emplace_back());
  }
  // A store with numbers in every slot.
  KvStore& store(const KvSpec& spec) {
    store_ = device_.make_kv_store(spec);
    Ids slots(spec.pages * spec.page_size);
    std::iota(slots.begin(), slots.end(), 0);
    const std::int64_t count = std::ssize(slots);
    for (int layer = 0; layer < spec.layers; ++layer) {
      const Tensor k = activations({count, spec.kv_heads, spec.head_dim});
      ops().kv_write(k, activations(k.shape), *store_, layer, indices(slots, {count}));
    }
    return *store_;
  }
  Tensor picture(std::int64_t height, std::int64_t width) {
    std::vector<std::uint8_t> bytes(height * width * 3);
    for (std::uint8_t& byte : bytes) byte = 127.5f * (1 + noise_.next());
    return device_.upload_array(bytes.data(), {height, width, 3});
  }
  // Tables of n rows that are all zero or, for the parameters, `rows`.
  SamplingTables sampling(const std::vector<SamplingRow>& rows, std::int64_t vocab, const Ids& seen) {
    const std::int64_t n = std::ssize(rows), most = 4;
    SamplingTables tables;
    tables.params = device_.scratch({n, sizeof(SamplingRow) / 4}, DType::i32);
    device_.upload(rows.data(), tables.params);
    tables.seen = indices(seen, {n, divide_up<std::int64_t>(vocab, 32)});
    tables.ids = indices(Ids(n), {n});
    tables.logprobs = upload(std::vector<float>(n), {n}, DType::f32);
    tables.top_ids = indices(Ids(n * most), {n, most});
    tables.top_logprobs = upload(std::vector<float>(n * most), {n, most}, DType::f32);
    return tables;
  }

  // Appends the values of a contiguous tensor to the results.
  void result(const Tensor& t) {
    std::vector<std::byte> bytes(t.bytes());
    device_.download(t, bytes.data());
    const Tensor host(bytes.data(), {t.numel()}, t.dtype);
    for (std::int64_t i = 0; i < t.numel(); ++i) {
      results_.push_back(t.dtype == DType::i32   ? host.as<std::int32_t>()[i]
                         : t.dtype == DType::f32 ? host.as<float>()[i]
                                                 : to_float(host.as<bf16>()[i]));
    }
  }
  const std::vector<float>& results() const { return results_; }

 private:
  std::vector<float> numbers(std::int64_t count) {
    std::vector<float> values(count);
    for (float& value : values) value = noise_.next();
    return values;
  }
  static std::vector<std::byte> stored(const std::vector<float>& values, DType dtype) {
    std::vector<std::byte> bytes(std::ssize(values) * size_of(dtype));
    const Tensor host(bytes.data(), {std::ssize(values)}, dtype);
    for (std::int64_t i = 0; i < std::ssize(values); ++i) {
      if (dtype == DType::f32) host.as<float>()[i] = values[i];
      if (dtype == DType::bf16) host.as<bf16>()[i] = to_bf16(values[i]);
    }
    return bytes;
  }
  Tensor upload(const std::vector<float>& values, const Shape& shape, DType dtype) {
    const Tensor tensor = device_.scratch(shape, dtype);
    device_.upload(stored(values, dtype).data(), tensor);
    return tensor;
  }

  Device& device_;
  DType compute_;
  Noise noise_;
  std::deque<std::vector<std::byte>> files_;  // what prepare was given: a device may use it in place
  std::deque<Buffer> owners_;
  std::unique_ptr<KvStore> store_;
  std::vector<float> results_;
};

// How a result may differ from that of ref.
enum class Rounding {
  sums,   // sums of products, rounded to the compute type
  exact,  // values that are only moved, or computed the same way on every device
};

struct OpCheck {
  std::string name;
  Rounding rounding;
  double terms;  // products in the sum of one result: the rounding error grows with its square root
  std::function<void(Operands&)> run;
};
using Checks = std::vector<OpCheck>;

// Appends a check of each operation of the reader. `int8`: of weights in eight bits too.
void add_reader_checks(Checks& checks, bool int8);  // selftest_reader.cc
// The same of the layout detector.
void add_layout_checks(Checks& checks);  // selftest_layout.cc

}  // namespace glmocr::checks
