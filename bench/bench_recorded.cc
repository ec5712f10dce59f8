// SPDX-License-Identifier: Apache-2.0
// Times of operations at the published sizes in a recorded step, one after the other, as in decoding and in the vision
// tower; weights and pages come from memory.
//
//   bench_recorded [DEVICE] [NAME]      (auto; only operations whose line contains NAME)
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <memory>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "base/numbers.h"
#include "kernels/kernels.h"

namespace glmocr {
namespace {

constexpr int kHeads = 16, kKvHeads = 8, kDim = 128, kPage = 32;

struct Bench {
  std::unique_ptr<Device> device;
  std::string filter;
  std::vector<Buffer> owners = {};
  std::vector<float> values = {};
  std::vector<bf16> narrow = {};
  std::int64_t keys = 0;  // steps so far

  // Of a fixed sequence, small enough for sums of products.
  Tensor numbers(const Shape& shape, DType dtype = DType::bf16) {
    for (std::uint32_t seed = values.size(); std::ssize(values) < shape.numel();) {
      seed = seed * 1664525 + 1013904223;
      values.push_back(((seed >> 8) * 0x1p-23f - 1) * 0.1f);
      narrow.push_back(to_bf16(values.back()));
    }
    return keep(dtype == DType::f32 ? static_cast<void*>(values.data()) : narrow.data(), shape, dtype);
  }
  Tensor ints(const std::vector<std::int32_t>& from, const Shape& shape) {
    return keep(from.data(), shape, DType::i32);
  }
  Tensor keep(const void* from, const Shape& shape, DType dtype) {
    owners.push_back(device->allocate(shape.numel() * size_of(dtype)));
    const Tensor tensor = owners.back().view(shape, dtype);
    device->upload(from, tensor);
    return tensor;
  }

  // Prints the median of the time of one call; call(i) of i < calls make a step.
  void time(const std::string& what, int calls, double bytes, double operations,
            const std::function<void(int)>& call) {
    const StepKey key{.rows = static_cast<int>(++keys)};
    const auto step = [&] {
      device->run_step(key, [&] {
        for (int i = 0; i < calls; ++i) {
          const ArenaScope scope(*device);
          call(i);
        }
      });
    };
    for (int i = 0; i < 3; ++i) step();
    device->wait();
    std::vector<double> times;
    for (int i = 0; i < 11; ++i) {
      const auto begin = std::chrono::steady_clock::now();
      step();
      device->wait();
      times.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count() /
                      calls);
    }
    std::nth_element(times.begin(), times.begin() + 5, times.end());
    const double median = times[5];
    std::printf("%-52s %9.2f us %8.0f GB/s %8.1f TFLOP/s\n", what.c_str(), median * 1e6, bytes / median / 1e9,
                operations / median / 1e12);
    std::fflush(stdout);
  }
  bool wanted(const std::string& what) const { return what.find(filter) != std::string::npos; }

  // Weights from a set larger than the caches.
  std::vector<Weight> weights(std::int64_t in, std::int64_t out, int count) {
    std::vector<Weight> all;
    for (int i = 0; i < count; ++i) {
      Buffer none;
      all.push_back(device->prepare(numbers({out, in}), WeightUse::linear, none));
    }
    return all;
  }
  void linear(std::int64_t rows, std::int64_t in, std::int64_t out, RowClass rows_class, bool gated = false) {
    const std::string what = "linear " + std::to_string(rows) + " × " + std::to_string(in) + " → " +
                             (gated ? "2 × " : "") + std::to_string(out);
    if (!wanted(what)) return;
    const auto before = owners.size();
    const double bytes = 2.0 * in * out * (gated ? 2 : 1);  // of the weights
    // So much that what stays in the caches makes no figure a tenth too good.
    const int sets = static_cast<int>(std::clamp(1e9 / bytes, 2.0, 64.0));
    const auto all = weights(in, out, sets * (gated ? 2 : 1));
    // Recorded products of the same rows would become one launch.
    const Tensor xs[] = {numbers({rows, in}), numbers({rows, in})}, y = numbers({rows, out});
    LinearOptions options{.rows = rows_class};
    options.out = y;
    const int calls = rows_class == RowClass::few ? 3 * sets : 16;
    time(what, calls, bytes + 2.0 * rows * (in + out), rows * bytes, [&](int i) {
      const int set = i % sets;
      const Tensor& x = xs[i % 2];
      gated ? void(device->ops().gated_linear(x, all[2 * set], all[2 * set + 1], rows_class))
            : void(device->ops().linear(x, all[set], options));
    });
    owners.resize(before);
  }

