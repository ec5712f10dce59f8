// SPDX-License-Identifier: Apache-2.0
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>

#include "kernels/cpu/isa.h"

namespace glmocr::cpu {

namespace baseline {
const KernelTable& kernel_table();
}
namespace avx2 {
const KernelTable& kernel_table();
}
namespace avx512 {
const KernelTable& kernel_table();
}
namespace avx512_bf16 {
const KernelTable& kernel_table();
}
namespace amx {
const KernelTable& kernel_table();
}

namespace {

// CPUID leaves 1 and 7, and XCR0, which tells the register state that the system saves (Intel SDM volume 2,
// CPUID and XGETBV).
struct Features {
  std::uint32_t leaf1_ecx = 0, leaf7_ebx = 0, leaf7_ecx = 0, leaf7_edx = 0, leaf7_1_eax = 0;
  std::uint64_t saved_state = 0;

  Features() {
    unsigned a = 0, b = 0, c = 0, d = 0;
    if (!__get_cpuid(1, &a, &b, &c, &d)) return;
    leaf1_ecx = c;
    if (leaf1_ecx >> 27 & 1) {  // OSXSAVE
      std::uint32_t low = 0, high = 0;
      __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
      saved_state = std::uint64_t{high} << 32 | low;
    }
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return;
    leaf7_ebx = b;
    leaf7_ecx = c;
    leaf7_edx = d;
    if (a >= 1 && __get_cpuid_count(7, 1, &a, &b, &c, &d)) leaf7_1_eax = a;
  }
};

const Features& features() {
  static const Features found;
  return found;
}

constexpr bool all_bits(std::uint64_t value, std::uint64_t mask) { return (value & mask) == mask; }

[[maybe_unused]] bool has_avx2() {
  const Features& f = features();
  return all_bits(f.leaf1_ecx, 1u << 12 | 1u << 28 | 1u << 29)  // FMA, AVX, F16C
         && all_bits(f.leaf7_ebx, 1u << 5)                      // AVX2
         && all_bits(f.saved_state, 0x6);                       // XMM, YMM
}

[[maybe_unused]] bool has_avx512() {
  const Features& f = features();
  return has_avx2() && all_bits(f.leaf7_ebx, 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31)  // F, DQ, BW, VL
         && all_bits(f.saved_state, 0xE6);                                               // opmask, ZMM
}

[[maybe_unused]] bool has_avx512_bf16() {
  const Features& f = features();
  return has_avx512() && all_bits(f.leaf7_1_eax, 1u << 5)  // AVX512_BF16
         && all_bits(f.leaf7_ecx, 1u << 11);               // AVX512_VNNI
}

// Linux grants the 8 KB of tile state only to a process that requests it (Documentation/x86/xstate.rst).
[[maybe_unused]] bool may_use_tiles() {
  constexpr long kRequestPermission = 0x1023, kTileData = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
  static const bool granted = ::syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
  return granted;
}

[[maybe_unused]] bool has_amx() {
  const Features& f = features();
  return has_avx512_bf16() && all_bits(f.leaf7_edx, 1u << 22 | 1u << 24 | 1u << 25)  // AMX-BF16, TILE, INT8
         && all_bits(f.saved_state, 0x60000)                                         // TILECFG, TILEDATA
         && may_use_tiles();
}

bool always() { return true; }

}  // namespace

// GLMOCR_CPU_SETS says which are compiled (CMakeLists.txt).
std::span<const Isa> compiled_isas() {
  static constexpr Isa isas[] = {
#ifdef GLMOCR_HAS_AMX
      {"amx", amx::kernel_table, has_amx, false},
#endif
#ifdef GLMOCR_HAS_AVX512_BF16
      {"avx512_bf16", avx512_bf16::kernel_table, has_avx512_bf16, true},
#endif
#ifdef GLMOCR_HAS_AVX512
      {"avx512", avx512::kernel_table, has_avx512, false},
#endif
#ifdef GLMOCR_HAS_AVX2
      {"avx2", avx2::kernel_table, has_avx2, false},
#endif
      {"baseline", baseline::kernel_table, always, false},
  };
  return isas;
}

}  // namespace glmocr::cpu
