// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <span>

#include "base/numbers.h"
#include "kernels/cpu/cpu_ops.h"
#include "kernels/cpu/thread_scratch.h"
#include "kernels/cpu/values.h"

// Both attentions become a list of tasks: query rows of one key/value head against a range of keys, a block
// of 64 at a time. Tasks run in any order on the pool; each needs a few hundred KB of its thread's memory,
// whatever the length. Blocks, and the parts that the keys of few rows are split into, begin at fixed keys of
// the sequence, so the sums of a row depend neither on the tile it is in nor on the threads nor on what else
// runs.
namespace glmocr::cpu {
namespace {

// Query rows of one task at most: enough to pay for packing its keys, few enough for the second-level cache.
// Fewer where there would not be two tasks for every thread.
constexpr std::int64_t kTileRows = 288;
constexpr std::int64_t kLeastTileRows = 48;
static_assert(kMaxHeadsPerKvHead <= kTileRows);
// For few rows the keys are split into parts of this size, so that one long sequence keeps all threads busy.
constexpr std::int64_t kSplitKeys = 512;
static_assert(kSplitKeys % kMaxKeys == 0);

struct Task {
  std::int64_t sequence;  // or segment
  std::int64_t head;      // of keys and values
  std::int64_t row_begin, rows;
  std::int64_t key_begin, key_end;
  std::int64_t part, parts;  // of the keys of these rows: one task each, consecutive in the list
  std::int64_t state;        // byte offset of its state, where there are several parts
};

// Tasks in arena memory. The same code counts them, without memory, and then fills the list.
struct TaskList {
  Task* tasks = nullptr;
  std::int64_t count = 0;
  std::int64_t state_bytes = 0;

  void add(const Task& task) {
    if (tasks) tasks[count] = task;
    ++count;
  }
};

template <class Plan>
TaskList make_tasks(HostDevice& device, Plan plan) {
  TaskList list;
  plan(list);
  const Tensor memory = device.scratch({list.count * std::int64_t{sizeof(Task)}}, DType::u8);
  list = {static_cast<Task*>(memory.data)};
  plan(list);
  return list;
}

// The same where segments have a kernel of their own, which keeps less per row and packs keys again for every
// task.
constexpr std::int64_t kSegmentRows = 512;

std::int64_t tile_rows(std::int64_t all_rows, std::int64_t threads, std::int64_t most = kTileRows) {
  return std::clamp(all_rows / (2 * threads), kLeastTileRows, most);
}

// Keys and values of whole segments, in the rows of a matrix.
struct SegmentKeys {
  const Tensor& k;
  const Tensor& v;
  static constexpr bool kCausal = false;

  // The run of keys with equal strides that begins at `first`, at most `most` keys.
  KeyRun run(const Task& task, std::int64_t first, std::int64_t most) const {
    return {at(k, first * k.strides[0] + task.head * k.strides[1]),
            at(v, first * v.strides[0] + task.head * v.strides[1]), most, k.strides[0], v.strides[0]};
  }
  std::int64_t limit(const Task& task, std::int64_t) const { return task.key_end; }
};

// Keys and values of sequences in pages; a row sees the keys up to its own.
struct PagedKeys {
  Tensor keys, values;  // [pages, kv_heads, page_size, head_dim]
  const PagedBatch& batch;
  static constexpr bool kCausal = true;

  KeyRun run(const Task& task, std::int64_t first, std::int64_t most) const {
    const std::int64_t heads = keys.size(1), page_size = keys.size(2), dim = keys.size(3);
    const std::int32_t* pages =
        batch.page_table.as<std::int32_t>() + task.sequence * batch.page_table.strides[0];
    const std::int64_t offset = first % page_size;
    const std::int64_t element = ((pages[first / page_size] * heads + task.head) * page_size + offset) * dim;
    return {at(keys, element), at(values, element), std::min(most, page_size - offset), dim, dim};
  }
  // The number of keys that a row of the step sees.
  std::int64_t limit(const Task& task, std::int64_t row) const {
    return batch.context_lens.as<std::int32_t>()[task.sequence] -
           batch.row_starts.as<std::int32_t>()[task.sequence + 1] + row + 1;
  }
};

class Runner {
 public:
  Runner(const KernelTable& kernels, const Tensor& q, std::int64_t group, RowClass row_class, const Tensor& y,
         float scale, bool rounds_weights = false)
      : kernels_(kernels),
        rounds_weights_(rounds_weights),
        block_(row_class == RowClass::few ? kernels.attention_few : kernels.attention_many),
        q_(q),
        group_(group),
        y_(y),
        scale_(scale),
        dim_(q.size(2)) {}

