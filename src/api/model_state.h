// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "glmocr/model.h"
#include "models/glm_ocr/glm_ocr.h"

namespace glmocr {

// What a Model shares among its copies. The device goes last.
struct Model::State {
  std::string path;
  std::int64_t memory_limit = 0;
  std::unique_ptr<Device> device;
  std::unique_ptr<GlmOcr> network;
  std::mutex device_mutex;               // held while a forward pass uses the device
  std::atomic<bool> has_engine = false;  // an engine's thread owns the device
};

// One pass over a whole prompt, no decoding: logits of its last position.
Logits forward(const GlmOcr& network, const Prompt& prompt, std::span<const PreprocessedImage> images,
               const TensorSink& sink = {});

// Pictures as the network takes them. Throws Error{input} naming the picture's place.
std::vector<PreprocessedImage> preprocess_all(std::span<const Image> images, const PreprocessConfig& config,
                                              SmallPrint small_print);

std::vector<GridTHW> grids_of(std::span<const PreprocessedImage> images);
std::vector<std::array<int, 3>> to_public(std::span<const GridTHW> grids);

}  // namespace glmocr
