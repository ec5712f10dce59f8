// SPDX-License-Identifier: Apache-2.0
// hOCR 1.2: pages, areas (one for each region), paragraphs, lines and words with their boxes in pixels. For OCRmyPDF and
// other programs that lay text over pictures; the structure is that of Tesseract's hOCR, which these expect.
#include <algorithm>
#include <cmath>
#include <utility>

#include "base/error.h"
#include "formats/markup.h"
#include "formats/word_layout.h"
#include "formats/writers.h"

namespace glmocr::formats {
namespace {

constexpr std::string_view kHead =
    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
    "<!DOCTYPE html PUBLIC \"-//W3C//DTD XHTML 1.0 Transitional//EN\" "
    "\"http://www.w3.org/TR/xhtml1/DTD/xhtml1-transitional.dtd\">\n"
    "<html xmlns=\"http://www.w3.org/1999/xhtml\">\n"
    "<head>\n<title></title>\n"
    "<meta http-equiv=\"Content-Type\" content=\"text/html;charset=utf-8\"/>\n"
    "<meta name=\"ocr-system\" content=\"glm-ocr.cpp\"/>\n"
    "<meta name=\"ocr-capabilities\" content=\"ocr_page ocr_carea ocr_par ocr_line ocrx_word ocr_photo\"/>\n"
    "</head>\n<body>\n";

long pixel(double value) { return std::lround(value); }

std::string bbox(const Box& box) {
  return cat("bbox ", pixel(box.x0), " ", pixel(box.y0), " ", pixel(box.x1), " ", pixel(box.y1));
}

// A title holds a file name between quotation marks.
std::string quoted(const std::string& file) {
  std::string name;
  for (const char c : file) name += c == '"' ? '\'' : c;
  return escaped("\"" + name + "\"");
}

class HocrWriter final : public DocumentWriter {
 public:
  explicit HocrWriter(FormatOptions options) : options_(std::move(options)) {}

  std::string page(const DocumentPage& page) override {
    std::string out = pages_ == 0 ? std::string(kHead) : "";
    out += cat("<div class=\"ocr_page\" id=\"page_", pages_ + 1, "\" title=\"image ", quoted(page.file),
               "; bbox 0 0 ", page.width, " ", page.height, "; ppageno ", pages_, "\">\n");
    for (std::size_t i = 0; i < page.regions.size(); ++i) out += region(page, i);
    ++pages_;
    return out + "</div>\n";
  }

  std::string end() override { return (pages_ == 0 ? std::string(kHead) : "") + "</body>\n</html>\n"; }

 private:
  std::string region(const DocumentPage& page, std::size_t index) const {
    const Region& region = page.regions[index];
    const std::string id = cat(pages_ + 1, "_", index + 1);
    const std::string title = bbox(on_page(region.box, page));
    if (region.task == RegionTask::picture) {
      return cat("<div class=\"ocr_photo\" id=\"photo_", id, "\" title=\"", title, "\"></div>\n");
    }
    const std::vector<PlacedText> lines = placed_lines(page, index, options_);
    if (lines.empty()) return "";
    std::string out = cat("<div class=\"ocr_carea\" id=\"block_", id, "\" title=\"", title,
                          "\">\n<p class=\"ocr_par\" id=\"par_", id, "\" title=\"", title, "\">\n");
    const long confidence = std::lround(100 * word_confidence(region));
    for (std::size_t i = 0; i < lines.size(); ++i) out += line(lines[i], cat(id, "_", i + 1), confidence);
    return out + "</p>\n</div>\n";
  }

  static std::string line(const PlacedText& line, const std::string& id, long confidence) {
    std::string out =
        cat("<span class=\"ocr_line\" id=\"line_", id, "\" title=\"", bbox(line.box), "; baseline 0 0\">");
    for (std::size_t i = 0; i < line.words.size(); ++i) {
      if (i > 0) out += ' ';
      out +=
          cat("<span class=\"ocrx_word\" id=\"word_", id, "_", i + 1, "\" title=\"", bbox(line.words[i].box),
              "; x_wconf ", confidence, "\">", escaped(line.words[i].text), "</span>");
    }
    return out + "</span>\n";
  }

  FormatOptions options_;
  int pages_ = 0;
};

}  // namespace

std::unique_ptr<DocumentWriter> hocr_writer(FormatOptions options) {
  return std::make_unique<HocrWriter>(std::move(options));
}

}  // namespace glmocr::formats
