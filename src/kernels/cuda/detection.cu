// SPDX-License-Identifier: Apache-2.0
#include <bit>

#include "kernels/cuda/cuda_ops.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/maps.cuh"

namespace glmocr::cuda {
namespace {

constexpr int kWarps = 8, kThreads = 32 * kWarps;
constexpr unsigned kAll = 0xffffffffu;

// --- deformable attention -----------------------------------------------------------------------------------------

constexpr int kMostLevels = 8, kMostSamples = 32;

template <class T>
struct Sampling {
  const T* values;
  std::int64_t values_row, rows_per_page;
  const T *offsets, *weights;
  std::int64_t offsets_row, weights_row;
  const float* boxes;
  int first[kMostLevels], heights[kMostLevels], widths[kMostLevels];
  int queries, per_page, heads, dim, points, samples;
  T* y;
};

// The pixels around a point: where their values begin, -1 outside of the map, and their shares.
struct Corners {
  std::int64_t at[4];
  float share[4];
};

template <class T>
__device__ __forceinline__ Corners corners_of(const Sampling<T>& a, int query, int head, int sample) {
  const int level = sample / a.points, height = a.heights[level], width = a.widths[level];
  const float* box = a.boxes + 4 * query;
  const T* offset = a.offsets + query * a.offsets_row + 2 * (head * a.samples + sample);
  const float x = (box[0] + to_float(offset[0]) / a.points * box[2] * 0.5f) * width - 0.5f;
  const float y = (box[1] + to_float(offset[1]) / a.points * box[3] * 0.5f) * height - 0.5f;
  const float left = floorf(x), top = floorf(y);
  const std::int64_t page = query / a.per_page * a.rows_per_page + a.first[level];
  Corners c;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const float column = left + i % 2, row = top + i / 2;
    const bool inside = column >= 0 && column < width && row >= 0 && row < height;
    c.at[i] = inside ? (page + static_cast<int>(row) * width + static_cast<int>(column)) * a.values_row +
                           head * a.dim
                     : -1;
    c.share[i] = inside ? (1 - fabsf(x - column)) * (1 - fabsf(y - row)) : 0;
  }
  return c;
}

// Bound by the latency of memory: a warp per query and head. Lane i finds the place and the weight of sample i, then
// the lanes take the dimensions i, i + 32, … of all samples.
template <class T>
__global__ void __launch_bounds__(kThreads) deformable_kernel(const __grid_constant__ Sampling<T> a) {
  let_next_start();
  wait_for_previous();
  const int item = blockIdx.x * kWarps + threadIdx.x / 32, lane = threadIdx.x % 32;
  const int query = item / a.heads, head = item - query * a.heads;
  if (query >= a.queries) return;
  Corners corners{};
  float weight = -INFINITY;
  if (lane < a.samples) {
    corners = corners_of(a, query, head, lane);
    weight = to_float(a.weights[query * a.weights_row + head * a.samples + lane]);
  }
  float largest = weight;
#pragma unroll
  for (int step = 16; step > 0; step /= 2) largest = fmaxf(largest, __shfl_xor_sync(kAll, largest, step));
  weight = lane < a.samples ? expf(weight - largest) : 0;
  weight /= warp_sum(weight);
  for (int first = 0; first < a.dim; first += 32) {
    const int d = first + lane;
    float sum = 0;
    for (int s = 0; s < a.samples; ++s) {
      const float w = __shfl_sync(kAll, weight, s);
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const std::int64_t at = __shfl_sync(kAll, corners.at[i], s);
        const float share = __shfl_sync(kAll, corners.share[i], s);
        if (at >= 0 && d < a.dim) sum = fmaf(w * share, to_float(a.values[at + d]), sum);
      }
    }
    if (d < a.dim) a.y[(std::int64_t{query} * a.heads + head) * a.dim + d] = from_float<T>(sum);
  }
}

// --- the best rows ------------------------------------------------------------------------------------------------

constexpr int kSortThreads = 1024, kMostChosen = 4096;

// Larger for a better score; 0 and -0 are equal.
__device__ __forceinline__ unsigned ordered(float score) {
  const unsigned bits = __float_as_uint(score + 0.0f);
  return bits >> 31 ? ~bits : bits | 0x80000000u;
}

