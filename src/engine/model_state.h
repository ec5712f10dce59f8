// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/memory_budget.h"
#include "glmocr/model.h"
#include "models/glm_ocr/glm_ocr.h"

namespace glmocr {

// A model on one device.
struct Replica {
  std::shared_ptr<MemoryBudget> memory;
  std::unique_ptr<Device> device;
  std::unique_ptr<GlmOcr> network;
  std::int64_t memory_used = 0;  // bytes of the budget that the loaded model takes
};

// What the copies of a Model share. Filled by api, which opens the devices; used by the engine.
struct Model::State {
  std::string path;                      // of the snapshot's folder
  std::vector<Replica> replicas;         // one or more, in the order of LoadOptions::device
  std::mutex device_mutex;               // held while a forward pass uses the first device
  std::atomic<bool> has_engine = false;  // the engine's threads own the devices

  const GlmOcr& network() const { return *replicas.front().network; }
};

// Access to the private parts of Model, for the library's own code.
struct ModelAccess {
  using State = Model::State;
  static Model make(std::shared_ptr<State> state) { return Model(std::move(state)); }
  static State& state(const Model& model) { return *model.state_; }
};

}  // namespace glmocr
