// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cuda.h>
#include <cuda_bf16.h>

#include <cstdint>

#include "kernels/cuda/context.h"

namespace glmocr::cuda {

// A matrix of bf16 rows for copy_box (wgmma.cuh), in boxes of 64 columns, swizzled as wgmma reads them. Rows are
// multiples of 16 bytes apart. Throws Error{device} naming the operation.
CUtensorMap tensor_map(const Context& context, const char* operation, const __nv_bfloat16* matrix,
                       std::int64_t stride, int rows, int columns, unsigned box_rows);

}  // namespace glmocr::cuda
