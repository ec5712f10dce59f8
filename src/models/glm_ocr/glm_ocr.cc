// SPDX-License-Identifier: Apache-2.0
#include "models/glm_ocr/glm_ocr.h"

#include <utility>

namespace glmocr {
namespace {

Buffer upload_normalized(const PreprocessConfig& config, Device& device) {
  const NormalizedBytes values = normalized_bytes(config);
  Buffer buffer = device.allocate(sizeof values);
  device.upload(values.data(), buffer.view({3, 256}, DType::f32));
  return buffer;
}

}  // namespace

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
      normalized_(upload_normalized(config_.preprocess, device)),
      vision_(config_, weights_.vision, device),
      decoder_(config_, weights_.decoder, device, compute) {}

Tensor GlmOcr::patches(std::span<const PreprocessedImage* const> images) const {
  const PreprocessConfig& c = config_.preprocess;
  std::int64_t count = 0;
  for (const PreprocessedImage* image : images) count += image->grid.patches();
  const std::int64_t width = 3 * std::int64_t{c.temporal_patch_size} * c.patch_size * c.patch_size;
  const Tensor patches = device_.scratch({count, width}, compute_);
  const Tensor normalized = normalized_.view({3, 256}, DType::f32);
  std::int64_t begin = 0;
  for (const PreprocessedImage* image : images) {
    const Image& picture = image->resized;
    GLMOCR_CHECK(picture.height == image->grid.h * c.patch_size &&
                 picture.width == image->grid.w * c.patch_size);
    const Tensor host(const_cast<std::uint8_t*>(picture.rgb.data()), {picture.height, picture.width, 3},
                      DType::u8);
    const std::int64_t end = begin + image->grid.patches();
    device_.ops().patchify(device_.borrow(host), normalized,
                           {.patch_size = c.patch_size,
                            .frames = c.temporal_patch_size,
                            .merge_size = c.merge_size,
                            .out = patches.slice(0, begin, end)},
                           compute_);
    begin = end;
  }
  return patches;
}

}  // namespace glmocr
