// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <atomic>
#include <memory>
#include <mutex>
#include <string>

#include "base/memory_budget.h"
#include "glmocr/model.h"
#include "models/glm_ocr/glm_ocr.h"

namespace glmocr {

// What the copies of a Model share. Filled by api, which opens the device; used by the engine.
struct Model::State {
  std::string path;  // of the snapshot's folder
  std::shared_ptr<MemoryBudget> memory;
  std::unique_ptr<Device> device;
  std::unique_ptr<GlmOcr> network;
  std::int64_t memory_used = 0;          // bytes of the budget that the loaded model takes
  std::mutex device_mutex;               // held while a forward pass uses the device
  std::atomic<bool> has_engine = false;  // an engine's thread owns the device
};

// Access to the private parts of Model, for the library's own code.
struct ModelAccess {
  using State = Model::State;
  static Model make(std::shared_ptr<State> state) { return Model(std::move(state)); }
  static State& state(const Model& model) { return *model.state_; }
};

}  // namespace glmocr
