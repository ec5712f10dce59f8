// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

namespace glmocr::cli {

// The bytes of a NumPy file, version 1.0: little-endian float32 in C order; `values` has the shape `shape`.
// Format: numpy.lib.format.
std::string npy_bytes(std::span<const std::int64_t> shape, std::span<const float> values);

// Writes <folder>/<name>.npy atomically. Throws Error{input} naming the file.
void write_npy(const std::filesystem::path& folder, const std::string& name,
               std::span<const std::int64_t> shape, std::span<const float> values);

}  // namespace glmocr::cli
