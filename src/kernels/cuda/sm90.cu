// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda/launch.h"

namespace glmocr::cuda {
namespace {

// Has shared memory only in code for sm_90a.
__global__ void probe_kernel([[maybe_unused]] int* out) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  __shared__ int word;
  word = *out;
  __syncthreads();
  *out = word + 1;
#endif
}

}  // namespace

bool has_sm90_code(const Context& context) {
  static const bool built = [] {
    cudaFuncAttributes attributes{};
    const bool found = cudaFuncGetAttributes(&attributes, probe_kernel) == cudaSuccess;
    cudaGetLastError();
    return found && attributes.sharedSizeBytes > 0;
  }();
  return context.capability == 90 && built;
}

}  // namespace glmocr::cuda
