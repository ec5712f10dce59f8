// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu/isa.h"

namespace glmocr::cpu {

namespace baseline {
const KernelTable& kernel_table();
}

std::span<const Isa> compiled_isas() {
  static constexpr Isa isas[] = {{"baseline", baseline::kernel_table, [] { return true; }, false}};
  return isas;
}

}  // namespace glmocr::cpu
