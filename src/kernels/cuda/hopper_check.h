// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "tensor/device.h"

namespace glmocr::cuda {

// Whether attention on this device, whose kernels for Hopper are in use, gives what plain loops on the host give.
// They rely on the order in which the compiler leaves instructions around products that run by themselves, which
// no other kernel does; so they are tried when the device is opened, in a few milliseconds.
bool hopper_kernels_work(Device& device);

}  // namespace glmocr::cuda
