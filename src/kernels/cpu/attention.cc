// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "kernels/cpu/cpu_ops.h"
#include "kernels/cpu/thread_scratch.h"
#include "kernels/cpu/values.h"

// Both attentions become a list of tasks: query rows of one key/value head against a range of keys, 64 at a
// time. Tasks run in any order on the pool; each needs a few hundred KB of its thread's memory, whatever the
// length.
namespace glmocr::cpu {
namespace {

// Query rows of one task: enough to pay for packing its keys, few enough for the second-level cache; fewer
// where there would not be a task or two for every thread.
constexpr std::int64_t kTileRows = 288;
constexpr std::int64_t kLeastTileRows = 48;
// Up to here rows are a decode step: its keys are split, so that one long sequence fills all threads. The
// split is fixed, so that the sums of a sequence depend neither on threads nor on what else runs.
constexpr std::int64_t kFewRows = 8;
constexpr std::int64_t kSplitKeys = 512;

struct Task {
  std::int32_t sequence;  // or segment
  std::int32_t head;      // of keys and values
  std::int32_t row_begin, rows;
  std::int32_t key_begin, key_end;
  std::int32_t part, parts;  // of the keys of these rows; the states of all parts follow one another
};

// Tasks in arena memory. Counting and filling run the same code: the first pass has no memory.
struct TaskList {
  Task* tasks = nullptr;
  std::int64_t count = 0;
  void add(const Task& task) {
    if (tasks) tasks[count] = task;
    ++count;
  }
};

template <class Plan>
TaskList make_tasks(HostDevice& device, Plan plan) {
  TaskList list;
  plan(list);
  const Tensor memory = device.scratch({list.count, static_cast<std::int64_t>(sizeof(Task) / 4)}, DType::i32);
  list = {static_cast<Task*>(memory.data), 0};
  plan(list);
  return list;
}

std::int64_t tile_rows(std::int64_t all_rows, std::int64_t threads) {
  return std::clamp(all_rows / (2 * threads), kLeastTileRows, kTileRows);
}

std::int64_t parts_of(std::int64_t count, std::int64_t most) { return (count + most - 1) / most; }

// Keys and values of whole segments, in the rows of a matrix.
struct SegmentKeys {
  const Tensor& k;
  const Tensor& v;
  static constexpr bool kCausal = false;

  void find(const Task& task, std::int64_t first, std::int64_t count, const void** keys,
            const void** values) const {
    for (std::int64_t i = 0; i < count; ++i) {
      keys[i] = at(k, (first + i) * k.strides[0] + task.head * k.strides[1]);
      values[i] = at(v, (first + i) * v.strides[0] + task.head * v.strides[1]);
    }
  }
  std::int64_t limit(const Task& task, std::int64_t) const { return task.key_end; }
};

// Keys and values of sequences in pages; a row sees the keys up to its own.
struct PagedKeys {
  const PagedKv& cache;
  const PagedBatch& batch;
  static constexpr bool kCausal = true;

  void find(const Task& task, std::int64_t first, std::int64_t count, const void** keys,
            const void** values) const {
    const std::int64_t heads = cache.keys.size(1), page_size = cache.keys.size(2), dim = cache.keys.size(3);
    const std::int32_t* pages =
        batch.page_table.as<std::int32_t>() + task.sequence * batch.page_table.size(1);
    for (std::int64_t i = 0; i < count; ++i) {
      const std::int64_t page = (first + i) / page_size, offset = (first + i) % page_size;
      const std::int64_t element = ((pages[page] * heads + task.head) * page_size + offset) * dim;
      keys[i] = at(cache.keys, element);
      values[i] = at(cache.values, element);
    }
  }
  // The number of keys that an absolute row sees.
  std::int64_t limit(const Task& task, std::int64_t row) const {
    return batch.context_lens.as<std::int32_t>()[task.sequence] -
           batch.row_starts.as<std::int32_t>()[task.sequence + 1] + row + 1;
  }
};

class Runner {
 public:
  Runner(const KernelTable& kernels, const Tensor& q, std::int64_t group, const Tensor& y, float scale)
      : kernels_(kernels), q_(q), group_(group), y_(y), scale_(scale), dim_(q.size(2)) {}

  std::int64_t state_floats(std::int64_t rows) const {
    return 2 * rows * kernels_.attention_pitch(dim_) + 2 * padded(rows);
  }

