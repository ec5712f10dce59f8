// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace glmocr::cli {

// Bytes a second, in 1e9, at which `threads` threads read memory here: the best of a few passes over a block
// that no cache holds. Takes about a tenth of a second.
double memory_bandwidth(int threads);

}  // namespace glmocr::cli
