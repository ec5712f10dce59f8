// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cuda.h>

#include <cstdint>

#include "kernels/cuda/mma.cuh"

// The tensor cores of Hopper (sm_90a), by warpgroup of 128 threads, and what feeds them: names as in PTX. A warp
// group issues products that run by themselves; their operands lie in shared memory.
namespace glmocr::cuda {

// Tiles of rows of 64 bf16 (128 bytes), swizzled as mma.cuh's swizzled<8>, at multiples of 1024 bytes. The
// descriptor of such a tile: eight rows are 1024 bytes apart.
__device__ __forceinline__ std::uint64_t tile_descriptor(std::uint32_t address) {
  constexpr std::uint64_t k128ByteSwizzle = std::uint64_t{1} << 62,
                          kEightRows = std::uint64_t{1024 >> 4} << 32;
  return k128ByteSwizzle | kEightRows | std::uint64_t{1} << 16 | ((address & 0x3FFFFu) >> 4);
}

__device__ __forceinline__ void wgmma_begin() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
__device__ __forceinline__ void wgmma_commit() {
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}
template <int kPending>
__device__ __forceinline__ void wgmma_wait() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kPending) : "memory");
}

// The compiler moves no computation of these registers across this point. Products read and write registers by
// themselves between wgmma_begin and wgmma_wait, which it does not know: so this stands before the one for what they
// take and add to, and behind the other for their results.
template <int kTiles>
__device__ __forceinline__ void pin(float (&d)[kTiles][4]) {
#pragma unroll
  for (int j = 0; j < kTiles; ++j) {
    asm volatile("" : "+f"(d[j][0]), "+f"(d[j][1]), "+f"(d[j][2]), "+f"(d[j][3])::"memory");
  }
}
template <int kTiles>
__device__ __forceinline__ void pin(std::uint32_t (&a)[kTiles][4]) {
#pragma unroll
  for (int j = 0; j < kTiles; ++j) {
    asm volatile("" : "+r"(a[j][0]), "+r"(a[j][1]), "+r"(a[j][2]), "+r"(a[j][3])::"memory");
  }
}

// The descriptors of places in a tile, whose address is below 2^18.
struct TileDescriptor {
  std::uint32_t low;

  __device__ __forceinline__ explicit TileDescriptor(std::uint32_t address)
      : low((address & 0x3FFFFu) >> 4 | 0x10000u) {}
  // `bytes` behind its beginning, a multiple of 16: one addition.
  __device__ __forceinline__ std::uint64_t at(std::uint32_t bytes) const {
    constexpr std::uint32_t kHigh = 1u << 30 | 1024 >> 4;  // swizzled, eight rows
    std::uint64_t descriptor;
    asm("mov.b64 %0, {%1, %2};" : "=l"(descriptor) : "r"(low + (bytes >> 4)), "r"(kHigh));
    return descriptor;
  }
};

// Names and operands of results in assembly: ten registers from 10t on, four columns of eight.
#define GLMOCR_TEN(t) \
  "%" #t "0,%" #t "1,%" #t "2,%" #t "3,%" #t "4,%" #t "5,%" #t "6,%" #t "7,%" #t "8,%" #t "9"
#define GLMOCR_EIGHT(j) "+f"(d[j][0]), "+f"(d[j][1]), "+f"(d[j][2]), "+f"(d[j][3])
#define GLMOCR_COLUMNS(j) GLMOCR_EIGHT(j), GLMOCR_EIGHT(j + 1), GLMOCR_EIGHT(j + 2), GLMOCR_EIGHT(j + 3)

// d (+)= a · b with a [64, 16] and b [16, 8n] from tiles whose rows are those of a and the columns of b. d is [64, 8n]:
// warp w of the group holds rows 16w … 16w + 15 as mma() does, d[j] columns 8j … 8j + 7.
__device__ __forceinline__ void wgmma(float (&d)[8][4], std::uint64_t a, std::uint64_t b, bool add) {
  asm volatile(
      "{.reg .pred p; setp.ne.b32 p, %34, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 {" GLMOCR_TEN() "," GLMOCR_TEN(1) "," GLMOCR_TEN(
          2) ",%30,%31}, %32, %33, p, 1, 1, 0, 0;}\n"
      : GLMOCR_COLUMNS(0), GLMOCR_COLUMNS(4)
      : "l"(a), "l"(b), "r"(static_cast<int>(add)));
}
__device__ __forceinline__ void add_wgmma(float (&d)[16][4], std::uint64_t a, std::uint64_t b) {
  asm volatile(
      "wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 {" GLMOCR_TEN() "," GLMOCR_TEN(1) "," GLMOCR_TEN(
          2) "," GLMOCR_TEN(3) "," GLMOCR_TEN(4) "," GLMOCR_TEN(5) ",%60,%61,%62,%63}, %64, %65, 1, 1, 1, 0, 0;\n"
      : GLMOCR_COLUMNS(0), GLMOCR_COLUMNS(4), GLMOCR_COLUMNS(8), GLMOCR_COLUMNS(12)
      : "l"(a), "l"(b));
}
__device__ __forceinline__ void add_wgmma(float (&d)[20][4], std::uint64_t a, std::uint64_t b) {
  asm volatile(
      "wgmma.mma_async.sync.aligned.m64n160k16.f32.bf16.bf16 {" GLMOCR_TEN() "," GLMOCR_TEN(1) "," GLMOCR_TEN(
          2) "," GLMOCR_TEN(3) "," GLMOCR_TEN(4) "," GLMOCR_TEN(5) "," GLMOCR_TEN(6) "," GLMOCR_TEN(
          7) "}, %80, %81, 1, 1, 1, 0, 0;\n"
      : GLMOCR_COLUMNS(0), GLMOCR_COLUMNS(4), GLMOCR_COLUMNS(8), GLMOCR_COLUMNS(12), GLMOCR_COLUMNS(16)
      : "l"(a), "l"(b));
}
__device__ __forceinline__ void add_wgmma(float (&d)[32][4], std::uint64_t a, std::uint64_t b) {
  asm volatile(
      "wgmma.mma_async.sync.aligned.m64n256k16.f32.bf16.bf16 {" GLMOCR_TEN() "," GLMOCR_TEN(1) "," GLMOCR_TEN(
          2) "," GLMOCR_TEN(3) "," GLMOCR_TEN(4) "," GLMOCR_TEN(5) "," GLMOCR_TEN(6) "," GLMOCR_TEN(7) "," GLMOCR_TEN(
          8) "," GLMOCR_TEN(9) "," GLMOCR_TEN(10) "," GLMOCR_TEN(11) ",%120,%121,%122,%123,%124,%125,%126,%127}, "
      "%128, %129, 1, 1, 1, 0, 0;\n"
      : GLMOCR_COLUMNS(0), GLMOCR_COLUMNS(4), GLMOCR_COLUMNS(8), GLMOCR_COLUMNS(12), GLMOCR_COLUMNS(16),
        GLMOCR_COLUMNS(20), GLMOCR_COLUMNS(24), GLMOCR_COLUMNS(28)
      : "l"(a), "l"(b));
}