// Bound by memory: the best score of each row, NaN left out.
template <class T>
__global__ void __launch_bounds__(kThreads)
    best_score_kernel(const T* scores, std::int64_t stride, int classes, unsigned* keys, std::int64_t rows) {
  let_next_start();
  wait_for_previous();
  const std::int64_t row = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (row >= rows) return;
  float best = -INFINITY;
  for (int c = 0; c < classes; ++c) best = fmaxf(best, to_float(scores[row * stride + c]));
  keys[row] = ordered(best);
}

struct Chosen {
  unsigned key;  // of the last row that is chosen
  int ties;      // how many of the rows with this key are
  bool all;      // of them
};

// The key of rank `count`, digit after digit of eight bits from the top: counts how many keys have which next digit among
// those that begin as it does.
__device__ Chosen find_last_key(const unsigned* keys, int rows, int count) {
  __shared__ int digits[256];
  __shared__ unsigned prefix;
  __shared__ int left, in_digit;
  const int lane = threadIdx.x % 32;
  if (threadIdx.x == 0) {
    prefix = 0;
    left = count;
  }
  for (int shift = 24; shift >= 0; shift -= 8) {
    if (threadIdx.x < 256) digits[threadIdx.x] = 0;
    __syncthreads();
    const unsigned begins = prefix;
    for (int first = 0; first < rows; first += kSortThreads) {
      const int row = first + static_cast<int>(threadIdx.x);
      const unsigned key = row < rows ? keys[row] : 0;
      const bool counts = row < rows && (shift == 24 || key >> (shift + 8) == begins);
      const int digit = counts ? static_cast<int>(key >> shift & 255) : -1;
      const unsigned same = __match_any_sync(kAll, digit);
      if (counts && lane == __ffs(static_cast<int>(same)) - 1) atomicAdd(&digits[digit], __popc(same));
    }
    __syncthreads();
    if (threadIdx.x < 32) {
      // Lane i has the digits 8i … 8i + 7.
      int own = 0;
      for (int i = 0; i < 8; ++i) own += digits[8 * lane + i];
      int above = 0;  // keys with the digits of higher lanes
      for (int other = 31; other > 0; --other) {
        const int theirs = __shfl_sync(kAll, own, other);
        if (lane < other) above += theirs;
      }
      const int wanted = left;
      __syncwarp();
      if (above < wanted && wanted <= above + own) {
        int digit = 8 * lane + 7;
        while (above + digits[digit] < wanted) above += digits[digit--];
        prefix = begins << 8 | static_cast<unsigned>(digit);
        left = wanted - above;
        in_digit = digits[digit];
      }
    }
    __syncthreads();
  }
  return {prefix, left, left == in_digit};
}

// Descending. `size` is a power of two.
__device__ void sort_entries(unsigned long long* entries, int size) {
  for (int run = 2; run <= size; run *= 2) {
    for (int step = run / 2; step > 0; step /= 2) {
      for (int i = threadIdx.x; i < size; i += kSortThreads) {
        const int other = i ^ step;
        if (other <= i) continue;
        const unsigned long long a = entries[i], b = entries[other];
        if ((a < b) == ((i & run) == 0)) {
          entries[i] = b;
          entries[other] = a;
        }
      }
      __syncthreads();
    }
  }
}

// Bound by latency: a block per page. Entries are a key and the complement of its row, so that among equal keys the
// lowest row comes first.
__global__ void __launch_bounds__(kSortThreads)
    choose_kernel(const unsigned* all_keys, int rows, int count, int size, std::int32_t* indices) {
  extern __shared__ unsigned long long entries[];
  __shared__ int filled, ties_seen, ties_of_warp[32];
  let_next_start();
  wait_for_previous();
  const unsigned* keys = all_keys + std::int64_t{blockIdx.x} * rows;
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  if (threadIdx.x == 0) filled = ties_seen = 0;
  for (int i = threadIdx.x; i < size; i += kSortThreads) entries[i] = 0;
  const Chosen last = find_last_key(keys, rows, count);
  __syncthreads();
  for (int first = 0; first < rows; first += kSortThreads) {
    const int row = first + static_cast<int>(threadIdx.x);
    const unsigned key = row < rows ? keys[row] : 0;
    const bool tie = row < rows && key == last.key;
    bool chosen = row < rows && key > last.key;
    if (last.all) {
      chosen = chosen || tie;
    } else {
      const unsigned ties = __ballot_sync(kAll, tie);
      if (lane == 0) ties_of_warp[warp] = __popc(ties);
      __syncthreads();
      int before = ties_seen + __popc(ties & ((1u << lane) - 1));
      for (int w = 0; w < warp; ++w) before += ties_of_warp[w];
      chosen = chosen || (tie && before < last.ties);
      __syncthreads();
      if (threadIdx.x == kSortThreads - 1) ties_seen = before + tie;
    }
    if (chosen)
      entries[atomicAdd(&filled, 1)] =
          static_cast<unsigned long long>(key) << 32 | ~static_cast<unsigned>(row);
  }
  __syncthreads();
  sort_entries(entries, size);
  for (int i = threadIdx.x; i < count; i += kSortThreads) {
    const auto row = static_cast<std::int32_t>(~static_cast<unsigned>(entries[i]));
    indices[std::int64_t{blockIdx.x} * count + i] = static_cast<std::int32_t>(blockIdx.x) * rows + row;
  }
}

