// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "kernels/host/arena.h"
#include "tensor/tensor.h"

namespace glmocr::cuda {

// Throws Error{device} ("cuda:0: rms_norm: …") unless the call succeeded.
void check(cudaError_t status, const std::string& device, const char* what);

// A block of device memory with its share of the budget. Move-only. For BlockArena and buffers.
class DeviceMemory {
 public:
  // On the current card. Throws Error{memory} where the budget or the card has too little left.
  DeviceMemory(std::shared_ptr<MemoryBudget> budget, std::int64_t bytes, std::string_view what);

  std::byte* data() const { return memory_.get(); }
  std::int64_t bytes() const { return share_.bytes(); }

 private:
  struct Free {
    void operator()(std::byte* memory) const { cudaFree(memory); }
  };
  MemoryShare share_;
  std::unique_ptr<std::byte, Free> memory_;
};

// Page-locked host memory that the device can read and write.
class PinnedMemory {
 public:
  PinnedMemory(std::int64_t bytes, const std::string& device);
  std::byte* data() const { return memory_.get(); }
  std::int64_t bytes() const { return bytes_; }

 private:
  struct Free {
    void operator()(std::byte* memory) const { cudaFreeHost(memory); }
  };
  std::int64_t bytes_;
  std::unique_ptr<std::byte, Free> memory_;
};

class Stream {
 public:
  explicit Stream(const std::string& device);
  ~Stream() { cudaStreamDestroy(stream_); }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  operator cudaStream_t() const { return stream_; }

 private:
  cudaStream_t stream_ = nullptr;
};

class Event {
 public:
  explicit Event(const std::string& device);
  ~Event();
  Event(Event&& other) noexcept : event_(std::exchange(other.event_, nullptr)) {}
  Event& operator=(Event&& other) noexcept {
    std::swap(event_, other.event_);
    return *this;
  }
  operator cudaEvent_t() const { return event_; }

 private:
  cudaEvent_t event_ = nullptr;
};

// Bytes of device memory.
struct Range {
  const std::byte* begin = nullptr;
  const std::byte* end = nullptr;
  bool overlaps(const Range& other) const { return begin < other.end && other.begin < end; }
  bool contains(const Range& other) const { return begin <= other.begin && other.end <= end; }
};

inline Range range_of(const Tensor& t) {
  std::int64_t last = 0;  // element
  for (int i = 0; i < t.rank(); ++i) last += (t.shape[i] - 1) * t.strides[i];
  const auto* data = static_cast<const std::byte*>(t.data);
  return {data, data + (t.numel() == 0 ? 0 : (last + 1) * size_of(t.dtype))};
}

// What a kernel of a step has found: an index outside of its tensor, blocks that waited for each other in vain, or a sequence
// with more rows than its context. Of several the last.
enum StepFault : std::int32_t { kNoFault, kIndexOutside, kWaitedInVain, kRowsWithoutKeys };

// What the kernels are launched on. Owned by the device.
struct Context {
  std::string device;             // "cuda:0"
  int index = 0;                  // of the card
  int processors = 0;             // multiprocessors of the card
  int capability = 0;             // 90: sm_90
  std::size_t shared_memory = 0;  // bytes that a block may have
  bool hopper = false;            // the kernels for Hopper (*_sm90.cu) are in use
  bool short_products = false;    // as DeviceOptions
  bool layers_at_once = false;    // Ops::decoder_layers is in use
  bool programmatic = false;      // launches may overlap with the end of the kernel before (launch.h)
  cudaStream_t stream = nullptr;
  // A StepFault, set by kernels: host memory that the device can write.
  volatile std::int32_t* step_fault = nullptr;
  // [kCounterWords]: zeros, for kernels whose last block gathers what the others left, and from kPlaces on bytes of 0xFF, for
  // blocks that hand each other values (decoder_layers.cuh). Kernels leave them so.
  std::int32_t* counters = nullptr;

  // A launch that waits for others like it, or for one that does its work (linear_few.cu). Whatever is launched next runs
  // it first. Beside it stands what it computes: one of the two.
  std::function<void()> delayed;
  std::shared_ptr<void> delayed_group, delayed_norm;
  std::function<void()> take_delayed() {
    delayed_group.reset();
    delayed_norm.reset();
    return std::exchange(delayed, nullptr);
  }
  void run_delayed() {
    if (!delayed) return;
    take_delayed()();
  }

  bool recording = false;      // a step is being recorded: nothing runs yet
  std::int64_t launches = 0;   // of kernels outside of recorded steps
  std::vector<Range> written;  // by the step being recorded, outside of the arena
};
// Whether the kernels for Hopper can run: the card is one, and its own code was built (sm_90a), not only PTX (sm90.cu).
bool has_sm90_code(const Context& context);
// One for each row and head; behind them the one of linear_few.cu, and what blocks of decoder_row_sm90.cu hand each other.
inline constexpr std::int64_t kCounters = 1 << 16, kPlaces = kCounters + 32, kPlacesWords = 15 << 10,
                              kCounterWords = kPlaces + kPlacesWords;

}  // namespace glmocr::cuda
