// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu/simd_pairs.h"

#include "kernels/cpu/simd_kernels.h"

// Dense products of bf16 in pairs. The sum behind a value has one order: steps of kPairDepth values (tiles) or
// of two (vectors), one after the other, whatever rows and columns it stands among.
namespace glmocr::cpu::GLMOCR_ISA {

#ifdef __AVX512BF16__
namespace {

// Depth of one pass: a panel, the rows of a group and their sums stay in the first-level cache.
constexpr int64_t kPassDepth = 256;

}  // namespace

void pack_rows(const ConstRows& rows, int64_t count, int64_t k, void* group) {
  const auto* first = static_cast<const Bf16*>(rows.data);
  pack_left([&](int64_t row) { return first + row * rows.stride; }, count, k, static_cast<Bf16*>(group));
}

void pairs(const PairsTask& task) {
  const TilesInUse tiles;
  static_cast<void>(tiles);
  const int64_t depth = round_up(task.k, kPairDepth);
  const auto* groups = static_cast<const Bf16*>(task.groups);
  const auto* panels = static_cast<const Bf16*>(task.panels);
  for (int64_t i = 0; i < depth; i += kPassDepth) {
    const int64_t pass = depth - i < kPassDepth ? depth - i : kPassDepth;
    for (int64_t n = 0; n < task.n; n += kPairColumns) {
      for (int64_t row = 0; row < task.m; row += kPairRows) {
        multiply_pairs(pass, packed_rows(groups + row * depth + i * kPairRows),
                       panels + n * depth + i * kPairColumns, task.c + row * task.c_stride + n, task.c_stride,
                       i > 0);
      }
    }
  }
}

void pair_convolution(const PairConvolutionTask& task) {
  const TilesInUse tiles;
  static_cast<void>(tiles);
  const auto* a = static_cast<const Bf16*>(task.a);
  const auto* panels = static_cast<const Bf16*>(task.panels);
  const int64_t depth = task.runs * task.run;
  for (int64_t first = 0; first < depth; first += task.run, a += task.run_stride) {
    for (int64_t i = 0; i < task.run; i += kPassDepth) {
      const int64_t pass = task.run - i < kPassDepth ? task.run - i : kPassDepth;
      for (int64_t n = 0; n < task.columns; n += kPairColumns) {
        for (int64_t pixel = 0; pixel < task.pixels; pixel += kPairRows) {
          multiply_pairs(pass, rows_of(a + pixel * task.pixel_step + i, task.pixel_step),
                         panels + n * depth + (first + i) * kPairColumns, task.c + pixel * task.c_stride + n,
                         task.c_stride, first + i > 0);
        }
      }
    }
  }
}
#endif

}  // namespace glmocr::cpu::GLMOCR_ISA
