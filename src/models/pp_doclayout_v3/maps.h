// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "models/pp_doclayout_v3/weights.h"
#include "tensor/device.h"

namespace glmocr::doclayout {

// What backbone and encoder run maps with.
class Maps {
 public:
  Maps(Device& device, DType compute) : device_(device), compute_(compute) {}

  Device& device() const { return device_; }
  Ops& ops() const { return device_.ops(); }

  Tensor make(std::int64_t pages, std::int64_t height, std::int64_t width, std::int64_t channels) const {
    return device_.scratch({pages, height, width, channels}, compute_);
  }
  Tensor run(const Tensor& x, const Convolution& c, const ConvolutionOptions& options = {}) const {
    return ops().convolve(x, c.weight, c.window, options);
  }
  Tensor run(const Tensor& x, const DepthwiseConvolution& c, const ConvolutionOptions& options = {}) const {
    return ops().convolve_depthwise(x, c.weight, c.bias, c.window, options);
  }

 private:
  Device& device_;
  DType compute_;
};

// Some channels of a map.
inline Tensor channels(const Tensor& map, std::int64_t begin, std::int64_t end) {
  return map.slice(3, begin, end);
}

}  // namespace glmocr::doclayout
