// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "tensor/device.h"

namespace glmocr::cuda {

// Whether Ops::decoder_layers of this device gives the bits of the operations one by one. Its blocks wait for each other, which
// no other kernel's do; so it is tried when the device is opened, in some milliseconds.
bool decoder_layers_work(Device& device);

}  // namespace glmocr::cuda
