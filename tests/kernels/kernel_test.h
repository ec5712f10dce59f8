// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <deque>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "kernels/kernels.h"

// Every operation over awkward shapes, on every device of this machine but ref × every compute type, against
// ref. All values go to the devices and come back by upload and download.
//
// How far a result may be from ref's, which sums in double:
//  - An fp32 sum of n terms, each at most m in size, is off by at most n · 2^-24 times the largest partial
//    sum. For terms of random sign that is far below n · m · 2^-24 (the partial sums grow as √n only), which
//    is the bound taken: a lost or doubled term of typical size is thousands of times larger.
//  - A bf16 result may then fall on the other side of a rounding boundary: one unit, 2^-7 of its size, per
//    rounding point. That is rare, because fp32 sums are 2^16 times finer: at most kMayFlip of the values may
//    differ from ref at all, which shows a rounding point left out or added.
// Memory of results and gaps between strided rows are filled with NaN; NaN is never close to anything.
namespace glmocr::test {

constexpr double kUnit32 = 0x1p-24;
constexpr double kUnitBf16 = 0x1p-7;
constexpr double kMayFlip = 0.02;
// A term of a short product is off by up to three units of 2^-18 instead of one of 2^-24.
constexpr double kShortUnits = 3 * 64;

struct Tolerance {
  double absolute = 0;
  double relative = 0;
  double may_flip = kMayFlip;  // share of bf16 values
};

// For a reduction of n terms of at most `magnitude`, followed by `roundings` roundings to the compute type of
// values of at most `size` (0: of the size of the result).
inline Tolerance reduction(DType dtype, std::int64_t n, double magnitude, int roundings, double size = 0) {
  Tolerance t{magnitude * n * kUnit32, 4 * kUnit32};
  if (dtype == DType::bf16) {
    t.absolute += (roundings - 1) * kUnitBf16 * size;
    t.relative += kUnitBf16;
  }
  return t;
}

using Param = std::tuple<std::string, DType>;

inline std::vector<std::string> tested_devices() {
  std::vector<std::string> names;
  for (const std::string& name : available_devices()) {
    if (name != "ref" && name != "cpu") names.push_back(name);  // "cpu" is the first of the named ones
  }
  return names;
}

inline std::string param_name(const testing::TestParamInfo<Param>& info) {
  std::string name = std::get<0>(info.param) + "_" + std::string(to_string(std::get<1>(info.param)));
  for (char& c : name) {
    if (!std::isalnum(static_cast<unsigned char>(c))) c = '_';
  }
  return name;
}

#define GLMOCR_KERNEL_SUITE(Suite)                                                               \
  INSTANTIATE_TEST_SUITE_P(All, Suite,                                                           \
                           testing::Combine(testing::ValuesIn(::glmocr::test::tested_devices()), \
                                            testing::Values(DType::f32, DType::bf16)),           \
                           ::glmocr::test::param_name)

// Of a card with DeviceOptions::short_products.
inline constexpr std::string_view kShort = ":short";

// The cards again, with short products: of fp32 only.
inline std::vector<std::string> short_devices() {
  std::vector<std::string> names;
  for (const std::string& name : tested_devices()) {
    if (name.starts_with("cuda")) names.push_back(name + std::string(kShort));
  }
  return names;
}

inline std::unique_ptr<Device> open_tested(const std::string& name) {
  const bool is_short = name.ends_with(kShort);
  return open_device(name.substr(0, name.size() - (is_short ? kShort.size() : 0)),
                     {.threads = 3, .short_products = is_short});
}
#define GLMOCR_LAYOUT_SUITE(Suite)                                                                       \
  GLMOCR_KERNEL_SUITE(Suite);                                                                            \
  GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(Suite);                                                  \
  INSTANTIATE_TEST_SUITE_P(                                                                              \
      Short, Suite,                                                                                      \
      testing::Combine(testing::ValuesIn(::glmocr::test::short_devices()), testing::Values(DType::f32)), \
      ::glmocr::test::param_name)

// A matrix of numbers to make tensors of: [rows, columns], row-major.
using Numbers = std::vector<float>;

// The values of a tensor as fp32, row by row, without the gaps of strided rows.
inline Numbers download(Device& device, const Tensor& t) {
  EXPECT_TRUE(t.is_contiguous() || t.rank() == 2) << "rows at several distances";
  std::vector<std::byte> stored(t.bytes());
  if (t.is_contiguous()) {
    device.download(t, stored.data());
  } else {
    for (std::int64_t r = 0; r < t.size(0); ++r) {
      device.download(t.slice(0, r, r + 1), stored.data() + r * t.columns() * size_of(t.dtype));
    }
  }
  const Tensor on_host(stored.data(), {t.numel()}, t.dtype);
  Numbers values(t.numel());
  for (std::int64_t i = 0; i < t.numel(); ++i) {
    if (t.dtype == DType::f32) values[i] = on_host.as<float>()[i];
    if (t.dtype == DType::bf16) values[i] = to_float(on_host.as<bf16>()[i]);
    if (t.dtype == DType::f16) values[i] = to_float(on_host.as<f16>()[i]);
  }
  return values;
}

inline std::vector<std::int32_t> download_ints(Device& device, const Tensor& t) {
  std::vector<std::int32_t> values(t.numel());
  device.download(t, values.data());
  return values;
}

// For zero and numbers that a half holds exactly as a normal value, such as those of random_grid.
inline f16 half_from(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const f16 half{static_cast<std::uint16_t>(
      value == 0 ? bits >> 16 & 0x8000 : (bits >> 16 & 0x8000) | ((bits >> 13 & 0x3FFFF) - (112 << 10)))};
  EXPECT_EQ(to_float(half), value);
  return half;
}

class KernelTest : public testing::TestWithParam<Param> {
 protected:
  KernelTest()
      : dtype_(std::get<1>(GetParam())),
        tested_(open_tested(std::get<0>(GetParam()))),
        ref_(open_device("ref", {.threads = 1})) {
    poison(*tested_);
    poison(*ref_);
  }

