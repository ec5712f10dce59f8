// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <functional>
#include <vector>

#include "kernels/cuda/context.h"
#include "tensor/device.h"

namespace glmocr::cuda {

// Steps recorded as CUDA graphs. A graph holds the addresses of the arena at the time of its recording.
class RecordedSteps {
 public:
  explicit RecordedSteps(Context& context) : context_(context) {}
  ~RecordedSteps() { clear(); }
  RecordedSteps(const RecordedSteps&) = delete;
  RecordedSteps& operator=(const RecordedSteps&) = delete;

  struct Step {
    StepKey key;
    cudaGraphExec_t graph = nullptr;
    std::vector<Range> written;  // outside of the arena
    std::int64_t last_used = 0;
  };

  Step* find(const StepKey& key);
  // Records what the body launches. An exception of the body leaves nothing recorded.
  Step& record(const StepKey& key, const std::function<void()>& body);
  void launch(Step& step);
  void clear();

 private:
  static constexpr std::size_t kMost = 96;  // graphs kept at once; each takes some memory of the card
  void forget_oldest();

  Context& context_;
  std::vector<Step> steps_;
  std::int64_t time_ = 0;
};

}  // namespace glmocr::cuda
