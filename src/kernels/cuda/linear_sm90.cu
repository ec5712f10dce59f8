// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "kernels/cuda/launch.h"
#include "kernels/cuda/linear.cuh"
#include "kernels/cuda/tensor_map.h"
#include "kernels/cuda/wgmma.cuh"

// Products with many rows on Hopper.
namespace glmocr::cuda {
namespace {

constexpr int kTileRows = 128, kDepth = 64;
constexpr int kConsumers = 2, kThreads = 128 * (1 + kConsumers);
constexpr int kRowBytes = kDepth * 2, kPartBytes = 128 * kRowBytes;

// kColumns of both matrices together where there are two; half of them are columns of the result then.
template <int kColumns_, bool kGated_, bool kActivated_ = false>
struct Tiles {
  static constexpr int kColumns = kColumns_, kParts = kColumns / 128,
                       kResults = kGated_ ? kColumns / 2 : kColumns;
  static constexpr bool kGated = kGated_, kActivated = kActivated_;
  static constexpr int kStages = kColumns == 256 ? 4 : 6;
  static constexpr int kStageBytes = (kTileRows + kColumns) * kRowBytes;
  static constexpr std::size_t kShared = 1024 + kStages * kStageBytes;
};

struct ProductSm90 {
  Bf16Product p;
  int tile_columns, tiles;  // tiles beside each other, and in all
  bool packed;              // results, bias and residual can be written and read eight columns at a time
};

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)

struct Stages {
  std::uint32_t tiles, full, empty;  // addresses in shared memory
};

// One thread starts the copies of all steps of all tiles of this block, as far ahead as there are stages.
template <class S>
__device__ __forceinline__ void produce(const ProductSm90& a, const CUtensorMap& x_map,
                                        const CUtensorMap& w_map, const CUtensorMap& up_map,
                                        const Stages& stages) {
  const int steps = (a.p.in + kDepth - 1) / kDepth;
  Ring<S::kStages> ring;
  for (int tile = blockIdx.x; tile < a.tiles; tile += gridDim.x) {
    const int row0 = tile / a.tile_columns * kTileRows, column0 = tile % a.tile_columns * S::kResults;
    for (int step = 0; step < steps; ++step) {
      wait_for_phase(stages.empty + 8 * ring.stage, ring.parity ^ 1);
      const std::uint32_t x_tile = stages.tiles + ring.stage * S::kStageBytes,
                          w_tile = x_tile + kTileRows * kRowBytes, full = stages.full + 8 * ring.stage;
      arrive_and_expect(full, S::kStageBytes);
      copy_box(x_tile, x_map, step * kDepth, row0, full);
      copy_box(w_tile, w_map, step * kDepth, column0, full);
      if constexpr (S::kParts == 2) {
        copy_box(w_tile + kPartBytes, up_map, step * kDepth, S::kGated ? column0 : column0 + 128, full);
      }
      ring.next();
    }
  }
}

// Four lanes hold a row: lane t has the words of columns 8i + 2t for i < 4, and gets those of columns 8t to 8t + 7.
__device__ __forceinline__ void gather_columns(std::uint32_t (&words)[4]) {
  const bool odd = threadIdx.x & 1, high = threadIdx.x & 2;
  const std::uint32_t a = __shfl_xor_sync(0xffffffffu, odd ? words[0] : words[1], 1),
                      b = __shfl_xor_sync(0xffffffffu, odd ? words[2] : words[3], 1);
  words[0] = odd ? a : words[0];
  words[1] = odd ? words[1] : a;
  words[2] = odd ? b : words[2];
  words[3] = odd ? words[3] : b;
  const std::uint32_t c = __shfl_xor_sync(0xffffffffu, high ? words[0] : words[2], 2),
                      d = __shfl_xor_sync(0xffffffffu, high ? words[1] : words[3], 2);
  words[0] = high ? c : words[0];
  words[1] = high ? d : words[1];
  words[2] = high ? words[2] : c;
  words[3] = high ? words[3] : d;
}

__device__ __forceinline__ std::uint32_t add_words(std::uint32_t a, std::uint32_t b) {
  return pack_bf16(__uint_as_float(a << 16) + __uint_as_float(b << 16),
                   __uint_as_float(a & 0xFFFF0000u) + __uint_as_float(b & 0xFFFF0000u));
}

// What follows a product, for the tile's columns [column, column + 128) of the rows `row` and row + 8 of a warp; see ops.h
// for where results are rounded. All that is read is read before anything is written. All lanes of a warp take part.
struct Finish128 {
  const Bf16Product& p;
  int row, column;
  int own = static_cast<int>(threadIdx.x) %
            4;  // this lane has columns 8j + 2 · own of the sums, and stores 32q + 8 · own

