// SPDX-License-Identifier: Apache-2.0
#include "models/pp_doclayout_v3/pp_doclayout_v3.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "models/pp_doclayout_v3/backbone.h"
#include "models/pp_doclayout_v3/preprocess.h"

namespace glmocr::doclayout {
namespace {

// A result of the network in ordinary memory.
std::vector<float> fetch(Device& device, const Tensor& tensor, const char* name) {
  std::vector<float> values(tensor.numel());
  device.download(tensor, values.data());
  if (!std::all_of(values.begin(), values.end(), [](float v) { return std::isfinite(v); })) {
    fail(ErrorCode::model, cat("the layout model's ", name, " are not finite: its weights cannot be used"));
  }
  return values;
}

// The part of one page.
std::span<const float> part(const std::vector<float>& values, std::int64_t page, std::int64_t pages) {
  const std::size_t size = values.size() / pages;
  return std::span(values).subspan(page * size, size);
}

}  // namespace

std::unique_ptr<PpDocLayoutV3> PpDocLayoutV3::load(const std::filesystem::path& snapshot, Device& device,
                                                   DType compute) {
  LayoutConfig config = load_config(snapshot);
  return std::unique_ptr<PpDocLayoutV3>(
      new PpDocLayoutV3(std::move(config), SafetensorsFiles::open(snapshot), device, compute));
}

PpDocLayoutV3::PpDocLayoutV3(LayoutConfig config, SafetensorsFiles files, Device& device, DType compute)
    : config_(std::move(config)),
      weights_(load_weights(std::move(files), config_, device, compute)),
      device_(device),
      compute_(compute),
      encoder_(config_, weights_.encoder, device, compute),
      decoder_(config_, weights_.decoder, device) {
  // patchify takes a table for each channel.
  std::vector<float> table;
  for (int channel = 0; channel < 3; ++channel) {
    table.insert(table.end(), config_.normalized.begin(), config_.normalized.end());
  }
  normalized_memory_ = device.allocate(std::ssize(table) * size_of(DType::f32));
  device.upload(table.data(), normalized_memory_.view({3, 256}, DType::f32));
}

// [pages, height, width, 3]: patches of one pixel.
Tensor PpDocLayoutV3::pixels(std::span<const Image> pages) const {
  const std::int64_t rows = std::int64_t{config_.height} * config_.width;
  const Tensor all = device_.scratch({std::ssize(pages), config_.height, config_.width, 3}, compute_);
  const Tensor table = normalized_memory_.view({3, 256}, DType::f32);
  for (std::int64_t page = 0; page < std::ssize(pages); ++page) {
    const ArenaScope scope(device_);
    const Image resized = resize_plain(pages[page], config_.width, config_.height);
    const Tensor picture = device_.upload_array(resized.rgb.data(), {config_.height, config_.width, 3});
    device_.ops().patchify(picture, table,
                           {.patch_size = 1,
                            .frames = 1,
                            .merge_size = 1,
                            .out = all.slice(0, page, page + 1).reshape({rows, 3})},
                           compute_);
  }
  return all;
}

std::vector<std::vector<Region>> PpDocLayoutV3::detect(std::span<const Image> pages, float threshold,
                                                       const Observer& observer) const {
  const std::int64_t count = std::ssize(pages);
  std::vector<std::vector<Region>> regions;
  if (count == 0) return regions;
  const ArenaScope scope(device_);
  const Tensor pixels = this->pixels(pages);
  observe(observer, "pixel_values", pixels);
  const auto stages = run_backbone(Maps(device_, compute_), config_.backbone, weights_.backbone, pixels);
  for (int i = 0; i < std::ssize(stages); ++i) observe(observer, "backbone.stages.", i, stages[i]);
  const Encoded encoded = encoder_.run(stages, observer);
  const Decoded decoded = decoder_.run(encoded, observer);
  const std::vector<float> logits = fetch(device_, decoded.logits, "logits");
  const std::vector<float> boxes = fetch(device_, decoded.boxes, "boxes");
  const std::vector<float> order = fetch(device_, decoded.order_points, "order logits");
  const std::vector<float> queries = fetch(device_, decoded.mask_queries, "masks");
  const std::vector<float> masks = fetch(device_, encoded.masks, "masks");
  for (std::int64_t page = 0; page < count; ++page) {
    PageOutputs outputs;
    outputs.queries = config_.decoder.queries;
    outputs.classes = static_cast<int>(std::ssize(config_.labels));
    outputs.order_head = config_.decoder.order_head;
    outputs.prototypes = config_.encoder.prototypes;
    outputs.mask_width = static_cast<int>(encoded.masks.size(2));
    outputs.mask_height = static_cast<int>(encoded.masks.size(1));
    outputs.logits = part(logits, page, count);
    outputs.boxes = part(boxes, page, count);
    outputs.order_points = part(order, page, count);
    outputs.mask_queries = part(queries, page, count);
    outputs.masks = part(masks, page, count);
    regions.push_back(find_regions(outputs, config_, pages[page].width, pages[page].height, threshold));
  }
  return regions;
}

}  // namespace glmocr::doclayout
