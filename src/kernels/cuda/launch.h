// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cuda_runtime.h>

#include <utility>

#include "kernels/cuda/context.h"

namespace glmocr::cuda {

// From sm_90 on a kernel starts while the one before it ends (programmatic dependent launch), so that its start
// costs no time. So every kernel calls this before it reads or writes what another kernel may use. It waits
// until the kernel before has ended; that one has waited in its turn. Weights may be read earlier, and what no kernel of
// the recorded step has written (PagedAttention::settled).
__device__ __forceinline__ void wait_for_previous() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

// The next kernel may start its blocks as this one's processors become free. Called first in every kernel, but by the one
// of all layers (decoder_row_sm90.cu) in its last layer.
__device__ __forceinline__ void let_next_start() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

// kernel<<<grid, block, shared>>>(arguments...) on the context's stream, in clusters of `cluster` blocks beside each other.
// An empty grid does nothing. Throws Error{device} naming the operation.
template <class... Parameters, class... Arguments>
void launch_clusters(Context& context, const char* operation, void (*kernel)(Parameters...), int cluster,
                     dim3 grid, dim3 block, std::size_t shared, Arguments&&... arguments) {
  context.run_delayed();
  if (std::size_t{grid.x} * grid.y * grid.z == 0) return;
  if (!context.recording) ++context.launches;
  if (shared > (48 << 10)) {
    check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shared)),
          context.device, operation);
  }
  cudaLaunchAttribute attributes[2]{};
  cudaLaunchConfig_t config{};
  config.gridDim = grid;
  config.blockDim = block;
  config.dynamicSmemBytes = shared;
  config.stream = context.stream;
  config.attrs = attributes;
  if (context.programmatic) {
    cudaLaunchAttribute& attribute = attributes[config.numAttrs++];
    attribute.id = cudaLaunchAttributeProgrammaticStreamSerialization;
    attribute.val.programmaticStreamSerializationAllowed = 1;
  }
  if (cluster > 1) {
    cudaLaunchAttribute& attribute = attributes[config.numAttrs++];
    attribute.id = cudaLaunchAttributeClusterDimension;
    attribute.val.clusterDim.x = static_cast<unsigned>(cluster);
    attribute.val.clusterDim.y = attribute.val.clusterDim.z = 1;
  }
  check(cudaLaunchKernelEx(&config, kernel, static_cast<Parameters>(arguments)...), context.device,
        operation);
}

// The same without clusters.
template <class... Parameters, class... Arguments>
void launch(Context& context, const char* operation, void (*kernel)(Parameters...), dim3 grid, dim3 block,
            std::size_t shared, Arguments&&... arguments) {
  launch_clusters(context, operation, kernel, 1, grid, block, shared, std::forward<Arguments>(arguments)...);
}

}  // namespace glmocr::cuda