// The same with a from registers. a is [64, 16]: warp w of the group holds rows 16w … 16w + 15 as mma() does. b is [16, 64] from
// shared memory: kTransposed names a tile whose rows are those of b, otherwise its rows are b's columns. d is
// [64, 64]: d[j] holds columns 8j … 8j + 7 as mma() does.
template <bool kTransposed>
__device__ __forceinline__ void wgmma(float (&d)[8][4], const std::uint32_t (&a)[4], std::uint64_t b,
                                      bool add) {
  asm volatile(
      "{.reg .pred p; setp.ne.b32 p, %37, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 {" GLMOCR_TEN() "," GLMOCR_TEN(1) "," GLMOCR_TEN(
          2) ",%30,%31}, {%32,%33,%34,%35}, %36, p, 1, 1, %38;}\n"
      : GLMOCR_COLUMNS(0), GLMOCR_COLUMNS(4)
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(static_cast<int>(add)),
        "n"(kTransposed ? 1 : 0));
}

#undef GLMOCR_TEN
#undef GLMOCR_EIGHT
#undef GLMOCR_COLUMNS

// A warpgroup gives registers back, or takes them: kCount for each of its threads.
template <int kCount>
__device__ __forceinline__ void shrink_registers() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(kCount));
}
template <int kCount>
__device__ __forceinline__ void grow_registers() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(kCount));
}

// Waits for the other threads of this thread's warpgroup: barrier 1 or a later one, so not in the block's first warpgroup.
__device__ __forceinline__ void warpgroup_barrier() {
  asm volatile("bar.sync %0, 128;" ::"r"(static_cast<int>(threadIdx.x / 128)) : "memory");
}

// What this thread has written to shared memory becomes visible to wgmma. Before the barrier that tells of it.
__device__ __forceinline__ void publish_to_tensor_cores() {
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

// Barriers in shared memory, for a ring of stages: `full` when the producers have filled a stage, `empty` when the
// consumers have used it. A barrier counts arrivals; its phase changes parity each time they are complete.
__device__ __forceinline__ void init_barrier(std::uint32_t barrier, int arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(barrier), "r"(arrivals) : "memory");
}
// By the thread that has initialized barriers, before the block's threads meet, or those of its cluster.
__device__ __forceinline__ void publish_barriers() {
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}
__device__ __forceinline__ void arrive(std::uint32_t barrier) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(barrier) : "memory");
}
// Tells a phase only from the one before it: a thread that comes two phases late waits for the next one of the same parity.
// So nobody may let a ring go on for others, which may not have seen the phase.
__device__ __forceinline__ void wait_for_phase(std::uint32_t barrier, int parity) {
  asm volatile(
      "{.reg .pred done;\n"
      "again: mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n"
      "@!done bra again;}\n" ::"r"(barrier),
      "r"(parity)
      : "memory");
}

// One thread announces that so many bytes will arrive, beside arriving itself.
__device__ __forceinline__ void arrive_and_expect(std::uint32_t barrier, int bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(barrier), "r"(bytes)
               : "memory");
}
// Starts the copy of a box of a matrix that begins at (column, row), as its map describes; zeros outside of the
// matrix. Its bytes arrive at the barrier.
__device__ __forceinline__ void copy_box(std::uint32_t shared, const CUtensorMap& map, int column, int row,
                                         std::uint32_t barrier) {
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%2, "
      "%3}], [%4];" ::"r"(shared),
      "l"(&map), "r"(column), "r"(row), "r"(barrier)
      : "memory");
}

// Starts a copy of bytes, a multiple of 16, between addresses that are multiples of 16. They arrive at the barrier.
__device__ __forceinline__ void copy_bytes(std::uint32_t shared, const void* from, int bytes,
                                           std::uint32_t barrier) {
  asm volatile(
      "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(shared),
      "l"(from), "r"(bytes), "r"(barrier)
      : "memory");
}

// The stages of a ring, in order: which one is next, and the parity of its phase.
template <int kStages>
struct Ring {
  int stage = 0, parity = 0;
  __device__ __forceinline__ void next() {
    if (++stage == kStages) {
      stage = 0;
      parity ^= 1;
    }
  }
};

}  // namespace glmocr::cuda
