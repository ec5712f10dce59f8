// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda/maps.cuh"

#include "kernels/cuda/cuda_ops.h"
#include "kernels/cuda/launch.h"

// Operations over the pixels of maps. All are bound by memory.
namespace glmocr::cuda {
namespace {

constexpr int kThreads = 256;

// One map made of another: N channels of a pixel of the result for each thread.
template <class T>
struct MapArguments {
  const T* x;
  Pixels x_at;
  int height, width;
  Window window;
  const T* residual;
  Pixels residual_at;
  T* y;
  Pixels y_at;
  int out_height, out_width, packs;
  std::int64_t count;
};

struct Place {
  int channel, column, row, page;
  bool exists;
};

template <class T, int N>
__device__ __forceinline__ Place place_of_thread(const MapArguments<T>& a) {
  const std::int64_t item = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  const std::int64_t pixel = item / a.packs;
  const int line = pixel / a.out_width, page = line / a.out_height;
  return {.channel = static_cast<int>(item - pixel * a.packs) * N,
          .column = static_cast<int>(pixel - std::int64_t{line} * a.out_width),
          .row = line - page * a.out_height,
          .page = page,
          .exists = item < a.count};
}

template <class T, int N>
__device__ __forceinline__ Pack<T, N> pack_at(const T* map, const Pixels& at, const Place& p, int row,
                                              int column) {
  return *reinterpret_cast<const Pack<T, N>*>(map + p.page * at.page + row * at.row + column * at.pixel +
                                              p.channel);
}

template <class T, int N>
__device__ __forceinline__ void store(const MapArguments<T>& a, const Place& p, const float (&values)[N]) {
  Pack<T, N> out;
#pragma unroll
  for (int k = 0; k < N; ++k) out.v[k] = from_float<T>(values[k]);
  *reinterpret_cast<Pack<T, N>*>(a.y + p.page * a.y_at.page + p.row * a.y_at.row + p.column * a.y_at.pixel +
                                 p.channel) = out;
}

template <class T, int N>
__global__ void __launch_bounds__(kThreads) max_pool_kernel(const __grid_constant__ MapArguments<T> a) {
  let_next_start();
  wait_for_previous();
  const Place p = place_of_thread<T, N>(a);
  if (!p.exists) return;
  float best[N];
#pragma unroll
  for (int k = 0; k < N; ++k) best[k] = -INFINITY;
  const int top = p.row * a.window.stride - a.window.top, left = p.column * a.window.stride - a.window.left;
  for (int row = max(top, 0); row < min(top + a.window.height, a.height); ++row) {
    for (int column = max(left, 0); column < min(left + a.window.width, a.width); ++column) {
      const auto values = pack_at<T, N>(a.x, a.x_at, p, row, column);
#pragma unroll
      for (int k = 0; k < N; ++k) {
        const float value = to_float(values.v[k]);
        if (!(value <= best[k])) best[k] = value;  // NaN stays NaN
      }
    }
  }
  store<T, N>(a, p, best);
}

template <class T, int N, bool kBilinear>
__global__ void __launch_bounds__(kThreads) enlarge_kernel(const __grid_constant__ MapArguments<T> a) {
  let_next_start();
  wait_for_previous();
  const Place p = place_of_thread<T, N>(a);
  if (!p.exists) return;
  float values[N];
  if constexpr (kBilinear) {
    // A pixel's middle lies a quarter of the way from the nearer pixel to the other one; at the edge both are one.
    const auto other = [](int place, int length) {
      return place % 2 == 0 ? max(place / 2 - 1, 0) : min(place / 2 + 1, length - 1);
    };
    const int row = p.row / 2, column = p.column / 2;
    const int far_row = other(p.row, a.height), far_column = other(p.column, a.width);
    const auto near_near = pack_at<T, N>(a.x, a.x_at, p, row, column),
               near_far = pack_at<T, N>(a.x, a.x_at, p, row, far_column);
    const auto far_near = pack_at<T, N>(a.x, a.x_at, p, far_row, column),
               far_far = pack_at<T, N>(a.x, a.x_at, p, far_row, far_column);
#pragma unroll
    for (int k = 0; k < N; ++k) {
      const float near = 0.75f * to_float(near_near.v[k]) + 0.25f * to_float(near_far.v[k]);
      const float far = 0.75f * to_float(far_near.v[k]) + 0.25f * to_float(far_far.v[k]);
      values[k] = 0.75f * near + 0.25f * far;
    }
  } else {
    const auto same = pack_at<T, N>(a.x, a.x_at, p, p.row / 2, p.column / 2);
#pragma unroll
    for (int k = 0; k < N; ++k) values[k] = to_float(same.v[k]);
  }
  if (a.residual) {
    const auto more = pack_at<T, N>(a.residual, a.residual_at, p, p.row, p.column);
#pragma unroll
    for (int k = 0; k < N; ++k) values[k] = rounded<T>(values[k]) + to_float(more.v[k]);
  }
  store<T, N>(a, p, values);
}

template <class T, int N>
__global__ void __launch_bounds__(kThreads)
    add_kernel(const T* x, std::int64_t x_stride, const T* y, std::int64_t y_stride, std::int64_t y_rows,
               T* out, std::int64_t packs, std::int64_t count) {
  let_next_start();
  wait_for_previous();
  const std::int64_t i = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i >= count) return;
  const std::int64_t row = i / packs, column = i % packs * N;
  const auto a = *reinterpret_cast<const Pack<T, N>*>(x + row * x_stride + column);
  const auto b = *reinterpret_cast<const Pack<T, N>*>(y + row % y_rows * y_stride + column);
  Pack<T, N> sum;
#pragma unroll
  for (int k = 0; k < N; ++k) sum.v[k] = from_float<T>(to_float(a.v[k]) + to_float(b.v[k]));
  *reinterpret_cast<Pack<T, N>*>(out + i * N) = sum;
}

template <class T>
MapArguments<T> arguments(const Tensor& x, const Tensor& residual, const Tensor& y, int pack) {
  return {.x = data<const T>(x),
          .x_at = pixels_of(x),
          .height = static_cast<int>(x.size(1)),
          .width = static_cast<int>(x.size(2)),
          .window = {},
          .residual = data<const T>(residual),
          .residual_at = residual ? pixels_of(residual) : Pixels(),
          .y = data<T>(y),
          .y_at = pixels_of(y),
          .out_height = static_cast<int>(y.size(1)),
          .out_width = static_cast<int>(y.size(2)),
          .packs = static_cast<int>(y.size(3) / pack),
          .count = y.numel() / pack};
}

}  // namespace

