// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <filesystem>

#include "glmocr/quantize.h"

namespace glmocr {

// quantize_snapshot of a snapshot's folder.
QuantizedSnapshot quantize_files(const std::filesystem::path& from, const std::filesystem::path& to);

}  // namespace glmocr
