// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda/cluster.cuh"
#include "kernels/cuda/cuda_ops.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/wgmma.cuh"
#include "kernels/host/sampling.h"

// Sampling, and the tables of the next decoding step: the rules are those of kernels/host/sampling.cc.
namespace glmocr::cuda {
namespace {

// The threads of a row, in one block or, on Hopper, in a cluster of blocks. Neither number depends on how many rows
// there are, and the order of sums is the same for both.
constexpr int kThreads = 1024, kWarps = kThreads / 32;
constexpr int kSm90Blocks = 8;
static_assert(kWarps == 32, "a lane for what each warp sends");

// What Ops::sample moves on; without `ids` nothing.
struct NextArguments {
  int axes = 0, pages = 0, page_size = 0, seen_words = 0;
  std::int32_t *ids = nullptr, *positions = nullptr, *slots = nullptr, *context_lens = nullptr;
  const std::int32_t* page_table = nullptr;
  std::int64_t positions_stride = 0, table_stride = 0;
};

struct SampleArguments {
  std::int64_t logits_stride;
  int vocab;
  // Rows can be read 16 bytes at a time, and the threads have room for one (HeldRow). The same for all rows of a
  // matrix: it decides the order of the sums.
  bool packed, held;
  std::int32_t* params;
  std::int64_t params_stride;
  std::int32_t* seen;  // or null
  std::int64_t seen_stride;
  std::int32_t* ids;
  float* logprobs;
  std::int32_t* top_ids;
  std::int64_t top_ids_stride;
  float* top_logprobs;
  std::int64_t top_logprobs_stride;
  NextArguments next;
};

// Orders logits, the larger and among equals the lower id first: a better one has a larger rank. -0 and 0 are equal.
using Rank = unsigned long long;
constexpr Rank kBadRank = ~Rank{0};  // of a logit that is not finite, which is above all
__device__ __forceinline__ Rank rank_of(float logit, int id) {
  const unsigned bits = __float_as_uint(logit + 0.0f);
  const unsigned ordered = bits & 0x80000000u ? ~bits : bits | 0x80000000u;
  return Rank{ordered} << 32 | (0xFFFFFFFFu - static_cast<unsigned>(id));
}
__device__ __forceinline__ int id_of(Rank rank) {
  return static_cast<int>(0xFFFFFFFFu - static_cast<unsigned>(rank));
}
__device__ __forceinline__ float logit_of(Rank rank) {
  const auto ordered = static_cast<unsigned>(rank >> 32);
  return __uint_as_float(ordered & 0x80000000u ? ordered ^ 0x80000000u : ~ordered);
}

// Over the lanes of a warp, in a fixed order; every lane gets the same bits.
__device__ __forceinline__ double sum_over_warp(double value) {
#pragma unroll
  for (int step = 16; step > 0; step /= 2) value += __shfl_xor_sync(0xffffffffu, value, step);
  return value;
}
__device__ __forceinline__ Rank most_over_warp(Rank rank) {
  const auto high = static_cast<unsigned>(rank >> 32), low = static_cast<unsigned>(rank);
  const unsigned most = __reduce_max_sync(0xffffffffu, high);
  return Rank{most} << 32 | __reduce_max_sync(0xffffffffu, high == most ? low : 0);
}

// The threads of a row, all of which call the same functions in the same order. Once per result each warp sends its
// part to all blocks, and every warp combines the parts of all warps when they have come. Two buffers take turns: before
// a warp sends to a buffer again it has received a part from every warp, sent after that warp had read the buffer. A
// block may end after its last result, because nothing is sent to it after that.
template <int kBlocks>
class Team {
 public:
  struct Memory {
    Rank parts[2][kWarps];
    std::uint64_t arrived[2];  // barriers
  };

