// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda/cuda_ops.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/values.cuh"

namespace glmocr::cuda {
namespace {

constexpr int kThreads = 256;

struct Grid {
  std::int64_t width;           // of the picture
  std::int64_t blocks_per_row;  // blocks of merge² patches
  int patch, frames, merge;
  std::int64_t first, count;  // patches of the picture
};

// Bound by memory, mostly the writes: each byte of the picture becomes one value per frame. blockDim.x threads
// per patch; the table stays in the cache.
template <class T>
__global__ void patchify_kernel(const std::uint8_t* picture, const float* normalized, const Grid g, T* y,
                                std::int64_t stride, int values) {
  let_next_start();
  wait_for_previous();
  const std::int64_t p = std::int64_t{blockIdx.x} * blockDim.y + threadIdx.y,
                     block = (g.first + p) / (g.merge * g.merge);
  if (p >= g.count) return;
  const int within = static_cast<int>((g.first + p) % (g.merge * g.merge));
  const std::int64_t top = (block / g.blocks_per_row * g.merge + within / g.merge) * g.patch;
  const std::int64_t left = (block % g.blocks_per_row * g.merge + within % g.merge) * g.patch;
  for (int i = threadIdx.x; i < values; i += static_cast<int>(blockDim.x)) {
    const int channel = i / (g.frames * g.patch * g.patch);
    const std::int64_t row = top + i / g.patch % g.patch, column = left + i % g.patch;
    y[p * stride + i] =
        from_float<T>(normalized[channel * 256 + picture[(row * g.width + column) * 3 + channel]]);
  }
}

// Patches of one pixel, one copy: values in the order of the bytes. Bound by memory.
template <class T>
__global__ void __launch_bounds__(kThreads)
    pixels_kernel(const std::uint8_t* picture, const float* normalized, T* y, std::int64_t count) {
  let_next_start();
  wait_for_previous();
  const std::int64_t i = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i < count) y[i] = from_float<T>(normalized[i % 3 * 256 + picture[i]]);
}

}  // namespace

Tensor CudaOps::patchify(const Tensor& picture, const Tensor& normalized, const PatchOptions& options,
                         DType compute) {
  const std::int64_t height = picture.size(0), width = picture.size(1), patch = options.patch_size;
  const std::int64_t unit = patch * options.merge_size, values = 3 * options.frames * patch * patch;
  GLMOCR_CHECK(picture.size(2) == 3 && height % unit == 0 && width % unit == 0);
  GLMOCR_CHECK(picture.is_contiguous() && normalized.is_contiguous() && normalized.numel() == 3 * 256);
  const std::int64_t all = height / patch * (width / patch);
  const std::int64_t count = options.count > 0 ? options.count : all - options.first;
  GLMOCR_CHECK(options.first >= 0 && options.first + count <= all);
  const Tensor y = output(options.out, {count, values}, compute);
  const Grid grid{width,         width / unit, options.patch_size, options.frames, options.merge_size,
                  options.first, count};
  with_compute_type(compute, [&](auto value) {
    using T = decltype(value);
    if (values == 3 && options.merge_size == 1 && y.row_stride() == 3) {
      const std::int64_t first = 3 * options.first;
      return launch(context_, "patchify", pixels_kernel<T>, blocks_for(3 * count, kThreads), kThreads, 0,
                    data<const std::uint8_t>(picture) + first, data<const float>(normalized), data<T>(y),
                    3 * count);
    }
    // Small patches share a block.
    const dim3 block = values < 32 ? dim3(4, kThreads / 4) : dim3(kThreads);
    launch(context_, "patchify", patchify_kernel<T>, blocks_for(count, block.y), block, 0,
           data<std::uint8_t>(picture), data<float>(normalized), grid, data<T>(y), y.row_stride(), values);
  });
  return y;
}

}  // namespace glmocr::cuda