  __device__ __forceinline__ bool stores(int half, int q) const {
    return row + 8 * half < p.rows && column + 32 * q + 8 * own < p.out;
  }
  __device__ __forceinline__ void load_bias(const float* bias, float2 (&values)[16]) const {
#pragma unroll
    for (int j = 0; j < 16; ++j) {
      const int at = column + 8 * j + 2 * own;
      values[j] = bias && at < p.out ? float2{__ldg(bias + at), __ldg(bias + at + 1)} : float2{};
    }
  }
  __device__ __forceinline__ void load_residual(int half, uint4 (&more)[4]) const {
#pragma unroll
    for (int q = 0; q < 4; ++q) {
      if (stores(half, q))
        more[q] = *reinterpret_cast<const uint4*>(p.residual + (row + 8 * half) * p.residual_stride + column +
                                                  32 * q + 8 * own);
    }
  }
  __device__ __forceinline__ void store(int half, int q, const std::uint32_t (&words)[4]) const {
    if (!stores(half, q)) return;
    *reinterpret_cast<uint4*>(p.y + (row + 8 * half) * p.y_stride + column + 32 * q + 8 * own) = {
        words[0], words[1], words[2], words[3]};
  }

  template <bool kActivated>
  __device__ __forceinline__ void plain(const float (&sums)[16][4]) const {
    float2 bias[16];
    load_bias(p.bias, bias);
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      uint4 more[4]{};
      if (p.residual) load_residual(half, more);
#pragma unroll
      for (int q = 0; q < 4; ++q) {
        std::uint32_t words[4];
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const int j = 4 * q + i;
          float low = sums[j][2 * half] + bias[j].x, high = sums[j][2 * half + 1] + bias[j].y;
          if constexpr (kActivated) {
            low = apply<bf16_t>(p.activation, rounded<bf16_t>(low));
            high = apply<bf16_t>(p.activation, rounded<bf16_t>(high));
          }
          words[i] = pack_bf16(low, high);
        }
        gather_columns(words);
        if (p.residual) {
          words[0] = add_words(words[0], more[q].x);
          words[1] = add_words(words[1], more[q].y);
          words[2] = add_words(words[2], more[q].z);
          words[3] = add_words(words[3], more[q].w);
        }
        store(half, q, words);
      }
    }
  }

  __device__ __forceinline__ void gated(const float (&gate)[16][4], const float (&up)[16][4]) const {
    float2 bias[16], up_bias[16];
    load_bias(p.bias, bias);
    load_bias(p.up_bias, up_bias);
#pragma unroll
    for (int half = 0; half < 2; ++half) {
#pragma unroll
      for (int q = 0; q < 4; ++q) {
        std::uint32_t words[4];
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const int j = 4 * q + i;
          words[i] =
              pack_bf16(p.gated(gate[j][2 * half] + bias[j].x, up[j][2 * half] + up_bias[j].x),
                        p.gated(gate[j][2 * half + 1] + bias[j].y, up[j][2 * half + 1] + up_bias[j].y));
        }
        gather_columns(words);
        store(half, q, words);
      }
    }
  }
};

template <class S>
__device__ __forceinline__ void finish(const ProductSm90& a, const float (&sums)[S::kParts][16][4], int row,
                                       int column) {
  if constexpr (S::kGated) {
    Finish128{a.p, row, column}.gated(sums[0], sums[1]);
  } else if (a.packed) {
#pragma unroll
    for (int part = 0; part < S::kParts; ++part) {
      Finish128{a.p, row, column + 128 * part}.template plain<S::kActivated>(sums[part]);
    }
  } else {
#pragma unroll
    for (int j = 0; j < 16 * S::kParts; j += 8) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        a.p.finish_pairs<8, S::kActivated>(&sums[j / 16][j % 16], half, row + 8 * half,
                                           column + 8 * j + threadIdx.x % 4 * 2);
      }
    }
  }
}

