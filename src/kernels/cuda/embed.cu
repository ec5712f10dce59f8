// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda/cuda_kv_store.h"
#include "kernels/cuda/cuda_ops.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/values.cuh"

// Operations that move rows by index. All are bound by memory: each value is read and written once.
namespace glmocr::cuda {
namespace {

constexpr int kThreads = 256;

// The index, or -1 (and a note for the host) where it lies outside of [0, count).
__device__ std::int64_t checked(std::int32_t index, std::int64_t count, volatile std::int32_t* step_fault) {
  if (0 <= index && index < count) return index;
  *step_fault = kIndexOutside;
  return -1;
}

// y[i] = table[indices[i]], a block per row.
template <class S, class T>
__global__ void gather_kernel(const S* table, std::int64_t stride, std::int64_t count,
                              const std::int32_t* indices, T* y, int width,
                              volatile std::int32_t* step_fault) {
  let_next_start();
  wait_for_previous();
  const std::int64_t row = checked(indices[blockIdx.x], count, step_fault);
  if (row < 0) return;
  for (int c = threadIdx.x; c < width; c += kThreads) {
    y[std::int64_t{blockIdx.x} * width + c] = from_float<T>(to_float(table[row * stride + c]));
  }
}

// out[indices[i]] = rows[i]. Of two rows with one index, the last must win: the first leaves that to it.
template <class T>
__global__ void scatter_kernel(const T* rows, std::int64_t stride, const std::int32_t* indices, int count,
                               T* out, std::int64_t out_stride, std::int64_t out_rows, int width,
                               volatile std::int32_t* step_fault) {
  let_next_start();
  wait_for_previous();
  const std::int32_t index = indices[blockIdx.x];
  if (index == -1) return;
  const std::int64_t row = checked(index, out_rows, step_fault);
  if (row < 0) return;
  bool replaced = false;
  for (int i = blockIdx.x + 1 + threadIdx.x; i < count; i += kThreads)
    replaced = replaced || indices[i] == index;
  if (__syncthreads_or(replaced)) return;
  for (int c = threadIdx.x; c < width; c += kThreads) {
    out[row * out_stride + c] = rows[std::int64_t{blockIdx.x} * stride + c];
  }
}

template <class T>
struct KvWriteArguments {
  const T *k, *v;
  std::int64_t k_row, k_head, v_row, v_head;  // strides
  T *keys, *values;                           // [pages, heads, page_size, dim]
  const std::int32_t* slots;
  std::int64_t slot_count;
  int heads, dim, page_size;
};

template <class T>
__global__ void kv_write_kernel(const KvWriteArguments<T> a, volatile std::int32_t* step_fault) {
  let_next_start();
  wait_for_previous();
  const std::int64_t row = blockIdx.x;
  if (a.slots[row] == -1) return;
  const std::int64_t slot = checked(a.slots[row], a.slot_count, step_fault);
  if (slot < 0) return;
  const std::int64_t page = slot / a.page_size, at = slot % a.page_size;
  for (int i = threadIdx.x; i < a.heads * a.dim; i += kThreads) {
    const int head = i / a.dim, d = i % a.dim;
    const std::int64_t to = ((page * a.heads + head) * a.page_size + at) * a.dim + d;
    a.keys[to] = a.k[row * a.k_row + head * a.k_head + d];
    a.values[to] = a.v[row * a.v_row + head * a.v_head + d];
  }
}

}  // namespace

void CudaOps::check_indices(const char* operation) {
  if (context_.recording) return;
  check(cudaStreamSynchronize(context_.stream), context_.device, operation);
  if (*context_.step_fault != kIndexOutside) return;
  *context_.step_fault = kNoFault;
  fail(ErrorCode::internal, cat(context_.device, ": ", operation, ": an index lies outside of its tensor"));
}

Tensor CudaOps::embed(const Weight& table, const Tensor& ids, DType compute) {
  const std::int64_t n = ids.numel(), width = table.in_features;
  GLMOCR_CHECK(ids.is_contiguous());
  const Tensor y = device_.scratch({n, width}, compute);
  with_stored_type(table.data.dtype, [&](auto stored) {
    with_compute_type(compute, [&](auto value) {
      using S = decltype(stored);
      using T = decltype(value);
      launch(context_, "embed", gather_kernel<S, T>, static_cast<unsigned>(n), kThreads, 0,
             data<S>(table.data), width, table.out_features, data<std::int32_t>(ids), data<T>(y), width,
             context_.step_fault);
    });
  });
  check_indices("embed");
  return y;
}

Tensor CudaOps::gather_rows(const Tensor& x, const Tensor& indices) {
  const std::int64_t n = indices.numel(), width = x.size(1);
  GLMOCR_CHECK(indices.is_contiguous());
  const Tensor y = device_.scratch({n, width}, x.dtype);
  with_compute_type(x.dtype, [&](auto value) {
    using T = decltype(value);
    launch(context_, "gather_rows", gather_kernel<T, T>, static_cast<unsigned>(n), kThreads, 0, data<T>(x),
           x.row_stride(), x.size(0), data<std::int32_t>(indices), data<T>(y), width, context_.step_fault);
  });
  check_indices("gather_rows");
  return y;
}

void CudaOps::scatter_rows(const Tensor& rows, const Tensor& indices, const Tensor& out) {
  GLMOCR_CHECK(indices.is_contiguous() && rows.dtype == out.dtype && rows.columns() == out.columns());
  writes(out);
  with_compute_type(out.dtype, [&](auto value) {
    using T = decltype(value);
    launch(context_, "scatter_rows", scatter_kernel<T>, static_cast<unsigned>(indices.numel()), kThreads, 0,
           data<T>(rows), rows.row_stride(), data<std::int32_t>(indices), indices.numel(), data<T>(out),
           out.row_stride(), out.size(0), out.columns(), context_.step_fault);
  });
  check_indices("scatter_rows");
}

void CudaOps::kv_write(const Tensor& k, const Tensor& v, KvStore& store, int layer, const Tensor& slots) {
  const CudaKvStore& own = CudaKvStore::of(store, device_);
  const KvSpec& s = own.spec();
  const Tensor keys = own.keys(layer), values = own.values(layer);
  GLMOCR_CHECK(k.dtype == s.dtype && v.dtype == s.dtype && k.size(1) == s.kv_heads &&
               k.size(2) == s.head_dim);
  GLMOCR_CHECK(v.shape == k.shape && slots.numel() >= k.size(0));
  with_compute_type(k.dtype, [&](auto value) {
    using T = decltype(value);
    const KvWriteArguments<T> a{.k = data<T>(k),
                                .v = data<T>(v),
                                .k_row = k.strides[0],
                                .k_head = k.strides[1],
                                .v_row = v.strides[0],
                                .v_head = v.strides[1],
                                .keys = data<T>(keys),
                                .values = data<T>(values),
                                .slots = data<std::int32_t>(slots),
                                .slot_count = s.pages * s.page_size,
                                .heads = s.kv_heads,
                                .dim = s.head_dim,
                                .page_size = s.page_size};
    launch(context_, "kv_write", kv_write_kernel<T>, static_cast<unsigned>(k.size(0)), kThreads, 0, a,
           context_.step_fault);
  });
  writes(keys);
  writes(values);
}

}  // namespace glmocr::cuda
