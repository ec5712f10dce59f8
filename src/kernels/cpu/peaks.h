// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <string_view>

#include "base/seconds.h"
#include "tensor/peaks.h"

namespace glmocr {

class ThreadPool;

namespace cpu {

// Over all threads of a pool. isa: that of the device, as Device::isa() names it. By processor time the peaks of one
// thread are those of all, taken so often.
Peaks measure_peaks(ThreadPool& pool, std::string_view isa, Clock clock);

}  // namespace cpu
}  // namespace glmocr
