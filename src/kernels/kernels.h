// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/memory_budget.h"
#include "base/threads.h"
#include "tensor/device.h"
#include "tensor/ops.h"

namespace glmocr {

struct DeviceOptions {
  int threads = 0;                       // 0: default_thread_count()
  std::shared_ptr<ThreadPool> pool;      // null: the shared pool of `threads` threads
  std::shared_ptr<MemoryBudget> memory;  // the budget of the device; null: one without a limit
  // In fp32 products with weights sixteen bits of each operand may count, two numbers of bf16, where that is faster: on
  // cards. A product has about 5 digits then.
  bool short_products = false;
};

// "cpu" (the best kernels that this machine runs, or those that GLMOCR_CPU_ISA names), "cpu:avx2" etc., "ref"
// (plain loops that define the operations), "cuda:0" etc. (a card of NVIDIA), "auto" (the first of the available
// devices: a card where there is one, else "cpu"). Throws Error{device} naming the available devices.
std::unique_ptr<Device> open_device(std::string_view name, const DeviceOptions& options = {});

// Every name but "auto" that open_device accepts on this machine, best first.
std::vector<std::string> available_devices();

}  // namespace glmocr
