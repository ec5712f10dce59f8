// SPDX-License-Identifier: Apache-2.0
// ALTO 4.2: all pages of a document in one file, a TextBlock for each region with text, an Illustration for each picture,
// tagged with the region's class. Positions are in pixels.
#include <algorithm>
#include <cmath>
#include <utility>

#include "base/error.h"
#include "formats/markup.h"
#include "formats/word_layout.h"
#include "formats/writers.h"

namespace glmocr::formats {
namespace {

// A box as attributes, never smaller than a pixel.
std::string position(const Box& box) {
  const long left = std::lround(box.x0), top = std::lround(box.y0);
  const long width = std::max(1L, std::lround(box.x1) - left),
             height = std::max(1L, std::lround(box.y1) - top);
  return cat(" HPOS=\"", left, "\" VPOS=\"", top, "\" WIDTH=\"", width, "\" HEIGHT=\"", height, "\"");
}

// The outline of a region that is no rectangle.
std::string shape(const Region& region) {
  if (region.polygon.empty()) return "";
  std::string points;
  for (const Point& point : region.polygon) {
    if (!points.empty()) points += ' ';
    points += cat(std::lround(point.x), ",", std::lround(point.y));
  }
  return "<Shape><Polygon POINTS=\"" + points + "\"/></Shape>";
}

std::string confidence_text(double confidence) { return cat(std::round(confidence * 1000) / 1000); }

class AltoWriter final : public DocumentWriter {
 public:
  explicit AltoWriter(FormatOptions options) : options_(std::move(options)) {}

  std::string page(const DocumentPage& page) override {
    std::string out = head(page.file);
    ++pages_;
    const std::string size = cat(" WIDTH=\"", page.width, "\" HEIGHT=\"", page.height, "\"");
    out += cat("<Page ID=\"page_", pages_, "\" PHYSICAL_IMG_NR=\"", shown_number(page.number), "\"", size,
               ">\n");
    out += cat("<PrintSpace HPOS=\"0\" VPOS=\"0\"", size, ">\n");
    for (std::size_t i = 0; i < page.regions.size(); ++i) out += region(page, i);
    return out + "</PrintSpace>\n</Page>\n";
  }

  std::string end() override { return head(options_.file) + "</Layout>\n</alto>\n"; }

 private:
  std::string head(const std::string& file) {
    if (std::exchange(begun_, true)) return "";
    std::string out =
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
        "<alto xmlns=\"http://www.loc.gov/standards/alto/ns-v4#\" SCHEMAVERSION=\"4.2\">\n"
        "<Description>\n<MeasurementUnit>pixel</MeasurementUnit>\n<sourceImageInformation>\n<fileName>" +
        escaped(options_.file.empty() ? file : options_.file) +
        "</fileName>\n</sourceImageInformation>\n"
        "<Processing ID=\"glm-ocr\">\n<processingSoftware>\n<softwareName>glm-ocr.cpp</softwareName>\n"
        "</processingSoftware>\n</Processing>\n</Description>\n<Tags>\n";
    for (int i = 0; i < kRegionLabels; ++i) {
      const std::string_view label = to_string(static_cast<RegionLabel>(i));
      out += cat("<LayoutTag ID=\"label_", label, "\" TYPE=\"region\" LABEL=\"", label, "\"/>\n");
    }
    return out + "</Tags>\n<Layout>\n";
  }

  std::string region(const DocumentPage& page, std::size_t index) const {
    const Region& region = page.regions[index];
    const std::string attributes =
        cat(" ID=\"block_", pages_, "_", index + 1, "\"", position(on_page(region.box, page)),
            " TAGREFS=\"label_", to_string(region.label), "\"");
    if (region.task == RegionTask::picture) {
      return "<Illustration" + attributes + ">" + shape(region) + "</Illustration>\n";
    }
    const std::vector<PlacedText> lines = placed_lines(page, index, options_);
    if (lines.empty()) return "";
    std::string out = "<TextBlock" + attributes + ">" + shape(region) + "\n";
    const std::string confidence = confidence_text(word_confidence(region));
    for (const PlacedText& text : lines) out += line(text, confidence);
    return out + "</TextBlock>\n";
  }

  static std::string line(const PlacedText& line, const std::string& confidence) {
    std::string out = "<TextLine" + position(line.box) + ">";
    for (std::size_t i = 0; i < line.words.size(); ++i) {
      if (i > 0) out += "<SP/>";
      out += cat("<String CONTENT=\"", escaped(line.words[i].text), "\"", position(line.words[i].box),
                 " WC=\"", confidence, "\"/>");
    }
    return out + "</TextLine>\n";
  }

  FormatOptions options_;
  bool begun_ = false;
  int pages_ = 0;
};

}  // namespace

std::unique_ptr<DocumentWriter> alto_writer(FormatOptions options) {
  return std::make_unique<AltoWriter>(std::move(options));
}

}  // namespace glmocr::formats
