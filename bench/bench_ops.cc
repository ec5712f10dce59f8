// SPDX-License-Identifier: Apache-2.0
// Speed of the operations as a share of what the machine can do, measured in the same run (Device::measure_peaks): the larger
// of two times, that of their arithmetic and that of reading their operands from memory, over the time they take.
//
//   bench_ops [DEVICE] [THREADS] [NAME]      (cpu, all threads; only operations whose line contains NAME)
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/numbers.h"
#include "base/seconds.h"
#include "base/threads.h"
#include "kernels/kernels.h"

namespace glmocr {
namespace {

struct Bench {
  std::unique_ptr<Device> device;
  Peaks peaks;
  std::string filter;

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
  // A few logits far above the others, as those of a model that reads.
  Tensor spread_logits(const Shape& shape, DType dtype) {
    std::mt19937 random(1);
    std::normal_distribution<float> spread(0, 6);
    std::vector<float> values(shape.numel());
    for (float& value : values) value = spread(random);
    if (dtype == DType::f32) return upload(values, shape);
    std::vector<bf16> rounded(values.size());
    std::transform(values.begin(), values.end(), rounded.begin(), to_bf16);
    const Tensor t = device->scratch(shape, dtype);
    device->upload(rounded.data(), t);
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

  bool wanted(const std::string& what) const { return what.find(filter) != std::string::npos; }

  // Of products with operands of a type.
  double flops(DType compute) const {
    return compute == DType::bf16 && peaks.bf16() > 0 ? peaks.bf16() : peaks.fp32;
  }

  void report(const std::string& what, double time, double operations, double read, DType compute) const {
    const double bound = std::max(operations / flops(compute), read / peaks.bytes);
    std::printf("%-58s %9.3f ms %8.1f GFLOP/s %7.1f GB/s %5.1f %% of %s\n", what.c_str(), time * 1e3,
                operations / time / 1e9, read / time / 1e9, 100 * bound / time,
                bound * peaks.bytes > read ? "arithmetic" : "memory");
    std::fflush(stdout);
  }

  // Weights in bf16 as stored. Few rows must read them from memory, so they come from a set larger than the
  // caches.
  void linear(std::int64_t rows, std::int64_t in, std::int64_t out, DType compute) {
    const std::string what = "linear " + std::to_string(rows) + " × " + std::to_string(in) + " → " +
                             std::to_string(out) + " " + std::string(to_string(compute));
    if (!wanted(what)) return;
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
    const double activations = 1.0 * (in + out) * rows * size_of(compute);
    report(what, time, 2.0 * rows * in * out, 2.0 * in * out + activations, compute);
  }

  void gated_linear(std::int64_t rows, std::int64_t in, std::int64_t out, DType compute) {
    const std::string what = "gated_linear " + std::to_string(rows) + " × " + std::to_string(in) + " → " +
                             std::to_string(out) + " " + std::string(to_string(compute));
    if (!wanted(what)) return;
    const ArenaScope scope(*device);
    const Tensor x = numbers({rows, in}, compute);
    Buffer owners[2];
    const Weight gate = device->prepare(numbers({out, in}, DType::bf16), WeightUse::linear, owners[0]),
                 up = device->prepare(numbers({out, in}, DType::bf16), WeightUse::linear, owners[1]);
    const double taken = time([&] { device->ops().gated_linear(x, gate, up, RowClass::many); });
    const double activations = 1.0 * (in + out) * rows * size_of(compute);
    report(what, taken, 4.0 * rows * in * out, 4.0 * in * out + activations, compute);
  }

  void attention(std::int32_t n, std::int64_t heads, std::int64_t dim, DType compute) {
    const std::string what = "attention n " + std::to_string(n) + ", " + std::to_string(heads) + " × " +
                             std::to_string(dim) + " " + std::string(to_string(compute));
    if (!wanted(what)) return;
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
    report(what, taken, 4.0 * n * n * heads * dim, 0, compute);
  }

  void attention_paged(std::int32_t rows, std::int32_t context, std::int64_t heads, int kv_heads, int dim,
                       DType compute) {
    const std::string what = "attention_paged " + std::to_string(rows) + " of " + std::to_string(context) +
                             ", " + std::to_string(heads) + "/" + std::to_string(kv_heads) + " × " +
                             std::to_string(dim) + " " + std::string(to_string(compute));
    if (!wanted(what)) return;
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
    report(what, taken, 4.0 * seen * heads * dim, 2.0 * context * kv_heads * dim * size_of(compute), compute);
  }

  void elementwise(DType compute) {
    const ArenaScope scope(*device);
    const std::int64_t rows = 1024, width = 4096;
    const Tensor x = numbers({rows, 2 * width}, compute), w = numbers({2 * width}, DType::f32);
    const double bytes = 1.0 * rows * width * size_of(compute);
    Ops& ops = device->ops();
    const auto one = [&](std::string what, double moved, const std::function<void()>& op) {
      what += std::string(" ") + std::string(to_string(compute));
      if (wanted(what)) report(what, time(op), 0, moved, compute);
    };
    one("swiglu 1024 × 4096", 3 * bytes,
        [&] { ops.swiglu(x.slice(1, 0, width), x.slice(1, width, 2 * width)); });
    one("gelu 1024 × 8192", 4 * bytes, [&] { ops.activate(x, Activation::gelu); });
    one("rms_norm 1024 × 8192", 4 * bytes, [&] { ops.rms_norm(x, w); });
    one("layer_norm 1024 × 8192", 4 * bytes, [&] { ops.layer_norm(x, w, w); });
    const Tensor heads = x.reshape({rows, 2 * width / 64, 64});
    one("rms_norm 131072 × 64", 4 * bytes, [&] { ops.rms_norm(heads, w.slice(0, 0, 64)); });
    const Tensor table = numbers({2, rows, 32}, DType::f32);
    one("rope 1024 × 128 × 64", 4 * bytes, [&] { ops.rope(heads, table, RopeStyle::half_split); });
  }

  // A picture of 4096 patches.
  void patchify(DType compute) {
    const std::string what = "patchify 896 × 896 " + std::string(to_string(compute));
    if (!wanted(what)) return;
    const ArenaScope scope(*device);
    const std::int64_t side = 64 * 14;
    const Tensor picture = upload(std::vector<std::uint8_t>(side * side * 3, 99), {side, side, 3});
    const Tensor normalized = numbers({3, 256}, DType::f32);
    const double written = 3.0 * side * side * 2 * size_of(compute);
    report(what, time([&] { device->ops().patchify(picture, normalized, {}, compute); }), 0, written,
           compute);
  }

  // Rows of logits over the published vocabulary.
  void sample(const std::string& how, const SamplingRow& row, std::int64_t rows, DType compute) {
    const std::string what =
        "sample " + std::to_string(rows) + " × 59392, " + how + " " + std::string(to_string(compute));
    if (!wanted(what)) return;
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
    const Tensor logits = spread_logits({rows, vocab}, compute);
    report(what, time([&] { device->ops().sample(logits, tables); }), 0, logits.bytes(), compute);
  }
};

void print_peaks(int threads, const Peaks& peaks) {
  std::printf("%d threads: fp32 %.1f GFLOP/s, memory %.1f GB/s", threads, peaks.fp32 / 1e9,
              peaks.bytes / 1e9);
  if (peaks.pairs > 0) std::printf(", vdpbf16ps %.1f GFLOP/s", peaks.pairs / 1e9);
  if (peaks.tiles > 0) std::printf(", AMX tiles %.1f GFLOP/s", peaks.tiles / 1e9);
  if (peaks.int8 > 0) std::printf(", vpdpbusd %.1f GOP/s", peaks.int8 / 1e9);
  std::printf("\n");
}

// The published sizes: vision of 560×560 and 1120×812 pixels, prompts of 1,000 tokens, decoding.
void published(Bench& bench, DType type) {
  for (const std::int64_t patches : {1600, 4640}) {
    bench.linear(patches, 1176, 1024, type);
    bench.linear(patches, 1024, 1024, type);
    bench.linear(patches, 1024, 4096, type);
    bench.linear(patches, 4096, 1024, type);
    bench.gated_linear(patches, 1024, 4096, type);
    bench.attention(static_cast<std::int32_t>(patches), 16, 64, type);
  }
  for (const std::int64_t rows : {1, 8, 9, 16, 1000}) {
    bench.linear(rows, 1536, 1024, type);
    bench.linear(rows, 1536, 2048, type);
    bench.linear(rows, 2048, 1536, type);
    bench.linear(rows, 1536, 9216, type);
    bench.linear(rows, 4608, 1536, type);
  }
  bench.linear(1, 1536, 59392, type);
  bench.attention_paged(1, 150, 16, 8, 128, type);
  bench.attention_paged(1, 8192, 16, 8, 128, type);
  bench.attention_paged(1000, 1000, 16, 8, 128, type);
}

// The embedded model's.
void embedded(Bench& bench, DType type) {
  for (const std::int64_t rows : {1, 16, 64, 4608}) {
    bench.linear(rows, 320, 1024, type);
    bench.linear(rows, 256, 1024, type);
  }
  bench.attention(4608, 4, 64, type);
  bench.attention_paged(1, 1024, 6, 2, 64, type);
}

void sampling(Bench& bench, DType type) {
  for (const std::int64_t rows : {1, 16}) {
    SamplingRow row;
    bench.sample("greedy", row, rows, type);
    row.top_logprobs = 5;
    bench.sample("5 logprobs", row, rows, type);
    row = {};
    row.repetition_penalty = 1.1f;
    bench.sample("penalty", row, rows, type);
    row = {};
    row.temperature = 0.8f;
    row.top_k = 50;
    bench.sample("top_k 50", row, rows, type);
    row.top_k = 0;
    row.top_p = 0.9f;
    bench.sample("top_p 0.9", row, rows, type);
  }
}

int run(int argc, char** argv) {
  const std::string name = argc > 1 ? argv[1] : "cpu";
  const int threads = argc > 2 ? std::atoi(argv[2]) : default_thread_count();
  Bench bench{open_device(name, {.threads = threads}), {}, argc > 3 ? argv[3] : ""};
  std::printf("%s %s\n", bench.device->name().c_str(), bench.device->isa().c_str());
  bench.peaks = bench.device->measure_peaks(Clock::wall);
  if (threads > 1) print_peaks(1, open_device(name, {.threads = 1})->measure_peaks(Clock::wall));
  print_peaks(threads, bench.peaks);
  std::vector<DType> types{DType::f32};
  if (bench.device->prefers_bf16()) types.push_back(DType::bf16);
  for (const DType type : types) {
    published(bench, type);
    embedded(bench, type);
    bench.elementwise(type);
    bench.patchify(type);
    sampling(bench, type);
  }
  return 0;
}

}  // namespace
}  // namespace glmocr

int main(int argc, char** argv) {
  try {
    return glmocr::run(argc, argv);
  } catch (const glmocr::Error& error) {
    std::fprintf(stderr, "bench_ops: %s\n", error.what());
    return 1;
  }
}
