// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda/cuda_kv_store.h"
#include "kernels/cuda/cuda_ops.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/rope.cuh"
#include "kernels/cuda/values.cuh"

namespace glmocr::cuda {
namespace {

constexpr int kThreads = 256;

__device__ float rounded_to(DType precision, double value) {
  const float narrow = static_cast<float>(value);
  return precision == DType::bf16 ? rounded<bf16_t>(narrow) : narrow;
}

// Bound by arithmetic: angles of many turns need the reduction of sincos in double, on which the definition
// insists (the table is exact); a step computes it once for all layers.
__global__ void rotary_table_kernel(const std::int32_t* positions, std::int64_t axis_stride,
                                    const float* inv_freq, const std::int32_t* axis, float* table,
                                    std::int64_t n, std::int64_t pairs, DType precision) {
  let_next_start();
  wait_for_previous();
  const std::int64_t i = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i >= n * pairs) return;
  const std::int64_t row = i / pairs, pair = i % pairs;
  const float angle = static_cast<float>(positions[axis[pair] * axis_stride + row]) * inv_freq[pair];
  double sine, cosine;
  sincos(double{angle}, &sine, &cosine);
  table[i] = rounded_to(precision, cosine);
  table[n * pairs + i] = rounded_to(precision, sine);
}

// Bound by memory: reads x once, writes y once; the table stays in the cache. One thread per N pairs.
template <class T, RopeStyle kStyle, int N>
__global__ void rope_kernel(const T* x, std::int64_t row_stride, std::int64_t head_stride, const float* table,
                            std::int64_t sines_at, T* y, std::int64_t n, int heads, int pairs) {
  let_next_start();
  wait_for_previous();
  const std::int64_t i = (std::int64_t{blockIdx.x} * kThreads + threadIdx.x) * N;
  if (i >= n * heads * pairs) return;
  const int pair = static_cast<int>(i % pairs), head = static_cast<int>(i / pairs % heads);
  const std::int64_t row = i / pairs / heads;
  const T* from = x + row * row_stride + head * head_stride;
  T* to = y + (row * heads + head) * 2 * pairs;
  const auto cosines = *reinterpret_cast<const Pack<float, N>*>(table + row * pairs + pair);
  const auto sines = *reinterpret_cast<const Pack<float, N>*>(table + sines_at + row * pairs + pair);
  if constexpr (kStyle == RopeStyle::half_split) {
    const auto a = *reinterpret_cast<const Pack<T, N>*>(from + pair);
    const auto b = *reinterpret_cast<const Pack<T, N>*>(from + pair + pairs);
    Pack<T, N> first, second;
#pragma unroll
    for (int k = 0; k < N; ++k) {
      const float cosine = cosines.v[k], sine = sines.v[k], u = to_float(a.v[k]), v = to_float(b.v[k]);
      first.v[k] = from_float<T>(__fmul_rn(u, cosine) - __fmul_rn(v, sine));
      second.v[k] = from_float<T>(__fmul_rn(v, cosine) + __fmul_rn(u, sine));
    }
    *reinterpret_cast<Pack<T, N>*>(to + pair) = first;
    *reinterpret_cast<Pack<T, N>*>(to + pair + pairs) = second;
  } else {
    const auto both = *reinterpret_cast<const Pack<T, 2 * N>*>(from + 2 * pair);
    *reinterpret_cast<Pack<T, 2 * N>*>(to + 2 * pair) = turned(both, cosines, sines);
  }
}

struct NormRopeArguments {
  const bf16_t* x;
  std::int64_t x_row, x_head;  // strides
  const float *weight, *table;
  std::int64_t sines_at;
  bf16_t* y;          // [rows, heads, 64]
  std::int64_t rows;  // of heads
  int heads;
  float eps;
};

// Bound by memory: heads of 64, eight lanes each, whose sums are those of norm_kernel (norm.cu). A lane has eight of the first
// halves of the pairs and the lane four further their second halves, or the other way round.
__global__ void __launch_bounds__(kThreads) norm_rope_kernel(const NormRopeArguments a) {
  constexpr int kDim = 64, N = 8, kPairs = kDim / 2;
  let_next_start();
  const int lane = threadIdx.x % 8;
  const auto weight = *reinterpret_cast<const Pack<float, N>*>(a.weight + lane * N);
  wait_for_previous();
  std::int64_t index = std::int64_t{blockIdx.x} * (kThreads / 8) + threadIdx.x / 8;
  const bool exists = index < a.rows;  // lanes of a warp stay together
  if (!exists) index = a.rows - 1;
  const std::int64_t row = index / a.heads, head = index % a.heads;
  const auto pack =
      *reinterpret_cast<const Pack<bf16_t, N>*>(a.x + row * a.x_row + head * a.x_head + lane * N);
  const float* cosines = a.table + row * kPairs + lane % 4 * N;
  const auto cosine = *reinterpret_cast<const Pack<float, N>*>(cosines),
             sine = *reinterpret_cast<const Pack<float, N>*>(cosines + a.sines_at);
  float squares = 0;
#pragma unroll
  for (int k = 0; k < N; ++k) squares += to_float(pack.v[k]) * to_float(pack.v[k]);
#pragma unroll
  for (int step = 4; step > 0; step /= 2) squares += __shfl_xor_sync(0xffffffffu, squares, step);
  const float scale = 1 / sqrtf(squares / kDim + a.eps);
  Pack<bf16_t, N> out;
#pragma unroll
  for (int k = 0; k < N; ++k) {
    const float own = rounded<bf16_t>(weight.v[k] * rounded<bf16_t>(to_float(pack.v[k]) * scale));
    const float other = __shfl_xor_sync(0xffffffffu, own, 4);
    const float product = __fmul_rn(other, sine.v[k]);
    out.v[k] = from_float<bf16_t>(__fmul_rn(own, cosine.v[k]) + (lane < 4 ? -product : product));
  }
  if (exists) *reinterpret_cast<Pack<bf16_t, N>*>(a.y + index * kDim + lane * N) = out;
}

template <class T>
struct RopeWriteArguments {
  const T *q, *k, *v;
  std::int64_t q_row, q_head, k_row, k_head, v_row, v_head;  // strides
  const float* table;
  std::int64_t sines_at;
  T *turned, *keys, *values;  // [n, q_heads, dim]; [pages, heads, page_size, dim]
  const std::int32_t* slots;
  std::int64_t slot_count;
  int q_heads, heads, dim, page_size;
};

// Bound by latency for few rows, else by memory: packs of eight values, one for each thread of a row's blocks, read
// before the row's slot is known. Queries go to `turned`, keys and values to the slot.
template <class T>
__global__ void __launch_bounds__(kThreads)
    rope_write_kernel(const RopeWriteArguments<T> a, volatile std::int32_t* step_fault) {
  constexpr int N = 4;  // pairs
  let_next_start();
  wait_for_previous();
  const std::int64_t row = blockIdx.x;
  const int packs = a.dim / (2 * N), i = static_cast<int>(blockIdx.y) * kThreads + threadIdx.x;
  const int head = i / packs, d = i % packs * 2 * N;
  if (head >= a.q_heads + 2 * a.heads) return;
  std::int64_t slot = a.slots[row];
  const bool is_query = head < a.q_heads, is_value = head >= a.q_heads + a.heads;
  const int own = is_query ? head : head - a.q_heads - (is_value ? a.heads : 0);
  const T* from = is_query   ? a.q + row * a.q_row + own * a.q_head
                  : is_value ? a.v + row * a.v_row + own * a.v_head
                             : a.k + row * a.k_row + own * a.k_head;
  auto pack = *reinterpret_cast<const Pack<T, 2 * N>*>(from + d);
  if (!is_value) {
    const float* cosines = a.table + row * (a.dim / 2) + d / 2;
    pack = turned(pack, *reinterpret_cast<const Pack<float, N>*>(cosines),
                  *reinterpret_cast<const Pack<float, N>*>(cosines + a.sines_at));
  }
  if (slot < -1 || slot >= a.slot_count) {
    *step_fault = kIndexOutside;
    slot = -1;
  }
  if (is_query) {
    *reinterpret_cast<Pack<T, 2 * N>*>(a.turned + (row * a.q_heads + own) * a.dim + d) = pack;
  } else if (slot >= 0) {
    const auto token = static_cast<std::uint32_t>(slot), page_size = static_cast<std::uint32_t>(a.page_size);
    const std::int64_t page = token / page_size, at = token % page_size;
    T* to = (is_value ? a.values : a.keys) + ((page * a.heads + own) * page_size + at) * a.dim;
    *reinterpret_cast<Pack<T, 2 * N>*>(to + d) = pack;
  }
}

}  // namespace

