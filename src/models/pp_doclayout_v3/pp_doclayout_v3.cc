// SPDX-License-Identifier: Apache-2.0
#include "models/pp_doclayout_v3/pp_doclayout_v3.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include "base/memory_budget.h"
#include "base/numbers.h"
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

// The first `count` pages of the memory that stays. Where that is too small, it is made anew: then the recorded steps, which
// hold its addresses, are forgotten.
PpDocLayoutV3::Pages PpDocLayoutV3::room_for(std::int64_t count) {
  const std::int64_t queries = config_.decoder.queries, classes = std::ssize(config_.labels);
  const Shape masks{1, config_.height / 4, config_.width / 4, config_.encoder.prototypes};
  const auto of_page = [&](const Shape& shape, DType dtype) {
    return round_up<std::int64_t>(shape.numel() * size_of(dtype), 256);
  };
  Pages all;
  const auto each = [&](auto visit) {
    visit(all.pictures, Shape{1, config_.height, config_.width, 3}, DType::u8);
    visit(all.logits, Shape{queries, classes}, DType::f32);
    visit(all.boxes, Shape{queries, 4}, DType::f32);
    visit(all.order_points, Shape{queries, 2 * std::int64_t{config_.decoder.order_head}}, DType::f32);
    visit(all.mask_queries, Shape{queries, config_.encoder.prototypes}, DType::f32);
    visit(all.masks, masks, DType::f32);
  };
  if (count > capacity_) {
    std::int64_t bytes = 0;
    each([&](Tensor&, const Shape& shape, DType dtype) { bytes += of_page(shape, dtype) * count; });
    give_back();
    pages_memory_ = device_.allocate(bytes);
    capacity_ = count;
  }
  std::int64_t offset = 0;
  each([&](Tensor& tensor, Shape shape, DType dtype) {
    const std::int64_t bytes = of_page(shape, dtype) * capacity_;
    shape[0] *= count;
    tensor = pages_memory_.view(shape, dtype, offset);
    offset += bytes;
  });
  return all;
}

// [pages, height, width, 3]: patches of one pixel.
Tensor PpDocLayoutV3::pixels(const Tensor& pictures) const {
  const std::int64_t rows = std::int64_t{config_.height} * config_.width, count = pictures.size(0);
  const Tensor all = device_.scratch({count, config_.height, config_.width, 3}, compute_);
  const Tensor table = normalized_memory_.view({3, 256}, DType::f32);
  for (std::int64_t page = 0; page < count; ++page) {
    device_.ops().patchify(pictures.slice(0, page, page + 1).reshape({config_.height, config_.width, 3}),
                           table,
                           {.patch_size = 1,
                            .frames = 1,
                            .merge_size = 1,
                            .out = all.slice(0, page, page + 1).reshape({rows, 3})},
                           compute_);
  }
  return all;
}

// From the pictures to the results, all in `pages`.
void PpDocLayoutV3::run(const Pages& pages, const Observer& observer) const {
  const Tensor pixels = this->pixels(pages.pictures);
  observe(observer, "pixel_values", pixels);
  const auto stages = run_backbone(Maps(device_, compute_), config_.backbone, weights_.backbone, pixels);
  for (int i = 0; i < std::ssize(stages); ++i) observe(observer, "backbone.stages.", i, stages[i]);
  const Encoded encoded = encoder_.run(stages, observer);
  const Decoded decoded = decoder_.run(encoded, observer);
  device_.copy(decoded.logits, pages.logits);
  device_.copy(decoded.boxes, pages.boxes);
  device_.copy(decoded.order_points, pages.order_points);
  device_.copy(decoded.mask_queries, pages.mask_queries);
  device_.copy(encoded.masks, pages.masks);
}

void PpDocLayoutV3::run_network(std::int64_t count) {
  const Pages pages = room_for(count);
  device_.run_step(StepKey{.rows = static_cast<int>(count)}, [&] { run(pages, {}); });
}

PpDocLayoutV3::Pages PpDocLayoutV3::pass(std::span<const Image> images, const Observer& observer) {
  const std::int64_t count = std::ssize(images);
  const Pages pages = room_for(count);
  for (std::int64_t page = 0; page < count; ++page) {
    const Image resized = resize_plain(images[page], config_.width, config_.height);
    device_.upload(resized.rgb.data(), pages.pictures.slice(0, page, page + 1));
  }
  if (observer) {
    device_.run_step([&] { run(pages, observer); });
  } else {
    run_network(count);
  }
  return pages;
}

// An arena that grows while a pass runs takes more than the pass needs, and earlier passes over more pages may have left
// little. So where memory is short, all of it is given back, and the pass gets what the limit leaves in one piece:
// whether it fits does not depend on what ran before.
PpDocLayoutV3::Pages PpDocLayoutV3::pass_with_room(std::span<const Image> images, const Observer& observer) {
  std::optional<Error> first;
  try {
    return pass(images, observer);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::memory) throw;
    first = error;
  }
  give_back();
  const MemoryBudget& memory = *device_.memory();
  if (memory.limit() == 0) throw Error(*first);
  try {
    room_for(std::ssize(images));
    device_.reserve_arena(memory.limit() - memory.used());
    return pass(images, observer);
  } catch (const Error& error) {
    give_back();
    if (error.code() != ErrorCode::memory) throw;
  }
  throw Error(*first);
}

void PpDocLayoutV3::give_back() {
  device_.forget_steps();
  capacity_ = 0;
  pages_memory_ = {};
  device_.reserve_arena(0);
}

std::vector<std::vector<Region>> PpDocLayoutV3::detect(std::span<const Image> images, float threshold,
                                                       const Observer& observer) {
  const std::int64_t count = std::ssize(images);
  std::vector<std::vector<Region>> regions;
  if (count == 0) return regions;
  const Pages pages = pass_with_room(images, observer);
  const std::vector<float> logits = fetch(device_, pages.logits, "logits");
  const std::vector<float> boxes = fetch(device_, pages.boxes, "boxes");
  const std::vector<float> order = fetch(device_, pages.order_points, "order logits");
  const std::vector<float> queries = fetch(device_, pages.mask_queries, "masks");
  const std::vector<float> masks = fetch(device_, pages.masks, "masks");
  for (std::int64_t page = 0; page < count; ++page) {
    PageOutputs outputs;
    outputs.queries = config_.decoder.queries;
    outputs.classes = static_cast<int>(std::ssize(config_.labels));
    outputs.order_head = config_.decoder.order_head;
    outputs.prototypes = config_.encoder.prototypes;
    outputs.mask_width = static_cast<int>(pages.masks.size(2));
    outputs.mask_height = static_cast<int>(pages.masks.size(1));
    outputs.logits = part(logits, page, count);
    outputs.boxes = part(boxes, page, count);
    outputs.order_points = part(order, page, count);
    outputs.mask_queries = part(queries, page, count);
    outputs.masks = part(masks, page, count);
    regions.push_back(find_regions(outputs, config_, images[page].width, images[page].height, threshold));
  }
  return regions;
}

}  // namespace glmocr::doclayout
