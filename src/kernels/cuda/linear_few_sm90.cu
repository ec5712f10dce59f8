// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "base/numbers.h"
#include "kernels/cuda/cluster.cuh"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/linear_few.cuh"
#include "kernels/cuda/wgmma.cuh"

// Products with few rows on Hopper: bound by reading the weights once, so reading must not stop while blocks wait for rows or
// for sums. A warp that does nothing else has the weights copied into a ring, as many tiles ahead as it holds, and begins
// before the kernel before has ended. A copy is a whole row of a range of terms: loads of single lanes make the memory read
// more than the weights, or read them in pieces that are too small.
namespace glmocr::cuda {
namespace {

constexpr int kGroupWarps = kSummedParts;  // each sums a part of the block's terms
constexpr int kGroupThreads = 32 * kGroupWarps;
constexpr int kMostGroups = 4, kMostStages = 4;
constexpr std::size_t kLeft = 2 << 10;  // bytes that a kernel before or behind finds free, such as a norm
constexpr int kPartialStride = 20;      // floats: what eight rows of results write lies in different banks

// The blocks of a cluster share the terms: block r has kSummedParts of their parts, from r · kSummedParts on, for all features
// that the cluster computes. It adds them, and sends each block the sums of the rows which that block finishes.
struct FewSm90 {
  Group group;
  int per_warp, stages, cluster;

  // Bytes of a row in shared memory: an odd multiple of 64, so that eight rows at one column lie in different banks in turn.
  __host__ __device__ int stride() const { return kSummedParts * per_warp * 2 * kStep + 64; }
  __host__ __device__ int stage_bytes() const { return 16 * stride(); }
};

// kRows: eights of rows. kGroups: groups of warps, each with a tile of its own.
template <int kRows_, int kGroups_, bool kGated_>
struct Shape {
  static constexpr int kRows = kRows_, kGroups = kGroups_, kThreads = kGroups * kGroupThreads + 32;
  static constexpr bool kGated = kGated_;
  static constexpr int kColumns = kGated ? 8 : 16;
  // Floats in shared memory: of a group; of a group and buffer, [cluster, rows / cluster, 16].
  static constexpr int kPartial = kGroupWarps * kRows * 8 * kPartialStride, kReceived = kRows * 8 * 16;
  static std::size_t bytes(const FewSm90& a) {
    return std::size_t(a.stages) * a.stage_bytes() + std::size_t(kRows) * 8 * a.stride() +
           sizeof(float) * kGroups * (kPartial + 2 * kReceived);
  }
};

struct Barriers {
  std::uint64_t full[kMostStages], empty[kMostStages], rows, received[kMostGroups][2];
};

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)

template <class S>
class FewRows {
 public:
  __device__ __forceinline__ FewRows(const FewSm90& arguments, std::byte* memory, Barriers& barriers)
      : a(arguments),
        b(barriers),
        ring(memory),
        rows(ring + a.stages * a.stage_bytes()),
        partial(reinterpret_cast<float*>(rows + kRows * 8 * a.stride())),
        received(partial + S::kGroups * S::kPartial) {}

  // The warp that has everything copied.
  __device__ __forceinline__ void feed() const {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    int stage = 0, parity = 1;
    const auto fill = [&](int tile) {
      wait_for_phase(shared_address(b.empty + stage), parity);
      const auto full = shared_address(b.full + stage);
      const auto [index, feature0] = place_of(tile);
      const Bf16Product& p = a.group.products[index];
      const int first = feature0 + (kGated ? lane % 8 : lane);
      const bool valid = lane < 16 && first < p.out && bytes > 0;
      const int count = __popc(__ballot_sync(0xffffffffu, valid));
      if (lane == 0) arrive_and_expect(full, count * bytes);
      __syncwarp();
      if (valid) {
        const bf16_t* matrix = kGated && lane >= 8 ? p.up : p.w;
        copy_bytes(shared_address(ring + stage * a.stage_bytes() + lane * a.stride()),
                   matrix + std::int64_t{first} * p.in + term0, bytes, full);
      }
      if (++stage == a.stages) {
        stage = 0;
        parity ^= 1;
      }
    };
    int tile = first_tile;
    for (int i = 0; i < a.stages && tile < tiles; ++i, tile += tile_step) fill(tile);
    wait_for_previous();
    fetch_rows(lane);
    for (; tile < tiles; tile += tile_step) fill(tile);
  }