  // Of a task with this many rows of the step.
  std::int64_t state_bytes(std::int64_t rows) const {
    return round_up<std::int64_t>(kernels_.attention_state_bytes(rows * group_, dim_), 64);
  }

  // states: memory for the states of split tasks.
  template <class Keys>
  void run(const Task& task, const Keys& keys, std::byte* states) const {
    const std::int64_t rows = task.rows * group_, own = task.parts > 1 ? 0 : state_bytes(task.rows);
    std::byte* memory = thread_scratch(own + kernels_.attention_work_bytes(rows, dim_));
    const AttentionTile tile{
        rows, dim_, type_of(q_.dtype), rounds_weights_, own ? memory : states + task.state, memory + own};
    const void* from[kTileRows];
    std::int64_t limits[kTileRows];
    for (std::int64_t r = 0; r < rows; ++r) {
      const std::int64_t row = task.row_begin + r / group_, head = task.head * group_ + r % group_;
      from[r] = at(q_, row * q_.strides[0] + head * q_.strides[1]);
      limits[r] = keys.limit(task, row);
    }
    kernels_.attention_begin(tile, from, scale_);
    for (std::int64_t first = task.key_begin; first < task.key_end; first += kMaxKeys) {
      run_block(tile, task, keys, first, limits);
    }
    if (task.parts == 1) finish(task, tile);
  }

  // Merges the states of all parts into that of the first, which is `task`.
  void merge(const Task& task, std::byte* states) const {
    const auto tile_of = [&](std::int64_t part) {
      return AttentionTile{task.rows * group_,
                           dim_,
                           type_of(q_.dtype),
                           rounds_weights_,
                           states + task.state + part * state_bytes(task.rows),
                           nullptr};
    };
    const AttentionTile first = tile_of(0);
    for (std::int64_t part = 1; part < task.parts; ++part) kernels_.attention_merge(first, tile_of(part));
    finish(task, first);
  }

 private:
  template <class Keys>
  void run_block(const AttentionTile& tile, const Task& task, const Keys& keys, std::int64_t first,
                 const std::int64_t* limits) const {
    const std::int64_t count = std::min(kMaxKeys, task.key_end - first);
    KeyRun runs[kMaxKeys];
    std::int64_t found = 0;
    for (KeyRun* run = runs; found < count; ++run) {
      *run = keys.run(task, first + found, count - found);
      found += run->count;
    }
    prefetch(task, keys, first + count);
    std::int32_t visible[kTileRows];
    bool all = true;
    if constexpr (Keys::kCausal) {
      for (std::int64_t r = 0; r < tile.rows; ++r) {
        visible[r] = static_cast<std::int32_t>(std::clamp<std::int64_t>(limits[r] - first, 0, count));
        all = all && visible[r] == count;
      }
    }
    block_(tile, {runs, count, all ? nullptr : visible});
  }

  // Prefetches the next keys while these are used: rows that lie far apart, which the hardware does not
  // foresee.
  template <class Keys>
  void prefetch(const Task& task, const Keys& keys, std::int64_t first) const {
    constexpr std::int64_t kLine = 64;
    const std::int64_t size = size_of(q_.dtype), bytes = dim_ * size,
                       end = std::min(first + kMaxKeys, task.key_end);
    while (first < end) {
      const KeyRun run = keys.run(task, first, end - first);
      const auto *k = static_cast<const std::byte*>(run.keys), *v = static_cast<const std::byte*>(run.values);
      for (std::int64_t i = 0; i < run.count; ++i) {
        for (std::int64_t offset = 0; offset < bytes; offset += kLine) {
          __builtin_prefetch(k + i * run.key_stride * size + offset, 0, 2);
          __builtin_prefetch(v + i * run.value_stride * size + offset, 0, 2);
        }
      }
      first += run.count;
    }
  }

