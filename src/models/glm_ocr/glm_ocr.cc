// SPDX-License-Identifier: Apache-2.0
#include "models/glm_ocr/glm_ocr.h"

#include <algorithm>
#include <utility>

#include "base/numbers.h"

namespace glmocr {
namespace {

Buffer upload_normalized(const PreprocessConfig& config, Device& device) {
  const NormalizedBytes values = normalized_bytes(config);
  Buffer buffer = device.allocate(sizeof values);
  device.upload(values.data(), buffer.view({3, 256}, DType::f32));
  return buffer;
}

}  // namespace

Snapshot Snapshot::open(const std::filesystem::path& folder) {
  Snapshot snapshot;
  snapshot.config = load_config(folder);
  snapshot.tokenizer = std::make_shared<const Tokenizer>(Tokenizer::load(folder / "tokenizer.json"));
  check_special_tokens(snapshot.config, *snapshot.tokenizer);
  snapshot.files = SafetensorsFiles::open(folder);
  return snapshot;
}

std::unique_ptr<GlmOcr> GlmOcr::load(const Snapshot& snapshot, Device& device, DType compute,
                                     Quantization quantization) {
  Weights weights = load_weights(snapshot.files, snapshot.config, device, compute, quantization);
  return std::make_unique<GlmOcr>(snapshot, std::move(weights), device, compute);
}

std::unique_ptr<GlmOcr> GlmOcr::load(const std::filesystem::path& folder, Device& device, DType compute,
                                     Quantization quantization) {
  return load(Snapshot::open(folder), device, compute, quantization);
}

GlmOcr::GlmOcr(const Snapshot& snapshot, Weights weights, Device& device, DType compute)
    : config_(snapshot.config),
      tokenizer_(snapshot.tokenizer),
      weights_(std::move(weights)),
      device_(device),
      compute_(compute),
      normalized_(upload_normalized(config_.preprocess, device)),
      vision_(config_, weights_.vision, device, compute),
      decoder_(config_, weights_.decoder, device, compute) {}

Tensor GlmOcr::patches(std::span<const PreprocessedImage* const> images, std::int64_t begin,
                       std::int64_t end) const {
  const PreprocessConfig& c = config_.preprocess;
  const std::int64_t width = 3 * std::int64_t{c.temporal_patch_size} * c.patch_size * c.patch_size;
  const Tensor patches = device_.scratch({end - begin, width}, compute_);
  std::int64_t first = 0;  // of the picture
  for (const PreprocessedImage* image : images) {
    const std::int64_t from = std::max(begin, first), to = std::min(end, first + image->grid.patches());
    if (from < to) patches_of(*image, from - first, to - first, patches.slice(0, from - begin, to - begin));
    first += image->grid.patches();
  }
  return patches;
}

// Of one picture. The device is given only the rows of pixels that hold these patches.
void GlmOcr::patches_of(const PreprocessedImage& image, std::int64_t begin, std::int64_t end,
                        const Tensor& out) const {
  const PreprocessConfig& c = config_.preprocess;
  const Image& picture = image.resized;
  GLMOCR_CHECK(picture.height == image.grid.h * c.patch_size && picture.width == image.grid.w * c.patch_size);
  const std::int64_t row_patches = std::int64_t{image.grid.w} * c.merge_size;  // of a row of blocks
  const std::int64_t row_height = std::int64_t{c.patch_size} * c.merge_size;
  const std::int64_t first_row = begin / row_patches, last_row = divide_up(end, row_patches);
  const Tensor host(const_cast<std::uint8_t*>(picture.rgb.data()), {picture.height, picture.width, 3},
                    DType::u8);
  const Tensor rows = host.slice(0, first_row * row_height, last_row * row_height);
  device_.ops().patchify(device_.borrow(rows), normalized_.view({3, 256}, DType::f32),
                         {.patch_size = c.patch_size,
                          .frames = c.temporal_patch_size,
                          .merge_size = c.merge_size,
                          .first = begin - first_row * row_patches,
                          .count = end - begin,
                          .out = out},
                         compute_);
}

}  // namespace glmocr
