// SPDX-License-Identifier: Apache-2.0
// Speed of the kernels as a share of what the machine can do, measured in the same run: dense products and
// attention against a loop of fused multiply-adds in registers, one-row products against reading memory.
//
//   bench_ops [DEVICE] [THREADS]      (cpu, all threads)
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "base/numbers.h"
#include "base/threads.h"
#include "kernels/kernels.h"

namespace glmocr {
namespace {

// The time of the shortest of several runs that together take at least a quarter of a second, after one to
// warm up.
double seconds(const std::function<void()>& run) {
  using Clock = std::chrono::steady_clock;
  run();
  double best = 1e30, total = 0;
  for (int i = 0; i < 3 || total < 0.25; ++i) {
    const auto start = Clock::now();
    run();
    const double taken = std::chrono::duration<double>(Clock::now() - start).count();
    best = std::min(best, taken);
    total += taken;
  }
  return best;
}

// Registers of so many bytes; twelve chains hide the latency of a fused multiply-add on current processors.
template <int Bytes>
struct Chains {
  typedef float V __attribute__((vector_size(Bytes)));
  static constexpr int kCount = 12;
};
constexpr int kSteps = 1 << 20;

template <int Bytes>
__attribute__((always_inline)) inline float multiply_add_loop() {
  using V = typename Chains<Bytes>::V;
  V sums[Chains<Bytes>::kCount];
  volatile float start = 1;  // unknown to the compiler: no two chains are one
  for (V& sum : sums) sum = V{} + start;
  const V a = V{} + 0.999f, b = V{} + 1e-3f;
  for (int step = 0; step < kSteps; ++step) {
    for (V& sum : sums) sum = sum * a + b;
  }
  V total = {};
  for (const V& sum : sums) total += sum;
  return total[0];
}

float loop_baseline() { return multiply_add_loop<16>(); }
#if defined(__x86_64__)
__attribute__((target("avx2,fma"))) float loop_avx2() { return multiply_add_loop<32>(); }
__attribute__((target("avx512f"))) float loop_avx512() { return multiply_add_loop<64>(); }
#endif

// fp32 operations per second over all threads, with the vectors of the device.
double peak_flops(ThreadPool& pool, const std::string& isa) {
  float (*loop)() = loop_baseline;
  int lanes = 4;
#if defined(__x86_64__)
  if (isa == "avx2") loop = loop_avx2, lanes = 8;
  if (isa.starts_with("avx512") || isa == "amx") loop = loop_avx512, lanes = 16;
#else
  (void)isa;
#endif
  volatile float sink = 0;
  const double time = seconds([&] { pool.parallel_for(pool.size(), 1, [&](auto, auto) { sink = loop(); }); });
  return 2.0 * 12 * lanes * kSteps * pool.size() / time;
}

double peak_bytes(ThreadPool& pool) {
  std::vector<std::uint64_t> words(32 << 20, 1);  // 256 MB: larger than every cache
  volatile std::uint64_t sink = 0;
  const auto count = std::ssize(words);
  const double time = seconds([&] {
    pool.parallel_for(count, 1 << 16, [&](std::int64_t begin, std::int64_t end) {
      std::uint64_t sums[8] = {};
      for (std::int64_t i = begin; i < end; i += 8) {
        for (int lane = 0; lane < 8; ++lane) sums[lane] += words[i + lane];
      }
      sink = sums[0] + sums[3];
    });
  });
  return 8.0 * count / time;
}

struct Bench {
  std::unique_ptr<Device> device;
  double flops, bytes;

  Tensor numbers(const Shape& shape, DType dtype) {
    const Tensor t = device->scratch(shape, dtype);
    std::vector<std::byte> bytes(t.bytes());
    const Tensor host(bytes.data(), {t.numel()}, dtype);
    for (std::int64_t i = 0; i < t.numel(); ++i) {
      const float value = (i * 7919 % 251 - 125) * 0x1p-7f;
      if (dtype == DType::f32) host.as<float>()[i] = value;
      if (dtype == DType::bf16) host.as<bf16>()[i] = to_bf16(value);
    }
    device->upload(bytes.data(), t);
    return t;
  }
  template <class T>
  Tensor upload(const std::vector<T>& values, const Shape& shape) {
    return device->upload_array(values.data(), shape);
  }
  double time(const std::function<void()>& op) {
    return seconds([&] {
      const ArenaScope scope(*device);
      op();
    });
  }

