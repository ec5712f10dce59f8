// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace glmocr::cli {

// GB/s (1e9 bytes per second) at which `threads` threads read memory: the best of a few passes over a block
// that is larger than the caches. Takes about a tenth of a second.
double memory_bandwidth(int threads);

}  // namespace glmocr::cli
