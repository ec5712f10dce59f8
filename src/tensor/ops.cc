// SPDX-License-Identifier: Apache-2.0
#include "tensor/ops.h"

#include "base/error.h"

namespace glmocr {
namespace {

[[noreturn]] void unsupported(std::string_view operation) {
  fail(ErrorCode::device,
       cat("this device cannot run layout models (it lacks ", operation, "): use \"cpu\""));
}

}  // namespace

Tensor Ops::convolve(const Tensor&, const Weight&, const Window&, const ConvolutionOptions&) {
  unsupported("convolutions");
}
Tensor Ops::convolve_depthwise(const Tensor&, const Tensor&, const Tensor&, const Window&,
                               const ConvolutionOptions&) {
  unsupported("convolutions of single channels");
}
Tensor Ops::max_pool(const Tensor&, const Window&, const Tensor&) { unsupported("pooling"); }
Tensor Ops::enlarge(const Tensor&, const EnlargeOptions&) { unsupported("enlargement"); }
Tensor Ops::add(const Tensor&, const Tensor&) { unsupported("addition"); }
Tensor Ops::deformable_attention(const Tensor&, std::int64_t, const DeformableQueries&) {
  unsupported("deformable attention");
}
Tensor Ops::top_rows(const Tensor&, std::int64_t, std::int64_t) { unsupported("the choice of rows"); }
Tensor Ops::mask_boxes(const Tensor&, const Tensor&) { unsupported("boxes of masks"); }
Tensor Ops::refine_boxes(const Tensor&, const Tensor&) { unsupported("the refinement of boxes"); }

}  // namespace glmocr
