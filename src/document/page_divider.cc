// SPDX-License-Identifier: Apache-2.0
#include "document/page_divider.h"

#include <chrono>
#include <utility>

#include "base/error.h"
#include "document/layer_regions.h"
#include "regions/crop.h"
#include "regions/orientation.h"
#include "regions/text_rows.h"

namespace glmocr {

Task task_of(RegionTask task) {
  if (task == RegionTask::table) return Task::table;
  return task == RegionTask::formula ? Task::formula : Task::text;
}

Image text_picture(const Image& picture) {
  constexpr int kColumns = 16, kRows = 10;  // three quarters and half of the height of letters at 200 dpi
  return framed(picture, kColumns, kRows);
}

PageDivider::PageDivider(DocumentReaderOptions options) : options_(std::move(options)) {
  if (!options_.regions) options_.regions = classical_regions();
}

std::vector<PagePart> PageDivider::divide(const SourcePage& source, Image image,
                                          std::vector<std::string>& warnings, DividedPage& divided) const {
  const auto start = std::chrono::steady_clock::now();
  DocumentPage& page = divided.page;
  const std::optional<TextLayer> layer = usable_layer(source, image, warnings);
  if (options_.turn_pages && !layer) {
    const PageAngle angle = find_angle(image);
    page.rotation = angle.rotation;
    page.skew = angle.skew;
    image = turn_back(std::move(image), angle);
  }
  page.width = image.width;
  page.height = image.height;
  page.regions = options_.regions(image);
  if (layer) take_text_layer(page.regions, *layer, image, options_.text_layer);
  std::vector<PagePart> parts;
  for (std::size_t i = 0; i < page.regions.size(); ++i) {
    const Region& region = page.regions[i];
    if (!is_read(region)) continue;
    for (Image& picture : pictures_of(region, image)) {
      if (picture.rgb.empty()) continue;
      if (looks_twice()) divided.pictures.push_back(picture);
      const Task task = task_of(region.task);
      const bool frame = looks_twice() && (task == Task::text || task == Task::formula);
      PagePart part{frame ? text_picture(picture) : std::move(picture), options_.read};
      part.read.task = task;
      part.read.prompt.reset();
      parts.push_back(std::move(part));
      divided.regions.push_back(i);
    }
  }
  if (options_.keep_images) divided.image = std::move(image);
  divided.regions_ms =
      std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
  return parts;
}

// What is read of a region, one after the other.
std::vector<Image> PageDivider::pictures_of(const Region& region, const Image& page) const {
  Image crop = crop_region(page, region, {.compat = options_.compat_crops});
  std::vector<Image> pictures;
  const bool is_text = region.task == RegionTask::text || region.task == RegionTask::none;
  if (looks_twice() && is_text) pictures = reading_pieces(crop);
  if (pictures.empty()) pictures.push_back(std::move(crop));
  return pictures;
}

bool PageDivider::looks_twice() const { return options_.second_look && !options_.compat_crops; }

bool PageDivider::is_read(const Region& region) const {
  if (options_.text_layer == TextLayerUse::only || region.content) return false;
  if (region.task == RegionTask::none) return options_.read_all;
  return region.task != RegionTask::picture;
}

// The page's own text, if it is to be used.
std::optional<TextLayer> PageDivider::usable_layer(const SourcePage& source, const Image& image,
                                                   std::vector<std::string>& warnings) const {
  if (options_.text_layer == TextLayerUse::off) return std::nullopt;
  const bool only = options_.text_layer == TextLayerUse::only;
  std::optional<TextLayer> layer;
  try {
    layer = source.document->text_layer(source.index);
  } catch (const Error& error) {
    if (only || error.code() == ErrorCode::cancelled) throw;
    warnings.push_back(cat(error.what(), " (its own text; it is read from its picture)"));
    return std::nullopt;
  }
  if (only && !layer)
    return TextLayer{.width = image.width, .height = image.height, .lines = {}, .quality = {}};
  if (only || (layer && text_layer_agrees(*layer, image))) return layer;
  return std::nullopt;
}

}  // namespace glmocr
