// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "kernels/cuda/halves.h"
#include "kernels/cuda/values.cuh"

namespace glmocr::cuda {

// Where the pixels of a map are: its channels are contiguous.
struct Pixels {
  std::int64_t page = 0, row = 0, pixel = 0;  // strides, in elements
  bool even = true;                           // all pixels have one distance
};

// A convolution as a product: its rows are the pixels of the result, page after page, its terms the values under the
// window. T is the type of the map, S of the weights.
template <class T, class S>
struct Convolution {
  static constexpr bool kHalves =
      std::is_same_v<T, float> && std::is_same_v<S, bf16_t>;  // of weights, see halves.h

  const T* x;
  Pixels x_at;
  int height, width, channels;
  const S* w;  // [out, w_row], the columns over rows, columns and channels of the window
  int w_row;   // in, or row_of_halves(in)
  int rows, in, out;
  int out_height, out_width;
  int window_width, stride, top, left;
  const float* bias;  // [out], or null
  Activation activation;
  const void* residual;  // like y, or null
  Pixels residual_at;
  void* y;  // [rows, out]
  Pixels y_at;
  bool y_is_f32;
  bool packed;  // four values of y and of the residual can be read and written together

  // The pixel of a row, in a map of the result's size.
  __device__ __forceinline__ std::int64_t place(const Pixels& at, int row) const {
    if (at.even) return row * at.pixel;
    const int line = row / out_width, page = line / out_height;
    return page * at.page + (line - page * out_height) * at.row + (row - line * out_width) * at.pixel;
  }
};

// Where the first half of a term is in a row of halves, the second one being kGroup behind it. Sixteen terms are in the order
// in which a map's come out when they are read as matrices of words.
__device__ __forceinline__ std::int64_t place_of_half(std::int64_t term) {
  const int among = static_cast<int>(term % 16);
  return term / kGroup * 2 * kGroup + term % kGroup / 16 * 16 + among / 8 * 8 + 2 * (among % 4) +
         among % 8 / 4;
}

// On tensor cores, with 16 bytes of a map and of the weights at a time: channels, strides and addresses are multiples of
// that. In fp32 each operand is split into two numbers of eleven bits, and three products of four are added up: as many
// digits as fp32 has but the last one or two, where one product of TF32 has half of them. The terms are summed in order.
void run_on_tiles(Context& context, const Convolution<float, float>& c);
void run_on_tiles(Context& context, const Convolution<bf16_t, bf16_t>& c);
// Sixteen bits of each operand count: each is split into two of bf16, and three products of four are added up.
void run_on_tiles(Context& context, const Convolution<float, bf16_t>& c);
void run_on_tiles_sm90(Context& context, const Convolution<float, bf16_t>& c);

}  // namespace glmocr::cuda
