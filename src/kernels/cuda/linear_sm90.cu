// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>

#include "base/numbers.h"
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
template <int kColumns_, bool kGated_, bool kActivated_ = false, bool kThree_ = false>
struct Tiles {
  static constexpr int kColumns = kColumns_, kParts = kColumns / 128,
                       kResults = kGated_ ? kColumns / 2 : kColumns;
  static constexpr bool kGated = kGated_, kActivated = kActivated_, kThree = kThree_;
  // What is added to sums is read while the products run, where there are registers for it.
  static constexpr bool kReadsEarly = !kGated && kColumns < 256;
  static constexpr int kStages = kColumns == 256 ? 4 : kColumns == 160 ? 5 : 6;
  static constexpr int kStageBytes = (kTileRows + kColumns) * kRowBytes;
  static constexpr std::size_t kShared = 1024 + kStages * kStageBytes;
};

struct ProductSm90 {
  Bf16Product p;
  int tile_columns, tiles;  // tiles beside each other, and in all
  bool packed;              // results, bias and residual can be written and read eight columns at a time
};

// Results of three weights beside each other; the columns of the second and third begin at multiples of 32.
struct ThreeResults {
  int first[3] = {};
  const float* bias[3] = {};
  bf16_t* y[3] = {};
  std::int64_t y_stride[3] = {};
  __device__ __forceinline__ int index(int column) const {
    return column >= first[2] ? 2 : column >= first[1] ? 1 : 0;
  }
};

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)

struct Stages {
  std::uint32_t tiles, full, empty;  // addresses in shared memory
};

// The thread that has rows and weights of this block's tiles copied.
template <class S>
struct Producer {
  const ProductSm90& a;
  const ThreeResults& three;
  const CUtensorMap &x_map, &w_map, &up_map, &third_map;
  const Stages& stages;

  __device__ __forceinline__ std::uint32_t full(int stage) const { return stages.full + 8 * stage; }
  __device__ __forceinline__ void copy_rows(int stage, int step, int row0) const {
    copy_box(stages.tiles + stage * S::kStageBytes, x_map, step * kDepth, row0, full(stage));
  }
  __device__ __forceinline__ void copy_weights(int stage, int step, int column0) const {
    const std::uint32_t to = stages.tiles + stage * S::kStageBytes + kTileRows * kRowBytes;
    if constexpr (S::kThree) {
#pragma unroll
      for (int q = 0; q < S::kColumns / 32; ++q) {
        const int column = column0 + 32 * q, i = three.index(column);
        copy_box(to + 32 * kRowBytes * q,
                 i == 0   ? w_map
                 : i == 1 ? up_map
                          : third_map,
                 step * kDepth, column - three.first[i], full(stage));
      }
    } else {
      copy_box(to, w_map, step * kDepth, column0, full(stage));
      if constexpr (S::kParts == 2) {
        copy_box(to + kPartBytes, up_map, step * kDepth, S::kGated ? column0 : column0 + 128, full(stage));
      }
    }
  }

