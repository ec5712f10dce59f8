// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <limits>

#include "kernels/cuda/convolution.cuh"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/mma.cuh"

namespace glmocr::cuda {
namespace {

constexpr int kChunks = 8;  // of 16 bytes, in a row of a tile
constexpr int kRowBytes = 16 * kChunks, kStages = 3;

// kRows × kColumns results of a block, kWarpRows × kWarpColumns of a warp.
template <int kRows_, int kColumns_, int kWarpRows_, int kWarpColumns_>
struct Tile {
  static constexpr int kRows = kRows_, kColumns = kColumns_, kWarpRows = kWarpRows_,
                       kWarpColumns = kWarpColumns_;
  static constexpr int kAcross = kColumns / kWarpColumns;  // warps
  static constexpr int kThreads = 32 * (kRows / kWarpRows) * kAcross;
  static constexpr int kStageBytes = (kRows + kColumns) * kRowBytes;
  static constexpr int kPitch = kColumns + 4;  // of the results in shared memory, in floats
  static constexpr std::size_t kShared = std::max(kStages * kStageBytes, 4 * kRows * kPitch);
  static constexpr int kBlocks =
      std::max<int>(1, std::min<int>(65536 / (128 * kThreads), 220 * 1024 / kShared));
};

// One step of 16 (bf16) or 8 (fp32) terms of a warp's part of a tile.
template <class T, class S>
struct Step;

template <class S>
struct Step<bf16_t, S> {
  std::uint32_t a[S::kWarpRows / 16][4];
  __device__ __forceinline__ void add_row(int i, const std::uint32_t (&words)[4]) {
#pragma unroll
    for (int k = 0; k < 4; ++k) a[i][k] = words[k];
  }
  __device__ __forceinline__ void multiply(float (&sums)[S::kWarpRows / 16][S::kWarpColumns / 8][4], int j,
                                           std::uint32_t b0, std::uint32_t b1) const {
#pragma unroll
    for (int i = 0; i < S::kWarpRows / 16; ++i) mma(sums[i][j], a[i], b0, b1);
  }
};

// d += a · b: as mma() of mma.cuh with eight terms of TF32; a lane holds of a: rows g and g + 8, columns t and t + 4, of b:
// rows t and t + 4.
__device__ __forceinline__ void mma_tf32(float (&d)[4], const std::uint32_t (&a)[4], std::uint32_t b0,
                                         std::uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
      "{%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

struct Parts {
  std::uint32_t high, low;
};

// A number as the sum of two with eleven bits each.
__device__ __forceinline__ Parts split(std::uint32_t word) {
  Parts parts;
  const float x = __uint_as_float(word);
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(parts.high) : "f"(x));
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(parts.low) : "f"(x - __uint_as_float(parts.high)));
  return parts;
}

template <class S>
struct Step<float, S> {
  std::uint32_t high[S::kWarpRows / 16][4], low[S::kWarpRows / 16][4];
  __device__ __forceinline__ void add_row(int i, const std::uint32_t (&words)[4]) {
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      const Parts parts = split(words[k]);
      high[i][k] = parts.high;
      low[i][k] = parts.low;
    }
  }
  __device__ __forceinline__ void multiply(float (&sums)[S::kWarpRows / 16][S::kWarpColumns / 8][4], int j,
                                           std::uint32_t b0, std::uint32_t b1) const {
    const Parts p0 = split(b0), p1 = split(b1);
#pragma unroll
    for (int i = 0; i < S::kWarpRows / 16; ++i) mma_tf32(sums[i][j], low[i], p0.high, p1.high);
#pragma unroll
    for (int i = 0; i < S::kWarpRows / 16; ++i) mma_tf32(sums[i][j], high[i], p0.low, p1.low);
#pragma unroll
    for (int i = 0; i < S::kWarpRows / 16; ++i) mma_tf32(sums[i][j], high[i], p0.high, p1.high);
  }
};

