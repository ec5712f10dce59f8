// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda/convolution.cuh"

#include "kernels/cuda/cuda_ops.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/maps.cuh"

namespace glmocr::cuda {
namespace {

constexpr int kTile = 64, kDepth = 16, kThreads = 256;

// The value of a row at a term; 0 in the padding.
template <class T, class S>
__device__ __forceinline__ float value_under(const Convolution<T, S>& c, int row, int k) {
  if (row >= c.rows || k >= c.in) return 0;
  const int line = row / c.out_width, page = line / c.out_height, tap = k / c.channels;
  const int y = (line - page * c.out_height) * c.stride - c.top + tap / c.window_width;
  const int x = (row - line * c.out_width) * c.stride - c.left + tap % c.window_width;
  if (y < 0 || y >= c.height || x < 0 || x >= c.width) return 0;
  return to_float(c.x[page * c.x_at.page + y * c.x_at.row + x * c.x_at.pixel + (k - tap * c.channels)]);
}

template <class T, class S>
__device__ __forceinline__ float weight_at(const Convolution<T, S>& c, int column, int k) {
  const S* row = c.w + std::int64_t{column} * c.w_row;
  if constexpr (Convolution<T, S>::kHalves) {
    const S* half = row + place_of_half(k);
    return to_float(half[0]) + to_float(half[kGroup]);
  }
  return to_float(row[k]);
}

template <class Y, class T, class S>
__device__ __noinline__ void finish(const Convolution<T, S>& c, float sum, int row, int column) {
  if (c.bias) sum += c.bias[column];
  float value = rounded<Y>(sum);
  if (c.activation != Activation::none) value = apply<Y>(c.activation, value);
  if (c.residual) {
    const Y* residual = static_cast<const Y*>(c.residual);
    value = rounded<Y>(value) + to_float(residual[c.place(c.residual_at, row) + column]);
  }
  static_cast<Y*>(c.y)[c.place(c.y_at, row) + column] = from_float<Y>(value);
}

// Of four features together, where the result can be written so. Not inlined: it would be there for every pixel.
template <class Y, class T, class S>
__device__ __noinline__ void finish_four(const Convolution<T, S>& c, float4 sums, int row, int column) {
  Pack<float, 4> values{sums.x, sums.y, sums.z, sums.w};
  Pack<Y, 4> out;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    float value = rounded<Y>(values.v[i] + (c.bias ? __ldg(c.bias + column + i) : 0));
    if (c.activation != Activation::none) value = apply<Y>(c.activation, value);
    out.v[i] = from_float<Y>(value);
  }
  *reinterpret_cast<Pack<Y, 4>*>(static_cast<Y*>(c.y) + c.place(c.y_at, row) + column) = out;
}

// Any number of channels, such as the three of a picture. Bound by finding the values: tiles of 64 pixels and kColumns
// features, 4 × kColumns / 16 per thread; the terms are summed in order.
template <class T, class S, int kColumns>
__global__ void __launch_bounds__(kThreads) plain_kernel(const __grid_constant__ Convolution<T, S> c) {
  constexpr int kAcross = kColumns / 16;
  __shared__ float x_tile[kDepth][kTile + 4], w_tile[kDepth][kColumns + 4];
  let_next_start();
  wait_for_previous();
  const int row0 = blockIdx.x * kTile, column0 = blockIdx.y * kColumns;
  const int tx = threadIdx.x % 16, ty = threadIdx.x / 16;
  float sums[4][kAcross] = {};
  for (int k0 = 0; k0 < c.in; k0 += kDepth) {
    for (int i = threadIdx.x; i < kTile * kDepth; i += kThreads) {
      x_tile[i % kDepth][i / kDepth] = value_under(c, row0 + i / kDepth, k0 + i % kDepth);
    }
    for (int i = threadIdx.x; i < kColumns * kDepth; i += kThreads) {
      const int k = k0 + i % kDepth, column = column0 + i / kDepth;
      w_tile[i % kDepth][i / kDepth] = k < c.in && column < c.out ? weight_at(c, column, k) : 0;
    }
    __syncthreads();
#pragma unroll
    for (int k = 0; k < kDepth; ++k) {
      const auto x = *reinterpret_cast<const Pack<float, 4>*>(&x_tile[k][4 * ty]);
      const auto w = *reinterpret_cast<const Pack<float, kAcross>*>(&w_tile[k][kAcross * tx]);
#pragma unroll
      for (int i = 0; i < 4; ++i) {
#pragma unroll
        for (int j = 0; j < kAcross; ++j) sums[i][j] = fmaf(x.v[i], w.v[j], sums[i][j]);
      }
    }
    __syncthreads();
  }
#pragma unroll
  for (int i = 0; i < 4; ++i) {
#pragma unroll
    for (int j = 0; j < kAcross; ++j) {
      const int row = row0 + 4 * ty + i, column = column0 + kAcross * tx + j;
      if (row >= c.rows || column >= c.out) continue;
      c.y_is_f32 ? finish<float>(c, sums[i][j], row, column) : finish<bf16_t>(c, sums[i][j], row, column);
    }
  }
}

constexpr int kFewTerms = 32, kFewColumns = 32, kPixels = 2;

// Few terms and features, as the first convolution of a picture has. Bound by fp32 arithmetic: a thread has all features of
// kPixels pixels, whose values all threads of a warp read at once.
template <class T, class S>
__global__ void __launch_bounds__(kThreads) few_terms_kernel(const __grid_constant__ Convolution<T, S> c) {
  __shared__ __align__(16) float weights[kFewTerms][kFewColumns];
  let_next_start();
  wait_for_previous();
  for (int i = threadIdx.x; i < kFewTerms * kFewColumns; i += kThreads) {
    const int k = i / kFewColumns, column = i % kFewColumns;
    weights[k][column] = k < c.in && column < c.out ? to_float(c.w[std::int64_t{column} * c.w_row + k]) : 0;
  }
  __syncthreads();
  const int row0 = (blockIdx.x * kThreads + threadIdx.x) * kPixels;
  float sums[kPixels][kFewColumns] = {};
  const T* at[kPixels];
  int top[kPixels], left[kPixels];
#pragma unroll
  for (int p = 0; p < kPixels; ++p) {
    const int line = (row0 + p) / c.out_width, page = line / c.out_height;
    top[p] = row0 + p < c.rows ? (line - page * c.out_height) * c.stride - c.top : c.height;
    left[p] = (row0 + p - line * c.out_width) * c.stride - c.left;
    at[p] = c.x + page * c.x_at.page + top[p] * c.x_at.row + left[p] * c.x_at.pixel;
  }
  int tap_x = 0, tap_y = 0, channel = 0;
#pragma unroll 3
  for (int k = 0; k < c.in; ++k) {
    float values[kPixels];
#pragma unroll
    for (int p = 0; p < kPixels; ++p) {
      const bool inside = static_cast<unsigned>(top[p] + tap_y) < static_cast<unsigned>(c.height) &&
                          static_cast<unsigned>(left[p] + tap_x) < static_cast<unsigned>(c.width);
      values[p] = inside ? to_float(at[p][tap_y * c.x_at.row + tap_x * c.x_at.pixel + channel]) : 0;
    }
#pragma unroll
    for (int column = 0; column < kFewColumns; column += 4) {
      const auto w = *reinterpret_cast<const Pack<float, 4>*>(&weights[k][column]);
#pragma unroll
      for (int p = 0; p < kPixels; ++p) {
#pragma unroll
        for (int i = 0; i < 4; ++i) sums[p][column + i] = fmaf(values[p], w.v[i], sums[p][column + i]);
      }
    }
    if (++channel < c.channels) continue;
    channel = 0;
    if (++tap_x < c.window_width) continue;
    tap_x = 0;
    ++tap_y;
  }
#pragma unroll
  for (int p = 0; p < kPixels; ++p) {
    if (row0 + p >= c.rows) break;
#pragma unroll
    for (int column = 0; column < kFewColumns; column += 4) {
      if (column >= c.out) break;
      const float4 some{sums[p][column], sums[p][column + 1], sums[p][column + 2], sums[p][column + 3]};
      c.y_is_f32 ? finish_four<float>(c, some, row0 + p, column)
                 : finish_four<bf16_t>(c, some, row0 + p, column);
    }
  }
}

template <class T, class S>
void run_plain(Context& context, const Convolution<T, S>& c) {
  if constexpr (!Convolution<T, S>::kHalves) {
    if (c.in <= kFewTerms && c.out <= kFewColumns && c.out % 4 == 0 && c.packed && !c.residual) {
      return launch(context, "convolve", few_terms_kernel<T, S>, blocks_for(c.rows, kThreads * kPixels),
                    kThreads, 0, c);
    }
  }
  const auto run = [&](auto* kernel, int columns) {
    launch(context, "convolve", kernel, dim3(blocks_for(c.rows, kTile), blocks_for(c.out, columns)), kThreads,
           0, c);
  };
  c.out <= 32 ? run(plain_kernel<T, S, 32>, 32) : run(plain_kernel<T, S, 64>, 64);
}

struct SingleChannels {
  const void* x;
  Pixels x_at;
  int height, width;
  const float *weight, *bias;
  Window window;
  Activation activation;
  void* y;
  Pixels y_at;
  int out_height, out_width, packs, groups;  // packs of channels, groups of pixels of a row
  std::int64_t count;                        // of groups of packs, in all
};

// Bound by the cache: a thread has N channels of kAlong pixels beside each other, and reads what is under them once per row
// of the window. kWidth and kStride are those of the window.
template <class T, int N, int kWidth, int kStride, int kAlong>
__global__ void __launch_bounds__(kThreads) single_channels_kernel(const __grid_constant__ SingleChannels a) {
  let_next_start();
  wait_for_previous();
  const std::int64_t item = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (item >= a.count) return;
  const auto place = static_cast<unsigned>(item), packs = static_cast<unsigned>(a.packs);
  const int pack = place % packs, group = place / packs % a.groups;
  const int line = place / packs / a.groups, page = line / a.out_height, row = line - page * a.out_height;
  const int channel = pack * N, channels = a.packs * N, column = group * kAlong;
  const T* x = static_cast<const T*>(a.x) + page * a.x_at.page + channel;
  const auto bias = *reinterpret_cast<const Pack<float, N>*>(a.bias + channel);
  float sums[kAlong][N];
#pragma unroll
  for (int o = 0; o < kAlong; ++o) {
#pragma unroll
    for (int k = 0; k < N; ++k) sums[o][k] = bias.v[k];
  }
  for (int tap = 0; tap < a.window.height; ++tap) {
    const int from_row = row * a.window.stride - a.window.top + tap;
    if (from_row < 0 || from_row >= a.height) continue;
    Pack<float, N> weights[kWidth];
#pragma unroll
    for (int t = 0; t < kWidth; ++t) {
      weights[t] =
          *reinterpret_cast<const Pack<float, N>*>(a.weight + (tap * kWidth + t) * channels + channel);
    }
    const int first = column * kStride - a.window.left;
    // All are asked for before the first is used.
    constexpr int kUnder = (kAlong - 1) * kStride + kWidth;
    Pack<T, N> under[kUnder];
#pragma unroll
    for (int i = 0; i < kUnder; ++i) {
      const bool inside = first + i >= 0 && first + i < a.width;
      const T* from = x + from_row * a.x_at.row + (inside ? first + i : 0) * a.x_at.pixel;
      under[i] = *reinterpret_cast<const Pack<T, N>*>(from);
      if (!inside) under[i] = {};
    }
#pragma unroll
    for (int i = 0; i < kUnder; ++i) {
      const Pack<T, N>& values = under[i];
#pragma unroll
      for (int o = 0; o < kAlong; ++o) {
        const int t = i - o * kStride;
        if (t < 0 || t >= kWidth) continue;
#pragma unroll
        for (int k = 0; k < N; ++k) sums[o][k] = fmaf(to_float(values.v[k]), weights[t].v[k], sums[o][k]);
      }
    }
  }
  T* y = static_cast<T*>(a.y) + page * a.y_at.page + row * a.y_at.row + column * a.y_at.pixel + channel;
#pragma unroll
  for (int o = 0; o < kAlong; ++o) {
    if (column + o >= a.out_width) break;
    Pack<T, N> out;
#pragma unroll
    for (int k = 0; k < N; ++k) {
      out.v[k] = from_float<T>(apply<T>(a.activation, rounded<T>(sums[o][k])));
    }
    *reinterpret_cast<Pack<T, N>*>(y + o * a.y_at.pixel) = out;
  }
}

// The same for windows of any size, one value a thread.
template <class T>
__global__ void __launch_bounds__(kThreads) any_window_kernel(const __grid_constant__ SingleChannels a) {
  let_next_start();
  wait_for_previous();
  const std::int64_t item = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (item >= a.count) return;
  const int channel = item % a.packs, column = item / a.packs % a.out_width;
  const int line = item / a.packs / a.out_width, page = line / a.out_height, row = line - page * a.out_height;
  const T* x = static_cast<const T*>(a.x) + page * a.x_at.page + channel;
  float sum = a.bias[channel];
  for (int tap = 0; tap < a.window.height * a.window.width; ++tap) {
    const int from_row = row * a.window.stride - a.window.top + tap / a.window.width;
    const int from_column = column * a.window.stride - a.window.left + tap % a.window.width;
    if (from_row < 0 || from_row >= a.height || from_column < 0 || from_column >= a.width) continue;
    sum = fmaf(to_float(x[from_row * a.x_at.row + from_column * a.x_at.pixel]),
               a.weight[tap * a.packs + channel], sum);
  }
  static_cast<T*>(a.y)[page * a.y_at.page + row * a.y_at.row + column * a.y_at.pixel + channel] =
      from_float<T>(apply<T>(a.activation, rounded<T>(sum)));
}

// Bound by memory.
__global__ void __launch_bounds__(kThreads)
    widen_kernel(const bf16_t* x, Pixels at, int height, int width, int packs, float* y, std::int64_t count) {
  let_next_start();
  wait_for_previous();
  const std::int64_t item = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (item >= count) return;
  const int pack = item % packs, column = item / packs % width, line = item / packs / width,
            page = line / height;
  const auto values = *reinterpret_cast<const Pack<bf16_t, 4>*>(
      x + page * at.page + (line - page * height) * at.row + column * at.pixel + 4 * pack);
  Pack<float, 4> out;
#pragma unroll
  for (int k = 0; k < 4; ++k) out.v[k] = to_float(values.v[k]);
  *reinterpret_cast<Pack<float, 4>*>(y + 4 * item) = out;
}

// The map in fp32.
Tensor widened(Device& device, Context& context, const Tensor& x) {
  const Tensor y = device.scratch(x.shape, DType::f32);
  const std::int64_t count = x.numel() / 4;
  launch(context, "convolve", widen_kernel, blocks_for(count, kThreads), kThreads, 0, data<const bf16_t>(x),
         pixels_of(x), x.size(1), x.size(2), x.size(3) / 4, data<float>(y), count);
  return y;
}

}  // namespace