  __device__ __forceinline__ void compute() const {
    const int group = static_cast<int>(threadIdx.x) / kGroupThreads;
    const int warp = static_cast<int>(threadIdx.x) / 32 % kGroupWarps;
    wait_for_previous();
    wait_for_phase(shared_address(&b.rows), 0);
    int turn = 0, before = 0;  // the tile before
    for (int i = group, tile = first_tile + group * tile_step; tile < tiles;
         i += S::kGroups, tile += S::kGroups * tile_step, ++turn) {
      const int stage = i % a.stages;
      float sums[kRows][4] = {};
      wait_for_phase(shared_address(b.full + stage), i / a.stages % 2);
      multiply(sums, warp, ring + stage * a.stage_bytes());
      arrive(shared_address(b.empty + stage));
      if (turn > 0) finish(before, group, turn - 1);  // what the others have sent has come meanwhile
      exchange(sums, group, warp, turn % 2);
      before = tile;
    }
    if (turn > 0) finish(before, group, turn - 1);
  }

 private:
  static constexpr int kRows = S::kRows, kColumns = S::kColumns;
  static constexpr bool kGated = S::kGated;
  const FewSm90& a;
  Barriers& b;
  std::byte *ring, *rows;
  float *partial, *received;
  const int rank = cluster_rank();
  const int first_tile = static_cast<int>(blockIdx.x) / a.cluster;
  const int tile_step = static_cast<int>(gridDim.x) / a.cluster, tiles = a.group.blocks_before[a.group.count];
  const int row0 = static_cast<int>(blockIdx.y) * kRows * 8;
  const int term0 = rank * kSummedParts * a.per_warp * kStep;
  const int bytes = 2 * max(0, min(kSummedParts* a.per_warp* kStep, a.group.products[0].in - term0));
  const int rows_here = kRows * 8 / a.cluster;  // that this block finishes

  __device__ __forceinline__ void fetch_rows(int lane) const {
    const Bf16Product& p = a.group.products[0];
    const int count = min(kRows * 8, p.rows - row0);
    const auto barrier = shared_address(&b.rows);
    if (lane == 0) arrive_and_expect(barrier, count * bytes);
    __syncwarp();
    for (int row = lane; row < count && bytes > 0; row += 32) {
      copy_bytes(shared_address(rows + row * a.stride()), p.x + (row0 + row) * p.x_stride + term0, bytes,
                 barrier);
    }
  }

  // The product that a tile belongs to, and its first feature there.
  struct Place {
    int index, feature0;
  };
  __device__ __forceinline__ Place place_of(int tile) const {
    const int index = a.group.product_of(tile);
    return {index, (tile - a.group.blocks_before[index]) * kColumns};
  }

  // The order of the terms is that of few_rows_kernel (linear_few.cu).
  __device__ __forceinline__ void multiply(float (&sums)[kRows][4], int warp,
                                           const std::byte* weights) const {
    const int lane = static_cast<int>(threadIdx.x) % 32, g = lane / 4, t = lane % 4, stride = a.stride();
    const int steps = bytes / (2 * kStep), begin = warp * a.per_warp, end = min(begin + a.per_warp, steps);
    const auto load = [&](const std::byte* from, int row, int step) {
      return *reinterpret_cast<const uint4*>(from + row * stride + step * 2 * kStep + 16 * t);
    };
#pragma unroll 3
    for (int step = begin; step < end; ++step) {
      const uint4 one = load(weights, g, step), other = load(weights, g + 8, step);
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
        const uint4 x = load(rows, 8 * r + g, step);
        mma(sums[r], {one.x, other.x, one.y, other.y}, x.x, x.y);
        mma(sums[r], {one.z, other.z, one.w, other.w}, x.z, x.w);
      }
    }
  }

