// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "kernels/cpu/cpu_ops.h"
#include "kernels/cpu/values.h"

namespace glmocr::cpu {

Tensor CpuOps::swiglu(const Tensor& gate, const Tensor& up) {
  const std::int64_t rows = gate.rows(), width = gate.columns();
  GLMOCR_CHECK(is_compute_type(gate.dtype) && up.shape == gate.shape && up.dtype == gate.dtype);
  const Tensor y = device_.scratch({rows, width}, gate.dtype);
  const Type type = type_of(gate.dtype);
  const std::int64_t gate_stride = gate.row_stride(), up_stride = up.row_stride();
  parallel(rows, 3 * width * size_of(gate.dtype), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t r = begin; r < end; ++r) {
      kernels_.swiglu(at(y, r * width), at(gate, r * gate_stride), at(up, r * up_stride), type, width);
    }
  });
  return y;
}

Tensor CpuOps::activate(const Tensor& x, Activation activation) {
  const std::int64_t rows = x.rows(), width = x.columns(), stride = x.row_stride();
  GLMOCR_CHECK(is_compute_type(x.dtype));
  const Tensor y = device_.scratch({rows, width}, x.dtype);
  parallel(rows, 2 * width * size_of(x.dtype), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t r = begin; r < end; ++r) {
      kernels_.activate(at(y, r * width), at(x, r * stride), type_of(x.dtype), width,
                        nonlinearity_of(activation));
    }
  });
  return y;
}

}  // namespace glmocr::cpu
