// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <tuple>
#include <vector>

#include "kernels/kernels.h"

// One table for all kernels: every device of this machine but ref × every compute type, each operation over
// awkward shapes, against ref.
//
// How far a result may be from ref's, which sums in double:
//  - fp32 sums of n terms, each at most m in size, are off by at most n · 2^-24 times the largest partial
//  sum; for
//    terms of random sign that is far below n · m · 2^-24 (the partial sums grow as √n only), which is the
//    bound taken: a lost or doubled term of typical size is thousands of times larger.
//  - a bf16 result may then fall on the other side of a rounding boundary: one unit, 2^-7 of its size, at
//  each
//    rounding point. That is rare, because fp32 sums are 2^16 times finer: at most kMayFlip of the values may
//    differ from ref at all, which is how a rounding point left out or added shows.
// Memory of results and gaps between strided rows are filled with NaN; NaN is never close to anything.
namespace glmocr::test {

constexpr double kUnit32 = 0x1p-24;
constexpr double kUnitBf16 = 0x1p-7;
constexpr double kMayFlip = 0.02;

struct Tolerance {
  double absolute = 0;
  double relative = 0;
};

// For a reduction of n terms of at most `magnitude`, followed by `roundings` roundings to the compute type of
// values of at most `size` (0: of the size of the result).
inline Tolerance reduction(DType dtype, std::int64_t n, double magnitude, int roundings, double size = 0) {
  Tolerance t{static_cast<double>(n) * magnitude * kUnit32, 4 * kUnit32};
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

// A matrix of numbers to make tensors of: [rows, columns], row-major.
using Numbers = std::vector<float>;

inline float read(const Tensor& t, std::int64_t i) {
  switch (t.dtype) {
    case DType::f32:
      return t.as<float>()[i];
    case DType::bf16:
      return to_float(t.as<bf16>()[i]);
    case DType::f16:
      return to_float(t.as<f16>()[i]);
    default:
      ADD_FAILURE() << "not a tensor of numbers";
      return NAN;
  }
}

// For numbers that a half holds exactly as a normal value, and zero: the grid of these tests.
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
        tested_(open_device(std::get<0>(GetParam()), {.threads = 3})),
        ref_(open_device("ref", {.threads = 1})) {
    poison(*tested_);
    poison(*ref_);
  }

  // Fills free arena memory with NaN of every type.
  static void poison(Device& device) {
    const ArenaScope scope(device);
    const Tensor all = device.scratch({12 << 20}, DType::u8);
    std::memset(all.data, 0xFF, static_cast<std::size_t>(all.bytes()));
  }

  Numbers random(std::int64_t count, float low = -1, float high = 1) {
    Numbers values(static_cast<std::size_t>(count));
    for (float& v : values) v = low + (high - low) * static_cast<float>(random_() >> 8) * 0x1p-24f;
    return values;
  }
  // Small multiples of 2^-8: every stored type holds them exactly.
  Numbers random_grid(std::int64_t count) {
    Numbers values(static_cast<std::size_t>(count));
    for (float& v : values) v = static_cast<float>(static_cast<int>(random_() % 255) - 127) * 0x1p-7f;
    return values;
  }

  // A tensor on a device; `gap` more columns than asked lie behind each row, NaN, so that rows are strided.
  static Tensor make(Device& device, const Numbers& values, const Shape& shape, DType dtype,
                     std::int64_t gap = 0) {
    const std::int64_t columns = shape[-1], rows = columns ? shape.numel() / columns : 0;
    EXPECT_EQ(rows * columns, std::ssize(values));
    const Tensor wide = device.scratch({rows, columns + gap}, dtype);
    std::memset(wide.data, 0xFF, static_cast<std::size_t>(wide.bytes()));
    for (std::int64_t r = 0; r < rows; ++r) {
      for (std::int64_t c = 0; c < columns; ++c) {
        const float value = values[r * columns + c];
        const std::int64_t i = r * (columns + gap) + c;
        if (dtype == DType::f32) wide.as<float>()[i] = value;
        if (dtype == DType::bf16) wide.as<bf16>()[i] = to_bf16(value);
        if (dtype == DType::f16) wide.as<f16>()[i] = half_from(value);
      }
    }
    if (gap == 0) return wide.reshape(shape);
    Tensor view = wide.slice(1, 0, columns);
    if (shape.rank() != 2) {  // [.., rows, columns] of rows that lie apart
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

  static Tensor make_ints(Device& device, const std::vector<std::int32_t>& values, const Shape& shape) {
    return device.upload_array(values.data(), shape);
  }

  // op(device) on both devices, in fresh arenas; the results must be close.
  template <class Op>
  void compare(Op op, const Tolerance& tolerance, const std::string& what) {
    SCOPED_TRACE(what);
    const ArenaScope tested_scope(*tested_);
    const ArenaScope ref_scope(*ref_);
    expect_close(op(*tested_), op(*ref_), tolerance);
  }

  static void expect_close(const Tensor& actual, const Tensor& expected, const Tolerance& tolerance) {
    ASSERT_EQ(actual.dtype, expected.dtype);
    ASSERT_EQ(to_string(actual.shape), to_string(expected.shape));
    const std::int64_t columns = actual.columns(), rows = actual.rows();
    std::int64_t bad = 0, different = 0;
    std::string first;
    for (std::int64_t r = 0; r < rows; ++r) {
      for (std::int64_t c = 0; c < columns; ++c) {
        const float a = read(actual, r * actual.row_stride() + c),
                    e = read(expected, r * expected.row_stride() + c);
        const double limit = tolerance.absolute + tolerance.relative * std::fabs(e);
        different += !(a == e);
        if (std::fabs(static_cast<double>(a) - e) <= limit) continue;  // false for NaN on either side
        if (bad++ == 0) {
          first = "at [" + std::to_string(r) + ", " + std::to_string(c) + "]: " + std::to_string(a) +
                  ", ref " + std::to_string(e) + ", limit " + std::to_string(limit);
        }
      }
    }
    EXPECT_EQ(bad, 0) << "of " << rows * columns << "; first " << first;
    if (actual.dtype == DType::bf16) {
      EXPECT_LE(static_cast<double>(different), 2 + kMayFlip * static_cast<double>(rows * columns))
          << "of " << rows * columns << " values are not ref's: a rounding point differs";
    }
  }

  const DType dtype_;
  std::unique_ptr<Device> tested_;
  std::unique_ptr<Device> ref_;
  std::mt19937 random_{12345};
};

}  // namespace glmocr::test
