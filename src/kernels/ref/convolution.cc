// SPDX-License-Identifier: Apache-2.0
#include "kernels/ref/ref_ops.h"
#include "kernels/ref/values.h"

namespace glmocr::ref {
namespace {

struct Pixel {
  std::int64_t page, y, x;
};

std::int64_t offset(const Tensor& t, const Pixel& p, std::int64_t channel) {
  return p.page * t.strides[0] + p.y * t.strides[1] + p.x * t.strides[2] + channel;
}

// The value at a place under the window whose output is `p`; 0 in the padding.
double under(const Tensor& x, const Window& window, const Pixel& p, std::int64_t dy, std::int64_t dx,
             std::int64_t channel) {
  const std::int64_t row = p.y * window.stride - window.top + dy;
  const std::int64_t column = p.x * window.stride - window.left + dx;
  if (row < 0 || row >= x.size(1) || column < 0 || column >= x.size(2)) return 0;
  return get(x, offset(x, {p.page, row, column}, channel));
}

// y[p, channel] = round(round(act(round(sum))) + residual)
void finish(double sum, const ConvolutionOptions& options, const Tensor& y, const Pixel& p,
            std::int64_t channel) {
  float value = apply(options.activation, rounded(y.dtype, sum));
  if (options.residual) {
    value = rounded(y.dtype, value) + get(options.residual, offset(options.residual, p, channel));
  }
  put(y, offset(y, p, channel), value);
}

template <class Body>
void for_each_pixel(const Tensor& y, Body body) {
  for (std::int64_t page = 0; page < y.size(0); ++page) {
    for (std::int64_t row = 0; row < y.size(1); ++row) {
      for (std::int64_t column = 0; column < y.size(2); ++column) body(Pixel{page, row, column});
    }
  }
}

}  // namespace

Tensor RefOps::convolve(const Tensor& x, const Weight& weight, const Window& window,
                        const ConvolutionOptions& options) {
  const std::int64_t channels = x.size(3), in = window.height * window.width * channels;
  GLMOCR_CHECK(weight.use == WeightUse::convolution && weight.in_features == in);
  const Tensor y =
      output(options.out,
             {x.size(0), window.out_height(x.size(1)), window.out_width(x.size(2)), weight.out_features},
             options.out ? options.out.dtype : x.dtype);
  for_each_pixel(y, [&](const Pixel& p) {
    for (std::int64_t o = 0; o < weight.out_features; ++o) {
      double sum = weight.bias ? weight.bias.as<float>()[o] : 0;
      for (std::int64_t i = 0; i < in; ++i) {
        const std::int64_t tap = i / channels;
        sum += under(x, window, p, tap / window.width, tap % window.width, i % channels) *
               get(weight.data, o * in + i);
      }
      finish(sum, options, y, p, o);
    }
  });
  return y;
}

Tensor RefOps::convolve_depthwise(const Tensor& x, const Tensor& weight, const Tensor& bias,
                                  const Window& window, const ConvolutionOptions& options) {
  const std::int64_t channels = x.size(3), taps = window.height * window.width;
  GLMOCR_CHECK((weight.shape == Shape{taps, channels}) && bias.numel() == channels);
  const Tensor y = output(
      options.out, {x.size(0), window.out_height(x.size(1)), window.out_width(x.size(2)), channels}, x.dtype);
  for_each_pixel(y, [&](const Pixel& p) {
    for (std::int64_t c = 0; c < channels; ++c) {
      double sum = bias.as<float>()[c];
      for (std::int64_t tap = 0; tap < taps; ++tap) {
        sum += under(x, window, p, tap / window.width, tap % window.width, c) *
               weight.as<float>()[tap * channels + c];
      }
      finish(sum, options, y, p, c);
    }
  });
  return y;
}

}  // namespace glmocr::ref