Tensor CudaOps::rotary_table(const Tensor& positions, const Tensor& inv_freq, const Tensor& axis,
                             DType precision) {
  const std::int64_t n = positions.size(1), pairs = inv_freq.numel();
  GLMOCR_CHECK(axis.numel() == pairs);
  const Tensor table = device_.scratch({2, n, pairs}, DType::f32);
  launch(context_, "rotary_table", rotary_table_kernel, blocks_for(n * pairs, kThreads), kThreads, 0,
         data<std::int32_t>(positions), positions.strides[0], data<float>(inv_freq), data<std::int32_t>(axis),
         data<float>(table), n, pairs, precision);
  return table;
}

Tensor CudaOps::rope(const Tensor& x, const Tensor& table, RopeStyle style, const Tensor& out) {
  const std::int64_t n = x.size(0), heads = x.size(1), dim = x.size(2), pairs = dim / 2;
  GLMOCR_CHECK(table.size(1) == n && table.size(2) == pairs);
  GLMOCR_CHECK(table.strides[1] == pairs && table.strides[2] == 1);
  const Tensor y = output(out, {n, heads, dim}, x.dtype);
  GLMOCR_CHECK(y.is_contiguous());
  with_compute_type(x.dtype, [&](auto value) {
    using T = decltype(value);
    const auto run = [&](auto* kernel, int pack) {
      launch(context_, "rope", kernel, blocks_for(n * heads * pairs, kThreads * pack), kThreads, 0,
             data<T>(x), x.strides[0], x.strides[1], data<float>(table), table.strides[0], data<T>(y), n,
             heads, pairs);
    };
    // Packs of 4 pairs: 16 bytes of the table, 8 or 16 bytes of each half.
    const bool packed = rows_are_aligned(x) && rows_are_aligned(y) && pairs % 8 == 0;
    if (style == RopeStyle::half_split) {
      packed ? run(rope_kernel<T, RopeStyle::half_split, 4>, 4)
             : run(rope_kernel<T, RopeStyle::half_split, 1>, 1);
    } else {
      packed ? run(rope_kernel<T, RopeStyle::interleaved, 4>, 4)
             : run(rope_kernel<T, RopeStyle::interleaved, 1>, 1);
    }
  });
  return y;
}