  // states: memory for the parts of split tasks, state_floats(kFewRows) each.
  template <class Keys>
  void run(const Task& task, const Keys& keys, float* states) const {
    const std::int64_t rows = task.rows * group_;
    float* memory = thread_floats(state_floats(rows) + kernels_.attention_work(rows, dim_));
    const AttentionTile tile = task.parts > 1 ? make_tile(rows, states, memory)
                                              : make_tile(rows, memory, memory + state_floats(rows));
    const void* from[kTileRows];
    std::int32_t limits[kTileRows];
    for (std::int64_t r = 0; r < rows; ++r) {
      const std::int64_t row = task.row_begin + r / group_, head = task.head * group_ + r % group_;
      from[r] = at(q_, row * q_.strides[0] + head * q_.strides[1]);
      limits[r] = static_cast<std::int32_t>(keys.limit(task, row));
    }
    kernels_.attention_begin(tile, from, scale_);
    for (std::int64_t first = task.key_begin; first < task.key_end; first += kMaxKeys) {
      run_block(tile, task, keys, first, limits);
    }
    if (task.parts == 1) finish(task, tile);
  }

  // Joins the parts of split rows into the first.
  void merge(const Task& task, float* states) const {
    const std::int64_t rows = task.rows * group_;
    const AttentionTile first = make_tile(rows, states, nullptr);
    for (std::int64_t part = 1; part < task.parts; ++part) {
      kernels_.attention_merge(first, make_tile(rows, states + part * state_floats(kFewRows), nullptr));
    }
    finish(task, first);
  }

 private:
  static std::int64_t padded(std::int64_t floats) { return (floats + 15) / 16 * 16; }

  AttentionTile make_tile(std::int64_t rows, float* state, float* work) const {
    const std::int64_t floats = rows * kernels_.attention_pitch(dim_);
    float* largest = state + 2 * floats;
    return {rows, dim_, type_of(q_.dtype), state, state + floats, largest, largest + padded(rows), work};
  }

  template <class Keys>
  void run_block(const AttentionTile& tile, const Task& task, const Keys& keys, std::int64_t first,
                 const std::int32_t* limits) const {
    const std::int64_t count = std::min<std::int64_t>(kMaxKeys, task.key_end - first);
    const void *k[kMaxKeys], *v[kMaxKeys];
    keys.find(task, first, count, k, v);
    prefetch(task, keys, first + count);
    std::int32_t visible[kTileRows];
    bool all = true;
    if constexpr (Keys::kCausal) {
      for (std::int64_t r = 0; r < tile.rows; ++r) {
        visible[r] = limits[r] - static_cast<std::int32_t>(first);
        all = all && visible[r] >= count;
      }
    }
    kernels_.attention_block(tile, {k, v, count, all ? nullptr : visible});
  }

