// SPDX-License-Identifier: Apache-2.0
#include "base/numbers.h"
#include "kernels/cuda/attention.cuh"
#include "kernels/cuda/attention_few.cuh"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/mma.cuh"

// Attention of few rows over pages: decoding.
namespace glmocr::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kLanes = 16;  // lanes that share a key; each holds packs of 8 dimensions
constexpr int kGroups = kThreads / kLanes;
constexpr int kKeysPerGroup = kPart / kGroups;

// Eight values from `from` on, those at `count` and beyond zero.
template <class T, bool kPacked>
__device__ __forceinline__ Pack<T, 8> load_8(const T* from, int count) {
  Pack<T, 8> pack{};
  if constexpr (kPacked) {
    if (count > 0) {
#pragma unroll
      for (int i = 0; i < 8; i += 16 / sizeof(T)) {
        *reinterpret_cast<Pack<T, 16 / sizeof(T)>*>(&pack.v[i]) =
            *reinterpret_cast<const Pack<T, 16 / sizeof(T)>*>(from + i);
      }
    }
  } else {
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      if (i < count) pack.v[i] = from[i];
    }
  }
  return pack;
}

// Whether the keys and values of later parts are fetched while one is computed.
template <class T, int kHeads, int kPacks, bool kPacked>
constexpr bool kFetchesAhead = sizeof(T) == 2 && kPacked&& kHeads <= 2 && kPacks == 1;
constexpr int kStages = 2;                                  // parts under way
constexpr int kStageChunks = 2 * kKeysPerGroup * kThreads;  // of 16 bytes: keys, values