Tensor CudaOps::convolve(const Tensor& x, const Weight& weight, const Window& window,
                         const ConvolutionOptions& options) {
  const std::int64_t in = std::int64_t{window.height} * window.width * x.size(3), out = weight.out_features;
  const bool halves = weight.layout == WeightLayout::halves;
  GLMOCR_CHECK(is_map(x) && weight.use == WeightUse::convolution);
  GLMOCR_CHECK(weight.in_features == in && (!weight.bias || weight.bias.numel() == out));
  GLMOCR_CHECK(halves ? x.dtype == DType::f32
                      : weight.data.dtype == x.dtype || weight.data.dtype == DType::f32);
  const Shape shape{x.size(0), window.out_height(x.size(1)), window.out_width(x.size(2)), out};
  const Tensor y = output(options.out, shape, options.out ? options.out.dtype : x.dtype);
  const Tensor& residual = options.residual;
  GLMOCR_CHECK(is_map(y) &&
               (!residual || (residual.shape == shape && residual.dtype == y.dtype && is_map(residual))));
  const ArenaScope scope(device_);
  const bool aligned = pixels_are_aligned(x) && pixels_are_aligned(weight.data);
  if (aligned && x.dtype == DType::bf16 && weight.data.dtype == DType::f32) {
    ConvolutionOptions same = options;
    same.out = y;
    return convolve(widened(device_, context_, x), weight, window, same);
  }
  const auto describe = [&](auto value, auto stored) {
    using T = decltype(value);
    using S = decltype(stored);
    return Convolution<T, S>{
        .x = data<const T>(x),
        .x_at = pixels_of(x),
        .height = static_cast<int>(x.size(1)),
        .width = static_cast<int>(x.size(2)),
        .channels = static_cast<int>(x.size(3)),
        .w = data<const S>(weight.data),
        .w_row = static_cast<int>(weight.data.size(1)),
        .rows = static_cast<int>(y.rows()),
        .in = static_cast<int>(in),
        .out = static_cast<int>(out),
        .out_height = static_cast<int>(shape[1]),
        .out_width = static_cast<int>(shape[2]),
        .window_width = window.width,
        .stride = window.stride,
        .top = window.top,
        .left = window.left,
        .bias = data<const float>(weight.bias),
        .activation = options.activation,
        .residual = residual.data,
        .residual_at = residual ? pixels_of(residual) : Pixels(),
        .y = y.data,
        .y_at = pixels_of(y),
        .y_is_f32 = y.dtype == DType::f32,
        .packed = pixels_are_aligned(y, 4) && (!residual || pixels_are_aligned(residual, 4))};
  };
  if (halves) {
    const auto c = describe(float(), bf16_t());
    aligned ? run_on_tiles(context_, c) : run_plain(context_, c);
  } else if (x.dtype == DType::f32) {
    const auto c = describe(float(), float());
    aligned ? run_on_tiles(context_, c) : run_plain(context_, c);
  } else if (weight.data.dtype == DType::f32) {
    run_plain(context_, describe(bf16_t(), float()));
  } else {
    const auto c = describe(bf16_t(), bf16_t());
    aligned ? run_on_tiles(context_, c) : run_plain(context_, c);
  }
  return y;
}

