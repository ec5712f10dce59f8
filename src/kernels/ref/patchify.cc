// SPDX-License-Identifier: Apache-2.0
#include "kernels/ref/ref_ops.h"
#include "kernels/ref/values.h"

namespace glmocr::ref {

Tensor RefOps::patchify(const Tensor& picture, const Tensor& normalized, const PatchOptions& options,
                        DType compute) {
  const std::int64_t height = picture.size(0), width = picture.size(1);
  const std::int64_t patch = options.patch_size, merge = options.merge_size, unit = patch * merge;
  GLMOCR_CHECK(picture.size(2) == 3 && height % unit == 0 && width % unit == 0);
  GLMOCR_CHECK(picture.is_contiguous() && normalized.is_contiguous() && normalized.numel() == 3 * 256);
  const std::int64_t all = height / patch * (width / patch), values = 3 * options.frames * patch * patch;
  const std::int64_t patches = options.count > 0 ? options.count : all - options.first;
  GLMOCR_CHECK(options.first >= 0 && options.first + patches <= all);
  const Tensor y = output(options.out, {patches, values}, compute);
  for (std::int64_t p = 0; p < patches; ++p) {
    const std::int64_t block = (options.first + p) / (merge * merge), blocks = width / unit;
    const std::int64_t within = (options.first + p) % (merge * merge);
    const std::int64_t top = (block / blocks * merge + within / merge) * patch;
    const std::int64_t left = (block % blocks * merge + within % merge) * patch;
    for (std::int64_t i = 0; i < values; ++i) {
      const std::int64_t channel = i / (options.frames * patch * patch);
      const std::int64_t row = top + i / patch % patch, column = left + i % patch;
      const std::uint8_t byte = picture.as<std::uint8_t>()[(row * width + column) * 3 + channel];
      put(y, p * y.row_stride() + i, normalized.as<float>()[channel * 256 + byte]);
    }
  }
  return y;
}

}  // namespace glmocr::ref