// Bound by memory: reads the keys and values of some parts of a row's context once for kHeads query heads; those of the
// next part while it computes. A block that has all parts of a row joins them; otherwise the last block of the row does.
template <class T, int kHeads, int kPacks, bool kPacked>
__global__ void __launch_bounds__(kThreads, kFetchesAhead<T, kHeads, kPacks, kPacked> ? 2 : 1)
    few_rows_kernel(const __grid_constant__ FewArguments<T> args) {
  constexpr bool kAhead = kFetchesAhead<T, kHeads, kPacks, kPacked>;
  constexpr int kWidth = kPacks * kLanes * 8, kOwn = (kHeads * kWidth + kThreads - 1) / kThreads;
  const PagedAttention<T>& a = args.a;
  __shared__ float scores[kHeads][kPart];
  __shared__ float sums[kThreads / 32][kHeads][kWidth];
  __shared__ float largest[Joined::kAtOnce][kHeads], total[Joined::kAtOnce][kHeads];
  __shared__ float values_of_parts[Joined::kAtOnce][kHeads * kWidth];
  __shared__ int found;
  extern __shared__ uint4 staged[];  // where kAhead: what each thread fetches, for itself
  let_next_start();
  wait_for_previous();
  const int row = blockIdx.z, tid = threadIdx.x, first_part = blockIdx.x * args.per_block;
  const int per_kv_head = a.heads / a.kv_heads, head_blocks = (per_kv_head + kHeads - 1) / kHeads;
  const int kv_head = blockIdx.y / head_blocks, first = blockIdx.y % head_blocks * kHeads;
  const int head0 = kv_head * per_kv_head + first, heads = min(kHeads, per_kv_head - first);
  const int lane = tid % kLanes, group = tid / kLanes;

  // Each group of lanes takes every kGroups-th key; all its keys and values are read at once. Mostly row i is the one row
  // of sequence i: what that needs is read at once too, without waiting for the search.
  int sequence = 0, pages[kKeysPerGroup];
  const auto load_pages = [&](int part) {
#pragma unroll
    for (int u = 0; u < kKeysPerGroup; ++u) {
      const int page = min(a.page_of(part * kPart + group + u * kGroups), a.pages - 1);
      pages[u] = a.page_table[sequence * a.table_row + page];
    }
  };
  const RowOf place = row_of<kThreads>(a, row, &found, [&](int s) {
    sequence = s;
    load_pages(first_part);
  });
  T* y = a.y + (std::int64_t{row} * a.heads + head0) * a.dim;
  const int visible = keys_of(a, row, place), parts = (visible + kPart - 1) / kPart;
  if (visible == 0) {
    for (int i = tid; first_part == 0 && i < heads * a.dim; i += kThreads) y[i] = from_float<T>(0);
    return;
  }
  if (first_part >= parts) return;
  const int end_part = min(first_part + args.per_block, parts);
  const bool whole = parts <= args.per_block;

  Pack<T, 8> keys[kKeysPerGroup][kPacks], values[kKeysPerGroup][kPacks];
  std::int64_t offsets[kKeysPerGroup];
  const auto load_offsets = [&](int part) {
#pragma unroll
    for (int u = 0; u < kKeysPerGroup; ++u) {
      const int token = part * kPart + group + u * kGroups;
      offsets[u] = token < visible ? a.offset(pages[u], kv_head, token - a.page_of(token) * a.page_size) : -1;
    }
  };
  const auto load_all = [&](Pack<T, 8>(&packs)[kKeysPerGroup][kPacks], const T* from) {
#pragma unroll
    for (int u = 0; u < kKeysPerGroup; ++u) {
#pragma unroll
      for (int p = 0; p < kPacks; ++p) {
        const int d = (p * kLanes + lane) * 8;
        packs[u][p] = load_8<T, kPacked>(from + offsets[u] + d, offsets[u] >= 0 ? a.dim - d : 0);
      }
    }
  };
  const auto fetch = [&](int part) {
    if (part < end_part) {
      load_offsets(part);
      uint4* to = staged + part % kStages * kStageChunks + tid;
#pragma unroll
      for (int u = 0; u < kKeysPerGroup; ++u) {
        const bool valid = offsets[u] >= 0 && lane * 8 < a.dim;
        const std::int64_t from = valid ? offsets[u] + lane * 8 : 0;
        copy_16(shared_address(to + u * kThreads), a.keys + from, valid);
        copy_16(shared_address(to + (kKeysPerGroup + u) * kThreads), a.values + from, valid);
      }
    }
    commit_copies();
  };
  const auto fetched = [&](Pack<T, 8>(&packs)[kKeysPerGroup][kPacks], int part, int which) {
    const uint4* from = staged + part % kStages * kStageChunks + which * kKeysPerGroup * kThreads + tid;
#pragma unroll
    for (int u = 0; u < kKeysPerGroup; ++u)
      packs[u][0] = *reinterpret_cast<const Pack<T, 8>*>(from + u * kThreads);
  };
  if constexpr (kAhead) {
    fetch(first_part);
    if (first_part + 1 < end_part) load_pages(first_part + 1);
    fetch(first_part + 1);
  }
  float q[kHeads][kPacks][8];
#pragma unroll
  for (int h = 0; h < kHeads; ++h) {
#pragma unroll
    for (int p = 0; p < kPacks; ++p) {
      const int d = (p * kLanes + lane) * 8;
      const T* from = a.q + row * a.q_row + (head0 + h) * a.q_head + d;
      const auto pack = load_8<T, kPacked>(from, h < heads ? a.dim - d : 0);
#pragma unroll
      for (int i = 0; i < 8; ++i) q[h][p][i] = to_float(pack.v[i]);
    }
  }

  const int record = 2 + a.dim;
  float* partial = args.partial + (std::int64_t{row} * a.heads + head0) * args.parts * record;
  Joined joined[kOwn];
  for (int part = first_part; part < end_part; ++part) {
    const int count = min(visible - part * kPart, kPart), slot = part % Joined::kAtOnce;
    const bool more = part + 1 < end_part;
    if constexpr (kAhead) {
      if (part + kStages < end_part) load_pages(part + kStages);
      wait_for_copies<kStages - 1>();
      fetched(keys, part, 0);
    } else {
      load_offsets(part);
      load_all(keys, a.keys);
      if constexpr (sizeof(T) == 2) load_all(values, a.values);
      if (more) load_pages(part + 1);
    }
#pragma unroll
    for (int u = 0; u < kKeysPerGroup; ++u) {
      const int key = group + u * kGroups;
#pragma unroll
      for (int h = 0; h < kHeads; ++h) {
        float dot = 0;
#pragma unroll
        for (int p = 0; p < kPacks; ++p) {
#pragma unroll
          for (int i = 0; i < 8; ++i) dot = fmaf(q[h][p][i], to_float(keys[u][p].v[i]), dot);
        }
#pragma unroll
        for (int step = kLanes / 2; step > 0; step /= 2) dot += __shfl_xor_sync(0xffffffffu, dot, step);
        if (lane == 0) scores[h][key] = key < count ? dot * a.scale : -INFINITY;
      }
    }
    if constexpr (sizeof(T) != 2) load_all(values, a.values);
    __syncthreads();

    // Weights: a warp per head.
    for (int h = tid / 32; h < kHeads; h += kThreads / 32) {
      const int l = tid % 32;
      float most = -INFINITY, weight[kPart / 32], sum = 0;
#pragma unroll
      for (int i = 0; i < kPart / 32; ++i) most = fmaxf(most, scores[h][l + 32 * i]);
#pragma unroll
      for (int step = 16; step > 0; step /= 2) most = fmaxf(most, __shfl_xor_sync(0xffffffffu, most, step));
      const float base = most == -INFINITY ? 0 : most;
#pragma unroll
      for (int i = 0; i < kPart / 32; ++i) {
        weight[i] = expf(scores[h][l + 32 * i] - base);
        scores[h][l + 32 * i] = weight[i];
        sum += weight[i];
      }
      sum = warp_sum(sum);
      if (l == 0) {
        largest[slot][h] = most;
        total[slot][h] = sum;
      }
    }
    __syncthreads();

    // Weighted values: of both groups of a warp, then of the warps in order.
    if constexpr (kAhead) fetched(values, part, 1);
    float acc[kHeads][kPacks][8] = {};
#pragma unroll
    for (int u = 0; u < kKeysPerGroup; ++u) {
      const int key = group + u * kGroups;
      if (key >= count) break;
#pragma unroll
      for (int h = 0; h < kHeads; ++h) {
        const float weight = scores[h][key];
#pragma unroll
        for (int p = 0; p < kPacks; ++p) {
#pragma unroll
          for (int i = 0; i < 8; ++i) acc[h][p][i] = fmaf(weight, to_float(values[u][p].v[i]), acc[h][p][i]);
        }
      }
    }
#pragma unroll
    for (int h = 0; h < kHeads; ++h) {
#pragma unroll
      for (int p = 0; p < kPacks; ++p) {
#pragma unroll
        for (int i = 0; i < 8; ++i) {
          const float both = acc[h][p][i] + __shfl_xor_sync(0xffffffffu, acc[h][p][i], kLanes);
          if (group % 2 == 0) sums[tid / 32][h][(p * kLanes + lane) * 8 + i] = both;
        }
      }
    }
    __syncthreads();
    if constexpr (kAhead) fetch(part + kStages);
#pragma unroll
    for (int own = 0; own < kOwn; ++own) {
      const int i = tid + own * kThreads, h = i / kWidth, d = i % kWidth;
      if (h >= heads || d >= a.dim) continue;
      float sum = 0;
#pragma unroll
      for (int w = 0; w < kThreads / 32; ++w) sum += sums[w][h][d];
      if (!whole) {
        partial[(h * args.parts + part) * record + 2 + d] = sum;
        continue;
      }
      values_of_parts[slot][i] = sum;
      if (more && slot + 1 < Joined::kAtOnce) continue;
      joined[own].add([&](int p) { return p <= slot ? largest[p][h] : -INFINITY; },
                      [&](int p) { return p <= slot ? total[p][h] : 0; },
                      [&](int p) { return p <= slot ? values_of_parts[p][i] : 0; });
      if (!more) y[h * a.dim + d] = from_float<T>(joined[own].result());
    }
    if (!whole && tid < heads) {
      partial[(tid * args.parts + part) * record] = largest[slot][tid];
      partial[(tid * args.parts + part) * record + 1] = total[slot][tid];
    }
  }
  if (!whole) join_records<kThreads>(args, row, parts, heads * a.dim, partial, y, &found);
}

