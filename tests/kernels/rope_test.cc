// SPDX-License-Identifier: Apache-2.0
#include "kernel_test.h"

namespace glmocr::test {
namespace {

class RopeTest : public KernelTest {
 protected:
  static std::vector<float> frequencies(std::int64_t pairs) {
    std::vector<float> values;
    for (std::int64_t p = 0; p < pairs; ++p) {
      values.push_back(std::pow(10000.0, -1.0 * p / pairs));
    }
    return values;
  }
  Tensor table(Device& device, std::int64_t n, std::int64_t pairs, DType precision) {
    std::vector<std::int32_t> positions, axis;
    for (std::int64_t a = 0; a < 3; ++a) {
      for (std::int64_t r = 0; r < n; ++r) {
        positions.push_back(r * 37 % 1000 + 100 * a);
      }
      positions.insert(positions.end(), 2, 1 << 20);  // a table wider than the rows that are asked for
    }
    for (std::int64_t p = 0; p < pairs; ++p) axis.push_back(p * 3 / pairs);
    const std::vector<float> frequency = frequencies(pairs);
    return device.ops().rotary_table(make_ints(device, positions, {3, n + 2}).slice(1, 0, n),
                                     make(device, frequency, {pairs}, DType::f32),
                                     make_ints(device, axis, {pairs}), precision);
  }
};

TEST_P(RopeTest, TableIsExact) {
  for (const DType precision : {DType::f32, DType::bf16}) {
    const auto op = [&](Device& device) { return table(device, 200, 24, precision); };
    compare(op, {0, 0}, "table");
  }
}

TEST_P(RopeTest, BothStylesOverHeadDims) {
  for (const RopeStyle style : {RopeStyle::half_split, RopeStyle::interleaved}) {
    for (const std::int64_t dim : {2, 8, 32, 48, 64, 128}) {
      for (const std::int64_t n : {1, 3, 50}) {
        const std::int64_t heads = 3;
        const Numbers qkv = random(n * 2 * heads * dim);
        const auto op = [&](Device& device) {
          const Tensor x = make(device, qkv, {n, 2 * heads, dim}, dtype_).slice(1, heads, 2 * heads);
          return device.ops().rope(x, table(device, n, dim / 2, dtype_), style);
        };
        // Products and their sum, each at most 1: the fp32 error is a few units of 1, the bf16 error up to
        // three roundings.
        const bool steps = style == RopeStyle::interleaved;
        compare(op, reduction(dtype_, 4, 1, steps ? 3 : 1, steps ? 0.5 : 0),
                (steps ? "interleaved " : "halves ") + std::to_string(dim) + ", rows " + std::to_string(n));
      }
    }
  }
}

// Queries, keys and values are those of rope and kv_write, bit by bit; a row without a slot writes nothing.
TEST_P(RopeTest, WithTheWriteOfKeysItIsTheSame) {
  Device& device = *tested_;
  for (const std::int64_t dim : {6, 48, 128}) {
    const ArenaScope scope(device);
    const std::int64_t n = 5, heads = 6, kv_heads = 2, slots = 16;
    const KvSpec spec{.layers = 1,
                      .kv_heads = 2,
                      .head_dim = static_cast<int>(dim),
                      .pages = 4,
                      .page_size = 4,
                      .dtype = dtype_};
    const Tensor all =
        make(device, random(n * (heads + 2 * kv_heads) * dim), {n, heads + 2 * kv_heads, dim}, dtype_);
    const Tensor q = all.slice(1, 0, heads), k = all.slice(1, heads, heads + kv_heads),
                 v = all.slice(1, heads + kv_heads, heads + 2 * kv_heads);
    const Tensor before = make(device, random(slots * kv_heads * dim), {slots, kv_heads, dim}, dtype_);
    const Tensor query = make(device, random(heads * dim), {1, heads, dim}, dtype_);
    std::vector<std::int32_t> everywhere(slots);
    for (std::int32_t i = 0; i < slots; ++i) everywhere[i] = i;
    PagedBatch batch{.max_rows = 1, .max_context = 16, .rows = RowClass::few};
    batch.row_starts = make_ints(device, {0, 1}, {2});
    batch.context_lens = make_ints(device, {16}, {1});
    batch.page_table = make_ints(device, {0, 1, 2, 3}, {1, 4});
    std::vector<Numbers> results;
    for (const bool fused : {true, false}) {
      const auto store = device.make_kv_store(spec);
      device.ops().kv_write(before, before, *store, 0, make_ints(device, everywhere, {slots}));
      const KvTarget target{*store, 0, make_ints(device, {3, -1, 15, 0, 6}, {n})};
      const Tensor rotations = table(device, n, dim / 2, dtype_);
      poison(device);
      const Tensor turned =
          fused ? device.ops().rope_kv_write(q, k, v, rotations, RopeStyle::interleaved, target)
                : device.ops().Ops::rope_kv_write(q, k, v, rotations, RopeStyle::interleaved, target);
      results.push_back(download(device, turned));
      results.push_back(download(device, device.ops().attention_paged(query, *store, 0, batch, 0.3f)));
    }
    EXPECT_EQ(results[0], results[2]) << dim;
    EXPECT_EQ(results[1], results[3]) << dim;
  }
}

TEST_P(RopeTest, BehindANormItIsTheSame) {
  Device& device = *tested_;
  for (const std::int64_t dim : {48, 64, 128}) {
    for (const std::int64_t n : {1, 5, 67}) {
      const ArenaScope scope(device);
      const std::int64_t heads = 3;
      const Tensor all = make(device, random(n * 2 * heads * dim, -3, 3), {n, 2 * heads, dim}, dtype_);
      const Tensor x = all.slice(1, heads, 2 * heads), w = make(device, random(dim), {dim}, DType::f32);
      const Tensor rotations = table(device, n + 2, dim / 2, DType::f32).slice(1, 1, n + 1);
      const Tensor out = device.scratch({n, heads, dim}, dtype_);
      device.ops().norm_rope(x, w, 1e-5f, rotations, RopeStyle::half_split, out);
      EXPECT_EQ(download(device, out),
                download(device, device.ops().Ops::norm_rope(x, w, 1e-5f, rotations, RopeStyle::half_split)))
          << dim << ", " << n << " rows";
    }
  }
}

// The rows of a longer table.
TEST_P(RopeTest, SomeRowsOfATable) {
  const std::int64_t n = 9, heads = 2, dim = 16, first = 3, last = 8;
  const Numbers values = random(n * heads * dim);
  for (Device* device : {tested_.get(), ref_.get()}) {
    const ArenaScope scope(*device);
    const Tensor x = make(*device, values, {n, heads, dim}, dtype_), all = table(*device, n, dim / 2, dtype_);
    const Numbers whole = download(*device, device->ops().rope(x, all, RopeStyle::half_split));
    const Numbers some = download(
        *device,
        device->ops().rope(x.slice(0, first, last), all.slice(1, first, last), RopeStyle::half_split));
    ASSERT_EQ(std::ssize(some), (last - first) * heads * dim);
    EXPECT_TRUE(std::equal(some.begin(), some.end(), whole.begin() + first * heads * dim)) << device->name();
  }
}

GLMOCR_KERNEL_SUITE(RopeTest);

}  // namespace
}  // namespace glmocr::test
