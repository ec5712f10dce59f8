// SPDX-License-Identifier: Apache-2.0
#include "tensor/device.h"

#include "base/error.h"

namespace glmocr {

Weight Device::prepare_int8(const Tensor&, const Tensor&, Buffer&) {
  fail(ErrorCode::device, cat("the device ", name(), " does not multiply in eight bits"));
}

}  // namespace glmocr