  // The other blocks have started when this returns.
  __device__ __forceinline__ explicit Team(Memory& memory) : memory_(memory) {
    if constexpr (kBlocks > 1) {
      thread_ += cluster_rank() * (kThreads / kBlocks);
      if (threadIdx.x == 0) {
        for (std::uint64_t& barrier : memory.arrived) init_barrier(shared_address(&barrier), 1);
        publish_barriers();
      }
      __syncwarp();
      meet_in_cluster();
      part_ = in_block(shared_address(&memory.parts[0][warp()]), lane() % kBlocks);
      arrived_ = in_block(shared_address(memory.arrived), lane() % kBlocks);
    }
  }
  __device__ __forceinline__ int thread() const { return thread_; }

  __device__ double sum(double value) {
    return sum_over_warp(__longlong_as_double(exchange(__double_as_longlong(sum_over_warp(value)))));
  }
  __device__ Rank most(Rank rank) { return most_over_warp(exchange(most_over_warp(rank))); }
  __device__ Rank least(Rank rank) { return ~most(~rank); }

  // Lane i of the first warp gets what warp i gives; false for the other warps, which may end. No other result comes
  // before or after it.
  __device__ __forceinline__ bool give_first_warp(Rank& best, double& sum) const {
    if (lane() == 0) {
      send(0, best, 0);
      send(1, __double_as_longlong(sum), 0);
    }
    if constexpr (kBlocks == 1) __syncthreads();
    if (thread_ >= 32) return false;
    if constexpr (kBlocks > 1) wait_for(2 * sizeof(memory_.parts[0]), 0, 0);
    best = memory_.parts[0][lane()];
    sum = __longlong_as_double(memory_.parts[1][lane()]);
    return true;
  }

 private:
  Memory& memory_;
  int thread_ = static_cast<int>(threadIdx.x), results_ = 0;
  std::uint32_t part_ = 0, arrived_ = 0;  // the warp's first part and the first barrier, in block `lane`

  __device__ __forceinline__ int lane() const { return thread_ % 32; }
  __device__ __forceinline__ int warp() const { return thread_ / 32; }

  __device__ __forceinline__ void send(int buffer, Rank part, int barrier) const {
    if constexpr (kBlocks > 1) {
      send_8(part_ + buffer * sizeof(memory_.parts[0]), part, arrived_ + barrier * sizeof(std::uint64_t));
    } else {
      memory_.parts[buffer][warp()] = part;
    }
  }
  __device__ __forceinline__ void wait_for(int bytes, int barrier, int parity) const {
    const std::uint32_t address = shared_address(&memory_.arrived[barrier]);
    if (threadIdx.x == 0) arrive_and_expect(address, bytes);
    wait_for_phase(address, parity);
  }
  // Lane i gets the part of warp i.
  __device__ __forceinline__ Rank exchange(Rank part) {
    const int buffer = results_ % 2, parity = results_ / 2 % 2;
    ++results_;
    if (lane() < kBlocks) send(buffer, part, buffer);
    if constexpr (kBlocks > 1) {
      wait_for(sizeof(memory_.parts[0]), buffer, parity);
    } else {
      __syncthreads();
    }
    return memory_.parts[buffer][lane()];
  }
};

// The logits of a row after the penalty. Each thread has packs of 16 bytes of its own.
template <class T, class Team>
struct Row {
  static constexpr int kPack = 16 / sizeof(T);
  Team& team;
  const T* logits;
  bool packed;               // logits are aligned to 16 bytes
  const std::int32_t* seen;  // null without a penalty
  float penalty;
  int count;

