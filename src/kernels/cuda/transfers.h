// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <array>
#include <list>
#include <optional>

#include "kernels/cuda/context.h"

namespace glmocr::cuda {

// Copies from host to device through a ring of page-locked memory: the caller may reuse its memory at once,
// and the copy waits for nothing but its place in the stream.
class Uploads {
 public:
  explicit Uploads(const Context& context);
  void upload(const void* host, void* to, std::int64_t bytes);

 private:
  static constexpr std::int64_t kHalf = std::int64_t{4} << 20;
  const Context& context_;
  PinnedMemory ring_;               // two halves
  std::array<Event, 2> half_read_;  // the device has read this half
  int half_ = 0;
  std::int64_t used_ = 0;  // of this half
};

// Copies within the device that were asked for outside of a step, each with an event behind it: where nothing
// has written to the target since, its bytes can be fetched while later steps run.
class FinishedCopies {
 public:
  explicit FinishedCopies(const Context& context) : context_(context) {}
  void add(const Range& target);
  void drop(const Range& written);  // forgets the copies whose target this overlaps
  void drop_all();
  // The event behind the copy that wrote these bytes, or null.
  cudaEvent_t find(const Range& bytes) const;

 private:
  static constexpr std::size_t kMost = 32;
  struct Copy {
    Range target;
    Event event;
  };
  const Context& context_;
  std::list<Copy> copies_;  // oldest first
  std::list<Copy> free_;    // events for reuse
};

}  // namespace glmocr::cuda