  // All steps of all tiles, as far ahead as there are stages. The first weights do not wait for the kernel before.
  __device__ __forceinline__ void run() const {
    const int steps = (a.p.in + kDepth - 1) / kDepth, begun = min(steps, S::kStages);
    Ring<S::kStages> ring;
    for (int tile = blockIdx.x; tile < a.tiles; tile += gridDim.x) {
      const int row0 = tile / a.tile_columns * kTileRows, column0 = tile % a.tile_columns * S::kResults;
      int first = 0;
      if (tile == blockIdx.x) {
        for (int step = 0; step < begun; ++step) {
          arrive_and_expect(full(step), S::kStageBytes);
          copy_weights(step, step, column0);
        }
        wait_for_previous();
        for (; first < begun; ++first) {
          copy_rows(ring.stage, first, row0);
          ring.next();
        }
      }
      for (int step = first; step < steps; ++step) {
        wait_for_phase(stages.empty + 8 * ring.stage, ring.parity ^ 1);
        arrive_and_expect(full(ring.stage), S::kStageBytes);
        copy_rows(ring.stage, step, row0);
        copy_weights(ring.stage, step, column0);
        ring.next();
      }
    }
  }
};

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
    uint4 more[2][4]{};
    load(bias, more);
    plain<kActivated>(sums, bias, more);
  }
  __device__ __forceinline__ void load(float2 (&bias)[16], uint4 (&more)[2][4]) const {
    load_bias(p.bias, bias);
    if (!p.residual) return;
#pragma unroll
    for (int half = 0; half < 2; ++half) load_residual(half, more[half]);
  }
  template <bool kActivated>
  __device__ __forceinline__ void plain(const float (&sums)[16][4], const float2 (&bias)[16],
                                        const uint4 (&more)[2][4]) const {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
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
          words[0] = add_words(words[0], more[half][q].x);
          words[1] = add_words(words[1], more[half][q].y);
          words[2] = add_words(words[2], more[half][q].z);
          words[3] = add_words(words[3], more[half][q].w);
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

// The same for three products beside each other, without activation and residual, for the eights of columns from column0 on.
template <int kTiles>
struct FinishThree {
  const ProductSm90& a;
  const ThreeResults& three;
  int row, column0;
  int own = static_cast<int>(threadIdx.x) % 4;

  __device__ __forceinline__ void load(float2 (&offset)[kTiles]) const {
#pragma unroll
    for (int q = 0; q < kTiles / 4; ++q) {
      const int column = column0 + 32 * q, index = three.index(column);
      const float* bias = index == 0 ? three.bias[0] : index == 1 ? three.bias[1] : three.bias[2];
      const int at = column - (index == 0 ? 0 : index == 1 ? three.first[1] : three.first[2]) + 2 * own;
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        offset[4 * q + i] = bias && column < a.p.out
                                ? float2{__ldg(bias + at + 8 * i), __ldg(bias + at + 8 * i + 1)}
                                : float2{};
      }
    }
  }
  __device__ __forceinline__ void store(const float (&sums)[kTiles][4],
                                        const float2 (&offset)[kTiles]) const {
#pragma unroll
    for (int q = 0; q < kTiles / 4; ++q) {
      const int column = column0 + 32 * q, index = three.index(column);
      if (column >= a.p.out) return;
      bf16_t* y = index == 0 ? three.y[0] : index == 1 ? three.y[1] : three.y[2];
      const std::int64_t stride = index == 0   ? three.y_stride[0]
                                  : index == 1 ? three.y_stride[1]
                                               : three.y_stride[2];
      const int at = column - (index == 0 ? 0 : index == 1 ? three.first[1] : three.first[2]) + 8 * own;
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        std::uint32_t words[4];
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const int j = 4 * q + i;
          words[i] = pack_bf16(sums[j][2 * half] + offset[j].x, sums[j][2 * half + 1] + offset[j].y);
        }
        gather_columns(words);
        if (row + 8 * half < a.p.rows)
          *reinterpret_cast<uint4*>(y + (row + 8 * half) * stride + at) = {words[0], words[1], words[2],
                                                                           words[3]};
      }
    }
  }
};

// What a thread adds to its sums, and where they go, by what the product is.
template <class S>
struct Finish {
  const ProductSm90& a;
  const ThreeResults& three;
  int row, column;
  float2 bias[S::kReadsEarly ? S::kColumns / 8 : 1];
  uint4 more[2][4] = {};

  __device__ __forceinline__ Finish(const ProductSm90& product, const ThreeResults& results, int r, int c)
      : a(product), three(results), row(r), column(c) {
    if constexpr (S::kThree && S::kReadsEarly) {
      FinishThree<S::kColumns / 8>{a, three, row, column}.load(bias);
    } else if constexpr (S::kReadsEarly) {
      if (a.packed) Finish128{a.p, row, column}.load(bias, more);
    }
  }
  __device__ __forceinline__ void store(const float (&sums)[S::kColumns / 8][4]) const {
    if constexpr (S::kThree) {
      const FinishThree<S::kColumns / 8> last{a, three, row, column};
      if constexpr (S::kReadsEarly) {
        last.store(sums, bias);
      } else {
        float2 late[S::kColumns / 8];
        last.load(late);
        last.store(sums, late);
      }
    } else if constexpr (S::kGated) {
      Finish128{a.p, row, column}.gated(part(sums, 0), part(sums, 1));
    } else if (!a.packed) {
#pragma unroll
      for (int j = 0; j < S::kColumns / 8; j += 8) {
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          a.p.finish_pairs<8, S::kActivated>(&sums[j], half, row + 8 * half,
                                             column + 8 * j + threadIdx.x % 4 * 2);
        }
      }
    } else if constexpr (S::kReadsEarly) {
      Finish128{a.p, row, column}.template plain<S::kActivated>(sums, bias, more);
    } else {
#pragma unroll
      for (int i = 0; i < S::kParts; ++i) {
        Finish128{a.p, row, column + 128 * i}.template plain<S::kActivated>(part(sums, i));
      }
    }
  }

 private:
  using Part = float[16][4];
  __device__ __forceinline__ static const Part& part(const float (&sums)[S::kColumns / 8][4], int i) {
    return *reinterpret_cast<const Part*>(&sums[16 * i]);
  }
};