Tensor CudaOps::max_pool(const Tensor& x, const Window& window, const Tensor& out) {
  const Tensor y =
      output(out, {x.size(0), window.out_height(x.size(1)), window.out_width(x.size(2)), x.size(3)}, x.dtype);
  GLMOCR_CHECK(is_map(x) && is_map(y));
  with_compute_type(x.dtype, [&](auto value) {
    using T = decltype(value);
    const bool packed = pixels_are_aligned(x, 4) && pixels_are_aligned(y, 4);
    auto a = arguments<T>(x, {}, y, packed ? 4 : 1);
    a.window = window;
    launch(context_, "max_pool", packed ? max_pool_kernel<T, 4> : max_pool_kernel<T, 1>,
           blocks_for(a.count, kThreads), kThreads, 0, a);
  });
  return y;
}

Tensor CudaOps::enlarge(const Tensor& x, const EnlargeOptions& options) {
  const Shape shape{x.size(0), 2 * x.size(1), 2 * x.size(2), x.size(3)};
  const Tensor y = output(options.out, shape, x.dtype);
  const Tensor& residual = options.residual;
  GLMOCR_CHECK(is_map(x) && is_map(y));
  GLMOCR_CHECK(!residual || (residual.shape == shape && residual.dtype == x.dtype && is_map(residual)));
  with_compute_type(x.dtype, [&](auto value) {
    using T = decltype(value);
    const bool packed = pixels_are_aligned(x, 4) && pixels_are_aligned(y, 4) &&
                        (!residual || pixels_are_aligned(residual, 4));
    const auto a = arguments<T>(x, residual, y, packed ? 4 : 1);
    const auto run = [&](auto* kernel) {
      launch(context_, "enlarge", kernel, blocks_for(a.count, kThreads), kThreads, 0, a);
    };
    if (options.kind == Enlargement::bilinear) {
      packed ? run(enlarge_kernel<T, 4, true>) : run(enlarge_kernel<T, 1, true>);
    } else {
      packed ? run(enlarge_kernel<T, 4, false>) : run(enlarge_kernel<T, 1, false>);
    }
  });
  return y;
}

Tensor CudaOps::add(const Tensor& x, const Tensor& y) {
  GLMOCR_CHECK(y.columns() == x.columns() && y.dtype == x.dtype && y.rows() > 0 && x.rows() % y.rows() == 0);
  const Tensor sum = device_.scratch({x.rows(), x.columns()}, x.dtype);
  with_compute_type(x.dtype, [&](auto value) {
    using T = decltype(value);
    const auto run = [&](auto* kernel, int pack) {
      const std::int64_t count = sum.numel() / pack;
      launch(context_, "add", kernel, blocks_for(count, kThreads), kThreads, 0, data<const T>(x),
             x.row_stride(), data<const T>(y), y.row_stride(), y.rows(), data<T>(sum), x.columns() / pack,
             count);
    };
    pixels_are_aligned(x, 4) && pixels_are_aligned(y, 4) ? run(add_kernel<T, 4>, 4)
                                                         : run(add_kernel<T, 1>, 1);
  });
  return sum;
}

}  // namespace glmocr::cuda