  void report(const std::string& what, double time, double operations, double read) const {
    std::printf("%-58s %9.3f ms %8.1f GFLOP/s (%3.0f %%) %7.1f GB/s (%3.0f %%)\n", what.c_str(), time * 1e3,
                operations / time / 1e9, 100 * operations / time / flops, read / time / 1e9,
                100 * read / time / bytes);
    std::fflush(stdout);
  }

  // Weights in bf16 as stored. Few rows must read them from memory, so they come from a set larger than the
  // caches.
  void linear(std::int64_t rows, std::int64_t in, std::int64_t out, DType compute) {
    const ArenaScope scope(*device);
    const Tensor x = numbers({rows, in}, compute);
    const std::int64_t copies =
        rows <= kFewRows ? std::max<std::int64_t>(1, (std::int64_t{128} << 20) / (2 * in * out)) : 1;
    std::vector<Weight> weights;
    std::vector<Buffer> owners(copies);
    for (Buffer& owner : owners) {
      weights.push_back(device->prepare(numbers({out, in}, DType::bf16), WeightUse::linear, owner));
    }
    LinearOptions options;
    options.rows = rows <= kFewRows ? RowClass::few : RowClass::many;
    const auto all = [&] {
      for (const Weight& weight : weights) {
        const ArenaScope inner(*device);
        device->ops().linear(x, weight, options);
      }
    };
    const double time = seconds(all) / copies;
    report("linear " + std::to_string(rows) + " × " + std::to_string(in) + " → " + std::to_string(out) + " " +
               std::string(to_string(compute)),
           time, 2.0 * rows * in * out, 2.0 * in * out);
  }

  void attention(std::int32_t n, std::int64_t heads, std::int64_t dim, DType compute) {
    const ArenaScope scope(*device);
    const Tensor qkv = numbers({n, 3 * heads, dim}, compute);
    const std::vector<std::int32_t> segments{0, n};
    AttentionOptions options;
    options.scale = 1 / std::sqrt(dim);
    options.segments = segments;
    const double taken = time([&] {
      device->ops().attention(qkv.slice(1, 0, heads), qkv.slice(1, heads, 2 * heads),
                              qkv.slice(1, 2 * heads, 3 * heads), options);
    });
    report("attention n " + std::to_string(n) + ", " + std::to_string(heads) + " × " + std::to_string(dim) +
               " " + std::string(to_string(compute)),
           taken, 4.0 * n * n * heads * dim, 0);
  }

  void attention_paged(std::int32_t rows, std::int32_t context, std::int64_t heads, int kv_heads, int dim,
                       DType compute) {
    const ArenaScope scope(*device);
    constexpr int kPage = 64;
    const std::int32_t pages = divide_up(context, kPage);
    const auto store = device->make_kv_store({1, kv_heads, dim, pages, kPage, compute});
    std::vector<std::int32_t> table(pages), slots(pages * kPage);
    std::iota(table.begin(), table.end(), 0);
    std::iota(slots.begin(), slots.end(), 0);
    const Tensor kv = numbers({std::ssize(slots), kv_heads, dim}, compute);
    device->ops().kv_write(kv, kv, *store, 0, upload(slots, {std::ssize(slots)}));
    PagedBatch batch;
    batch.row_starts = upload<std::int32_t>({0, rows}, {2});
    batch.context_lens = upload<std::int32_t>({context}, {1});
    batch.page_table = upload(table, {1, pages});
    batch.max_rows = rows;
    batch.max_context = context;
    batch.rows = rows <= kFewRows ? RowClass::few : RowClass::many;
    const Tensor q = numbers({rows, heads, dim}, compute);
    const float scale = 1 / std::sqrt(dim);
    const double taken = time([&] { device->ops().attention_paged(q, *store, 0, batch, scale); });
    const double seen = rows * (context - (rows - 1) / 2.0);
    report("attention_paged " + std::to_string(rows) + " of " + std::to_string(context) + ", " +
               std::to_string(heads) + "/" + std::to_string(kv_heads) + " × " + std::to_string(dim) + " " +
               std::string(to_string(compute)),
           taken, 4.0 * seen * heads * dim, 2.0 * context * kv_heads * dim * size_of(compute));
  }

  void elementwise(DType compute) {
    const ArenaScope scope(*device);
    const std::int64_t rows = 1024, width = 4096;
    const Tensor x = numbers({rows, 2 * width}, compute), w = numbers({2 * width}, DType::f32);
    const double bytes = 1.0 * rows * width * size_of(compute);
    Ops& ops = device->ops();
    const std::string type(to_string(compute));
    report("swiglu 1024 × 4096 " + type,
           time([&] { ops.swiglu(x.slice(1, 0, width), x.slice(1, width, 2 * width)); }), 0, 3 * bytes);
    report("gelu 1024 × 8192 " + type, time([&] { ops.activate(x, Activation::gelu); }), 0, 4 * bytes);
    report("rms_norm 1024 × 8192 " + type, time([&] { ops.rms_norm(x, w); }), 0, 4 * bytes);
    report("layer_norm 1024 × 8192 " + type, time([&] { ops.layer_norm(x, w, w); }), 0, 4 * bytes);
  }

