// SPDX-License-Identifier: Apache-2.0
#include "models/glm_ocr/glm_ocr.h"

#include <utility>
#include <vector>

namespace glmocr {

std::unique_ptr<GlmOcr> GlmOcr::load(const std::filesystem::path& snapshot, Device& device, DType compute) {
  GlmOcrConfig config = load_config(snapshot);
  Tokenizer tokenizer = Tokenizer::load(snapshot / "tokenizer.json");
  check_special_tokens(config, tokenizer);
  Weights weights = load_weights(SafetensorsFiles::open(snapshot), config, device, compute);
  return std::make_unique<GlmOcr>(std::move(config), std::move(tokenizer), std::move(weights), device,
                                  compute);
}

GlmOcr::GlmOcr(GlmOcrConfig config, Tokenizer tokenizer, Weights weights, Device& device, DType compute)
    : config_(std::move(config)),
      tokenizer_(std::move(tokenizer)),
      weights_(std::move(weights)),
      device_(device),
      compute_(compute),
      vision_(config_, weights_.vision, device),
      decoder_(config_, weights_.decoder, device, compute) {}

Tensor GlmOcr::patches(std::span<const PreprocessedImage> images) const {
  const PreprocessConfig& c = config_.preprocess;
  const std::int64_t width = 3 * std::int64_t{c.temporal_patch_size} * c.patch_size * c.patch_size;
  std::int64_t rows = 0;
  for (const PreprocessedImage& image : images) rows += image.grid.patches();
  const Tensor patches = device_.scratch({rows, width}, compute_);
  std::int64_t row = 0;
  for (const PreprocessedImage& image : images) {
    const Tensor part = patches.slice(0, row, row + image.grid.patches());
    if (compute_ == DType::bf16) {
      std::vector<std::uint16_t> values(static_cast<std::size_t>(part.numel()));
      write_patches(image, c, values.data());
      device_.upload(values.data(), part);
    } else {
      std::vector<float> values(static_cast<std::size_t>(part.numel()));
      write_patches(image, c, values.data());
      device_.upload(values.data(), part);
    }
    row += image.grid.patches();
  }
  return patches;
}

}  // namespace glmocr
