// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "kernels/kernels.h"

namespace glmocr {

// Instruction sets this machine can run, best first: amx, avx512_bf16, avx512, avx2, baseline.
std::vector<std::string> available_cpu_isas();

// `name`: an instruction set, or "" for the best. Throws Error{device} naming the available ones.
std::unique_ptr<Device> open_cpu_device(const std::string& name, const DeviceOptions& options);

}  // namespace glmocr