// --- boxes of masks -----------------------------------------------------------------------------------------------

constexpr int kQueries = 32, kUnits = 8;  // of a block; units of 32 pixels of a row for each warp

template <class T>
struct MaskArguments {
  const T* queries;
  std::int64_t queries_row;
  const T* map;
  std::int64_t map_page, map_row, map_pixel;
  int per_page, height, width, channels, segments;  // segments: units in a row
  int*
      edges;  // [queries, 4]: the largest of width − x, x + 1, height − y, y + 1 of the pixels inside; 0: none
};

__global__ void __launch_bounds__(kThreads) clear_kernel(int* values, int count) {
  let_next_start();
  wait_for_previous();
  const int i = blockIdx.x * kThreads + threadIdx.x;
  if (i < count) values[i] = 0;
}

// Bound by fp32 arithmetic: a warp has 32 pixels of a row and 32 queries, whose sums stay in registers; lane q keeps
// the edges of query q. N channels are read together.
template <class T, int N>
__global__ void __launch_bounds__(kThreads) mask_edges_kernel(const __grid_constant__ MaskArguments<T> a) {
  extern __shared__ float queries[];  // [channels, kQueries]
  __shared__ int edges[kQueries][4];
  let_next_start();
  wait_for_previous();
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, first = blockIdx.y * kQueries,
            page = blockIdx.z;
  for (int i = threadIdx.x; i < a.channels * kQueries; i += kThreads) {
    const int q = i % kQueries, c = i / kQueries;
    queries[i] =
        first + q < a.per_page ? to_float(a.queries[(page * a.per_page + first + q) * a.queries_row + c]) : 0;
  }
  if (threadIdx.x < kQueries * 4) edges[threadIdx.x / 4][threadIdx.x % 4] = 0;
  __syncthreads();
  int left = 0, right = 0, top = 0, bottom = 0;
  for (int i = 0; i < kUnits; ++i) {
    const int unit = (blockIdx.x * kUnits + i) * kWarps + warp, y = unit / a.segments;
    if (y >= a.height) break;
    const int x0 = unit % a.segments * 32, x = x0 + lane;
    const bool exists = x < a.width;
    const T* pixel = a.map + page * a.map_page + y * a.map_row + (exists ? x : 0) * a.map_pixel;
    float sums[kQueries] = {};
    Pack<T, N> values{};
    for (int c = 0; c < a.channels; ++c) {
      if (c % N == 0) values = *reinterpret_cast<const Pack<T, N>*>(pixel + c);
      const float value = to_float(values.v[0]);
#pragma unroll
      for (int k = 0; k + 1 < N; ++k) values.v[k] = values.v[k + 1];
      const float4* row = reinterpret_cast<const float4*>(queries + c * kQueries);
#pragma unroll
      for (int q = 0; q < kQueries / 4; ++q) {
        const float4 four = row[q];
        sums[4 * q] = fmaf(value, four.x, sums[4 * q]);
        sums[4 * q + 1] = fmaf(value, four.y, sums[4 * q + 1]);
        sums[4 * q + 2] = fmaf(value, four.z, sums[4 * q + 2]);
        sums[4 * q + 3] = fmaf(value, four.w, sums[4 * q + 3]);
      }
    }
    unsigned inside = 0;
#pragma unroll
    for (int q = 0; q < kQueries; ++q) {
      const unsigned pixels = __ballot_sync(kAll, exists && sums[q] > 0);
      if (lane == q) inside = pixels;
    }
    if (inside == 0) continue;
    left = max(left, a.width - (x0 + __ffs(static_cast<int>(inside)) - 1));
    right = max(right, x0 + 32 - __clz(static_cast<int>(inside)));
    top = max(top, a.height - y);
    bottom = max(bottom, y + 1);
  }
  atomicMax(&edges[lane][0], left);
  atomicMax(&edges[lane][1], right);
  atomicMax(&edges[lane][2], top);
  atomicMax(&edges[lane][3], bottom);
  __syncthreads();
  const int q = threadIdx.x / 4;
  if (q >= kQueries || first + q >= a.per_page) return;
  atomicMax(a.edges + 4 * (page * a.per_page + first) + threadIdx.x, edges[q][threadIdx.x % 4]);
}

