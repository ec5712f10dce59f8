// SPDX-License-Identifier: Apache-2.0
// For builds without CUDA.
#include "kernels/cuda/cuda_device.h"

namespace glmocr {

std::vector<std::string> available_cuda_devices() { return {}; }

std::unique_ptr<Device> open_cuda_device(const std::string& name, const DeviceOptions&) {
  fail(ErrorCode::device,
       cat("device \"", name, "\": this build has no CUDA (configure with -DGLMOCR_CUDA=ON); available: ",
           join(available_devices(), ", ")));
}

}  // namespace glmocr
