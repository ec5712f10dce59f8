// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <limits>

#include "kernels/cuda/convolution_tiles.cuh"
#include "kernels/cuda/launch.h"

namespace glmocr::cuda {
namespace {

// kRows × kColumns results of a block, kWarpRows × kWarpColumns of a warp. Small tiles need more stages: their steps are short.
template <int kRows_, int kColumns_, int kWarpRows_, int kWarpColumns_, int kStages_>
struct Tile {
  static constexpr int kStages = kStages_;
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

// One step of 16 (bf16) or 8 (fp32) terms of a warp's part of a tile: the 32 bytes of the rows from chunk 2 · step on.
template <class T, class W, class S>
struct Step;

template <class S>
struct Step<bf16_t, bf16_t, S> {
  static constexpr int kSteps = kChunks / 2;
  std::uint32_t a[S::kWarpRows / 16][4];
  __device__ __forceinline__ void load_rows(int i, std::uint32_t tile, int row, int step) {
    load_matrices(a[i], tile + swizzled<kChunks>(row, 2 * step + static_cast<int>(threadIdx.x) % 32 / 16));
  }
  __device__ __forceinline__ void multiply(float (&sums)[S::kWarpRows / 16][S::kWarpColumns / 8][4], int j,
                                           std::uint32_t tile, int row, int step) const {
    std::uint32_t b[4];
    load_matrices(b, tile + swizzled<kChunks>(row, 2 * step + static_cast<int>(threadIdx.x) / 8 % 2));
    multiply(sums, 2 * j, b[0], b[1]);
    multiply(sums, 2 * j + 1, b[2], b[3]);
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

// A number as the sum of two with eleven bits each: the first rounded to nearest as Veltkamp does, the rest exact. The
// tensor cores cut the bits that are too many, which for the rest half a unit makes a rounding.
__device__ __forceinline__ Parts split(std::uint32_t word) {
  const float x = __uint_as_float(word), wide = __fmaf_rn(x, 8192.0f, x);
  const float high = __fsub_rn(wide, __fsub_rn(wide, x));
  return {__float_as_uint(high), __float_as_uint(__fsub_rn(x, high)) + 0x1000u};
}

template <class S>
struct Step<float, float, S> {
  static constexpr int kSteps = kChunks / 2;
  std::uint32_t high[S::kWarpRows / 16][4], low[S::kWarpRows / 16][4];
  __device__ __forceinline__ void multiply(float (&sums)[S::kWarpRows / 16][S::kWarpColumns / 8][4], int j,
                                           std::uint32_t tile, int row, int step) const {
    std::uint32_t b[4];
    load_matrices(b, tile + swizzled<kChunks>(row, 2 * step + static_cast<int>(threadIdx.x) / 8 % 2));
    multiply(sums, 2 * j, b[0], b[1]);
    multiply(sums, 2 * j + 1, b[2], b[3]);
  }
  __device__ __forceinline__ void load_rows(int i, std::uint32_t tile, int row, int step) {
    std::uint32_t words[4];
    load_matrices(words, tile + swizzled<kChunks>(row, 2 * step + static_cast<int>(threadIdx.x) % 32 / 16));
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

// 16 terms.
template <class S>
struct Step<float, bf16_t, S> {
  static constexpr int kSteps = kChunks / 4;
  std::uint32_t high[S::kWarpRows / 16][4], low[S::kWarpRows / 16][4];
  __device__ __forceinline__ void load_rows(int i, std::uint32_t tile, int row, int step) {
    load_halves(high[i], low[i], tile, row, step);
  }
  __device__ __forceinline__ void multiply(float (&sums)[S::kWarpRows / 16][S::kWarpColumns / 8][4], int j,
                                           std::uint32_t tile, int row, int step) const {
    std::uint32_t b[4], rest[4];
    const int chunk = 2 * step + static_cast<int>(threadIdx.x) / 8 % 2;
    load_matrices(b, tile + swizzled<kChunks>(row, chunk));
    load_matrices(rest, tile + swizzled<kChunks>(row, kChunks / 2 + chunk));
#pragma unroll
    for (int n = 0; n < 2; ++n) {
#pragma unroll
      for (int i = 0; i < S::kWarpRows / 16; ++i) mma(sums[i][2 * j + n], low[i], b[2 * n], b[2 * n + 1]);
#pragma unroll
      for (int i = 0; i < S::kWarpRows / 16; ++i)
        mma(sums[i][2 * j + n], high[i], rest[2 * n], rest[2 * n + 1]);
#pragma unroll
      for (int i = 0; i < S::kWarpRows / 16; ++i) mma(sums[i][2 * j + n], high[i], b[2 * n], b[2 * n + 1]);
    }
  }
};

// Bound by the tensor cores: the operands of a tile are read into shared memory two steps ahead.
template <class T, class W, class S>
__global__ void __launch_bounds__(S::kThreads, S::kBlocks)
    tile_kernel(const __grid_constant__ Convolution<T, W> c) {
  extern __shared__ __align__(128) std::byte shared[];
  let_next_start();
  const int row0 = blockIdx.x * S::kRows, column0 = blockIdx.y * S::kColumns;
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const int warp_row = warp / S::kAcross * S::kWarpRows, warp_column = warp % S::kAcross * S::kWarpColumns;
  Copier<T, W, S> copier(c, row0, column0, shared_address(shared));
  copier.begin();
  using Sums = float[S::kWarpRows / 16][S::kWarpColumns / 8][4];
  Sums sums = {};
  for (int step = 0; step < copier.steps(); ++step) {
    wait_for_copies<S::kStages - 2>();
    __syncthreads();  // this step's tiles are there, and those of the step before have been used
    copier.copy_ahead_of(step);
    const std::uint32_t x_tile = copier.pixels(step), w_tile = copier.weights(step);
    // Tensor cores cut what does not fit when they add; over thousands of fp32 terms that would show. So they add up the
    // terms of one step only.
    Sums own = {};
    constexpr bool kOwn = std::is_same_v<W, float>;
    Sums& to = kOwn ? own : sums;
#pragma unroll
    for (int k = 0; k < Step<T, W, S>::kSteps; ++k) {
      Step<T, W, S> terms;
#pragma unroll
      for (int i = 0; i < S::kWarpRows / 16; ++i)
        terms.load_rows(i, x_tile, warp_row + 16 * i + lane % 16, k);
#pragma unroll
      for (int j = 0; j < S::kWarpColumns / 16; ++j) {
        terms.multiply(to, j, w_tile, warp_column + 16 * j + lane / 16 * 8 + lane % 8, k);
      }
    }
    if constexpr (kOwn) {
#pragma unroll
      for (int i = 0; i < S::kWarpRows / 16; ++i) {
#pragma unroll
        for (int j = 0; j < S::kWarpColumns / 8; ++j) {
#pragma unroll
          for (int k = 0; k < 4; ++k) sums[i][j][k] += own[i][j][k];
        }
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
  if constexpr (std::is_same_v<T, float>) {
    finish<float, S>(c, results, row0, column0);
  } else {
    c.y_is_f32 ? finish<float, S>(c, results, row0, column0) : finish<bf16_t, S>(c, results, row0, column0);
  }
}

template <class S, class T, class W>
void run_tile(Context& context, const Convolution<T, W>& c) {
  launch(context, "convolve", tile_kernel<T, W, S>,
         dim3(blocks_for(c.rows, S::kRows), blocks_for(c.out, S::kColumns)), S::kThreads, S::kShared, c);
}

// Bound by memory, once when a model is loaded. `padded`: terms of a row, and zeros behind them.
template <class S>
__global__ void halves_kernel(const S* from, std::int64_t in, std::int64_t padded, bf16_t* to,
                              std::int64_t count) {
  let_next_start();
  wait_for_previous();
  const std::int64_t i = std::int64_t{blockIdx.x} * 256 + threadIdx.x;
  if (i >= count) return;
  const std::int64_t row = i / padded, term = i % padded;
  const float value = term < in ? to_float(from[row * in + term]) : 0;
  bf16_t* half = to + 2 * row * padded + place_of_half(term);
  half[0] = __float2bfloat16_rn(value);
  half[kGroup] = __float2bfloat16_rn(value - to_float(half[0]));
}

// The tile with the least work for the busiest multiprocessor. Small tiles read more for each result.
template <class T, class W>
void run_best_tile(Context& context, const Convolution<T, W>& c) {
  struct Choice {
    int rows, columns;
    double cost;  // of a result
    void (*run)(Context&, const Convolution<T, W>&);
  };
  // In fp32 a warp has two sets of sums.
  constexpr int kRows = std::is_same_v<W, float> ? 32 : 64, kColumns = std::is_same_v<W, float> ? 32 : 48;
  static constexpr Choice kChoices[] = {{128, 128, 1.0, run_tile<Tile<128, 128, kRows, 32, 3>, T, W>},
                                        {128, 96, 1.05, run_tile<Tile<128, 96, 32, kColumns, 3>, T, W>},
                                        {128, 64, 1.1, run_tile<Tile<128, 64, 32, 32, 4>, T, W>},
                                        {64, 64, 1.25, run_tile<Tile<64, 64, 32, 32, 4>, T, W>},
                                        {128, 32, 1.3, run_tile<Tile<128, 32, 32, 32, 4>, T, W>},
                                        {32, 32, 1.8, run_tile<Tile<32, 32, 16, 16, 6>, T, W>}};
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
void run_on_tiles(Context& context, const Convolution<float, bf16_t>& c) {
  context.hopper ? run_on_tiles_sm90(context, c) : run_best_tile(context, c);
}

void split_into_halves(Context& context, const Tensor& from, void* to) {
  const std::int64_t out = from.size(0), in = from.size(1), row = row_of_halves(in), count = out * row / 2;
  with_stored_type(from.dtype, [&](auto stored) {
    using S = decltype(stored);
    launch(context, "weights", halves_kernel<S>, blocks_for(count, 256), 256, 0, data<const S>(from), in,
           row / 2, static_cast<bf16_t*>(to), count);
  });
}

}  // namespace glmocr::cuda
