// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda/cuda_ops.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/values.cuh"

// Sampling and the tables of a decoding step: the rules are those of kernels/host/sampling.cc.
namespace glmocr::cuda {
namespace {

constexpr int kThreads = 1024, kWarps = kThreads / 32;

struct SampleArguments {
  std::int64_t logits_stride;
  int vocab;
  const std::int32_t* params;
  std::int64_t params_stride;
  const std::int32_t* seen;  // or null
  std::int64_t seen_stride;
  std::int32_t* ids;
  float* logprobs;
  std::int32_t* top_ids;
  std::int64_t top_ids_stride;
  float* top_logprobs;
  std::int64_t top_logprobs_stride;
};

// Orders logits, the larger and among equals the lower id first: a better one has a larger rank. Finite logits
// only; -0 and 0 are equal.
using Rank = unsigned long long;
__device__ __forceinline__ Rank rank_of(float logit, int id) {
  const unsigned bits = __float_as_uint(logit + 0.0f);
  const unsigned ordered = bits & 0x80000000u ? ~bits : bits | 0x80000000u;
  return Rank{ordered} << 32 | (0xFFFFFFFFu - static_cast<unsigned>(id));
}
__device__ __forceinline__ int id_of(Rank rank) {
  return static_cast<int>(0xFFFFFFFFu - static_cast<unsigned>(rank));
}

// Sums and maxima over the threads of the block, in a fixed order; every thread gets the result.
template <class V, class Combine>
__device__ V over_block(V value, Combine combine) {
  __shared__ V shared[kWarps];
#pragma unroll
  for (int step = 16; step > 0; step /= 2) value = combine(value, __shfl_xor_sync(0xffffffffu, value, step));
  __syncthreads();  // the previous result has been read
  if (threadIdx.x % 32 == 0) shared[threadIdx.x / 32] = value;
  __syncthreads();
  value = shared[0];
#pragma unroll
  for (int w = 1; w < kWarps; ++w) value = combine(value, shared[w]);
  return value;
}
__device__ double sum_over_block(double value) {
  return over_block(value, [](double a, double b) { return a + b; });
}
__device__ Rank most_over_block(Rank value) {
  return over_block(value, [](Rank a, Rank b) { return a > b ? a : b; });
}

// The logits of a row after the penalty. Each thread has packs of 16 bytes of its own.
template <class T>
struct Row {
  static constexpr int kPack = 16 / sizeof(T);
  const T* logits;
  bool packed;               // logits are aligned to 16 bytes
  const std::int32_t* seen;  // null without a penalty
  float penalty;
  int count;