  void finish(const Task& task, const AttentionTile& tile) const {
    void* to[kTileRows];
    for (std::int64_t r = 0; r < tile.rows; ++r) {
      const std::int64_t row = task.row_begin + r / group_, head = task.head * group_ + r % group_;
      to[r] = at(y_, row * y_.row_stride() + head * dim_);
    }
    kernels_.attention_end(tile, to);
  }

  const KernelTable& kernels_;
  bool rounds_weights_;
  void (*block_)(const AttentionTile& tile, const AttentionKeys& keys);
  const Tensor& q_;
  std::int64_t group_;
  const Tensor& y_;
  float scale_;
  std::int64_t dim_;
};

// Neighbouring tasks share head and segment, and so the keys in the cache.
void plan_segments(const AttentionOptions& options, std::int64_t first_head, std::int64_t last_head,
                   std::int64_t most_rows, TaskList& list) {
  const std::span<const std::int32_t> queries = options.of_queries(), keys = options.segments;
  for (std::int64_t s = 0; s + 1 < std::ssize(keys); ++s) {
    const std::int64_t begin = queries[s], end = queries[s + 1];
    if (begin == end) continue;
    const std::int64_t rows = divide_up(end - begin, divide_up(end - begin, most_rows));
    for (std::int64_t head = first_head; head < last_head; ++head) {
      for (std::int64_t row = begin; row < end; row += rows) {
        list.add({s, head, row, std::min(rows, end - row), keys[s], keys[s + 1], 0, 1, 0});
      }
    }
  }
}

// Whether heads of this size have a kernel in tiles.
bool has_tiles(const KernelTable& kernels, std::int64_t dim) {
  return kernels.segment_packed_bytes && kernels.segment_packed_bytes(1, dim) > 0;
}

SegmentTask segment_task(const Task& task, const Tensor& q, const SegmentKeys& keys, const Tensor& y,
                         float scale) {
  const std::int64_t dim = q.size(2);
  const KeyRun all = keys.run(task, task.key_begin, task.key_end - task.key_begin);
  SegmentTask segment{};
  segment.rows = task.rows;
  segment.keys = all.count;
  segment.dim = dim;
  segment.q = at(q, task.row_begin * q.strides[0] + task.head * q.strides[1]);
  segment.q_stride = q.strides[0];
  segment.k = all.keys;
  segment.k_stride = all.key_stride;
  segment.v = all.values;
  segment.v_stride = all.value_stride;
  segment.scale = scale;
  segment.out = at(y, task.row_begin * y.row_stride() + task.head * dim);
  segment.out_stride = y.row_stride();
  return segment;
}

void run_segment(const KernelTable& kernels, SegmentTask segment) {
  segment.work = thread_scratch(kernels.segment_work_bytes(segment.rows, segment.dim));
  kernels.segment(segment);
}

// Divides the sequences of a step into tasks of at most `rows` rows.
struct Plan {
  const PagedBatch& batch;
  std::int64_t kv_heads, rows;

  // Calls add(first, count, keys) for every tile: its rows, counted from the sequence's first, and the keys
  // they see. The last tile, with the most keys, comes first.
  template <class Add>
  void tiles(std::int64_t s, Add add) const {
    const std::int64_t all = end(s) - begin(s), context = batch.context_lens.as<std::int32_t>()[s];
    if (all == 0) return;
    const std::int64_t tile = divide_up(all, divide_up(all, rows));
    for (std::int64_t first = (all - 1) / tile * tile; first >= 0; first -= tile) {
      const std::int64_t count = std::min(tile, all - first);
      add(begin(s) + first, count, context - all + first + count);
    }
  }