// Copies of one thread: always the same chunk of a row, of every kThreads / kChunks-th row.
template <class T, class S>
class Copier {
 public:
  __device__ __forceinline__ Copier(const Convolution<T, T>& c, int row0, int column0)
      : c_(c), chunk_(threadIdx.x % kChunks), first_(threadIdx.x / kChunks), channel_(chunk_ * kValues) {
    weights_ = c.w + std::int64_t{column0 + first_} * c.in;
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

  __device__ __forceinline__ void copy_weights(std::uint32_t shared, int step) const {
    const int k = step * kDepth + chunk_ * kValues;
#pragma unroll
    for (int i = 0; i * kStep < S::kColumns; ++i) {
      if (S::kColumns % kStep != 0 && first_ + i * kStep >= S::kColumns) break;
      const bool inside = k < c_.in && i * kStep < columns_;
      copy_16(shared + swizzled<kChunks>(first_ + i * kStep, chunk_),
              inside ? weights_ + std::int64_t{i * kStep} * c_.in + k : c_.w, inside);
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

 private:
  static constexpr int kValues = 16 / sizeof(T), kDepth = kChunks * kValues, kStep = S::kThreads / kChunks;
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

  const Convolution<T, T>& c_;
  const int chunk_, first_;
  int channel_, tap_y_ = 0, tap_x_ = 0;
  const T* weights_;
  int columns_;
  int y_[kPasses], x_[kPasses];
  const T* pixel_[kPasses];
};

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
    if (residual && whole) more = *reinterpret_cast<const Pack<Y, 4>*>(residual);
    if (residual && !whole) {
      for (int k = 0; k < count; ++k) more.v[k] = residual[k];
    }
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      float value = sum.v[k];
      if (c.bias && k < count) value += __ldg(c.bias + column + k);
      value = rounded<Y>(value);
      if (c.activation != Activation::none) value = apply<Y>(c.activation, value);
      if (residual) value = rounded<Y>(value) + to_float(more.v[k]);
      out.v[k] = from_float<Y>(value);
    }
    if (whole) {
      *reinterpret_cast<Pack<Y, 4>*>(y) = out;
    } else {
      for (int k = 0; k < count; ++k) y[k] = out.v[k];
    }
  }
}

