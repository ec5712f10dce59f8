// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda/attention.cuh"
#include "kernels/cuda/launch.h"

// Attention in fp32 arithmetic: the compute type fp32, and shapes that the tensor cores cannot take.
namespace glmocr::cuda {
namespace {

constexpr int kWarps = 4, kThreads = 32 * kWarps;
constexpr int kPerLane = kMaxHeadDim / 32;

// One query of a warp, in shared memory, against `count` keys: lane i takes key i of each 32 for the scores and
// the dimensions i, i + 32, … for the sums. key(i) and value(i) point to the rows.
template <class T, class Key, class Value>
__device__ void attend(const float* q, Key key, Value value, int count, int dim, float scale, T* y) {
  const int lane = threadIdx.x % 32;
  float largest = -INFINITY, total = 0, sums[kPerLane] = {};
  for (int first = 0; first < count; first += 32) {
    const int block = min(count - first, 32);
    float score = -INFINITY;
    if (lane < block) {
      const T* row = key(first + lane);
      float dot = 0;
      for (int d = 0; d < dim; ++d) dot = fmaf(q[d], to_float(row[d]), dot);
      score = dot * scale;
    }
    float most = score;
#pragma unroll
    for (int step = 16; step > 0; step /= 2) most = fmaxf(most, __shfl_xor_sync(0xffffffffu, most, step));
    most = fmaxf(most, largest);
    const float base = most == -INFINITY ? 0 : most, shrink = expf(largest - base);
    const float weight = expf(score - base);
    largest = most;
    total = total * shrink + warp_sum(weight);
#pragma unroll
    for (int i = 0; i < kPerLane; ++i) sums[i] *= shrink;
    for (int k = 0; k < block; ++k) {
      const float w = __shfl_sync(0xffffffffu, weight, k);
      const T* row = value(first + k);
#pragma unroll
      for (int i = 0; i < kPerLane; ++i) {
        if (lane + 32 * i < dim) sums[i] = fmaf(w, to_float(row[lane + 32 * i]), sums[i]);
      }
    }
  }
#pragma unroll
  for (int i = 0; i < kPerLane; ++i) {
    if (lane + 32 * i < dim) y[lane + 32 * i] = from_float<T>(sums[i] / total);
  }
}

template <class T>
__device__ const float* load_query(const T* q, int dim) {
  __shared__ float queries[kWarps][kMaxHeadDim];
  float* own = queries[threadIdx.x / 32];
  for (int d = threadIdx.x % 32; d < dim; d += 32) own[d] = to_float(q[d]);
  __syncwarp();
  return own;
}

// The sequence, or segment, with starts[s] <= row < starts[s + 1]; `count` if there is none.
__device__ int owner_of(const std::int32_t* starts, int count, int row) {
  int low = 0, high = count;  // the first s with starts[s + 1] > row
  while (low < high) {
    const int middle = (low + high) / 2;
    if (starts[middle + 1] > row) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  return low;
}

// Bound by fp32 arithmetic and the cache: a warp per query and head, keys come from the cache of the block.
template <class T>
__global__ void __launch_bounds__(kThreads)
    segments_kernel(const __grid_constant__ SegmentAttention<T> a, int rows) {
  let_next_start();
  wait_for_previous();
  const int row = blockIdx.x * kWarps + threadIdx.x / 32, head = blockIdx.y;
  if (row >= rows) return;
  const float* q = load_query(a.q + row * a.q_row + head * a.q_head, a.dim);
  const int segment = owner_of(a.segments <= a.kHere ? a.queries_here : a.queries, a.segments, row);
  if (segment == a.segments) return;  // rows behind the last segment belong to none
  const std::int64_t begin = a.key_start(segment);
  const auto key = [&](int i) { return a.k + (begin + i) * a.k_row + head * a.k_head; };
  const auto value = [&](int i) { return a.v + (begin + i) * a.v_row + head * a.v_head; };
  attend(q, key, value, a.key_start(segment + 1) - static_cast<int>(begin), a.dim, a.scale,
         a.y + row * a.y_row + head * a.dim);
}

template <class T>
__global__ void __launch_bounds__(kThreads) many_rows_kernel(const PagedAttention<T> a) {
  let_next_start();
  wait_for_previous();
  const int row = blockIdx.x * kWarps + threadIdx.x / 32, head = blockIdx.y, lane = threadIdx.x % 32;
  if (row >= a.rows) return;
  T* y = a.y + (std::int64_t{row} * a.heads + head) * a.dim;
  const int sequence = owner_of(a.row_starts, a.sequences, row);
  const int visible =
      sequence == a.sequences ? 0 : a.keys_seen(row, a.row_starts[sequence + 1], a.context_lens[sequence]);
  if (visible == 0) {
    for (int d = lane; d < a.dim; d += 32) y[d] = from_float<T>(0);
    return;
  }
  const float* q = load_query(a.q + row * a.q_row + head * a.q_head, a.dim);
  const std::int32_t* table = a.page_table + sequence * a.table_row;
  const int kv_head = head / (a.heads / a.kv_heads);
  const auto key = [&](int i) { return a.keys + a.offset(table, kv_head, i); };
  const auto value = [&](int i) { return a.values + a.offset(table, kv_head, i); };
  attend(q, key, value, visible, a.dim, a.scale, y);
}

}  // namespace

template <class T>
void run_segments(Context& context, const SegmentAttention<T>& a, int rows) {
  const dim3 grid(blocks_for(rows, kWarps), a.heads);
  launch(context, "attention", segments_kernel<T>, grid, kThreads, 0, a, rows);
}

template <class T>
void run_many_rows(Context& context, const PagedAttention<T>& a) {
  const dim3 grid(blocks_for(a.rows, kWarps), a.heads);
  launch(context, "attention_paged", many_rows_kernel<T>, grid, kThreads, 0, a);
}

template void run_segments(Context&, const SegmentAttention<float>&, int);
template void run_segments(Context&, const SegmentAttention<bf16_t>&, int);
template void run_many_rows(Context&, const PagedAttention<float>&);
template void run_many_rows(Context&, const PagedAttention<bf16_t>&);

}  // namespace glmocr::cuda