// One warpgroup: 64 rows of every tile, all its columns.
template <class S>
class Consumer {
 public:
  __device__ __forceinline__ Consumer(const ProductSm90& a, const ThreeResults& three, int group,
                                      const Stages& stages)
      : a_(a), three_(three), stages_(stages), group_(group), steps_((a.p.in + kDepth - 1) / kDepth) {}

  __device__ __forceinline__ void run() {
    for (int tile = blockIdx.x; tile < a_.tiles; tile += gridDim.x) {
      const int row = tile / a_.tile_columns * kTileRows + 64 * group_;
      row < a_.p.rows ? multiply(row, tile % a_.tile_columns * S::kResults) : pass_on();
    }
  }

 private:
  __device__ __forceinline__ static int thread() { return threadIdx.x % 128; }
  // Each warp for itself.
  __device__ __forceinline__ void release() {
    if (thread() % 32 == 0) arrive(stages_.empty + 8 * used_.stage);
    used_.next();
  }
  // Without rows there is nothing to do but to let the others go on.
  __device__ __forceinline__ void pass_on() {
    for (int step = 0; step < steps_; ++step) {
      wait_for_phase(stages_.full + 8 * ring_.stage, ring_.parity);
      ring_.next();
      release();
    }
  }
  __device__ __forceinline__ void multiply(int row, int column) {
    const Finish<S> finish(a_, three_, row + thread() / 32 * 16 + thread() % 32 / 4, column);
    float sums[S::kColumns / 8][4] = {};
    pin(sums);
    for (int step = 0; step < steps_; ++step) {
      wait_for_phase(stages_.full + 8 * ring_.stage, ring_.parity);
      const std::uint32_t x_tile = stages_.tiles + ring_.stage * S::kStageBytes,
                          w_tile = x_tile + kTileRows * kRowBytes;
      wgmma_begin();
#pragma unroll
      for (int k = 0; k < kDepth / 16; ++k) {
        add_wgmma(sums, tile_descriptor(x_tile + group_ * 64 * kRowBytes + 32 * k),
                  tile_descriptor(w_tile + 32 * k));
      }
      wgmma_commit();
      ring_.next();
      if (step == 0) continue;
      wgmma_wait<1>();  // the products of the step before
      release();
    }
    wgmma_wait<0>();
    release();
    pin(sums);
    finish.store(sums);
  }

  const ProductSm90& a_;
  const ThreeResults& three_;
  const Stages& stages_;
  int group_, steps_;
  Ring<S::kStages> ring_, used_;
};

#endif