// As store_box of kernels/host.
__global__ void __launch_bounds__(kThreads)
    store_boxes_kernel(const int* edges, int count, float height, float width, float* boxes) {
  let_next_start();
  wait_for_previous();
  const int i = blockIdx.x * kThreads + threadIdx.x;
  if (i >= count) return;
  const int* e = edges + 4 * i;
  const bool empty = e[1] == 0;
  const float x0 = empty ? 0 : __fdiv_rn(width - e[0], width), x1 = empty ? 0 : __fdiv_rn(e[1], width);
  const float y0 = empty ? 0 : __fdiv_rn(height - e[2], height), y1 = empty ? 0 : __fdiv_rn(e[3], height);
  *reinterpret_cast<float4*>(boxes + 4 * i) = {(x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0};
}

// In double, as ref: there are few boxes, and logits near 0 and 1 need the digits.
template <class T>
__global__ void __launch_bounds__(kThreads)
    refine_kernel(const float* boxes, const T* deltas, std::int64_t stride, float* y, int count) {
  let_next_start();
  wait_for_previous();
  const int i = blockIdx.x * kThreads + threadIdx.x;
  if (i >= count) return;
  const double box = fmin(fmax(double{boxes[i]}, 0.0), 1.0);
  const double logit = log(fmax(box, 1e-5) / fmax(1 - box, 1e-5));
  const double delta = deltas ? to_float(deltas[i / 4 * stride + i % 4]) : 0;
  y[i] = static_cast<float>(1 / (1 + exp(-(logit + delta))));
}

}  // namespace

Tensor CudaOps::deformable_attention(const Tensor& values, std::int64_t pages,
                                     const DeformableQueries& queries) {
  const std::int64_t n = queries.boxes.size(0), width = values.columns(), heads = queries.heads;
  const std::int64_t samples = std::ssize(queries.levels) * queries.points;
  GLMOCR_CHECK(n % pages == 0 && values.rows() % pages == 0 && width % heads == 0 &&
               queries.boxes.is_contiguous());
  GLMOCR_CHECK(queries.weights.columns() == heads * samples &&
               queries.offsets.columns() == 2 * heads * samples);
  GLMOCR_CHECK(queries.weights.dtype == values.dtype && queries.offsets.dtype == values.dtype);
  GLMOCR_CHECK(samples <= kMostSamples && std::ssize(queries.levels) <= kMostLevels);
  const Tensor y = device_.scratch({n, width}, values.dtype);
  with_compute_type(values.dtype, [&](auto value) {
    using T = decltype(value);
    Sampling<T> a{.values = data<const T>(values),
                  .values_row = values.row_stride(),
                  .rows_per_page = values.rows() / pages,
                  .offsets = data<const T>(queries.offsets),
                  .weights = data<const T>(queries.weights),
                  .offsets_row = queries.offsets.row_stride(),
                  .weights_row = queries.weights.row_stride(),
                  .boxes = data<const float>(queries.boxes),
                  .first = {},
                  .heights = {},
                  .widths = {},
                  .queries = static_cast<int>(n),
                  .per_page = static_cast<int>(n / pages),
                  .heads = static_cast<int>(heads),
                  .dim = static_cast<int>(width / heads),
                  .points = static_cast<int>(queries.points),
                  .samples = static_cast<int>(samples),
                  .y = data<T>(y)};
    for (int i = 0; i < std::ssize(queries.levels); ++i) {
      const MapLevel& level = queries.levels[i];
      a.first[i] = static_cast<int>(level.first);
      a.heights[i] = static_cast<int>(level.height);
      a.widths[i] = static_cast<int>(level.width);
    }
    launch(context_, "deformable_attention", deformable_kernel<T>, blocks_for(n * heads, kWarps), kThreads, 0,
           a);
  });
  return y;
}

