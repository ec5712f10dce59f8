// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda/recorded_steps.h"

#include <algorithm>
#include <utility>

namespace glmocr::cuda {

RecordedSteps::Step* RecordedSteps::find(const StepKey& key) {
  const auto found =
      std::find_if(steps_.begin(), steps_.end(), [&](const Step& step) { return step.key == key; });
  return found == steps_.end() ? nullptr : &*found;
}

RecordedSteps::Step& RecordedSteps::record(const StepKey& key, const std::function<void()>& body) {
  if (steps_.size() == kMost) forget_oldest();
  const std::string& device = context_.device;
  // Relaxed: the arena may have to grow.
  check(cudaStreamBeginCapture(context_.stream, cudaStreamCaptureModeRelaxed), device,
        "cudaStreamBeginCapture");
  context_.recording = true;
  context_.written.clear();
  const auto end = [&] {
    context_.take_delayed();
    cudaGraph_t graph = nullptr;
    context_.recording = false;
    const cudaError_t status = cudaStreamEndCapture(context_.stream, &graph);
    return std::pair(graph, status);
  };
  try {
    body();
    context_.run_delayed();
  } catch (...) {
    const cudaGraph_t graph = end().first;
    if (graph) cudaGraphDestroy(graph);
    cudaGetLastError();
    throw;
  }
  const auto [graph, status] = end();
  check(status, device, "cudaStreamEndCapture");
  Step step{.key = key, .written = std::exchange(context_.written, {})};
  const cudaError_t made = cudaGraphInstantiate(&step.graph, graph, 0);
  cudaGraphDestroy(graph);
  check(made, device, "cudaGraphInstantiate");
  return steps_.emplace_back(std::move(step));
}

void RecordedSteps::launch(Step& step) {
  step.last_used = ++time_;
  check(cudaGraphLaunch(step.graph, context_.stream), context_.device, "cudaGraphLaunch");
}

void RecordedSteps::forget_oldest() {
  const auto oldest = std::min_element(
      steps_.begin(), steps_.end(), [](const Step& a, const Step& b) { return a.last_used < b.last_used; });
  cudaStreamSynchronize(context_.stream);
  cudaGraphExecDestroy(oldest->graph);
  steps_.erase(oldest);
}

void RecordedSteps::clear() {
  if (steps_.empty()) return;
  cudaStreamSynchronize(context_.stream);
  for (const Step& step : steps_) cudaGraphExecDestroy(step.graph);
  steps_.clear();
}

}  // namespace glmocr::cuda