  // Fills free arena memory with NaN of every type.
  static void poison(Device& device) {
    static const std::vector<std::uint8_t> ones(12 << 20, 0xFF);
    const ArenaScope scope(device);
    device.upload(ones.data(), device.scratch({std::ssize(ones)}, DType::u8));
  }

  Numbers random(std::int64_t count, float low = -1, float high = 1) {
    Numbers values(count);
    for (float& v : values) v = low + (high - low) * (random_() >> 8) * 0x1p-24f;
    return values;
  }
  // Small multiples of 2^-8: every stored type holds them exactly.
  Numbers random_grid(std::int64_t count) {
    Numbers values(count);
    for (float& v : values) v = (random_() % 255 - 127.0f) * 0x1p-7f;
    return values;
  }

  // Rows of values as bytes of a type, each followed by `gap` columns of NaN.
  static std::vector<std::byte> stored(const Numbers& values, std::int64_t columns, DType dtype,
                                       std::int64_t gap) {
    const std::int64_t rows = columns ? std::ssize(values) / columns : 0;
    EXPECT_EQ(rows * columns, std::ssize(values));
    std::vector<std::byte> bytes(rows * (columns + gap) * size_of(dtype), std::byte{0xFF});
    const Tensor wide(bytes.data(), {rows, columns + gap}, dtype);
    for (std::int64_t r = 0; r < rows; ++r) {
      for (std::int64_t c = 0; c < columns; ++c) {
        const float value = values[r * columns + c];
        const std::int64_t i = r * (columns + gap) + c;
        if (dtype == DType::f32) wide.as<float>()[i] = value;
        if (dtype == DType::bf16) wide.as<bf16>()[i] = to_bf16(value);
        if (dtype == DType::f16) wide.as<f16>()[i] = half_from(value);
      }
    }
    return bytes;
  }

  // A tensor on a device; with a `gap`, that many columns of NaN follow each row, so that rows are strided.
  static Tensor make(Device& device, const Numbers& values, const Shape& shape, DType dtype,
                     std::int64_t gap = 0) {
    const std::int64_t columns = shape[-1], rows = columns ? shape.numel() / columns : 0;
    EXPECT_EQ(rows * columns, std::ssize(values));
    const Tensor wide = device.scratch({rows, columns + gap}, dtype);
    device.upload(stored(values, columns, dtype, gap).data(), wide);
    if (gap == 0) return wide.reshape(shape);
    Tensor view = wide.slice(1, 0, columns);
    if (shape.rank() != 2) {  // [.., rows, columns] with gaps between rows
      Shape strides = shape;
      std::int64_t step = columns + gap;
      strides[-1] = 1;
      for (int i = shape.rank() - 2; i >= 0; --i) {
        strides[i] = step;
        step *= shape[i];
      }
      view.shape = shape;
      view.strides = strides;
    }
    return view;
  }