  // Queries, keys and values.
  void three(std::int64_t rows, std::int64_t in, std::int64_t out) {
    const std::string what =
        "linear " + std::to_string(rows) + " × " + std::to_string(in) + " → 3 × " + std::to_string(out);
    if (!wanted(what)) return;
    const auto before = owners.size();
    const auto all = weights(in, out, 24);
    const Tensor x = numbers({rows, in});
    time(what, 8, 2.0 * rows * in, 6.0 * rows * in * out, [&](int i) {
      device->ops().linear_three(x, {&all[3 * i], &all[3 * i + 1], &all[3 * i + 2]}, RowClass::many);
    });
    owners.resize(before);
  }

  void attention_paged(std::int32_t sequences, std::int32_t context) {
    const std::string what =
        "attention_paged " + std::to_string(sequences) + " of " + std::to_string(context);
    if (!wanted(what)) return;
    const auto before = owners.size();
    const std::int32_t pages = divide_up(context, kPage);
    const int layers = sequences >= 16 ? 8 : 64, calls = 64;
    const auto store = device->make_kv_store({layers, kKvHeads, kDim, pages * sequences, kPage, DType::bf16});
    std::vector<std::int32_t> table(pages * sequences), slots(table.size() * kPage), starts(sequences + 1);
    std::iota(table.begin(), table.end(), 0);
    std::iota(slots.begin(), slots.end(), 0);
    std::iota(starts.begin(), starts.end(), 0);
    const Tensor kv = numbers({std::ssize(slots), kKvHeads, kDim}), slot = ints(slots, {std::ssize(slots)});
    for (int layer = 0; layer < layers; ++layer) device->ops().kv_write(kv, kv, *store, layer, slot);
    PagedBatch batch;
    batch.row_starts = ints(starts, {sequences + 1});
    batch.context_lens = ints(std::vector<std::int32_t>(sequences, context), {sequences});
    batch.page_table = ints(table, {sequences, pages});
    batch.max_rows = 1;
    batch.max_context = pages * kPage;
    batch.rows = RowClass::few;
    const Tensor q = numbers({sequences, kHeads, kDim});
    time(what, calls, 4.0 * sequences * context * kKvHeads * kDim, 4.0 * sequences * context * kHeads * kDim,
         [&](int i) { device->ops().attention_paged(q, *store, i % layers, batch, 0.09f); });
    owners.resize(before);
  }

  void prefill(std::int32_t tokens) {
    const std::string what = "prefill attention " + std::to_string(tokens);
    if (!wanted(what)) return;
    const auto before = owners.size();
    const std::int32_t pages = divide_up(tokens, kPage);
    const auto store = device->make_kv_store({1, kKvHeads, kDim, pages, kPage, DType::bf16});
    std::vector<std::int32_t> table(pages), slots(pages * kPage);
    std::iota(table.begin(), table.end(), 0);
    std::iota(slots.begin(), slots.end(), 0);
    const Tensor kv = numbers({std::ssize(slots), kKvHeads, kDim});
    device->ops().kv_write(kv, kv, *store, 0, ints(slots, {std::ssize(slots)}));
    PagedBatch batch;
    batch.row_starts = ints({0, tokens}, {2});
    batch.context_lens = ints({tokens}, {1});
    batch.page_table = ints(table, {1, pages});
    batch.max_rows = tokens;
    batch.max_context = pages * kPage;
    batch.rows = RowClass::many;
    const Tensor q = numbers({tokens, kHeads, kDim});
    // Queries and results; keys and values.
    const double bytes = 4.0 * tokens * (kHeads + kKvHeads) * kDim;
    time(what, 8, bytes, 2.0 * tokens * tokens * kHeads * kDim,
         [&](int) { device->ops().attention_paged(q, *store, 0, batch, 0.09f); });
    owners.resize(before);
  }

