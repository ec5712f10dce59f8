// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "kernels/cuda/convolution.cuh"
#include "kernels/cuda/halves.cuh"
#include "kernels/cuda/launch.h"

// What the kernels for convolutions on tensor cores share: how operands come into shared memory and results out of it.
namespace glmocr::cuda {

inline constexpr int kChunks = 8;  // of 16 bytes, in a row of a tile
inline constexpr int kRowBytes = 16 * kChunks;

// Of 16 terms of fp32, chunks 4 · step to 4 · step + 3 of 16 rows: a lane's part as the left operand of a product, in two
// numbers of bf16. The terms come in the order of place_of_half.
__device__ __forceinline__ void load_halves(std::uint32_t (&high)[4], std::uint32_t (&low)[4],
                                            std::uint32_t tile, int row, int step) {
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    std::uint32_t words[4];
    load_matrices(
        words, tile + swizzled<kChunks>(row, 4 * step + 2 * half + static_cast<int>(threadIdx.x) % 32 / 16));
#pragma unroll
    for (int k = 0; k < 2; ++k) {
      const Parts parts = halves_of(__uint_as_float(words[k]), __uint_as_float(words[k + 2]));
      high[2 * half + k] = parts.high;
      low[2 * half + k] = parts.low;
    }
  }
}

// Copies of one thread: always the same chunk of a row, of every kThreads / kChunks-th row. A step is kDepth terms of the
// tile's pixels, and of its weights behind them; S::kStages - 1 steps are under way at a time, in a ring in shared memory.
template <class T, class W, class S>
class Copier {
 public:
  // `ring`: its address in shared memory.
  __device__ __forceinline__ Copier(const Convolution<T, W>& c, int row0, int column0, std::uint32_t ring)
      : c_(c),
        ring_(ring),
        chunk_(threadIdx.x % kChunks),
        first_(threadIdx.x / kChunks),
        channel_(chunk_ * kValues) {
    weights_ = c.w + std::int64_t{column0 + first_} * c.w_row;
    columns_ = c.out - column0 - first_;
#pragma unroll
    for (int i = 0; i < kPasses; ++i) {
      const int row = row0 + first_ + i * kStep;
      const int line = row / c.out_width, page = line / c.out_height;
      y_[i] = row < c.rows ? (line - page * c.out_height) * c.stride - c.top : kOutside;
      x_[i] = (row - line * c.out_width) * c.stride - c.left;
      pixel_[i] = c.x + page * c.x_at.page + y_[i] * c.x_at.row + x_[i] * c.x_at.pixel;
    }
    settle();
  }

  __device__ __forceinline__ int steps() const { return (c_.in + kDepth - 1) / kDepth; }
  __device__ __forceinline__ std::uint32_t pixels(int step) const {
    return ring_ + step % S::kStages * S::kStageBytes;
  }
  __device__ __forceinline__ std::uint32_t weights(int step) const {
    return pixels(step) + S::kRows * kRowBytes;
  }

  // The first steps. Waits for what runs before behind the weights, which do not depend on it.
  __device__ __forceinline__ void begin() {
#pragma unroll
    for (int i = 0; i < S::kStages - 1; ++i) {
      if (i < steps()) copy_weights(weights(i), i);
    }
    wait_for_previous();
#pragma unroll
    for (int i = 0; i < S::kStages - 1; ++i) {
      if (i < steps()) copy_pixels(pixels(i));
      commit_copies();
    }
  }
  // The step that takes the place of the one before `step`, if there is one.
  __device__ __forceinline__ void copy_ahead_of(int step) {
    if (const int next = step + S::kStages - 1; next < steps()) {
      copy_weights(weights(next), next);
      copy_pixels(pixels(next));
    }
    commit_copies();
  }

 private:
  static constexpr int kValues = 16 / sizeof(T), kDepth = kChunks * kValues, kStep = S::kThreads / kChunks;
  static constexpr int kPasses = (S::kRows + kStep - 1) / kStep;
  static constexpr int kOutside = -(1 << 28);