  // A matrix [out, in] as the device keeps it, without bias; lives as long as the test.
  Weight make_weight(Device& device, const Numbers& values, std::int64_t out, std::int64_t in, DType dtype,
                     WeightUse use = WeightUse::linear) {
    std::vector<std::byte>& file = files_.emplace_back(stored(values, in, dtype, 0));
    return device.prepare(Tensor(file.data(), {out, in}, dtype), use, owners_.emplace_back());
  }

  // The CPU packs weights of bf16 for products, but not those of an embedding, which are multiplied as they lie.
  static WeightUse use_of(const Device& device, bool as_stored) {
    return as_stored && device.name().starts_with("cpu") ? WeightUse::embedding : WeightUse::linear;
  }

  // The same in eight bits: rows of `values` times their scales.
  Weight make_int8_weight(Device& device, const std::vector<std::int8_t>& values, const Numbers& scales) {
    const std::int64_t out = std::ssize(scales), in = std::ssize(values) / std::max<std::int64_t>(out, 1);
    auto* data = const_cast<std::int8_t*>(values.data());
    return device.prepare_int8(Tensor(data, {out, in}, DType::i8),
                               Tensor(const_cast<float*>(scales.data()), {out}, DType::f32),
                               owners_.emplace_back());
  }
  // All values: quantize_row makes no -128, but other programs do.
  std::vector<std::int8_t> random_int8(std::int64_t count) {
    std::vector<std::int8_t> values(count);
    for (std::int8_t& v : values) v = static_cast<std::int8_t>(random_() % 256 - 128.0);
    return values;
  }

  static Tensor make_ints(Device& device, const std::vector<std::int32_t>& values, const Shape& shape) {
    return device.upload_array(values.data(), shape);
  }

  // op(device) on both devices, in fresh arenas; the results must be close.
  template <class Op>
  void compare(Op op, const Tolerance& tolerance, const std::string& what) {
    SCOPED_TRACE(what);
    const ArenaScope tested_scope(*tested_);
    const ArenaScope ref_scope(*ref_);
    const Tensor actual = op(*tested_), expected = op(*ref_);
    Tolerance limit = tolerance;
    if (std::get<0>(GetParam()).ends_with(kShort)) limit.absolute *= kShortUnits;
    ASSERT_EQ(actual.dtype, expected.dtype);
    ASSERT_EQ(to_string(actual.shape), to_string(expected.shape));
    expect_close(download(*tested_, actual), download(*ref_, expected), actual.columns(), actual.dtype,
                 limit);
  }

  static void expect_close(const Numbers& actual, const Numbers& expected, std::int64_t columns, DType dtype,
                           const Tolerance& tolerance) {
    const std::int64_t count = std::ssize(actual);
    std::int64_t bad = 0, different = 0;
    std::string first;
    for (std::int64_t i = 0; i < count; ++i) {
      const float a = actual[i], e = expected[i];
      const double limit = tolerance.absolute + tolerance.relative * std::fabs(e);
      different += !(a == e);
      if (std::fabs(double{a} - e) <= limit) continue;  // false for NaN on either side
      if (bad++ == 0) {
        first = "at [" + std::to_string(i / columns) + ", " + std::to_string(i % columns) +
                "]: " + std::to_string(a) + ", ref " + std::to_string(e) + ", limit " + std::to_string(limit);
      }
    }
    EXPECT_EQ(bad, 0) << "of " << count << "; first " << first;
    if (dtype == DType::bf16) {
      EXPECT_LE(different, 2 + tolerance.may_flip * count)
          << "of " << count << " values are not ref's: a rounding point differs";
    }
  }

  const DType dtype_;
  std::unique_ptr<Device> tested_;
  std::unique_ptr<Device> ref_;
  std::mt19937 random_{12345};

 private:
  std::deque<std::vector<std::byte>> files_;  // what make_weight was given: a device may use it in place
  std::deque<Buffer> owners_;
};

}  // namespace glmocr::test