Tensor CudaOps::convolve_depthwise(const Tensor& x, const Tensor& weight, const Tensor& bias,
                                   const Window& window, const ConvolutionOptions& options) {
  const std::int64_t channels = x.size(3), taps = std::int64_t{window.height} * window.width;
  const Shape shape{x.size(0), window.out_height(x.size(1)), window.out_width(x.size(2)), channels};
  GLMOCR_CHECK(is_map(x) && !options.residual && (weight.shape == Shape{taps, channels}) &&
               bias.numel() == channels);
  const Tensor y = output(options.out, shape, x.dtype);
  GLMOCR_CHECK(is_map(y));
  SingleChannels a{.x = x.data,
                   .x_at = pixels_of(x),
                   .height = static_cast<int>(x.size(1)),
                   .width = static_cast<int>(x.size(2)),
                   .weight = data<const float>(weight),
                   .bias = data<const float>(bias),
                   .window = window,
                   .activation = options.activation,
                   .y = y.data,
                   .y_at = pixels_of(y),
                   .out_height = static_cast<int>(shape[1]),
                   .out_width = static_cast<int>(shape[2]),
                   .packs = static_cast<int>(channels),
                   .groups = static_cast<int>(shape[2]),
                   .count = y.numel()};
  const auto run = [&](auto* kernel) {
    launch(context_, "convolve_depthwise", kernel, blocks_for(a.count, kThreads), kThreads, 0, a);
  };
  constexpr int kPack = 4, kAlong = 4;
  const bool packed = pixels_are_aligned(x, kPack) && pixels_are_aligned(y, kPack) &&
                      pixels_are_aligned(weight) && is_aligned(bias, 16);
  with_compute_type(x.dtype, [&](auto value) {
    using T = decltype(value);
    const bool five = window.width == 5 && window.stride == 1,
               three = window.width == 3 && window.stride == 2;
    if (!packed || !(five || three) || y.numel() > INT32_MAX) return run(any_window_kernel<T>);
    a.packs /= kPack;
    a.groups = static_cast<int>(blocks_for(shape[2], kAlong));
    a.count = shape[0] * shape[1] * a.groups * a.packs;
    five ? run(single_channels_kernel<T, kPack, 5, 1, kAlong>)
         : run(single_channels_kernel<T, kPack, 3, 2, kAlong>);
  });
  return y;
}

}  // namespace glmocr::cuda