  void many(std::int64_t s, TaskList& list) const {
    tiles(s, [&](std::int64_t first, std::int64_t count, std::int64_t keys) {
      for (std::int64_t head = 0; head < kv_heads; ++head) {
        list.add({s, head, first, count, 0, keys, 0, 1, 0});
      }
    });
  }

  // Splits the keys into parts of kSplitKeys.
  void few(std::int64_t s, const Runner& runner, TaskList& list) const {
    tiles(s, [&](std::int64_t first, std::int64_t count, std::int64_t keys) {
      const std::int64_t parts = divide_up(keys, kSplitKeys);
      for (std::int64_t head = 0; head < kv_heads; ++head) {
        for (std::int64_t part = 0; part < parts; ++part) {
          const std::int64_t key = part * kSplitKeys;
          list.add(
              {s, head, first, count, key, std::min(key + kSplitKeys, keys), part, parts, list.state_bytes});
          if (parts > 1) list.state_bytes += runner.state_bytes(count);
        }
      }
    });
  }

 private:
  std::int64_t begin(std::int64_t s) const { return batch.row_starts.as<std::int32_t>()[s]; }
  std::int64_t end(std::int64_t s) const { return batch.row_starts.as<std::int32_t>()[s + 1]; }
};

}  // namespace

Tensor CpuOps::attention(const Tensor& q, const Tensor& k, const Tensor& v, const AttentionOptions& options) {
  const std::int64_t n = q.size(0), heads = q.size(1), dim = q.size(2);
  GLMOCR_CHECK(is_compute_type(q.dtype) && k.dtype == q.dtype && v.dtype == q.dtype);
  GLMOCR_CHECK(k.size(1) == heads && k.size(2) == dim && v.shape == k.shape);
  GLMOCR_CHECK(options.of_queries().size() == options.segments.size());
  GLMOCR_CHECK(q.strides[2] == 1 && k.strides[2] == 1 && v.strides[2] == 1);
  const Tensor y = output(options.out, {n, heads * dim}, q.dtype);
  const ArenaScope scope(device_);
  const bool pairs = q.dtype == DType::bf16 && kernels_.segment;
  if (pairs && has_tiles(kernels_, dim)) {
    attention_in_tiles(q, k, v, options, y);
    return y;
  }
  const std::int64_t most_rows = tile_rows(n * heads, device_.threads(), pairs ? kSegmentRows : kTileRows);
  const TaskList list =
      make_tasks(device_, [&](TaskList& tasks) { plan_segments(options, 0, heads, most_rows, tasks); });
  const Runner runner(kernels_, q, 1, RowClass::many, y, options.scale, q.dtype == DType::bf16);
  const SegmentKeys keys{k, v};
  const auto body = [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      if (pairs) {
        run_segment(kernels_, segment_task(list.tasks[i], q, keys, y, options.scale));
      } else {
        runner.run(list.tasks[i], keys, nullptr);
      }
    }
  };
  device_.pool().parallel_for(list.count, 1, std::ref(body));
  return y;
}

namespace {

// Packs the keys [first, first + kPackedKeys) of a task's sequence or segment; see KernelTable::pack_segment.
template <class Keys>
bool pack_keys(const KernelTable& kernels, const Task& task, const Keys& keys, std::int64_t first,
               std::int64_t dim, bool finite, std::byte* packed) {
  const std::int64_t count = std::min(kPackedKeys, task.key_end - task.key_begin - first);
  const void *k[kPackedKeys], *v[kPackedKeys];
  for (std::int64_t found = 0; found < count;) {
    const KeyRun run = keys.run(task, task.key_begin + first + found, count - found);
    for (std::int64_t i = 0; i < run.count; ++i, ++found) {
      k[found] = static_cast<const std::uint16_t*>(run.keys) + i * run.key_stride;
      v[found] = static_cast<const std::uint16_t*>(run.values) + i * run.value_stride;
    }
  }
  return kernels.pack_segment({k, v, count}, dim, finite, packed);
}

// The packed keys and values of sequences or segments, in units of kPackedKeys keys. Every head has the same units.
class PackedUnits {
 public:
  // keys_of(s): how many keys the sequence or segment s has.
  template <class Count>
  PackedUnits(HostDevice& device, const KernelTable& kernels, std::int64_t owners, std::int64_t dim,
              Count keys_of)
      : kernels_(kernels), dim_(dim), bytes_(kernels.segment_packed_bytes(kPackedKeys, dim)) {
    auto* begins = device.scratch({owners + 1}, DType::i32).as<std::int32_t>();
    begins[0] = 0;
    for (std::int64_t s = 0; s < owners; ++s) {
      begins[s + 1] = begins[s] + static_cast<std::int32_t>(divide_up<std::int64_t>(keys_of(s), kPackedKeys));
    }
    begins_ = {begins, static_cast<std::size_t>(owners + 1)};
  }

