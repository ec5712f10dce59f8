// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cmath>
#include <cstdint>
#include <vector>

#include "tensor/device.h"

namespace glmocr {

// theta^(-2i / dim) for i = 0 … count − 1, rounded as torch computes it in fp32: exponent, power, reciprocal.
inline std::vector<float> inverse_frequencies(double theta, int dim, int count) {
  const float base = theta;
  std::vector<float> frequencies;
  for (int i = 0; i < count; ++i) {
    const float exponent = 2.0f * i / dim;
    const float power = std::pow(double{base}, double{exponent});
    frequencies.push_back(1.0f / power);
  }
  return frequencies;
}

// The constant inputs of Ops::rotary_table, uploaded when the model is loaded.
class RotaryConstants {
 public:
  // Pair p of a head is rotated by inv_freq[p] times the position on axis[p].
  RotaryConstants(Device& device, const std::vector<float>& inv_freq, const std::vector<std::int32_t>& axis) {
    const std::int64_t pairs = std::ssize(inv_freq);
    GLMOCR_CHECK(std::ssize(axis) == pairs);
    memory_ = device.allocate(2 * 4 * pairs);
    inv_freq_ = memory_.view({pairs}, DType::f32);
    axis_ = memory_.view({pairs}, DType::i32, inv_freq_.bytes());
    device.upload(inv_freq.data(), inv_freq_);
    device.upload(axis.data(), axis_);
  }

  // positions [axes, n] i32 → cos and sin, [2, n, pairs] f32, rounded to `precision`.
  Tensor table(Ops& ops, const Tensor& positions, DType precision) const {
    return ops.rotary_table(positions, inv_freq_, axis_, precision);
  }

 private:
  Buffer memory_;
  Tensor inv_freq_;  // [pairs] f32
  Tensor axis_;      // [pairs] i32
};

}  // namespace glmocr