  void segments(std::int32_t patches, int count) {
    const std::string what = "vision attention " + std::to_string(count) + " × " + std::to_string(patches);
    if (!wanted(what)) return;
    const auto before = owners.size();
    const std::int64_t rows = std::int64_t{patches} * count;
    const Tensor qkv = numbers({rows, 48, 64});
    std::vector<std::int32_t> starts;
    for (int i = 0; i <= count; ++i) starts.push_back(i * patches);
    AttentionOptions options;
    options.scale = 0.125f;
    options.segments = starts;
    time(what, 8, 8.0 * rows * 1024, 4.0 * rows * patches * 1024, [&](int) {
      device->ops().attention(qkv.slice(1, 0, 16), qkv.slice(1, 16, 32), qkv.slice(1, 32, 48), options);
    });
    owners.resize(before);
  }

  void small(std::int64_t rows) {
    const auto before = owners.size();
    const Tensor x = numbers({rows, 1536}), y = numbers({rows, 1536}), h = numbers({rows, 1536}),
                 w = numbers({1536}, DType::f32);
    const std::string norm = "add_norm " + std::to_string(rows) + " × 1536";
    if (wanted(norm)) {
      time(norm, 64, 0, 0, [&](int) { device->ops().add_norm(x, y, w, w, 1e-5f, h); });
    }
    owners.resize(before);
  }
  // What else a block of the vision tower does.
  void vision_rows(std::int64_t rows) {
    const auto before = owners.size();
    const Tensor x = numbers({rows, 1024}), w = numbers({1024}, DType::f32);
    const std::string norm = "rms_norm " + std::to_string(rows) + " × 1024";
    if (wanted(norm))
      time(norm, 16, 4.0 * rows * 1024, 0, [&](int) { device->ops().rms_norm(x, w, {.eps = 1e-5f}); });
    const std::string turn = "norm_rope " + std::to_string(rows) + " × 16 × 64";
    if (wanted(turn)) {
      const Tensor table = numbers({2, rows, 32}, DType::f32), part = numbers({64}, DType::f32);
      time(turn, 16, 4.0 * rows * 1024, 0, [&](int) {
        device->ops().norm_rope(x.reshape({rows, 16, 64}), part, 1e-5f, table, RopeStyle::half_split, {});
      });
    }
    owners.resize(before);
  }
};

void run(Bench& bench) {
  for (const std::int64_t rows : {1, 8, 16, 32, 64}) {
    bench.linear(rows, 1536, 4096, RowClass::few);
    bench.linear(rows, 2048, 1536, RowClass::few);
    bench.linear(rows, 1536, 4608, RowClass::few, true);
    bench.linear(rows, 4608, 1536, RowClass::few);
    bench.linear(rows, 1536, 59392, RowClass::few);
  }
  for (const int sequences : {1, 8, 16, 32, 64}) bench.attention_paged(sequences, 500);
  bench.attention_paged(32, 640);
  bench.attention_paged(1, 4000);
  bench.small(1);
  bench.small(32);
  bench.prefill(4832);
  bench.vision_rows(1600);
  bench.vision_rows(19276);
  bench.segments(19276, 1);
  bench.segments(1600, 1);
  bench.segments(1600, 8);
  for (const int rows : {1600, 19276}) {
    for (const auto& [in, out] : {std::pair{1024, 1024}, {4096, 1024}})
      bench.linear(rows, in, out, RowClass::many);
    bench.linear(rows, 1024, 4096, RowClass::many, true);
    bench.three(rows, 1024, 1024);
  }
  bench.linear(4832, 1536, 4608, RowClass::many, true);
  bench.linear(4832, 4608, 1536, RowClass::many);
}

}  // namespace
}  // namespace glmocr

int main(int argc, char** argv) {
  glmocr::Bench bench{.device = glmocr::open_device(argc > 1 ? argv[1] : "auto"),
                      .filter = argc > 2 ? argv[2] : ""};
  std::printf("%s %s\n", bench.device->name().c_str(), bench.device->isa().c_str());
  glmocr::run(bench);
}
