// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <functional>
#include <string>

#include "tensor/tensor.h"

namespace glmocr {

// Receives intermediate tensors under the names of docs/model.md while a model runs. Empty in normal use.
using Observer = std::function<void(const std::string& name, const Tensor& tensor)>;

// The name is built only where there is an observer.
inline void observe(const Observer& observer, const char* name, const Tensor& tensor) {
  if (observer) observer(name, tensor);
}
inline void observe(const Observer& observer, const char* prefix, std::int64_t index, const Tensor& tensor) {
  if (observer) observer(prefix + std::to_string(index), tensor);
}

}  // namespace glmocr