// One warpgroup: 64 rows, all columns of the tile, 128 at a time.
template <class S>
__device__ __forceinline__ void consume(const ProductSm90& a, int group, const Stages& stages) {
  const int tid = threadIdx.x % 128, lane = tid % 32;
  const int steps = (a.p.in + kDepth - 1) / kDepth;
  Ring<S::kStages> ring, used;
  const auto release = [&] {
    if (tid == 0) arrive(stages.empty + 8 * used.stage);
    used.next();
  };
  for (int tile = blockIdx.x; tile < a.tiles; tile += gridDim.x) {
    float sums[S::kParts][16][4] = {};
#pragma unroll
    for (int part = 0; part < S::kParts; ++part) pin(sums[part]);
    for (int step = 0; step < steps; ++step) {
      wait_for_phase(stages.full + 8 * ring.stage, ring.parity);
      const std::uint32_t x_tile = stages.tiles + ring.stage * S::kStageBytes,
                          w_tile = x_tile + kTileRows * kRowBytes;
      wgmma_begin();
#pragma unroll
      for (int k = 0; k < kDepth / 16; ++k) {
#pragma unroll
        for (int part = 0; part < S::kParts; ++part) {
          wgmma_128(sums[part], tile_descriptor(x_tile + group * 64 * kRowBytes + 32 * k),
                    tile_descriptor(w_tile + part * kPartBytes + 32 * k));
        }
      }
      wgmma_commit();
      ring.next();
      if (step == 0) continue;
      wgmma_wait<1>();  // the products of the step before
      release();
    }
    wgmma_wait<0>();
    release();
#pragma unroll
    for (int part = 0; part < S::kParts; ++part) pin(sums[part]);
    const int row = tile / a.tile_columns * kTileRows + 64 * group + tid / 32 * 16 + lane / 4;
    finish<S>(a, sums, row, tile % a.tile_columns * S::kResults);
  }
}

#endif

// Bound by the tensor cores, or for kColumns = 128 by reading tiles from the L2 cache. Every block has tiles one after the
// other: one thread has steps of 64 terms copied into a ring of stages, also those of the next tile while the results of
// one are written; two warpgroups multiply. Every result is summed by the same instructions for both widths.
template <class S>
__global__ void __launch_bounds__(kThreads, 1)
    many_rows_sm90_kernel([[maybe_unused]] const ProductSm90 a,
                          [[maybe_unused]] const __grid_constant__ CUtensorMap x_map,
                          [[maybe_unused]] const __grid_constant__ CUtensorMap w_map,
                          [[maybe_unused]] const __grid_constant__ CUtensorMap up_map) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  extern __shared__ __align__(1024) std::byte shared[];
  __shared__ __align__(8) std::uint64_t barriers[2 * S::kStages];
  let_next_start();
  const std::uint32_t full = shared_address(barriers);
  const Stages stages{(shared_address(shared) + 1023) & ~1023u, full, full + 8 * S::kStages};
  if (threadIdx.x == 0) {
    for (int i = 0; i < S::kStages; ++i) {
      init_barrier(stages.full + 8 * i, 1);
      init_barrier(stages.empty + 8 * i, kConsumers);
    }
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
  }
  __syncthreads();
  wait_for_previous();
  const int group = threadIdx.x / 128;
  if (group == 0) {
    shrink_registers<40>();
    if (threadIdx.x == 0) produce<S>(a, x_map, w_map, up_map, stages);
  } else {
    grow_registers<232>();
    consume<S>(a, group - 1, stages);
  }
#endif
}

bool is_packed(const Bf16Product& p) {
  const auto multiple = [](const void* pointer, unsigned bytes) {
    return reinterpret_cast<std::uintptr_t>(pointer) % bytes == 0;
  };
  return p.out % 8 == 0 && multiple(p.y, 16) && p.y_stride % 8 == 0 && multiple(p.residual, 16) &&
         p.residual_stride % 8 == 0;
}

template <class S>
int tile_count(const Bf16Product& p) {
  return static_cast<int>(blocks_for(p.rows, kTileRows) * blocks_for(p.out, S::kResults));
}

template <class S>
void run(Context& context, const Bf16Product& p) {
  const ProductSm90 a{p, static_cast<int>(blocks_for(p.out, S::kResults)), tile_count<S>(p), is_packed(p)};
  const auto weights = [&](const bf16_t* w) {
    return tensor_map(context, "linear", w, p.in, p.out, p.in, 128);
  };
  const CUtensorMap w_map = weights(p.w), up_map = S::kGated ? weights(p.up) : w_map;
  launch(context, "linear", many_rows_sm90_kernel<S>, std::min(a.tiles, context.processors), kThreads,
         S::kShared, a, tensor_map(context, "linear", p.x, p.x_stride, p.rows, p.in, kTileRows), w_map,
         up_map);
}

}  // namespace

// Narrow tiles take more than half the time of wide ones, but may leave fewer multiprocessors idle in the last round.
void run_many_rows_sm90(Context& context, const Bf16Product& p) {
  if (p.up) return run<Tiles<256, true>>(context, p);
  if (p.activation != Activation::none) return run<Tiles<128, false, true>>(context, p);
  const auto rounds = [&](int tiles) { return (tiles + context.processors - 1) / context.processors; };
  const double wide = 2.0 * rounds(tile_count<Tiles<256, false>>(p)),
               narrow = 1.15 * rounds(tile_count<Tiles<128, false>>(p));
  wide <= narrow ? run<Tiles<256, false>>(context, p) : run<Tiles<128, false>>(context, p);
}

}  // namespace glmocr::cuda
