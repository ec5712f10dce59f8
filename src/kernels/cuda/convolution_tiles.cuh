// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "kernels/cuda/convolution.cuh"
#include "kernels/cuda/halves.cuh"

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

// As copy_16, through the first-level cache: pixels come again under the next places of a window.
__device__ __forceinline__ void copy_16_cached(std::uint32_t shared, const void* global, bool valid) {
  asm volatile("cp.async.ca.shared.global [%0], [%1], 16, %2;" ::"r"(shared), "l"(global), "r"(valid ? 16 : 0)
               : "memory");
}

// Copies of one thread: always the same chunk of a row, of every kThreads / kChunks-th row. A step has kDepth terms. They go
// place by place of the window, and through the channels of each; or, where whole steps are of one place, through all places
// with kDepth channels, and on to the next channels: the same pixels then come again soon.
template <class T, class W, class S>
class Copier {
 public:
  __device__ __forceinline__ Copier(const Convolution<T, W>& c, int row0, int column0)
      : c_(c),
        chunk_(threadIdx.x % kChunks),
        first_(threadIdx.x / kChunks),
        places_first_(c.window_width > 1 && c.channels % kDepth == 0),
        channel_(chunk_ * kValues) {
    weights_ = c.w + std::int64_t{column0 + first_} * c.w_row + chunk_ * static_cast<int>(16 / sizeof(W));
    columns_ = c.out - column0 - first_;
#pragma unroll
    for (int i = 0; i < kPasses; ++i) {
      const int row = row0 + first_ + i * kStep;
      const int line = row / c.out_width, page = line / c.out_height;
      y_[i] = row < c.rows ? (line - page * c.out_height) * c.stride - c.top : kOutside;
      x_[i] = (row - line * c.out_width) * c.stride - c.left;
      pixel_[i] = c.x + page * c.x_at.page + y_[i] * c.x_at.row + x_[i] * c.x_at.pixel;
    }
    if (!places_first_) settle();
  }

  // The steps one after the other.
  __device__ __forceinline__ void copy_weights(std::uint32_t shared) {
    const int k = term_ * kPerTerm;
    const bool exists = k + chunk_ * static_cast<int>(16 / sizeof(W)) < c_.w_row;
#pragma unroll
    for (int i = 0; i * kStep < S::kColumns; ++i) {
      if (S::kColumns % kStep != 0 && first_ + i * kStep >= S::kColumns) break;
      const bool inside = exists && i * kStep < columns_;
      copy_16(shared + swizzled<kChunks>(first_ + i * kStep, chunk_),
              inside ? weights_ + std::int64_t{i * kStep} * c_.w_row + k : c_.w, inside);
    }
    if (!places_first_) {
      term_ += kDepth;
    } else if ((term_ += c_.channels) >= c_.in) {
      term_ += kDepth - c_.in;
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
      copy_16_cached(shared + swizzled<kChunks>(first_ + i * kStep, chunk_),
                     inside ? pixel_[i] + offset : c_.x, inside);
    }
    if (!places_first_) {
      channel_ += kDepth;
      settle();
      return;
    }
    if (++tap_x_ < c_.window_width) return;
    tap_x_ = 0;
    if (++tap_y_ * c_.window_width * c_.channels < c_.in) return;
    tap_y_ = 0;
    channel_ += kDepth;
  }

 private:
  static constexpr int kValues = 16 / sizeof(T), kDepth = kChunks * kValues, kStep = S::kThreads / kChunks;
  static constexpr int kPerTerm = Convolution<T, W>::kHalves ? 2 : 1;  // numbers of W
  static constexpr int kPasses = (S::kRows + kStep - 1) / kStep;
  static constexpr int kOutside = -(1 << 28);

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
  const int chunk_, first_;
  const bool places_first_;
  int channel_, tap_y_ = 0, tap_x_ = 0, term_ = 0;
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

// What follows the sums: bias, activation and residual, with roundings to Y. Four values at a time; what is read is asked
// for kBatch times before it is used.
template <class Y, class S, class C>
__device__ __forceinline__ void finish(const C& c, const float* sums, int row0, int column0) {
  constexpr int kAcross = S::kColumns / 4, kCount = S::kRows * kAcross, kBatch = 4;
#pragma unroll 1
  for (int first = threadIdx.x; first < kCount; first += kBatch * S::kThreads) {
    Pack<Y, 4> more[kBatch];
    float bias[kBatch][4];
    Y* to[kBatch];
    int counts[kBatch];
#pragma unroll
    for (int b = 0; b < kBatch; ++b) {
      const int i = first + b * S::kThreads, row = row0 + i / kAcross, column = column0 + 4 * (i % kAcross);
      counts[b] = i < kCount && row < c.rows ? max(0, min(4, c.out - column)) : 0;
      more[b] = {};
      if (counts[b] == 0) continue;
      to[b] = static_cast<Y*>(c.y) + c.place(c.y_at, row) + column;
      if (c.residual) {
        const Y* residual = static_cast<const Y*>(c.residual) + c.place(c.residual_at, row) + column;
        if (c.packed && counts[b] == 4) {
          more[b] = *reinterpret_cast<const Pack<Y, 4>*>(residual);
        } else {
          for (int k = 0; k < counts[b]; ++k) more[b].v[k] = residual[k];
        }
      }
#pragma unroll
      for (int k = 0; k < 4; ++k) bias[b][k] = c.bias && k < counts[b] ? __ldg(c.bias + column + k) : 0;
    }
#pragma unroll
    for (int b = 0; b < kBatch; ++b) {
      if (counts[b] == 0) continue;
      const int i = first + b * S::kThreads;
      const auto sum =
          *reinterpret_cast<const Pack<float, 4>*>(sums + i / kAcross * S::kPitch + 4 * (i % kAcross));
      float values[4];
#pragma unroll
      for (int k = 0; k < 4; ++k) {
        values[k] = rounded<Y>(sum.v[k] + bias[b][k]);
        if (c.activation == Activation::relu) values[k] = apply<Y>(Activation::relu, values[k]);
      }
      if (c.activation != Activation::relu && c.activation != Activation::none) {
        const float4 four = activated<Y>(c.activation, {values[0], values[1], values[2], values[3]});
        values[0] = four.x, values[1] = four.y, values[2] = four.z, values[3] = four.w;
      }
      Pack<Y, 4> out;
#pragma unroll
      for (int k = 0; k < 4; ++k) {
        out.v[k] = from_float<Y>(c.residual ? rounded<Y>(values[k]) + to_float(more[b].v[k]) : values[k]);
      }
      if (c.packed && counts[b] == 4) {
        *reinterpret_cast<Pack<Y, 4>*>(to[b]) = out;
      } else {
        for (int k = 0; k < counts[b]; ++k) to[b][k] = out.v[k];
      }
    }
  }
}

}  // namespace glmocr::cuda