// Whether queries can be read 16 bytes at a time.
template <class T>
bool is_packed(const PagedAttention<T>& a) {
  return a.dim % 8 == 0 && a.q_row % 8 == 0 && a.q_head % 8 == 0 &&
         reinterpret_cast<std::uintptr_t>(a.q) % 16 == 0;
}

template <class T, int kHeads, int kPacks>
void run(Context& context, FewArguments<T> args) {
  const PagedAttention<T>& a = args.a;
  const int per_kv_head = a.heads / a.kv_heads;
  const unsigned head_blocks = a.kv_heads * blocks_for(per_kv_head, kHeads);
  args.per_block =
      parts_per_block(static_cast<int>(head_blocks) * a.rows, args.parts, 2 * context.processors);
  const dim3 grid(divide_up(args.parts, args.per_block), head_blocks, a.rows);
  GLMOCR_CHECK(std::int64_t{grid.y} * grid.z <= kCounters);
  const bool packed = is_packed(a);
  const auto kernel =
      packed ? few_rows_kernel<T, kHeads, kPacks, true> : few_rows_kernel<T, kHeads, kPacks, false>;
  const std::size_t shared =
      packed && kFetchesAhead<T, kHeads, kPacks, true> ? kStages * kStageChunks * sizeof(uint4) : 0;
  launch(context, "attention_paged", kernel, grid, kThreads, shared, args);
}

}  // namespace

std::int64_t partial_floats(std::int64_t rows, std::int64_t heads, std::int64_t dim,
                            std::int64_t max_context) {
  const int parts = part_count(max_context);
  return parts > 1 ? rows * heads * parts * (2 + dim) : 0;
}

template <class T>
void run_few_rows(Context& context, const PagedAttention<T>& a, int max_context, float* partial) {
  const FewArguments<T> args = few_arguments(context, a, max_context, partial);
  const int per_kv_head = a.heads / a.kv_heads;
  if constexpr (std::is_same_v<T, bf16_t>) {
    if (per_kv_head == kPairHeads && a.dim == kPairDim && is_packed(a)) return run_pairs(context, args);
  }
  if (a.dim > 8 * kLanes) return run<T, 1, 2>(context, args);
  if (per_kv_head == 1) return run<T, 1, 1>(context, args);
  if (per_kv_head == 2) return run<T, 2, 1>(context, args);
  run<T, 4, 1>(context, args);
}

template void run_few_rows(Context&, const PagedAttention<float>&, int, float*);
template void run_few_rows(Context&, const PagedAttention<bf16_t>&, int, float*);

}  // namespace glmocr::cuda