  std::int64_t of_head() const { return begins_.back(); }
  std::int64_t bytes_of_head() const { return of_head() * bytes_; }
  // Of all heads, so many are packed together.
  std::int64_t heads_together(std::int64_t heads) const {
    constexpr std::int64_t kTogether = std::int64_t{16} << 20;  // bytes
    return std::clamp(kTogether / bytes_of_head(), std::int64_t{1}, heads);
  }
  // The first unit of a sequence or segment, among those of heads that are packed together.
  std::int64_t first_of(std::int64_t head, std::int64_t owner) const {
    return head * of_head() + begins_[owner];
  }
  std::int64_t offset_of(std::int64_t unit) const { return unit * bytes_; }

  // Packs the heads [first, first + count) into `packed`, by all threads. task_of(owner, head): whose keys and values these
  // are. `bad`: null, or for each unit, whether values that are not finite were taken out of it.
  template <class Keys, class TaskOf>
  void pack(ThreadPool& pool, const Keys& keys, std::int64_t first, std::int64_t count, TaskOf task_of,
            std::byte* packed, std::uint8_t* bad) const {
    const auto body = [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        const std::int64_t unit = i % of_head();
        const std::int64_t owner =
            std::upper_bound(begins_.begin(), begins_.end(), unit) - begins_.begin() - 1;
        const bool spoilt =
            pack_keys(kernels_, task_of(owner, first + i / of_head()), keys,
                      (unit - begins_[owner]) * kPackedKeys, dim_, bad != nullptr, packed + offset_of(i));
        if (bad) bad[i] = spoilt;
      }
    };
    pool.parallel_for(count * of_head(), 4, std::ref(body));
  }

 private:
  const KernelTable& kernels_;
  std::int64_t dim_, bytes_;  // of a unit
  std::span<const std::int32_t> begins_;
};

constexpr std::int64_t kTiledRows = 256;  // of a task over pages

}  // namespace

// Keys and values are packed once, by all threads, for as many heads as fit into some memory.
void CpuOps::attention_in_tiles(const Tensor& q, const Tensor& k, const Tensor& v,
                                const AttentionOptions& options, const Tensor& y) {
  const std::int64_t n = q.size(0), heads = q.size(1), dim = q.size(2);
  const std::span<const std::int32_t> segments = options.segments;
  const PackedUnits units(device_, kernels_, std::ssize(segments) - 1, dim,
                          [&](std::int64_t s) { return segments[s + 1] - segments[s]; });
  if (units.of_head() == 0) return;
  const std::int64_t together = units.heads_together(heads);
  const std::int64_t most_rows = tile_rows(n * together, device_.threads(), kSegmentRows);
  const SegmentKeys keys{k, v};
  const auto task_of = [&](std::int64_t s, std::int64_t head) {
    return Task{s, head, 0, 0, segments[s], segments[s + 1], 0, 1, 0};
  };
  for (std::int64_t first = 0; first < heads; first += together) {
    const ArenaScope scope(device_);
    const std::int64_t last = std::min(first + together, heads);
    std::byte* packed = packed_.get((last - first) * units.bytes_of_head());
    units.pack(device_.pool(), keys, first, last - first, task_of, packed, nullptr);
    const TaskList list =
        make_tasks(device_, [&](TaskList& tasks) { plan_segments(options, first, last, most_rows, tasks); });
    const auto body = [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        const Task& task = list.tasks[i];
        SegmentTask segment = segment_task(task, q, keys, y, options.scale);
        segment.packed = packed + units.offset_of(units.first_of(task.head - first, task.sequence));
        run_segment(kernels_, segment);
      }
    };
    device_.pool().parallel_for(list.count, 1, std::ref(body));
  }
}