  __device__ __forceinline__ float at(int id) const { return penalized(id, to_float(logits[id])); }
  __device__ __forceinline__ float penalized(int id, float logit) const {
    if (!seen || !(static_cast<unsigned>(seen[id / 32]) >> (id % 32) & 1)) return logit;
    return logit > 0 ? logit / penalty : logit * penalty;
  }
  // f(id, logit, last) with logits before the penalty: `last` at the end of each pack.
  template <class F>
  __device__ __forceinline__ void each_unchanged(F f) const {
    const int whole = packed ? count / kPack * kPack : 0;
#pragma unroll 2
    for (int id = threadIdx.x * kPack; id < whole; id += kThreads * kPack) {
      const auto pack = *reinterpret_cast<const Pack<T, kPack>*>(logits + id);
#pragma unroll
      for (int i = 0; i < kPack; ++i) f(id + i, to_float(pack.v[i]), i + 1 == kPack);
    }
    for (int id = whole + threadIdx.x; id < count; id += kThreads) f(id, to_float(logits[id]), true);
  }
  template <class F>
  __device__ __forceinline__ void each_in_packs(F f) const {
    each_unchanged([&](int id, float logit, bool last) { f(id, penalized(id, logit), last); });
  }
  template <class F>
  __device__ __forceinline__ void each(F f) const {
    each_in_packs([&](int id, float logit, bool) { f(id, logit); });
  }
  template <class F>
  __device__ double sum(F f) const {
    double sum = 0;
    each([&](int id, float logit) { sum += f(id, logit); });
    return sum_over_block(sum);
  }
  // The best rank below `bound`; 0 if there is none.
  __device__ Rank best_below(Rank bound) const {
    Rank best = 0;
    each([&](int id, float logit) {
      const Rank rank = rank_of(logit, id);
      if (rank < bound && rank > best) best = rank;
    });
    return most_over_block(best);
  }
  // The least rank for which holds(sum of f over all logits of at least that rank) is false; holds must not
  // become true again as the sum grows. Found by halving: 64 passes over the row, for drawn tokens only.
  template <class F, class Holds>
  __device__ Rank first_beyond(F f, Holds holds) const {
    Rank low = 0, high = ~Rank{0};  // false at low, or nothing is; true at high
    while (high - low > 1) {
      const Rank middle = low + (high - low) / 2;
      const double reached =
          sum([&](int id, float logit) { return rank_of(logit, id) >= middle ? f(logit) : 0.0; });
      (holds(reached) ? high : low) = middle;
    }
    return low;
  }
};

__device__ double uniform_from(unsigned long long seed, unsigned long long position) {
  unsigned long long state = seed * 0x9E3779B97F4A7C15u + position;
  for (int round = 0; round < 2; ++round) {
    state += 0x9E3779B97F4A7C15u;
    state = (state ^ state >> 30) * 0xBF58476D1CE4E5B9u;
    state = (state ^ state >> 27) * 0x94D049BB133111EBu;
    state ^= state >> 31;
  }
  return static_cast<double>(state >> 11) * 0x1p-53;
}

// The token that the row draws. Walking down the ranks: top_k keeps the first ids, top_p those before which less
// than its share has been reached, min_p those of at least its share of the best; of these the one at which the
// random share is passed.
template <class T>
__device__ int draw(const Row<T>& row, const SamplingRow& r, float largest) {
  const auto weight = [&](float logit) { return exp((double{logit} - largest) / r.temperature); };
  Rank last = 0;  // the least rank that is kept
  if (r.top_k > 0 && r.top_k < row.count) {
    last = row.first_beyond([](float) { return 1.0; }, [&](double reached) { return reached < r.top_k; });
  }
  const auto kept = [&](int id, float logit) { return rank_of(logit, id) >= last; };
  const double total = row.sum([&](int id, float logit) { return kept(id, logit) ? weight(logit) : 0.0; });
  if (r.top_p < 1) {
    const double most = r.top_p * total;
    const Rank bound = row.first_beyond(weight, [&](double reached) { return reached < most; });
    last = last > bound ? last : bound;
  }
  if (r.min_p > 0) {
    // The best weight is 1.
    Rank bound = ~Rank{0};
    row.each([&](int id, float logit) {
      const Rank rank = rank_of(logit, id);
      if (weight(logit) >= r.min_p && rank < bound) bound = rank;
    });
    bound = over_block(bound, [](Rank a, Rank b) { return a < b ? a : b; });
    last = last > bound ? last : bound;
  }
  const Rank best = row.best_below(~Rank{0});
  last = last < best ? last : best;  // the best id is always kept
  const double kept_total =
      row.sum([&](int id, float logit) { return kept(id, logit) ? weight(logit) : 0.0; });
  const unsigned long long seed = static_cast<unsigned long long>(r.seed_high) << 32 | r.seed_low;
  const double drawn = uniform_from(seed, r.position) * kept_total;
  const Rank passed = row.first_beyond(weight, [&](double reached) { return reached <= drawn; });
  const Rank chosen = passed > last ? passed : last;
  return id_of(chosen > 0 ? chosen : best);
}

// Bound by memory, one multiprocessor a row: greedy rows are read twice. Log-probabilities that are compared
// with others are summed in double; the greedy token's in fp32 exponentials and double sums.
template <class T>
__global__ void __launch_bounds__(kThreads) sample_kernel(const T* logits, const SampleArguments a) {
  let_next_start();
  wait_for_previous();
  const int index = blockIdx.x;
  SamplingRow r;
  memcpy(&r, a.params + index * a.params_stride, sizeof r);
  Row<T> row{logits + index * a.logits_stride, false, nullptr, r.repetition_penalty, a.vocab};
  // The same for all rows of a matrix: it decides the order of the sums.
  row.packed = reinterpret_cast<std::uintptr_t>(logits) % 16 == 0 && a.logits_stride * sizeof(T) % 16 == 0;
  if (r.vocab_limit > 0 && r.vocab_limit < row.count) row.count = r.vocab_limit;
  if (r.repetition_penalty != 1 && a.seen) row.seen = a.seen + index * a.seen_stride;

  // NaN times 0 is NaN, so is infinity. A penalty may make infinity of a finite logit.
  float largest = -INFINITY, finite = 0;
  int largest_id = -1;
  row.each_unchanged([&](int id, float unchanged, bool) {
    finite = fmaf(unchanged, 0.0f, finite);
    const float logit = row.penalized(id, unchanged);
    if (logit > largest) {  // ids grow: the first of equals stays
      largest = logit;
      largest_id = id;
    }
  });
  if (!__syncthreads_and(finite == 0)) {
    if (threadIdx.x == 0) {
      a.ids[index] = kNotFinite;
      a.logprobs[index] = NAN;
    }
    return;
  }
  const Rank best = most_over_block(largest_id < 0 ? 0 : rank_of(largest, largest_id));
  const int greedy = id_of(best);
  largest = row.at(greedy);
  double sum = 0;
  if (r.temperature > 0 || r.top_logprobs > 0) {
    sum = row.sum([&](int, float logit) { return exp(double{logit} - largest); });
  } else {
    float part = 0;  // of one pack
    row.each_in_packs([&](int, float logit, bool last) {
      part += __expf(logit - largest);
      if (!last) return;
      sum += part;
      part = 0;
    });
    sum = sum_over_block(sum);
  }
  const double normalizer = largest + log(sum);
  const int id = r.temperature > 0 ? draw(row, r, largest) : greedy;
  if (threadIdx.x == 0) {
    a.ids[index] = id;
    a.logprobs[index] = static_cast<float>(row.at(id) - normalizer);
  }
  Rank bound = ~Rank{0};
  for (int i = 0; i < min(r.top_logprobs, row.count); ++i) {
    bound = row.best_below(bound);
    const int top = id_of(bound);
    if (threadIdx.x != 0) continue;
    a.top_ids[index * a.top_ids_stride + i] = top;
    a.top_logprobs[index * a.top_logprobs_stride + i] = static_cast<float>(row.at(top) - normalizer);
  }
}

struct AdvanceArguments {
  int rows, axes, pages, page_size, seen_words;
  std::int32_t *ids, *positions, *slots, *context_lens;
  const std::int32_t* page_table;
  std::int64_t positions_stride, table_stride, seen_stride, params_stride;
  const std::int32_t* sampled;
  std::int32_t *params, *seen;
};

// Bound by latency: a thread per row.
__global__ void advance_kernel(const AdvanceArguments a) {
  let_next_start();
  wait_for_previous();
  const int r = blockIdx.x * blockDim.x + threadIdx.x;
  if (r >= a.rows || a.slots[r] < 0) return;
  const std::int32_t id = a.sampled[r];
  if (id < 0) {
    a.slots[r] = -1;
    return;
  }
  a.ids[r] = id;
  for (int axis = 0; axis < a.axes; ++axis) ++a.positions[axis * a.positions_stride + r];
  const std::int32_t last = a.context_lens[r]++;  // index of the new context's last token
  const std::int32_t at = last / a.page_size;
  const std::int32_t page = at < a.pages ? a.page_table[r * a.table_stride + at] : -1;
  a.slots[r] = page < 0 ? -1 : page * a.page_size + last % a.page_size;
  ++a.params[r * a.params_stride + offsetof(SamplingRow, position) / 4];
  if (id / 32 < a.seen_words) {
    std::int32_t& bits = a.seen[r * a.seen_stride + id / 32];
    bits = static_cast<std::int32_t>(static_cast<std::uint32_t>(bits) | std::uint32_t{1} << id % 32);
  }
}

}  // namespace

void CudaOps::sample(const Tensor& logits, const SamplingTables& tables) {
  const std::int64_t rows = logits.rows(), vocab = logits.columns();
  GLMOCR_CHECK(tables.params.rank() == 2 && tables.params.columns() * 4 == sizeof(SamplingRow));
  GLMOCR_CHECK(tables.params.rows() >= rows && tables.ids.numel() >= rows && tables.logprobs.numel() >= rows);
  GLMOCR_CHECK(tables.ids.is_contiguous() && tables.logprobs.is_contiguous());
  GLMOCR_CHECK(!tables.seen || (tables.seen.rows() >= rows && tables.seen.columns() * 32 >= vocab));
  for (const Tensor& t : {tables.ids, tables.logprobs, tables.top_ids, tables.top_logprobs}) writes(t);
  const SampleArguments a{.logits_stride = logits.row_stride(),
                          .vocab = static_cast<int>(vocab),
                          .params = data<const std::int32_t>(tables.params),
                          .params_stride = tables.params.row_stride(),
                          .seen = data<const std::int32_t>(tables.seen),
                          .seen_stride = tables.seen ? tables.seen.row_stride() : 0,
                          .ids = data<std::int32_t>(tables.ids),
                          .logprobs = data<float>(tables.logprobs),
                          .top_ids = data<std::int32_t>(tables.top_ids),
                          .top_ids_stride = tables.top_ids ? tables.top_ids.row_stride() : 0,
                          .top_logprobs = data<float>(tables.top_logprobs),
                          .top_logprobs_stride = tables.top_logprobs ? tables.top_logprobs.row_stride() : 0};
  with_compute_type(logits.dtype, [&](auto value) {
    using T = decltype(value);
    launch(context_, "sample", sample_kernel<T>, static_cast<unsigned>(rows), kThreads, 0,
           data<const T>(logits), a);
  });
}

void CudaOps::advance(const DecodeTables& tables, const SamplingTables& sampling) {
  const std::int64_t rows = tables.ids.numel();
  GLMOCR_CHECK(tables.page_size > 0 && tables.positions.size(1) >= rows && tables.slots.numel() >= rows);
  GLMOCR_CHECK(tables.context_lens.numel() >= rows && tables.page_table.size(0) >= rows);
  GLMOCR_CHECK(sampling.ids.numel() >= rows && sampling.params.size(0) >= rows);
  for (const Tensor& t :
       {tables.ids, tables.positions, tables.slots, tables.context_lens, sampling.params, sampling.seen}) {
    writes(t);
  }
  const AdvanceArguments a{.rows = static_cast<int>(rows),
                           .axes = static_cast<int>(tables.positions.size(0)),
                           .pages = static_cast<int>(tables.page_table.columns()),
                           .page_size = tables.page_size,
                           .seen_words = sampling.seen ? static_cast<int>(sampling.seen.columns()) : 0,
                           .ids = data<std::int32_t>(tables.ids),
                           .positions = data<std::int32_t>(tables.positions),
                           .slots = data<std::int32_t>(tables.slots),
                           .context_lens = data<std::int32_t>(tables.context_lens),
                           .page_table = data<const std::int32_t>(tables.page_table),
                           .positions_stride = tables.positions.strides[0],
                           .table_stride = tables.page_table.strides[0],
                           .seen_stride = sampling.seen ? sampling.seen.row_stride() : 0,
                           .params_stride = sampling.params.row_stride(),
                           .sampled = data<const std::int32_t>(sampling.ids),
                           .params = data<std::int32_t>(sampling.params),
                           .seen = data<std::int32_t>(sampling.seen)};
  launch(context_, "advance", advance_kernel, blocks_for(rows, 128), 128, 0, a);
}

}  // namespace glmocr::cuda
