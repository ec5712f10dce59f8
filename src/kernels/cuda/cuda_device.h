// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "kernels/kernels.h"

namespace glmocr {

// "cuda:0" … of the cards that can be used; empty where there is no card or driver, or where this build has no
// CUDA.
std::vector<std::string> available_cuda_devices();

// Throws Error{device}: no such card, no driver, or a build without CUDA.
std::unique_ptr<Device> open_cuda_device(const std::string& name, const DeviceOptions& options);

}  // namespace glmocr