  // The sums of this block's parts, in order, go to the blocks that finish their rows.
  __device__ __forceinline__ void exchange(const float (&sums)[kRows][4], int group, int warp,
                                           int buffer) const {
    const int thread = static_cast<int>(threadIdx.x) % kGroupThreads, lane = thread % 32, g = lane / 4,
              t = lane % 4;
    float* own = partial + group * S::kPartial;
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
#pragma unroll
      for (int i = 0; i < 4; ++i)
        own[(warp * kRows * 8 + 8 * r + 2 * t + i % 2) * kPartialStride + g + i / 2 * 8] = sums[r][i];
    }
    if (thread == 0 && a.cluster > 1)
      arrive_and_expect(shared_address(&b.received[group][buffer]), S::kReceived * 4);
    barrier(group);
    for (int i = thread; i < kRows * 8 * 4; i += kGroupThreads) {
      const int row = i / 4, features = i % 4 * 4;
      float4 sum{};
#pragma unroll
      for (int part = 0; part < kGroupWarps; ++part) {
        const float4 value =
            *reinterpret_cast<const float4*>(own + (part * kRows * 8 + row) * kPartialStride + features);
        sum.x += value.x;
        sum.y += value.y;
        sum.z += value.z;
        sum.w += value.w;
      }
      const int to = row / rows_here;
      float* place = at(group, buffer, rank, row % rows_here) + features;
      if (a.cluster == 1) {
        *reinterpret_cast<float4*>(place) = sum;
        continue;
      }
      send_16(in_block(shared_address(place), to), sum,
              in_block(shared_address(&b.received[group][buffer]), to));
    }
    barrier(group);  // the partial sums have been read; those of a block alone are there
  }
  __device__ __forceinline__ static void barrier(int group) {
    asm volatile("bar.sync %0, %1;" ::"r"(1 + group), "n"(kGroupThreads) : "memory");
  }
  // What block `from` has sent of a row.
  __device__ __forceinline__ float* at(int group, int buffer, int from, int row) const {
    return received + (group * 2 + buffer) * S::kReceived + (from * rows_here + row) * 16;
  }

  __device__ __forceinline__ void finish(int tile, int group, int turn) const {
    const int buffer = turn % 2;
    if (a.cluster > 1) wait_for_phase(shared_address(&b.received[group][buffer]), turn / 2 % 2);
    const auto [index, feature0] = place_of(tile);
    const Bf16Product& p = a.group.products[index];
    for (int i = static_cast<int>(threadIdx.x) % kGroupThreads; i < rows_here * kColumns;
         i += kGroupThreads) {
      const int column = i % kColumns, local = i / kColumns, row = row0 + rank * rows_here + local;
      if (row >= p.rows || feature0 + column >= p.out) continue;
      const auto sum_of = [&](int feature) {
        float sum = 0;
        for (int from = 0; from < a.cluster; ++from) sum += at(group, buffer, from, local)[feature];
        return sum;
      };
      if constexpr (kGated) {
        p.finish_gated(sum_of(column), sum_of(column + 8), row, feature0 + column);
      } else {
        p.finish(sum_of(column), row, feature0 + column);
      }
    }
  }
};

#endif

