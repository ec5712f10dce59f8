// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "kernels/cpu/cpu_ops.h"
#include "kernels/cpu/values.h"

namespace glmocr::cpu {
namespace {

// The rows of x in groups with one stride: [tokens, heads, dim] cut out of a wider matrix has two strides.
struct RowGroups {
  std::int64_t groups, group_stride;
  std::int64_t rows, row_stride;

  explicit RowGroups(const Tensor& x) {
    if (x.rank() == 3 && !x.is_contiguous()) {
      GLMOCR_CHECK(x.shape[2] <= 1 || x.strides[2] == 1);
      groups = x.shape[0], group_stride = x.strides[0], rows = x.shape[1], row_stride = x.strides[1];
    } else {
      groups = x.rows(), group_stride = x.row_stride(), rows = 1, row_stride = 0;
    }
  }
};

void for_groups(const Tensor& x, const NormOptions& options, const Tensor& y, NormTask task,
                void (*kernel)(const NormTask&), std::int64_t begin, std::int64_t end) {
  const RowGroups from(x);
  const bool single = from.rows == 1;
  task.rows = single ? end - begin : from.rows;
  for (std::int64_t g = begin; g < (single ? begin + 1 : end); ++g) {
    task.x = {at(x, g * from.group_stride), single ? from.group_stride : from.row_stride, type_of(x.dtype)};
    task.out = rows(y, g * from.rows);
    task.residual = const_rows(options.residual, g * from.rows);
    kernel(task);
  }
}

}  // namespace

Tensor CpuOps::rms_norm(const Tensor& x, const Tensor& weight, const NormOptions& options) {
  GLMOCR_CHECK(is_compute_type(x.dtype) && weight.numel() == x.columns());
  GLMOCR_CHECK(!options.residual || options.residual.dtype == x.dtype);
  const Tensor y = output(options.out, x.shape, x.dtype);
  NormTask task = {};
  task.width = x.columns(), task.weight = weight.as<float>(), task.eps = options.eps;
  const RowGroups groups(x);
  parallel(groups.groups, 8 * groups.rows * x.columns(), [&](std::int64_t begin, std::int64_t end) {
    for_groups(x, options, y, task, kernels_.rms_norm, begin, end);
  });
  return y;
}

Tensor CpuOps::layer_norm(const Tensor& x, const Tensor& weight, const Tensor& bias,
                          const NormOptions& options) {
  GLMOCR_CHECK(is_compute_type(x.dtype) && weight.numel() == x.columns() && bias.numel() == x.columns());
  GLMOCR_CHECK(!options.residual || options.residual.dtype == x.dtype);
  const Tensor y = output(options.out, x.shape, x.dtype);
  NormTask task = {};
  task.width = x.columns(), task.weight = weight.as<float>(), task.bias = bias.as<float>(),
  task.eps = options.eps;
  const RowGroups groups(x);
  parallel(groups.groups, 8 * groups.rows * x.columns(), [&](std::int64_t begin, std::int64_t end) {
    for_groups(x, options, y, task, kernels_.layer_norm, begin, end);
  });
  return y;
}

}  // namespace glmocr::cpu