// Bound by the tensor cores: the operands of a tile are read into shared memory two steps ahead.
template <class T, class S>
__global__ void __launch_bounds__(S::kThreads, S::kBlocks)
    tile_kernel(const __grid_constant__ Convolution<T, T> c) {
  extern __shared__ __align__(128) std::byte shared[];
  constexpr int kDepth = kChunks * 16 / sizeof(T);
  let_next_start();
  const int row0 = blockIdx.x * S::kRows, column0 = blockIdx.y * S::kColumns;
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const int warp_row = warp / S::kAcross * S::kWarpRows, warp_column = warp % S::kAcross * S::kWarpColumns;
  const int steps = (c.in + kDepth - 1) / kDepth;
  const std::uint32_t base = shared_address(shared);
  Copier<T, S> copier(c, row0, column0);
  const auto stage = [&](int step) { return base + step % kStages * S::kStageBytes; };
  // Weights do not depend on what runs before.
#pragma unroll
  for (int i = 0; i < kStages - 1; ++i) {
    if (i < steps) copier.copy_weights(stage(i) + S::kRows * kRowBytes, i);
  }
  wait_for_previous();
#pragma unroll
  for (int i = 0; i < kStages - 1; ++i) {
    if (i < steps) copier.copy_pixels(stage(i));
    commit_copies();
  }
  float sums[S::kWarpRows / 16][S::kWarpColumns / 8][4] = {};
  for (int step = 0; step < steps; ++step) {
    wait_for_copies<kStages - 2>();
    __syncthreads();  // this step's tiles are there, and those of the step before have been used
    if (const int next = step + kStages - 1; next < steps) {
      copier.copy_weights(stage(next) + S::kRows * kRowBytes, next);
      copier.copy_pixels(stage(next));
    }
    commit_copies();
    const std::uint32_t x_tile = stage(step), w_tile = x_tile + S::kRows * kRowBytes;
#pragma unroll
    for (int k = 0; k < kChunks / 2; ++k) {
      Step<T, S> terms;
#pragma unroll
      for (int i = 0; i < S::kWarpRows / 16; ++i) {
        std::uint32_t words[4];
        load_matrices(words, x_tile + swizzled<kChunks>(warp_row + 16 * i + lane % 16, 2 * k + lane / 16));
        terms.add_row(i, words);
      }
#pragma unroll
      for (int j = 0; j < S::kWarpColumns / 16; ++j) {
        std::uint32_t words[4];
        const int row = warp_column + 16 * j + lane / 16 * 8 + lane % 8;
        load_matrices(words, w_tile + swizzled<kChunks>(row, 2 * k + lane / 8 % 2));
        terms.multiply(sums, 2 * j, words[0], words[1]);
        terms.multiply(sums, 2 * j + 1, words[2], words[3]);
      }
    }
  }
  wait_for_copies<0>();
  __syncthreads();  // the tiles have been used: their memory takes the results
  float* results = reinterpret_cast<float*>(shared);
#pragma unroll
  for (int i = 0; i < S::kWarpRows / 16; ++i) {
#pragma unroll
    for (int j = 0; j < S::kWarpColumns / 8; ++j) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int row = warp_row + 16 * i + 8 * half + lane / 4, column = warp_column + 8 * j + lane % 4 * 2;
        *reinterpret_cast<float2*>(results + row * S::kPitch + column) = {sums[i][j][2 * half],
                                                                          sums[i][j][2 * half + 1]};
      }
    }
  }
  __syncthreads();
  c.y_is_f32 ? finish<float, S>(c, results, row0, column0) : finish<bf16_t, S>(c, results, row0, column0);
}

template <class S, class T>
void run_tile(Context& context, const Convolution<T, T>& c) {
  launch(context, "convolve", tile_kernel<T, S>,
         dim3(blocks_for(c.rows, S::kRows), blocks_for(c.out, S::kColumns)), S::kThreads, S::kShared, c);
}

// The tile with the least work for the busiest multiprocessor. Small tiles read more for each result.
template <class T>
void run_best_tile(Context& context, const Convolution<T, T>& c) {
  struct Choice {
    int rows, columns;
    double cost;  // of a result
    void (*run)(Context&, const Convolution<T, T>&);
  };
  static constexpr Choice kChoices[] = {{128, 128, 1.0, run_tile<Tile<128, 128, 64, 32>, T>},
                                        {128, 96, 1.05, run_tile<Tile<128, 96, 32, 48>, T>},
                                        {128, 64, 1.1, run_tile<Tile<128, 64, 32, 32>, T>},
                                        {64, 64, 1.25, run_tile<Tile<64, 64, 32, 32>, T>},
                                        {128, 32, 1.3, run_tile<Tile<128, 32, 32, 32>, T>},
                                        {32, 32, 1.8, run_tile<Tile<32, 32, 16, 16>, T>}};
  const Choice* best = nullptr;
  double least = std::numeric_limits<double>::infinity();
  for (const Choice& choice : kChoices) {
    const std::int64_t tiles =
        std::int64_t{blocks_for(c.rows, choice.rows)} * blocks_for(c.out, choice.columns);
    const double turns = static_cast<double>(blocks_for(tiles, context.processors));
    const double cost = turns * choice.rows * choice.columns * choice.cost;
    if (cost >= least) continue;
    least = cost;
    best = &choice;
  }
  best->run(context, c);
}

}  // namespace

void run_on_tiles(Context& context, const Convolution<float, float>& c) { run_best_tile(context, c); }
void run_on_tiles(Context& context, const Convolution<bf16_t, bf16_t>& c) { run_best_tile(context, c); }

}  // namespace glmocr::cuda