template <class S>
__global__ void __launch_bounds__(S::kThreads, 1)
    few_rows_sm90_kernel([[maybe_unused]] const __grid_constant__ FewSm90 a) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  extern __shared__ __align__(128) std::byte memory[];
  __shared__ Barriers barriers;
  let_next_start();
  if (threadIdx.x == 0) {
    for (int i = 0; i < a.stages; ++i) {
      init_barrier(shared_address(barriers.full + i), 1);
      init_barrier(shared_address(barriers.empty + i), kGroupThreads);
    }
    init_barrier(shared_address(&barriers.rows), 1);
    for (auto& of_group : barriers.received) {
      for (auto& barrier : of_group) init_barrier(shared_address(&barrier), 1);
    }
    publish_barriers();
  }
  // Other blocks send to the barriers.
  asm volatile("barrier.cluster.arrive.aligned;\nbarrier.cluster.wait.aligned;" ::: "memory");
  const FewRows<S> rows(a, memory, barriers);
  if (threadIdx.x >= S::kGroups * kGroupThreads) {
    rows.feed();
  } else {
    rows.compute();
  }
#endif
}

// How many clusters run at once; 0 where none does.
int clusters_at_once(const void* kernel, int cluster, int threads, std::size_t shared) {
  cudaLaunchAttribute attribute{};
  attribute.id = cudaLaunchAttributeClusterDimension;
  attribute.val.clusterDim = {static_cast<unsigned>(cluster), 1, 1};
  cudaLaunchConfig_t config{};
  config.gridDim = cluster;
  config.blockDim = threads;
  config.dynamicSmemBytes = shared;
  config.attrs = &attribute;
  config.numAttrs = 1;
  int clusters = 0;
  const bool known = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                          static_cast<int>(shared)) == cudaSuccess &&
                     cudaOccupancyMaxActiveClusters(&clusters, kernel, &config) == cudaSuccess;
  cudaGetLastError();
  return known ? clusters : 0;
}

template <class S>
bool run(Context& context, FewSm90 a) {
  const auto kernel = few_rows_sm90_kernel<S>;
  // A multiple of the groups: then each stage is always used by the same one.
  for (a.stages = kMostStages / S::kGroups * S::kGroups; a.stages > 0; a.stages -= S::kGroups) {
    if (S::bytes(a) + sizeof(Barriers) + kLeft <= context.shared_memory) break;
  }
  if (a.stages == 0) return false;
  const std::size_t shared = S::bytes(a);
  const int at_once = clusters_at_once(reinterpret_cast<const void*>(kernel), a.cluster, S::kThreads, shared);
  const int row_blocks = static_cast<int>(blocks_for(a.group.products[0].rows, S::kRows * 8));
  if (at_once == 0) return false;
  const int tiles = a.group.number_blocks(S::kColumns);
  const int clusters = std::min(tiles, std::max(1, at_once / row_blocks));
  launch_clusters(context, "linear", kernel, a.cluster, dim3(clusters * a.cluster, row_blocks), S::kThreads,
                  shared, a);
  return true;
}

template <int kRows, bool kGated>
bool run_groups(Context& context, const FewSm90& a) {
  if constexpr (kRows <= 4) {
    if (run<Shape<kRows, 4, kGated>>(context, a)) return true;
  }
  return run<Shape<kRows, 2, kGated>>(context, a);
}

template <bool kGated>
bool run_rows(Context& context, const FewSm90& a) {
  const int rows = a.group.products[0].rows;
  if (rows <= 8) return run_groups<1, kGated>(context, a);
  if (rows <= 16) return run_groups<2, kGated>(context, a);
  if (rows > 32 && run_groups<8, kGated>(context, a)) return true;
  return run_groups<4, kGated>(context, a);
}

}  // namespace

bool run_few_rows_sm90(Context& context, const Group& group, int parts) {
  const Bf16Product& p = group.products[0];
  if (p.in % kStep != 0 || p.rows == 0) return false;
  FewSm90 a{.group = group,
            .per_warp = divide_up(p.in / kStep, parts),
            .stages = 0,
            .cluster = parts / kSummedParts};
  return p.up ? run_rows<true>(context, a) : run_rows<false>(context, a);
}

}  // namespace glmocr::cuda