namespace {

// A task over pages in tiles.
class PagedTiles {
 public:
  PagedTiles(const KernelTable& kernels, const Tensor& q, const PagedKeys& keys, const Tensor& y, float scale)
      : kernels_(kernels), q_(q), keys_(keys), y_(y), scale_(scale), group_(q.size(1) / keys.keys.size(1)) {}

  // bad: of each unit, whether values that are not finite were taken out of it.
  void run(const Task& task, const std::byte* packed, const std::uint8_t* bad) const {
    const void* from[kTiledRows];
    void* to[kTiledRows];
    std::int64_t limits[kTiledRows];
    SegmentTask segment{};
    segment.rows = task.rows * group_;
    segment.keys = task.key_end;
    segment.dim = q_.size(2);
    segment.scale = scale_;
    segment.packed = packed;
    segment.q_rows = from;
    segment.out_rows = to;
    segment.limits = limits;
    for (std::int64_t r = 0; r < segment.rows; ++r) {
      const std::int64_t row = task.row_begin + r / group_, head = task.head * group_ + r % group_;
      from[r] = at(q_, row * q_.strides[0] + head * q_.strides[1]);
      to[r] = at(y_, row * y_.row_stride() + head * segment.dim);
      limits[r] = keys_.limit(task, row);
    }
    run_segment(kernels_, segment);
    for (std::int64_t unit = 0; unit < divide_up(task.key_end, kPackedKeys); ++unit) {
      if (bad[unit] != 0) spoil(task, segment, unit * kPackedKeys);
    }
  }

 private:
  // What is not finite among the values of a unit reaches the rows that see it.
  void spoil(const Task& task, const SegmentTask& segment, std::int64_t first) const {
    const std::int64_t end = std::min(first + kPackedKeys, task.key_end);
    for (std::int64_t key = first; key < end; ++key) {
      const auto* values = static_cast<const bf16*>(keys_.run(task, key, 1).values);
      for (std::int64_t d = 0; d < segment.dim; ++d) {
        if (std::isfinite(to_float(values[d]))) continue;
        for (std::int64_t r = 0; r < segment.rows; ++r) {
          auto* out = static_cast<bf16*>(segment.out_rows[r]) + d;
          if (key < segment.limits[r]) *out = to_bf16(to_float(*out) + to_float(values[d]));
        }
      }
    }
  }

  const KernelTable& kernels_;
  const Tensor& q_;
  const PagedKeys& keys_;
  const Tensor& y_;
  float scale_;
  std::int64_t group_;
};

}  // namespace