  __device__ __forceinline__ float penalized(int id, float logit) const {
    if (!seen || !(static_cast<unsigned>(seen[id / 32]) >> (id % 32) & 1)) return logit;
    return logit > 0 ? logit / penalty : logit * penalty;
  }
  // f(id, logit, last) with logits before the penalty: `last` at the end of each pack.
  template <class F>
  __device__ __forceinline__ void each_unchanged(F f) const {
    const int whole = packed ? count / kPack * kPack : 0;
#pragma unroll 2
    for (int id = team.thread() * kPack; id < whole; id += kThreads * kPack) {
      const auto pack = *reinterpret_cast<const Pack<T, kPack>*>(logits + id);
#pragma unroll
      for (int i = 0; i < kPack; ++i) f(id + i, to_float(pack.v[i]), i + 1 == kPack);
    }
    for (int id = whole + team.thread(); id < count; id += kThreads) f(id, to_float(logits[id]), true);
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
    return team.sum(sum);
  }
  // The best rank below `bound`; 0 if there is none.
  __device__ Rank best_below(Rank bound) const {
    Rank best = 0;
    each([&](int id, float logit) {
      const Rank rank = rank_of(logit, id);
      if (rank < bound && rank > best) best = rank;
    });
    return team.most(best);
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

// The rank of the token that the row draws. Walking down the ranks: top_k keeps the first ids, top_p those before which
// less than its share has been reached, min_p those of at least its share of the best; of these the one at which the
// random share is passed.
template <class T, class Team>
__device__ Rank draw(const Row<T, Team>& row, const SamplingRow& r, Rank best) {
  const float largest = logit_of(best);
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
    bound = row.team.least(bound);
    last = last > bound ? last : bound;
  }
  last = last < best ? last : best;  // the best id is always kept
  const double kept_total =
      row.sum([&](int id, float logit) { return kept(id, logit) ? weight(logit) : 0.0; });
  const unsigned long long seed = static_cast<unsigned long long>(r.seed_high) << 32 | r.seed_low;
  const double drawn = uniform_from(seed, r.position) * kept_total;
  const Rank passed = row.first_beyond(weight, [&](double reached) { return reached <= drawn; });
  const Rank chosen = passed > last ? passed : last;
  return chosen > 0 ? chosen : best;
}

// exp(x), within 2^-22 times the size of x or 1; 0 where it would be subnormal.
__device__ __forceinline__ float exp_approximate(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x * 1.44269504088896340736f));
  return y;
}

// The logits of a row without a penalty, in the registers of its threads: thread t has the packs t, t + kThreads, …
// Packs that are not full are filled up with the lowest number.
class HeldRow {
 public:
  static constexpr int kMostPacks = 8, kPack = 8;
  static constexpr std::int64_t kMostLogits = std::int64_t{kMostPacks} * kThreads * kPack;
  static constexpr float kLowest = -0x1.FEp127f;

  // All loads are under way at once.
  __device__ __forceinline__ HeldRow(const bf16_t* logits, int vocab, int thread) : thread_(thread) {
#pragma unroll
    for (int p = 0; p < kMostPacks; ++p) {
      packs_[p] = {kLowestPair, kLowestPair, kLowestPair, kLowestPair};
      if (first_id(p) < vocab) packs_[p] = *reinterpret_cast<const Words*>(logits + first_id(p));
    }
  }

  // The thread's best of the first `count` ids; kBadRank where a logit of these is not finite.
  __device__ __forceinline__ Rank best(int count) {
    float largest = -INFINITY;
    Words best{};  // the first pack that has it
    int id = 0;    // the first of that
    const __nv_bfloat162 zeros = pair_of(0);
    __nv_bfloat162 finite = zeros;  // NaN times 0 is NaN, so is infinity
#pragma unroll
    for (int p = 0; p < kMostPacks; ++p) {
      if (first_id(p) + kPack > count) cut(packs_[p], count - first_id(p));
      const Words& pack = packs_[p];
      __nv_bfloat162 most = pair_of(pack.v[0]);
#pragma unroll
      for (int k = 0; k < 4; ++k) {
        finite = __hfma2(pair_of(pack.v[k]), zeros, finite);
        most = __hmax2(most, pair_of(pack.v[k]));
      }
      const float value = fmaxf(__low2float(most), __high2float(most));
      if (value > largest) {
        largest = value;
        best = pack;
        id = first_id(p);
      }
    }
    int at = 0;
#pragma unroll
    for (int i = kPack - 1; i >= 0; --i) {
      if (value_of(best, i) == largest) at = i;
    }
    const bool all_finite = __low2float(finite) == 0 && __high2float(finite) == 0;
    return all_finite ? rank_of(largest, id + at) : kBadRank;
  }

