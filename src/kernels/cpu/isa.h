// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <span>
#include <string_view>

#include "kernels/cpu/kernel_table.h"

namespace glmocr::cpu {

// An instruction set that is compiled in: its kernels, and whether this processor and system can run them.
struct Isa {
  std::string_view name;
  const KernelTable& (*table)();
  bool (*available)();
  bool onednn;  // dense bf16 products go to oneDNN (onednn.h) where that is built in
};

// Best first. In isa_x86.cc or isa_generic.cc, depending on the target.
std::span<const Isa> compiled_isas();

}  // namespace glmocr::cpu
