// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <algorithm>

namespace glmocr {

// What a device can do at most, measured in loops that do nothing else; 0 where it is not known or there is no such
// instruction.
struct Peaks {
  double fp32 = 0;   // floating-point operations per second: fused multiply-adds in registers
  double pairs = 0;  // the same for bf16, by vdpbf16ps
  double tiles = 0;  // the same for bf16, in AMX tiles
  double int8 = 0;   // operations per second of int8, by vpdpbusd
  double bytes = 0;  // bytes read from memory per second

  // Of products of bf16.
  double bf16() const { return std::max(pairs, tiles); }
};

}  // namespace glmocr