  // Σ exp(logit − largest) of the thread, after best().
  __device__ __forceinline__ float sum(float largest) const {
    float sum = 0;
#pragma unroll
    for (int p = 0; p < kMostPacks; ++p) {
      float e[kPack];
#pragma unroll
      for (int i = 0; i < kPack; ++i) e[i] = exp_approximate(value_of(packs_[p], i) - largest);
      sum += ((e[0] + e[1]) + (e[2] + e[3])) + ((e[4] + e[5]) + (e[6] + e[7]));
    }
    return sum;
  }

 private:
  using Words = Pack<unsigned, 4>;
  static constexpr unsigned kLowestPair = 0xFF7FFF7Fu;
  int thread_;
  Words packs_[kMostPacks];

  __device__ __forceinline__ int first_id(int pack) const { return (pack * kThreads + thread_) * kPack; }
  __device__ __forceinline__ static __nv_bfloat162 pair_of(unsigned word) {
    __nv_bfloat162 pair;
    memcpy(&pair, &word, sizeof pair);
    return pair;
  }
  __device__ __forceinline__ static float value_of(const Words& pack, int i) {
    const unsigned word = pack.v[i / 2];
    return __uint_as_float(i % 2 ? word & 0xFFFF0000u : word << 16);
  }
  // Leaves the first `count` logits.
  __device__ __forceinline__ static void cut(Words& pack, int count) {
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      const unsigned cut = 2 * k >= count ? 0xFFFFFFFFu : 2 * k + 1 >= count ? 0xFFFF0000u : 0;
      pack.v[k] = (pack.v[k] & ~cut) | (kLowestPair & cut);
    }
  }
};

// What a row's next token needs besides its id. For one thread of the row.
struct NextRow {
  std::int32_t slot = -1, context = 0;  // of this token; slot -1: nothing moves on
  std::int32_t page = -1, offset = 0;   // of the next one; page -1: it has no slot

  __device__ __forceinline__ void load(const NextArguments& n, int index) {
    slot = n.slots[index];
    context = n.context_lens[index];
  }
  __device__ __forceinline__ void look_up(const NextArguments& n, int index) {
    if (slot < 0) return;
    const std::int32_t at = context / n.page_size;
    offset = context - at * n.page_size;
    if (at < n.pages) page = n.page_table[index * n.table_stride + at];
  }
};

// Writes what was chosen for a row, and moves its tables on. For the thread that has `next`, when no other reads the
// tables any more. Nothing is waited for: counts and bits change where they lie.
__device__ __forceinline__ void finish_row(const SampleArguments& a, int index, const SamplingRow& r,
                                           const NextRow& next, int id, float logprob) {
  a.ids[index] = id;
  a.logprobs[index] = logprob;
  if (next.slot < 0) return;
  const NextArguments& n = a.next;
  if (id < 0) {
    n.slots[index] = -1;
    return;
  }
  n.ids[index] = id;
  n.slots[index] = next.page < 0 ? -1 : next.page * n.page_size + next.offset;
  n.context_lens[index] = next.context + 1;
  for (int axis = 0; axis < n.axes; ++axis) atomicAdd(n.positions + axis * n.positions_stride + index, 1);
  a.params[index * a.params_stride + offsetof(SamplingRow, position) / 4] = r.position + 1;
  if (id / 32 < n.seen_words) {
    std::int32_t* bits = a.seen + index * a.seen_stride + id / 32;
    atomicOr(reinterpret_cast<unsigned*>(bits), 1u << id % 32);
  }
}

__device__ __forceinline__ int usable_vocab(const SampleArguments& a, const SamplingRow& r) {
  return r.vocab_limit > 0 ? min(r.vocab_limit, a.vocab) : a.vocab;
}