// Bound by the tensor cores, or for kColumns = 128 by reading tiles from the L2 cache. Every block has tiles one after the
// other: one thread has steps of 64 terms copied into a ring of stages, also those of the next tile while the results of
// one are written; two warpgroups multiply. Every result is summed in the same order, whatever kColumns is.
template <class S>
__global__ void __launch_bounds__(kThreads, 1)
    many_rows_sm90_kernel([[maybe_unused]] const __grid_constant__ ProductSm90 a,
                          [[maybe_unused]] const __grid_constant__ ThreeResults three,
                          [[maybe_unused]] const __grid_constant__ CUtensorMap x_map,
                          [[maybe_unused]] const __grid_constant__ CUtensorMap w_map,
                          [[maybe_unused]] const __grid_constant__ CUtensorMap up_map,
                          [[maybe_unused]] const __grid_constant__ CUtensorMap third_map) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  extern __shared__ __align__(1024) std::byte shared[];
  __shared__ __align__(8) std::uint64_t barriers[2 * S::kStages];
  let_next_start();
  const std::uint32_t full = shared_address(barriers);
  const Stages stages{(shared_address(shared) + 1023) & ~1023u, full, full + 8 * S::kStages};
  if (threadIdx.x == 0) {
    for (int i = 0; i < S::kStages; ++i) {
      init_barrier(stages.full + 8 * i, 1);
      init_barrier(stages.empty + 8 * i, 4 * kConsumers);  // warps
    }
    publish_barriers();
  }
  __syncthreads();
  const int group = threadIdx.x / 128;
  if (group == 0) {
    shrink_registers<40>();
    if (threadIdx.x == 0) Producer<S>{a, three, x_map, w_map, up_map, third_map, stages}.run();
  } else {
    grow_registers<232>();
    wait_for_previous();
    Consumer<S>(a, three, group - 1, stages).run();
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

// Tiles that the multiprocessor with the most of them has.
template <class S>
int rounds(const Context& context, const Bf16Product& p) {
  return divide_up(tile_count<S>(p), context.processors);
}

template <class S>
void run(Context& context, const Bf16Product& p) {
  const ProductSm90 a{p, static_cast<int>(blocks_for(p.out, S::kResults)), tile_count<S>(p), is_packed(p)};
  const auto weights = [&](const bf16_t* w) {
    return tensor_map(context, "linear", w, p.in, p.out, p.in, 128);
  };
  const CUtensorMap w_map = weights(p.w), up_map = S::kGated ? weights(p.up) : w_map;
  launch(context, "linear", many_rows_sm90_kernel<S>, std::min(a.tiles, context.processors), kThreads,
         S::kShared, a, ThreeResults{},
         tensor_map(context, "linear", p.x, p.x_stride, p.rows, p.in, kTileRows), w_map, up_map, up_map);
}

template <class S>
void run_three(Context& context, const Bf16Product& p, const std::array<Bf16Product, 3>& all) {
  const ProductSm90 a{p, static_cast<int>(blocks_for(p.out, S::kResults)), tile_count<S>(p), true};
  ThreeResults three;
  int first = 0;
  for (int i = 0; i < 3; ++i) {
    three.first[i] = first;
    three.bias[i] = all[i].bias;
    three.y[i] = all[i].y;
    three.y_stride[i] = all[i].y_stride;
    first += all[i].out;
  }
  const auto weights = [&](int i) {
    return tensor_map(context, "linear", all[i].w, p.in, all[i].out, p.in, 32);
  };
  launch(context, "linear", many_rows_sm90_kernel<S>, std::min(a.tiles, context.processors), kThreads,
         S::kShared, a, three, tensor_map(context, "linear", p.x, p.x_stride, p.rows, p.in, kTileRows),
         weights(0), weights(1), weights(2));
}

}  // namespace

// Narrow tiles take more than half the time of wide ones, but may leave fewer multiprocessors idle in the last round.
void run_many_rows_sm90(Context& context, const Bf16Product& p) {
  if (p.up) return run<Tiles<256, true>>(context, p);
  if (p.activation != Activation::none) return run<Tiles<128, false, true>>(context, p);
  const double wide = 2.0 * rounds<Tiles<256, false>>(context, p),
               narrow = 1.15 * rounds<Tiles<128, false>>(context, p);
  wide <= narrow ? run<Tiles<256, false>>(context, p) : run<Tiles<128, false>>(context, p);
}

bool run_three_sm90(Context& context, const std::array<Bf16Product, 3>& products) {
  Bf16Product all = products[0];
  all.out = 0;
  for (const Bf16Product& p : products) {
    if (p.out % 32 != 0 || !is_packed(p)) return false;
    all.out += p.out;
  }
  using Wide = Tiles<256, false, false, true>;
  using Narrow = Tiles<160, false, false, true>;
  const double wide = 1.6 * rounds<Wide>(context, all), narrow = 1.05 * rounds<Narrow>(context, all);
  wide <= narrow ? run_three<Wide>(context, all, products) : run_three<Narrow>(context, all, products);
  return true;
}

}  // namespace glmocr::cuda
