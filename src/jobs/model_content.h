// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <filesystem>
#include <string>

namespace glmocr {

// A number, in hexadecimal digits, that tells the files of a snapshot's folder from others in their place: those of JSON by
// all they hold, those of weights by name, size and pieces of at most 1 MiB apart, so that other weights of the same names
// and shapes are told too. It is the same on every machine and for every copy. Throws Error{input} naming a file that cannot
// be read.
std::string model_content(const std::filesystem::path& snapshot);

}  // namespace glmocr
