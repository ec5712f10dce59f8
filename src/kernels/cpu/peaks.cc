// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu/peaks.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <iterator>

#include "base/threads.h"
#include "kernels/host/huge_memory.h"

namespace glmocr::cpu {
namespace {

// Twelve chains hide the latency of a product in registers on current processors.
constexpr int kChains = 12;
constexpr int kSteps = 1 << 19;

// A loop over registers, and the operations that one call of it does.
struct Loop {
  float (*run)() = nullptr;
  double operations = 0;
};

// Registers of so many bytes.
template <int Bytes>
struct Register {
  using Type __attribute__((vector_size(Bytes))) = float;
};

template <int Bytes>
__attribute__((always_inline)) inline float multiply_add_loop() {
  using V = typename Register<Bytes>::Type;
  V sums[kChains];
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
constexpr double multiply_adds(int lanes) { return 2.0 * kChains * lanes * kSteps; }

float fp32_128() { return multiply_add_loop<16>(); }
#if defined(__x86_64__)
__attribute__((target("avx2,fma"))) float fp32_256() { return multiply_add_loop<32>(); }
__attribute__((target("avx512f"))) float fp32_512() { return multiply_add_loop<64>(); }

// In assembly, so that the loops are the instructions and nothing else, whatever the compiler thinks of their
// results.
#define GLMOCR_TWELVE(op, operands)                                                      \
  op operands ", %%zmm0\n" op operands ", %%zmm1\n" op operands ", %%zmm2\n" op operands \
              ", %%zmm3\n" op operands ", %%zmm4\n" op operands ", %%zmm5\n" op operands \
              ", %%zmm6\n" op operands ", %%zmm7\n" op operands ", %%zmm8\n" op operands \
              ", %%zmm9\n" op operands ", %%zmm10\n" op operands ", %%zmm11\n"
#define GLMOCR_TWELVE_ZMM \
  "zmm0", "zmm1", "zmm2", "zmm3", "zmm4", "zmm5", "zmm6", "zmm7", "zmm8", "zmm9", "zmm10", "zmm11"

__attribute__((target("avx512f"))) float pairs_512() {
  const __m512i a = _mm512_set1_epi16(0x3F80);
  for (int step = 0; step < kSteps; ++step) {
    __asm__ volatile(GLMOCR_TWELVE("vdpbf16ps", " %0, %0") : : "v"(a) : GLMOCR_TWELVE_ZMM);
  }
  return 0;
}

__attribute__((target("avx512f"))) float int8_512() {
  const __m512i a = _mm512_set1_epi16(0x0102);
  for (int step = 0; step < kSteps; ++step) {
    __asm__ volatile(GLMOCR_TWELVE("vpdpbusd", " %0, %0") : : "v"(a) : GLMOCR_TWELVE_ZMM);
  }
  return 0;
}

// Four tiles of sums, two of either operand. Their values are not zero: zeros take less power, and the loop would
// run faster than any product.
constexpr int kTileSteps = 1 << 14;
float tiles() {
  alignas(64) std::uint16_t values[16 * 32];
  for (std::size_t i = 0; i < std::size(values); ++i) {  // of either sign, about 1 in size
    values[i] = static_cast<std::uint16_t>(0x3F00 + i * 37 % 256 + i * 11 % 2 * 0x8000);
  }
  struct alignas(64) Shapes {
    std::uint8_t palette = 1, start_row = 0, reserved[14] = {};
    std::uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
    std::uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
  };
  const Shapes shapes;
  __asm__ volatile("ldtilecfg %0" : : "m"(shapes));
  __asm__ volatile(
      "tilezero %%tmm0\n tilezero %%tmm1\n tilezero %%tmm2\n tilezero %%tmm3\n"
      "tileloadd (%0,%1,1), %%tmm4\n tileloadd (%0,%1,1), %%tmm5\n"
      "tileloadd (%0,%1,1), %%tmm6\n tileloadd (%0,%1,1), %%tmm7\n"
      :
      : "r"(values), "r"(std::int64_t{64})
      : "memory");
  for (int step = 0; step < kTileSteps; ++step) {
    __asm__ volatile(
        "tdpbf16ps %tmm6, %tmm4, %tmm0\n tdpbf16ps %tmm7, %tmm4, %tmm1\n"
        "tdpbf16ps %tmm6, %tmm5, %tmm2\n tdpbf16ps %tmm7, %tmm5, %tmm3\n");
  }
  __asm__ volatile("tilerelease");
  return 0;
}
#endif

// By processor time all threads together take as many times the time of one.
double time_of(ThreadPool& pool, Clock clock, const std::function<void()>& run) {
  return seconds(run, clock) / (clock == Clock::processor ? pool.size() : 1);
}

double operations_per_second(ThreadPool& pool, const Loop& loop, Clock clock) {
  if (!loop.run) return 0;
  volatile float sink = 0;
  const double time = time_of(
      pool, clock, [&] { pool.parallel_for(pool.size(), 1, [&](auto, auto) { sink = loop.run(); }); });
  return loop.operations * pool.size() / time;
}

// Of memory in the pages that packed weights lie in.
double bytes_per_second(ThreadPool& pool, Clock clock) {
  constexpr std::int64_t count = 128 << 20;  // 1 GiB: larger than every cache
  const HugeMemory memory(nullptr, 8 * count, "the measurement of reading");
  auto* words = reinterpret_cast<std::uint64_t*>(memory.data());
  std::fill(words, words + count, 1);
  volatile std::uint64_t sink = 0;
  const double time = time_of(pool, clock, [&] {
    pool.parallel_for(count, 1 << 16, [&](std::int64_t begin, std::int64_t end) {
      std::uint64_t sums[8] = {};
      for (std::int64_t i = begin; i < end; i += 8) {
        for (int lane = 0; lane < 8; ++lane) sums[lane] += words[i + lane];
      }
      sink = sums[0] + sums[3];
    });
  });
  return 8.0 * static_cast<double>(count) / time;
}

struct Loops {
  Loop fp32, pairs, tiles, int8;
};

Loops loops_of(std::string_view isa) {
  Loops loops{.fp32 = {fp32_128, multiply_adds(4)}, .pairs = {}, .tiles = {}, .int8 = {}};
#if defined(__x86_64__)
  const bool amx = isa == "amx", bf16 = amx || isa == "avx512_bf16";
  if (isa == "avx2") loops.fp32 = {fp32_256, multiply_adds(8)};
  if (bf16 || isa == "avx512") loops.fp32 = {fp32_512, multiply_adds(16)};
  if (bf16) loops.pairs = {pairs_512, 2 * multiply_adds(16)};
  if (bf16) loops.int8 = {int8_512, 4 * multiply_adds(16)};
  if (amx) loops.tiles = {tiles, 4.0 * 2 * 16 * 16 * 32 * kTileSteps};
#else
  (void)isa;
#endif
  return loops;
}

}  // namespace

Peaks measure_peaks(ThreadPool& pool, std::string_view isa, Clock clock) {
  const Loops loops = loops_of(isa);
  Peaks peaks;
  peaks.fp32 = operations_per_second(pool, loops.fp32, clock);
  peaks.pairs = operations_per_second(pool, loops.pairs, clock);
  peaks.tiles = operations_per_second(pool, loops.tiles, clock);
  peaks.int8 = operations_per_second(pool, loops.int8, clock);
  peaks.bytes = bytes_per_second(pool, clock);
  return peaks;
}

}  // namespace glmocr::cpu