// A greedy row of which nothing else is asked. Each warp sums exponentials below its own best logit, and sends both to
// the first warp.
template <class Team>
__device__ __forceinline__ void sample_held(const Team& team, HeldRow& row, const SampleArguments& a,
                                            int index, const SamplingRow& r, const NextRow& next) {
  const int count = usable_vocab(a, r);
  Rank best = most_over_warp(row.best(count));
  double sum = sum_over_warp(row.sum(logit_of(best)));
  if (!team.give_first_warp(best, sum)) return;
  const float of_part = logit_of(best);
  best = most_over_warp(best);
  const float largest = logit_of(best);
  sum = sum_over_warp(sum * exp_approximate(of_part - largest));
  if (team.thread() != 0) return;
  if (best == kBadRank) return finish_row(a, index, r, next, kNotFinite, NAN);
  if (largest == HeldRow::kLowest) sum = count;  // what fills packs up has counted as well
  finish_row(a, index, r, next, id_of(best), -log1pf(static_cast<float>(sum - 1)));
}

// Any row. Log-probabilities that are compared with others are summed in double; the greedy token's in fp32
// exponentials and double sums. The row is read again for each result. Not inlined: it is long, and uses more registers
// than sample_held.
template <class T, class Team>
__device__ __noinline__ void sample_any(Team team, const T* logits, const SampleArguments& a, int index,
                                        const SamplingRow r, const NextRow next) {
  Row<T, Team> row{team, logits, a.packed, nullptr, r.repetition_penalty, usable_vocab(a, r)};
  if (r.repetition_penalty != 1 && a.seen) row.seen = a.seen + index * a.seen_stride;

  // NaN times 0 is NaN, so is infinity. A penalty may make infinity of a finite logit.
  float largest = -INFINITY, finite = 0;
  int largest_id = -1;
  row.each_unchanged([&](int id, float unchanged, bool) {
    finite = fmaf(unchanged, 0.0f, finite);
    const float logit = row.penalized(id, unchanged);
    if (logit > largest || largest_id < 0) {  // ids grow: the first of equals stays
      largest = logit;
      largest_id = id;
    }
  });
  const Rank best = team.most(finite != 0 ? kBadRank : largest_id < 0 ? 0 : rank_of(largest, largest_id));
  if (best == kBadRank) {
    if (team.thread() == 0) finish_row(a, index, r, next, kNotFinite, NAN);
    return;
  }
  largest = logit_of(best);
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
    sum = team.sum(sum);
  }
  const double normalizer = largest + log(sum);
  const Rank chosen = r.temperature > 0 ? draw(row, r, best) : best;
  Rank top = best;
  for (int i = 0; i < min(r.top_logprobs, row.count); ++i) {
    if (i > 0) top = row.best_below(top);
    if (team.thread() != 0) continue;
    a.top_ids[index * a.top_ids_stride + i] = id_of(top);
    a.top_logprobs[index * a.top_logprobs_stride + i] = static_cast<float>(logit_of(top) - normalizer);
  }
  if (team.thread() != 0) return;
  finish_row(a, index, r, next, id_of(chosen), static_cast<float>(logit_of(chosen) - normalizer));
}

__device__ __forceinline__ SamplingRow row_at(const std::int32_t* words) {
  std::int32_t copy[sizeof(SamplingRow) / 4];
#pragma unroll
  for (int i = 0; i < static_cast<int>(sizeof(SamplingRow) / 4); ++i) copy[i] = words[i];
  SamplingRow row;
  memcpy(&row, copy, sizeof row);
  return row;
}