Tensor CudaOps::top_rows(const Tensor& scores, std::int64_t pages, std::int64_t count) {
  const std::int64_t rows = scores.rows() / pages;
  GLMOCR_CHECK(rows * pages == scores.rows() && count <= rows && count <= kMostChosen);
  const Tensor indices = device_.scratch({pages * count}, DType::i32);
  if (count == 0) return indices;
  const ArenaScope scope(device_);
  const Tensor keys = device_.scratch({scores.rows()}, DType::i32);
  with_compute_type(scores.dtype, [&](auto value) {
    using T = decltype(value);
    launch(context_, "top_rows", best_score_kernel<T>, blocks_for(scores.rows(), kThreads), kThreads, 0,
           data<const T>(scores), scores.row_stride(), scores.columns(), data<unsigned>(keys), scores.rows());
  });
  const int size = static_cast<int>(std::bit_ceil(static_cast<unsigned>(count)));
  launch(context_, "top_rows", choose_kernel, static_cast<unsigned>(pages), kSortThreads,
         sizeof(unsigned long long) * size, data<const unsigned>(keys), rows, count, size,
         data<std::int32_t>(indices));
  return indices;
}

Tensor CudaOps::mask_boxes(const Tensor& queries, const Tensor& map) {
  const std::int64_t pages = map.size(0), n = queries.rows();
  GLMOCR_CHECK(is_map(map) && n % pages == 0 && queries.columns() == map.size(3) &&
               queries.dtype == map.dtype);
  const Tensor boxes = device_.scratch({n, 4}, DType::f32);
  const ArenaScope scope(device_);
  const Tensor edges = device_.scratch({n, 4}, DType::i32);
  launch(context_, "mask_boxes", clear_kernel, blocks_for(4 * n, kThreads), kThreads, 0, data<int>(edges),
         4 * n);
  with_compute_type(map.dtype, [&](auto value) {
    using T = decltype(value);
    const MaskArguments<T> a{.queries = data<const T>(queries),
                             .queries_row = queries.row_stride(),
                             .map = data<const T>(map),
                             .map_page = map.strides[0],
                             .map_row = map.strides[1],
                             .map_pixel = map.strides[2],
                             .per_page = static_cast<int>(n / pages),
                             .height = static_cast<int>(map.size(1)),
                             .width = static_cast<int>(map.size(2)),
                             .channels = static_cast<int>(map.size(3)),
                             .segments = static_cast<int>(blocks_for(map.size(2), 32)),
                             .edges = data<int>(edges)};
    const dim3 grid(blocks_for(std::int64_t{a.height} * a.segments, kWarps * kUnits),
                    blocks_for(a.per_page, kQueries), static_cast<unsigned>(pages));
    const bool packed = pixels_are_aligned(map, 4);
    launch(context_, "mask_boxes", packed ? mask_edges_kernel<T, 4> : mask_edges_kernel<T, 1>, grid, kThreads,
           sizeof(float) * a.channels * kQueries, a);
  });
  launch(context_, "mask_boxes", store_boxes_kernel, blocks_for(n, kThreads), kThreads, 0,
         data<const int>(edges), n, static_cast<float>(map.size(1)), static_cast<float>(map.size(2)),
         data<float>(boxes));
  return boxes;
}

Tensor CudaOps::refine_boxes(const Tensor& boxes, const Tensor& deltas) {
  GLMOCR_CHECK(boxes.is_contiguous() && (!deltas || deltas.shape == boxes.shape));
  const Tensor y = device_.scratch(boxes.shape, DType::f32);
  with_compute_type(deltas ? deltas.dtype : DType::f32, [&](auto value) {
    using T = decltype(value);
    launch(context_, "refine_boxes", refine_kernel<T>, blocks_for(y.numel(), kThreads), kThreads, 0,
           data<const float>(boxes), data<const T>(deltas), deltas ? deltas.row_stride() : 0, data<float>(y),
           y.numel());
  });
  return y;
}

}  // namespace glmocr::cuda
