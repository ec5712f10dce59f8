// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cmath>
#include <vector>

namespace glmocr {

// theta^(-2i / dim) for i = 0 … count − 1, rounded as torch computes it in fp32: exponent, power, reciprocal.
inline std::vector<float> inverse_frequencies(double theta, int dim, int count) {
  std::vector<float> frequencies;
  for (int i = 0; i < count; ++i) {
    const float exponent = static_cast<float>(2 * i) / static_cast<float>(dim);
    const auto power =
        static_cast<float>(std::pow(static_cast<double>(static_cast<float>(theta)), double{exponent}));
    frequencies.push_back(1.0f / power);
  }
  return frequencies;
}

}  // namespace glmocr
