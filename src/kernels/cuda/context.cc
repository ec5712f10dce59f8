// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda/context.h"

#include "base/memory.h"

namespace glmocr::cuda {
namespace {

[[noreturn]] void fail_without_memory(std::int64_t bytes, std::size_t available, std::size_t total) {
  int index = 0;
  cudaGetDevice(&index);
  fail(ErrorCode::memory, cat("cuda:", index, " has no ", size_text(bytes), " of memory left: ",
                              size_text(available), " of ", size_text(total), " are free"));
}

std::byte* device_memory(std::int64_t bytes) {
  // Asking takes longer than most allocations, so only large ones are compared with what other programs leave.
  constexpr std::int64_t kLarge = std::int64_t{1} << 30;
  std::size_t available = 0, total = 0;
  if (bytes >= kLarge && cudaMemGetInfo(&available, &total) == cudaSuccess &&
      available < static_cast<std::size_t>(bytes)) {
    fail_without_memory(bytes, available, total);
  }
  void* memory = nullptr;
  const cudaError_t status = cudaMalloc(&memory, std::max<std::int64_t>(bytes, 1));
  if (status == cudaSuccess) return static_cast<std::byte*>(memory);
  cudaGetLastError();  // the error has been seen
  if (status != cudaErrorMemoryAllocation || cudaMemGetInfo(&available, &total) != cudaSuccess) {
    check(status, "cuda", "cudaMalloc");
  }
  fail_without_memory(bytes, available, total);
}

}  // namespace

void check(cudaError_t status, const std::string& device, const char* what) {
  if (status == cudaSuccess) return;
  cudaGetLastError();  // the next call must not report it again
  fail(ErrorCode::device,
       cat(device, ": ", what, ": ", cudaGetErrorString(status), " (", cudaGetErrorName(status), ")"));
}

DeviceMemory::DeviceMemory(std::shared_ptr<MemoryBudget> budget, std::int64_t bytes, std::string_view what)
    : share_(std::move(budget), bytes, what), memory_(device_memory(bytes)) {}

PinnedMemory::PinnedMemory(std::int64_t bytes, const std::string& device) : bytes_(bytes) {
  void* memory = nullptr;
  check(cudaMallocHost(&memory, bytes), device, "cudaMallocHost");
  memory_.reset(static_cast<std::byte*>(memory));
}

Stream::Stream(const std::string& device) {
  check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), device, "cudaStreamCreate");
}

Event::Event(const std::string& device) {
  check(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming), device, "cudaEventCreate");
}

Event::~Event() {
  if (event_) cudaEventDestroy(event_);
}

}  // namespace glmocr::cuda
