// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <string_view>

namespace glmocr {

class ThreadPool;

// What a machine can do at most over all threads of a pool, measured in loops that do nothing else. 0 where the
// instruction set has no such instruction.
struct Peaks {
  double fp32 = 0;   // floating-point operations per second: fused multiply-adds in registers
  double pairs = 0;  // the same for bf16, by vdpbf16ps
  double tiles = 0;  // the same for bf16, in AMX tiles
  double int8 = 0;   // operations per second of int8, by vpdpbusd
  double bytes = 0;  // bytes read from memory per second
};

// isa: that of the device, as Device::isa() names it.
Peaks measure_peaks(ThreadPool& pool, std::string_view isa);

}  // namespace glmocr