  // Calls for the next keys while these are used: rows that lie far apart, which the hardware does not
  // foresee.
  template <class Keys>
  void prefetch(const Task& task, const Keys& keys, std::int64_t first) const {
    const std::int64_t count = std::min<std::int64_t>(kMaxKeys, task.key_end - first);
    if (count <= 0) return;
    constexpr std::int64_t kLine = 64;
    const void *k[kMaxKeys], *v[kMaxKeys];
    keys.find(task, first, count, k, v);
    const std::int64_t bytes = dim_ * size_of(q_.dtype);
    for (std::int64_t i = 0; i < count; ++i) {
      for (std::int64_t offset = 0; offset < bytes; offset += kLine) {
        __builtin_prefetch(static_cast<const std::byte*>(k[i]) + offset, 0, 2);
        __builtin_prefetch(static_cast<const std::byte*>(v[i]) + offset, 0, 2);
      }
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
  const Tensor& q_;
  std::int64_t group_;
  const Tensor& y_;
  float scale_;
  std::int64_t dim_;
};

// Neighbouring tasks share head and segment, and so the keys in the cache.
void plan_segments(std::span<const std::int32_t> segments, std::int64_t heads, std::int64_t most_rows,
                   TaskList& list) {
  for (std::size_t s = 0; s + 1 < segments.size(); ++s) {
    const std::int32_t begin = segments[s], end = segments[s + 1];
    if (begin == end) continue;
    const std::int64_t tiles = parts_of(end - begin, most_rows), rows = parts_of(end - begin, tiles);
    for (std::int64_t head = 0; head < heads; ++head) {
      for (std::int64_t row = begin; row < end; row += rows) {
        const std::int64_t count = std::min(rows, end - row);
        list.add({static_cast<std::int32_t>(s), static_cast<std::int32_t>(head),
                  static_cast<std::int32_t>(row), static_cast<std::int32_t>(count), begin, end, 0, 1});
      }
    }
  }
}

// Prefill: tiles of rows, the last (with the most keys) first. Decode: parts of the keys.
void plan_sequence(std::int32_t s, std::int64_t kv_heads, std::int64_t group, std::int64_t most_rows,
                   const PagedBatch& batch, TaskList& list) {
  const std::int32_t* starts = batch.row_starts.as<std::int32_t>();
  const std::int64_t row_begin = starts[s], row_end = starts[s + 1], rows = row_end - row_begin;
  const std::int64_t context = batch.context_lens.as<std::int32_t>()[s];
  const auto i32 = [](std::int64_t value) { return static_cast<std::int32_t>(value); };
  if (rows == 0) return;
  if (rows * group <= kFewRows) {
    const std::int64_t parts = parts_of(context, kSplitKeys);
    for (std::int64_t head = 0; head < kv_heads; ++head) {
      for (std::int64_t part = 0; part < parts; ++part) {
        const std::int64_t key = part * kSplitKeys;
        list.add({s, i32(head), i32(row_begin), i32(rows), i32(key), i32(std::min(key + kSplitKeys, context)),
                  i32(part), i32(parts)});
      }
    }
    return;
  }
  const std::int64_t tile = parts_of(rows, parts_of(rows, std::max<std::int64_t>(most_rows / group, 1)));
  for (std::int64_t first = (rows - 1) / tile * tile; first >= 0; first -= tile) {
    const std::int64_t count = std::min(tile, rows - first), seen = context - rows + first + count;
    for (std::int64_t head = 0; head < kv_heads; ++head) {
      list.add({s, i32(head), i32(row_begin + first), i32(count), 0, i32(seen), 0, 1});
    }
  }
}

}  // namespace

Tensor CpuOps::attention(const Tensor& q, const Tensor& k, const Tensor& v, const AttentionOptions& options) {
  const std::int64_t n = q.size(0), heads = q.size(1), dim = q.size(2);
  GLMOCR_CHECK(is_compute_type(q.dtype) && k.dtype == q.dtype && v.dtype == q.dtype);
  GLMOCR_CHECK(k.shape == q.shape && v.shape == q.shape);
  GLMOCR_CHECK(q.strides[2] == 1 && k.strides[2] == 1 && v.strides[2] == 1);
  const Tensor y = output(options.out, {n, heads * dim}, q.dtype);
  const ArenaScope scope(device_);
  const std::int64_t most_rows = tile_rows(n * heads, device_.threads());
  const TaskList list =
      make_tasks(device_, [&](TaskList& tasks) { plan_segments(options.segments, heads, most_rows, tasks); });
  const Runner runner(kernels_, q, 1, y, options.scale);
  const SegmentKeys keys{k, v};
  const auto body = [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) runner.run(list.tasks[i], keys, nullptr);
  };
  device_.pool().parallel_for(list.count, 1, std::ref(body));
  return y;
}

Tensor CpuOps::attention_paged(const Tensor& q, const PagedKv& cache, const PagedBatch& batch, float scale) {
  const std::int64_t heads = q.size(1), dim = q.size(2), kv_heads = cache.keys.size(1),
                     group = heads / kv_heads;
  GLMOCR_CHECK(is_compute_type(q.dtype) && cache.keys.dtype == q.dtype && cache.values.dtype == q.dtype);
  GLMOCR_CHECK(cache.keys.size(3) == dim && heads % kv_heads == 0 && group <= kTileRows && q.strides[2] == 1);
  GLMOCR_CHECK(cache.keys.is_contiguous() && cache.values.is_contiguous() &&
               batch.page_table.is_contiguous());
  const Tensor y = device_.scratch({q.size(0), heads * dim}, q.dtype);
  const ArenaScope scope(device_);
  const std::int64_t most_rows = tile_rows(q.size(0) * heads, device_.threads());
  const TaskList list = make_tasks(device_, [&](TaskList& tasks) {
    for (std::int64_t s = 0; s < batch.context_lens.numel(); ++s) {
      plan_sequence(static_cast<std::int32_t>(s), kv_heads, group, most_rows, batch, tasks);
    }
  });
  const Runner runner(kernels_, q, group, y, scale);
  const bool split =
      std::any_of(list.tasks, list.tasks + list.count, [](const Task& task) { return task.parts > 1; });
  const std::int64_t unit = runner.state_floats(kFewRows);
  const Tensor states = device_.scratch({split ? list.count * unit : 0}, DType::f32);
  const PagedKeys keys{cache, batch};
  const auto body = [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) runner.run(list.tasks[i], keys, states.as<float>() + i * unit);
  };
  device_.pool().parallel_for(list.count, 1, std::ref(body));
  if (split) {
    const auto join = [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        const Task& task = list.tasks[i];
        if (task.parts > 1 && task.part == 0) runner.merge(task, states.as<float>() + i * unit);
      }
    };
    device_.pool().parallel_for(list.count, 64, std::ref(join));
  }
  return y;
}

}  // namespace glmocr::cpu