// Bound by latency: the parameters, the tables and the logits are loaded at once, and the threads of a greedy row meet
// once. Where a cluster has a row, its blocks find room beside those of the kernel before.
template <class T, int kBlocks>
__global__ void __launch_bounds__(kThreads / kBlocks, kBlocks)
    sample_kernel(const T* logits, const __grid_constant__ SampleArguments a) {
#if __CUDA_ARCH__ < 900
  if constexpr (kBlocks > 1) return;
#endif
  let_next_start();
  __shared__ typename Team<kBlocks>::Memory memory;
  Team<kBlocks> team(memory);
  wait_for_previous();
  const int index = static_cast<int>(blockIdx.x) / kBlocks;
  logits += index * a.logits_stride;
  const SamplingRow r = row_at(a.params + index * a.params_stride);
  NextRow next;
  if (a.next.ids && team.thread() == 0) next.load(a.next, index);
  if constexpr (std::is_same_v<T, bf16_t>) {
    HeldRow held(logits, a.held ? a.vocab : 0, team.thread());
    next.look_up(a.next, index);
    if (a.held && r.temperature <= 0 && r.top_logprobs <= 0 && (r.repetition_penalty == 1 || !a.seen)) {
      return sample_held(team, held, a, index, r, next);
    }
  } else {
    next.look_up(a.next, index);
  }
  sample_any(team, logits, a, index, r, next);
}

template <class T, int kBlocks>
void launch_rows(Context& context, const T* logits, std::int64_t rows, const SampleArguments& a) {
  launch_clusters(context, "sample", sample_kernel<T, kBlocks>, kBlocks,
                  static_cast<unsigned>(rows * kBlocks), kThreads / kBlocks, 0, logits, a);
}

}  // namespace

void CudaOps::sample(const Tensor& logits, const SamplingTables& tables, const DecodeTables& next) {
  const std::int64_t rows = logits.rows(), vocab = logits.columns();
  check_sampling_tables(tables, next, rows, vocab);
  for (const Tensor& t : {tables.ids, tables.logprobs, tables.top_ids, tables.top_logprobs}) writes(t);
  const bool packed = is_aligned(logits, 16) && logits.row_stride() * size_of(logits.dtype) % 16 == 0;
  SampleArguments a{.logits_stride = logits.row_stride(),
                    .vocab = static_cast<int>(vocab),
                    .packed = packed,
                    .held = packed && vocab % HeldRow::kPack == 0 && vocab <= HeldRow::kMostLogits,
                    .params = data<std::int32_t>(tables.params),
                    .params_stride = tables.params.row_stride(),
                    .seen = data<std::int32_t>(tables.seen),
                    .seen_stride = tables.seen ? tables.seen.row_stride() : 0,
                    .ids = data<std::int32_t>(tables.ids),
                    .logprobs = data<float>(tables.logprobs),
                    .top_ids = data<std::int32_t>(tables.top_ids),
                    .top_ids_stride = tables.top_ids ? tables.top_ids.row_stride() : 0,
                    .top_logprobs = data<float>(tables.top_logprobs),
                    .top_logprobs_stride = tables.top_logprobs ? tables.top_logprobs.row_stride() : 0,
                    .next = {}};
  if (next.ids) {
    for (const Tensor& t :
         {next.ids, next.positions, next.slots, next.context_lens, tables.params, tables.seen}) {
      writes(t);
    }
    a.next = {.axes = static_cast<int>(next.positions.size(0)),
              .pages = static_cast<int>(next.page_table.columns()),
              .page_size = next.page_size,
              .seen_words = tables.seen ? static_cast<int>(tables.seen.columns()) : 0,
              .ids = data<std::int32_t>(next.ids),
              .positions = data<std::int32_t>(next.positions),
              .slots = data<std::int32_t>(next.slots),
              .context_lens = data<std::int32_t>(next.context_lens),
              .page_table = data<const std::int32_t>(next.page_table),
              .positions_stride = next.positions.strides[0],
              .table_stride = next.page_table.strides[0]};
  }
  with_compute_type(logits.dtype, [&](auto value) {
    using T = decltype(value);
    if (context_.hopper) return launch_rows<T, kSm90Blocks>(context_, data<const T>(logits), rows, a);
    launch_rows<T, 1>(context_, data<const T>(logits), rows, a);
  });
}

}  // namespace glmocr::cuda
