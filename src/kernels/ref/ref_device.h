// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <memory>

#include "kernels/kernels.h"

namespace glmocr {

// The definition of the operations: plain loops over values read as fp32, with sums in double.
std::unique_ptr<Device> open_ref_device(const DeviceOptions& options);

}  // namespace glmocr
