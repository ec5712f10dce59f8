// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>

// Blocks of a cluster (launch_clusters in launch.h) reach into each other's shared memory: from sm_90 on; names as in
// PTX. A block may be reached once all have started (meet_in_cluster), and must not end before all that is sent to it
// has arrived.
namespace glmocr::cuda {

__device__ __forceinline__ int cluster_rank() {
  int rank;
  asm volatile("mov.u32 %0, %cluster_ctarank;" : "=r"(rank));
  return rank;
}
// The same place in the shared memory of another block of the cluster.
__device__ __forceinline__ std::uint32_t in_block(std::uint32_t shared, int rank) {
  std::uint32_t address;
  asm volatile("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(address) : "r"(shared), "r"(rank));
  return address;
}
// To a block of the cluster, both addresses from in_block: the bytes arrive at the barrier, and whoever has waited for it
// sees them.
__device__ __forceinline__ void send_8(std::uint32_t to, unsigned long long value, std::uint32_t barrier) {
  asm volatile("st.async.shared::cluster.mbarrier::complete_tx::bytes.u64 [%0], %1, [%2];" ::"r"(to),
               "l"(value), "r"(barrier)
               : "memory");
}
__device__ __forceinline__ void send_16(std::uint32_t to, const float4& value, std::uint32_t barrier) {
  asm volatile(
      "st.async.shared::cluster.mbarrier::complete_tx::bytes.v4.f32 [%0], {%1, %2, %3, %4}, [%5];" ::"r"(to),
      "f"(value.x), "f"(value.y), "f"(value.z), "f"(value.w), "r"(barrier)
      : "memory");
}

// By all threads, after publish_barriers (wgmma.cuh).
__device__ __forceinline__ void meet_in_cluster() {
  asm volatile("barrier.cluster.arrive.relaxed.aligned;\nbarrier.cluster.wait.acquire.aligned;" ::: "memory");
}

}  // namespace glmocr::cuda
