// SPDX-License-Identifier: Apache-2.0
#include "tensor/dtype.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>

namespace glmocr {
namespace {

float from_bits(std::uint32_t bits) { return std::bit_cast<float>(bits); }

TEST(Bf16, EveryValueSurvives) {
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    const bf16 value{static_cast<std::uint16_t>(bits)};
    const float wide = to_float(value);
    EXPECT_EQ(std::bit_cast<std::uint32_t>(wide), bits << 16);
    if (std::isnan(wide)) {
      EXPECT_TRUE(std::isnan(to_float(to_bf16(wide)))) << bits;
    } else {
      ASSERT_EQ(to_bf16(wide).bits, bits);
    }
  }
}

// Against the definition: of the two neighbours the nearer, the even one when both are equally near.
TEST(Bf16, RoundsToNearestEven) {
  for (std::uint32_t high = 0; high < 0x7F80; high += 3) {
    for (const std::uint32_t low : {0x0001u, 0x7FFFu, 0x8000u, 0x8001u, 0xFFFFu, 0x4000u}) {
      const bool up = low > 0x8000 || (low == 0x8000 && (high & 1));
      ASSERT_EQ(to_bf16(from_bits(high << 16 | low)).bits, high + up) << std::hex << high << " " << low;
      ASSERT_EQ(to_bf16(from_bits(0x80000000u | high << 16 | low)).bits, 0x8000 + high + up);
    }
  }
}

TEST(Bf16, SpecialValues) {
  EXPECT_EQ(to_bf16(std::numeric_limits<float>::infinity()).bits, 0x7F80);
  EXPECT_EQ(to_bf16(-std::numeric_limits<float>::infinity()).bits, 0xFF80);
  // Nearer to 2^128 than to the largest bf16.
  EXPECT_EQ(to_bf16(std::numeric_limits<float>::max()).bits, 0x7F80);
  EXPECT_EQ(to_bf16(-0.0f).bits, 0x8000);
  // A NaN with its payload in the low half only must not become infinity.
  EXPECT_TRUE(std::isnan(to_float(to_bf16(from_bits(0x7F800001)))));
  EXPECT_TRUE(std::isnan(to_float(to_bf16(from_bits(0xFFFFFFFF)))));
  EXPECT_EQ(round_to_bf16(1.00390625f), 1.0f);  // 1 + 2^-8: a tie, 1 is even
}

TEST(F16, EveryValueFollowsTheFormat) {
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    const int exponent = bits >> 10 & 0x1F;
    const double mantissa = (bits & 0x3FF) / 1024.0, sign = bits & 0x8000 ? -1 : 1;
    const float value = to_float(f16{static_cast<std::uint16_t>(bits)});
    if (exponent == 31) {
      if (mantissa == 0) {
        EXPECT_EQ(value, sign * std::numeric_limits<double>::infinity());
      } else {
        EXPECT_TRUE(std::isnan(value)) << bits;
      }
    } else {
      const double expected =
          exponent == 0 ? std::ldexp(mantissa, -14) : std::ldexp(1 + mantissa, exponent - 15);
      ASSERT_EQ(value, sign * expected) << bits;
      ASSERT_EQ(std::signbit(value), sign < 0) << bits;
    }
  }
}

TEST(DType, SizesAndNames) {
  EXPECT_EQ(size_of(DType::f32), 4);
  EXPECT_EQ(size_of(DType::bf16), 2);
  EXPECT_EQ(size_of(DType::f16), 2);
  EXPECT_EQ(size_of(DType::i32), 4);
  EXPECT_EQ(size_of(DType::u8), 1);
  EXPECT_EQ(to_string(DType::bf16), "BF16");
  EXPECT_EQ(dtype_of<bf16>, DType::bf16);
  EXPECT_EQ(dtype_of<std::int32_t>, DType::i32);
}

}  // namespace
}  // namespace glmocr