Tensor CudaOps::norm_rope(const Tensor& x, const Tensor& weight, float eps, const Tensor& table,
                          RopeStyle style, const Tensor& out) {
  const std::int64_t n = x.size(0), heads = x.size(1), dim = x.size(2);
  const bool packed = rows_are_aligned(x) && is_aligned(weight, 32) && (!out || rows_are_aligned(out));
  if (!packed || style != RopeStyle::half_split || x.dtype != DType::bf16 || dim != 64 || n == 0) {
    return Ops::norm_rope(x, weight, eps, table, style, out);
  }
  GLMOCR_CHECK(table.size(1) == n && table.size(2) == dim / 2 && weight.numel() == dim);
  GLMOCR_CHECK(table.strides[1] == dim / 2 && table.strides[2] == 1);
  const Tensor y = output(out, {n, heads, dim}, x.dtype);
  GLMOCR_CHECK(y.is_contiguous());
  const NormRopeArguments a{.x = data<const bf16_t>(x),
                            .x_row = x.strides[0],
                            .x_head = x.strides[1],
                            .weight = data<const float>(weight),
                            .table = data<const float>(table),
                            .sines_at = table.strides[0],
                            .y = data<bf16_t>(y),
                            .rows = n * heads,
                            .heads = static_cast<int>(heads),
                            .eps = eps};
  launch(context_, "norm_rope", norm_rope_kernel, blocks_for(a.rows, kThreads / 8), kThreads, 0, a);
  return y;
}

Tensor CudaOps::rope_kv_write(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& table,
                              RopeStyle style, const KvTarget& target) {
  const CudaKvStore& own = CudaKvStore::of(target.store, device_);
  const KvSpec& s = own.spec();
  const std::int64_t n = q.size(0), dim = q.size(2);
  if (style != RopeStyle::interleaved || q.dtype != DType::bf16 || dim % 8 != 0 || !rows_are_aligned(q) ||
      !rows_are_aligned(k) || !rows_are_aligned(v)) {
    return Ops::rope_kv_write(q, k, v, table, style, target);
  }
  GLMOCR_CHECK(k.dtype == s.dtype && v.dtype == s.dtype && k.size(1) == s.kv_heads &&
               k.size(2) == s.head_dim);
  GLMOCR_CHECK(v.shape == k.shape && dim == s.head_dim && target.slots.numel() >= n);
  GLMOCR_CHECK(table.size(1) == n && table.size(2) == dim / 2);
  const Tensor y = device_.scratch(q.shape, q.dtype);
  const RopeWriteArguments<bf16_t> a{.q = data<bf16_t>(q),
                                     .k = data<bf16_t>(k),
                                     .v = data<bf16_t>(v),
                                     .q_row = q.strides[0],
                                     .q_head = q.strides[1],
                                     .k_row = k.strides[0],
                                     .k_head = k.strides[1],
                                     .v_row = v.strides[0],
                                     .v_head = v.strides[1],
                                     .table = data<const float>(table),
                                     .sines_at = table.strides[0],
                                     .turned = data<bf16_t>(y),
                                     .keys = data<bf16_t>(own.keys(target.layer)),
                                     .values = data<bf16_t>(own.values(target.layer)),
                                     .slots = data<std::int32_t>(target.slots),
                                     .slot_count = s.pages * s.page_size,
                                     .q_heads = static_cast<int>(q.size(1)),
                                     .heads = s.kv_heads,
                                     .dim = s.head_dim,
                                     .page_size = s.page_size};
  const unsigned blocks = blocks_for((a.q_heads + 2 * a.heads) * a.dim / 8, kThreads);
  launch(context_, "rope_kv_write", rope_write_kernel<bf16_t>, dim3(static_cast<unsigned>(n), blocks),
         kThreads, 0, a, context_.step_fault);
  writes(own.keys(target.layer));
  writes(own.values(target.layer));
  return y;
}

}  // namespace glmocr::cuda