// As attention_in_tiles, over pages, for sequences of many rows.
void CpuOps::paged_in_tiles(const Tensor& q, const HostKvStore& store, int layer, const PagedBatch& batch,
                            float scale, const Tensor& y) {
  const PagedKeys keys{store.keys(layer), store.values(layer), batch};
  const std::int64_t dim = q.size(2), heads = keys.keys.size(1), group = q.size(1) / heads,
                     sequences = batch.context_lens.numel();
  const auto* contexts = batch.context_lens.as<std::int32_t>();
  const auto* starts = batch.row_starts.as<std::int32_t>();
  const PackedUnits units(device_, kernels_, sequences, dim,
                          [&](std::int64_t s) { return starts[s] == starts[s + 1] ? 0 : contexts[s]; });
  if (units.of_head() == 0) return;
  const std::int64_t together = units.heads_together(heads);
  const std::int64_t rows = tile_rows(q.size(0) * group * together, device_.threads(), kTiledRows);
  const PagedTiles tiles(kernels_, q, keys, y, scale);
  const Plan plan{batch, together, std::max<std::int64_t>(rows / group, 1)};
  const TaskList list = make_tasks(device_, [&](TaskList& tasks) {
    for (std::int64_t s = 0; s < sequences; ++s) plan.many(s, tasks);
  });
  const auto task_of = [&](std::int64_t s, std::int64_t head) {
    return Task{s, head, 0, 0, 0, contexts[s], 0, 1, 0};
  };
  auto* bad = device_.scratch({together * units.of_head()}, DType::u8).as<std::uint8_t>();
  for (std::int64_t first = 0; first < heads; first += together) {
    const std::int64_t count = std::min(together, heads - first);
    std::byte* packed = packed_.get(count * units.bytes_of_head());
    units.pack(device_.pool(), keys, first, count, task_of, packed, bad);
    const auto body = [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        Task task = list.tasks[i];
        if (task.head >= count) continue;
        const std::int64_t own = units.first_of(task.head, task.sequence);
        task.head += first;
        tiles.run(task, packed + units.offset_of(own), bad + own);
      }
    };
    device_.pool().parallel_for(list.count, 1, std::ref(body));
  }
}

Tensor CpuOps::attention_paged(const Tensor& q, const KvStore& store, int layer, const PagedBatch& batch,
                               float scale) {
  const HostKvStore& own = HostKvStore::of(store, device_);
  const PagedKeys keys{own.keys(layer), own.values(layer), batch};
  const std::int64_t heads = q.size(1), dim = q.size(2), kv_heads = keys.keys.size(1),
                     group = heads / kv_heads, sequences = batch.context_lens.numel();
  GLMOCR_CHECK(is_compute_type(q.dtype) && keys.keys.dtype == q.dtype && keys.keys.size(3) == dim);
  GLMOCR_CHECK(heads % kv_heads == 0 && group <= kTileRows && q.strides[2] == 1);
  const auto* starts = batch.row_starts.as<std::int32_t>();
  const auto* contexts = batch.context_lens.as<std::int32_t>();
  for (std::int64_t s = 0; s < sequences; ++s) GLMOCR_CHECK(starts[s + 1] - starts[s] <= contexts[s]);
  const Tensor y = device_.scratch({q.size(0), heads * dim}, q.dtype);
  const std::int64_t used = starts[sequences];
  std::memset(at(y, used * heads * dim), 0, (q.size(0) - used) * heads * dim * size_of(q.dtype));
  const ArenaScope scope(device_);
  const bool few = batch.rows == RowClass::few;
  if (!few && q.dtype == DType::bf16 && group <= kTiledRows && has_tiles(kernels_, dim)) {
    paged_in_tiles(q, own, layer, batch, scale, y);
    return y;
  }
  const Runner runner(kernels_, q, group, batch.rows, y, scale);
  const std::int64_t most_rows = few ? std::min<std::int64_t>(kTileRows, kFewRows * group)
                                     : tile_rows(q.size(0) * heads, device_.threads());
  const Plan plan{batch, kv_heads, std::max<std::int64_t>(most_rows / group, 1)};
  const TaskList list = make_tasks(device_, [&](TaskList& tasks) {
    for (std::int64_t s = 0; s < sequences; ++s) few ? plan.few(s, runner, tasks) : plan.many(s, tasks);
  });
  auto* states = static_cast<std::byte*>(device_.scratch({list.state_bytes}, DType::u8).data);
  const auto body = [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) runner.run(list.tasks[i], keys, states);
  };
  device_.pool().parallel_for(list.count, 1, std::ref(body));
  if (list.state_bytes == 0) return y;
  const auto join = [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const Task& task = list.tasks[i];
      if (task.parts > 1 && task.part == 0) runner.merge(task, states);
    }
  };
  device_.pool().parallel_for(list.count, 64, std::ref(join));
  return y;
}

}  // namespace glmocr::cpu
