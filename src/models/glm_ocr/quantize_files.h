// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <filesystem>
#include <functional>

#include "glmocr/quantize.h"

namespace glmocr {

// quantize_snapshot of a snapshot's folder that can be loaded.
QuantizedSnapshot quantize_files(const std::filesystem::path& from, const std::filesystem::path& to,
                                 const std::function<bool()>& cancelled);

}  // namespace glmocr