  // A picture of 4096 patches.
  void patchify(DType compute) {
    const ArenaScope scope(*device);
    const std::int64_t side = 64 * 14;
    const Tensor picture = upload(std::vector<std::uint8_t>(side * side * 3, 99), {side, side, 3});
    const Tensor normalized = numbers({3, 256}, DType::f32);
    const double written = 3.0 * side * side * 2 * size_of(compute);
    report("patchify 896 × 896 " + std::string(to_string(compute)),
           time([&] { device->ops().patchify(picture, normalized, {}, compute); }), 0, written);
  }

  // Rows of logits over the published vocabulary.
  void sample(const std::string& what, const SamplingRow& row, std::int64_t rows, DType compute) {
    const ArenaScope scope(*device);
    const std::int64_t vocab = 59392, most = 8;
    SamplingTables tables;
    tables.params = device->scratch({rows, sizeof(SamplingRow) / 4}, DType::i32);
    device->upload(std::vector<SamplingRow>(rows, row).data(), tables.params);
    tables.seen = upload(std::vector<std::int32_t>(rows * vocab / 32), {rows, vocab / 32});
    tables.ids = device->scratch({rows}, DType::i32);
    tables.logprobs = device->scratch({rows}, DType::f32);
    tables.top_ids = device->scratch({rows, most}, DType::i32);
    tables.top_logprobs = device->scratch({rows, most}, DType::f32);
    const Tensor logits = numbers({rows, vocab}, compute);
    report("sample " + std::to_string(rows) + " × 59392, " + what + " " + std::string(to_string(compute)),
           time([&] { device->ops().sample(logits, tables); }), 0, logits.bytes());
  }
};

int run(int argc, char** argv) {
  const std::string name = argc > 1 ? argv[1] : "cpu";
  const int threads = argc > 2 ? std::atoi(argv[2]) : default_thread_count();
  Bench bench{open_device(name, {.threads = threads}), 0, 0};
  const std::shared_ptr<ThreadPool> pool = shared_thread_pool(threads);
  bench.flops = peak_flops(*pool, bench.device->isa());
  bench.bytes = peak_bytes(*pool);
  std::printf("%s %s, %d threads; fp32 multiply-add loop %.1f GFLOP/s, memory read %.1f GB/s\n",
              bench.device->name().c_str(), bench.device->isa().c_str(), threads, bench.flops / 1e9,
              bench.bytes / 1e9);
  std::vector<DType> types{DType::f32};
  if (bench.device->prefers_bf16()) types.push_back(DType::bf16);
  for (const DType type : types) {
    for (const std::int64_t rows : {1, 4, 8, 16, 64, 1024}) {
      bench.linear(rows, 320, 1024, type);  // the embedded model
      bench.linear(rows, 256, 1024, type);
      bench.linear(rows, 1024, 3072, type);  // the published one: vision, then text
      bench.linear(rows, 4096, 1024, type);
      bench.linear(rows, 1536, 9216, type);
      bench.linear(rows, 4608, 1536, type);
    }
    for (const std::int32_t n : {1024, 4096}) {
      bench.attention(n, 4, 64, type);
      bench.attention(n, 16, 64, type);
    }
    bench.attention_paged(1, 1024, 16, 8, 128, type);
    bench.attention_paged(1, 8192, 16, 8, 128, type);
    bench.attention_paged(1, 1024, 6, 2, 64, type);
    bench.attention_paged(1024, 1024, 16, 8, 128, type);
    bench.elementwise(type);
    bench.patchify(type);
    for (const std::int64_t rows : {1, 16}) {
      SamplingRow row;
      bench.sample("greedy", row, rows, type);
      row.top_logprobs = 5;
      bench.sample("5 logprobs", row, rows, type);
      row = {};
      row.temperature = 0.8f;
      row.top_k = 50;
      bench.sample("top_k 50", row, rows, type);
      row.top_k = 0;
      row.top_p = 0.9f;
      bench.sample("top_p 0.9", row, rows, type);
    }
  }
  return 0;
}

}  // namespace
}  // namespace glmocr

int main(int argc, char** argv) { return glmocr::run(argc, argv); }
