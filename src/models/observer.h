// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <functional>
#include <string>

#include "tensor/tensor.h"

namespace glmocr {

// Sees intermediate tensors under the names of docs/model.md while a model runs. Empty in normal use.
using Observer = std::function<void(const std::string& name, const Tensor& tensor)>;

inline void observe(const Observer& observer, const std::string& name, const Tensor& tensor) {
  if (observer) observer(name, tensor);
}

}  // namespace glmocr