  __device__ __forceinline__ void copy_weights(std::uint32_t shared, int step) const {
    const int k = (step * kChunks + chunk_) * static_cast<int>(16 / sizeof(W));
#pragma unroll
    for (int i = 0; i * kStep < S::kColumns; ++i) {
      if (S::kColumns % kStep != 0 && first_ + i * kStep >= S::kColumns) break;
      const bool inside = k < c_.w_row && i * kStep < columns_;
      copy_16(shared + swizzled<kChunks>(first_ + i * kStep, chunk_),
              inside ? weights_ + std::int64_t{i * kStep} * c_.w_row + k : c_.w, inside);
    }
  }

  // The steps one after the other.
  __device__ __forceinline__ void copy_pixels(std::uint32_t shared) {
    const bool more = tap_y_ * c_.window_width * c_.channels < c_.in;
    const std::int64_t offset = tap_y_ * c_.x_at.row + tap_x_ * c_.x_at.pixel + channel_;
#pragma unroll
    for (int i = 0; i < kPasses; ++i) {
      if (S::kRows % kStep != 0 && first_ + i * kStep >= S::kRows) break;
      const bool inside = more && static_cast<unsigned>(y_[i] + tap_y_) < static_cast<unsigned>(c_.height) &&
                          static_cast<unsigned>(x_[i] + tap_x_) < static_cast<unsigned>(c_.width);
      copy_16(shared + swizzled<kChunks>(first_ + i * kStep, chunk_), inside ? pixel_[i] + offset : c_.x,
              inside);
    }
    channel_ += kDepth;
    settle();
  }

  __device__ __forceinline__ void settle() {
    while (channel_ >= c_.channels) {
      channel_ -= c_.channels;
      if (++tap_x_ == c_.window_width) {
        tap_x_ = 0;
        ++tap_y_;
      }
    }
  }

  const Convolution<T, W>& c_;
  const std::uint32_t ring_;
  const int chunk_, first_;
  int channel_, tap_y_ = 0, tap_x_ = 0;
  const W* weights_;
  int columns_;
  int y_[kPasses], x_[kPasses];
  const T* pixel_[kPasses];
};

// Activations other than relu. Not inlined: they would be there for every value.
template <class Y>
__device__ __noinline__ float4 activated(Activation activation, float4 v) {
  return {apply<Y>(activation, v.x), apply<Y>(activation, v.y), apply<Y>(activation, v.z),
          apply<Y>(activation, v.w)};
}

// What follows the sums: bias, activation and residual, with roundings to Y. Four values at a time.
template <class Y, class S, class C>
__device__ __forceinline__ void finish(const C& c, const float* sums, int row0, int column0) {
  constexpr int kAcross = S::kColumns / 4;
#pragma unroll 1
  for (int i = threadIdx.x; i < S::kRows * kAcross; i += S::kThreads) {
    const int row = row0 + i / kAcross, local = 4 * (i % kAcross), column = column0 + local;
    if (row >= c.rows || column >= c.out) continue;
    const int count = min(4, c.out - column);
    const auto sum = *reinterpret_cast<const Pack<float, 4>*>(sums + i / kAcross * S::kPitch + local);
    const Y* residual = static_cast<const Y*>(c.residual);
    if (residual) residual += c.place(c.residual_at, row) + column;
    Y* y = static_cast<Y*>(c.y) + c.place(c.y_at, row) + column;
    const bool whole = c.packed && count == 4;
    Pack<Y, 4> more{}, out;
    float values[4];
    if (residual && whole) more = *reinterpret_cast<const Pack<Y, 4>*>(residual);
    if (residual && !whole) {
      for (int k = 0; k < count; ++k) more.v[k] = residual[k];
    }
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      values[k] = rounded<Y>(sum.v[k] + (c.bias && k < count ? __ldg(c.bias + column + k) : 0));
      if (c.activation == Activation::relu) values[k] = apply<Y>(Activation::relu, values[k]);
    }
    if (c.activation != Activation::relu && c.activation != Activation::none) {
      const float4 four = activated<Y>(c.activation, {values[0], values[1], values[2], values[3]});
      values[0] = four.x, values[1] = four.y, values[2] = four.z, values[3] = four.w;
    }
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      out.v[k] = from_float<Y>(residual ? rounded<Y>(values[k]) + to_float(more.v[k]) : values[k]);
    }
    if (whole) {
      *reinterpret_cast<Pack<Y, 4>*>(y) = out;
    } else {
      for (int k = 0; k < count; ++k) y[k] = out.v[k];
    }
  }
}

}  // namespace glmocr::cuda
