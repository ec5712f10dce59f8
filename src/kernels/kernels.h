// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tensor/device.h"
#include "tensor/ops.h"

namespace glmocr {

struct DeviceOptions {
  int threads = 0;                // 0: default_thread_count()
  std::int64_t memory_limit = 0;  // bytes that allocate and scratch may hold together; 0: no limit
};

// "cpu" (the best kernels this machine runs, or GLMOCR_CPU_ISA's), "cpu:avx2" and the like, "ref" (the
// definition of the operations: plain loops). Throws Error{device} naming what is available.
std::unique_ptr<Device> open_device(std::string_view name, const DeviceOptions& options = {});

// Every name that open_device accepts on this machine, best first.
std::vector<std::string> available_devices();

}  // namespace glmocr
