// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <filesystem>
#include <memory>
#include <span>

#include "models/glm_ocr/config.h"
#include "models/glm_ocr/decoder.h"
#include "models/glm_ocr/prompt.h"
#include "models/glm_ocr/vision.h"
#include "models/glm_ocr/weights.h"

namespace glmocr {

// A snapshot's files, read once for all devices that run it.
struct Snapshot {
  GlmOcrConfig config;
  std::shared_ptr<const Tokenizer> tokenizer;
  SafetensorsFiles files;

  // `folder` holds config.json, tokenizer.json and safetensors. Throws Error{model}.
  static Snapshot open(const std::filesystem::path& folder);
};

// A loaded snapshot on a device: configuration, tokenizer, weights and the two networks that use them. Not
// movable, because the networks refer to its weights.
class GlmOcr {
 public:
  // The device must outlive the model. Throws Error{model}, Error{memory}.
  static std::unique_ptr<GlmOcr> load(const Snapshot& snapshot, Device& device, DType compute,
                                      Quantization quantization = Quantization::none);
  // The same for the snapshot in a folder.
  static std::unique_ptr<GlmOcr> load(const std::filesystem::path& folder, Device& device, DType compute,
                                      Quantization quantization = Quantization::none);

  GlmOcr(const Snapshot& snapshot, Weights weights, Device& device, DType compute);
  GlmOcr(const GlmOcr&) = delete;
  GlmOcr& operator=(const GlmOcr&) = delete;

  const GlmOcrConfig& config() const { return config_; }
  const Tokenizer& tokenizer() const { return *tokenizer_; }
  const Weights& weights() const { return weights_; }
  const VisionEncoder& vision() const { return vision_; }
  const Decoder& decoder() const { return decoder_; }
  Device& device() const { return device_; }
  DType compute() const { return compute_; }

  // The normalised patches [begin, end) of the pictures, both multiples of merge_size²: [end - begin, 3 · temporal ·
  // patch · patch] in the arena, in the order of Ops::patchify. The pictures must not change until the step has
  // ended.
  Tensor patches(std::span<const PreprocessedImage* const> images, std::int64_t begin,
                 std::int64_t end) const;

 private:
  GlmOcrConfig config_;
  std::shared_ptr<const Tokenizer> tokenizer_;
  Weights weights_;
  Device& device_;
  void patches_of(const PreprocessedImage& image, std::int64_t begin, std::int64_t end,
                  const Tensor& out) const;

  DType compute_;
  Buffer normalized_;  // [3, 256] f32: normalized_bytes of preprocess.h
  VisionEncoder vision_;
  Decoder decoder_;
};

}  // namespace glmocr
