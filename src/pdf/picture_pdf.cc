// SPDX-License-Identifier: Apache-2.0
#include "pdf/picture_pdf.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/error.h"
#include "pdf/glyphless_font.h"
#include "pdf/invisible_text.h"
#include "pdf/pdf_output.h"

namespace glmocr {

using namespace pdf;

namespace {

constexpr double kEdge = 1e-3;          // pixels
constexpr double kMostPoints = 14'400;  // of a page's side (ISO 32000-1, annex C)

struct JpegHeader {
  int width = 0, height = 0, components = 0;
};

// The frame header of a JPEG file of 8 bits (ITU-T T.81, B.2.2) that is coded in a way which PDF files allow.
std::optional<JpegHeader> jpeg_header(std::string_view file) {
  const auto byte = [&](std::size_t at) {
    return at < file.size() ? static_cast<unsigned char>(file[at]) : 0;
  };
  const auto pair = [&](std::size_t at) { return byte(at) << 8 | byte(at + 1); };
  if (pair(0) != 0xFFD8) return std::nullopt;
  std::size_t at = 2;
  while (at + 4 <= file.size() && byte(at) == 0xFF) {
    const int marker = byte(at + 1);
    if (marker == 0xFF) {
      ++at;
      continue;
    }
    if (marker == 0xDA || marker == 0xD9) return std::nullopt;
    const bool frame = marker >= 0xC0 && marker <= 0xCF && marker != 0xC4 && marker != 0xC8 && marker != 0xCC;
    if (frame) {
      const JpegHeader header{pair(at + 7), pair(at + 5), byte(at + 9)};
      const bool huffman = marker <= 0xC2;
      if (!huffman || byte(at + 4) != 8 || header.width < 1 || header.height < 1 ||
          (header.components != 1 && header.components != 3))
        return std::nullopt;
      return header;
    }
    at += 2 + static_cast<std::size_t>(std::max(pair(at + 2), 2));
  }
  return std::nullopt;
}

bool is_grey(const Image& image) {
  for (std::size_t i = 0; i + 2 < image.rgb.size(); i += 3) {
    if (image.rgb[i] != image.rgb[i + 1] || image.rgb[i] != image.rgb[i + 2]) return false;
  }
  return true;
}

// Rows as PNG's filter "up" leaves them, which packs better: each value less the one above it.
std::string filtered_rows(const Image& image, std::size_t step) {
  const std::size_t row = static_cast<std::size_t>(image.width) * 3,
                    height = static_cast<std::size_t>(image.height);
  std::string data;
  data.reserve((row / step + 1) * height);
  for (std::size_t y = 0; y < height; ++y) {
    data += '\2';
    for (std::size_t x = 0; x < row; x += step) {
      const int above = y == 0 ? 0 : image.rgb[(y - 1) * row + x];
      data += static_cast<char>(image.rgb[y * row + x] - above);
    }
  }
  return data;
}

}  // namespace

struct PicturePdf::State {
  State(ByteSink sink, double resolution, std::string document)
      : output(std::move(sink)), tree(output.reserve()), dpi(resolution), name(std::move(document)) {}

  void check_size(int width, int height, const SearchablePage& page) const {
    check(page);
    const PictureSize expected = unturned_size(page);
    if (width != expected.width || height != expected.height) {
      fail(ErrorCode::input, cat(name, ": page ", page.number, ": the picture is ", width, " x ", height,
                                 " pixels, the page that was read ", expected.width, " x ", expected.height));
    }
  }

  // A page with the picture object.
  void add(int picture, const SearchablePage& page) {
    const PictureSize size = unturned_size(page);
    const double scale =
        std::min(72 / dpi, kMostPoints / std::max(size.width, size.height));  // points per pixel
    const double width = size.width * scale, height = size.height * scale;
    // A trifle inside the page: a renderer that finds it a trifle larger would stretch it by a pixel.
    const double edge = kEdge * scale;
    std::string content = cat("q ", number(width - 2 * edge), " 0 0 ", number(height - 2 * edge), " ",
                              number(edge), " ", number(edge), " cm /P Do Q\n");
    std::string fonts;
    if (!page.lines.empty()) {
      const InvisibleText text = invisible_text(page);
      fonts = cat("/Font<</F ", reference(write_glyphless_font(output, text.letters)), ">>");
      const auto [a, b, c, d, e, f] = to_unturned_picture(page);
      content += cat("q ", number(scale), " 0 0 ", number(-scale), " 0 ", number(height), " cm");
      for (const double value : {a, b, c, d, e, f}) {
        content += ' ';
        content += number(value);
      }
      content += " cm\n" + text.content + "Q\n";
    }
    const int stream = output.add_packed("", content);
    pages.push_back(output.add(cat("<</Type/Page/Parent ", reference(tree), "/MediaBox[0 0 ", number(width),
                                   " ", number(height), "]/Resources<</XObject<</P ", reference(picture),
                                   ">>", fonts, ">>/Contents ", reference(stream), ">>")));
  }

  PdfOutput output;
  int tree;
  double dpi;
  std::string name;
  std::vector<int> pages;
};

PicturePdf::PicturePdf(ByteSink sink, double dpi, std::string name)
    : state_(std::make_unique<State>(std::move(sink), dpi, std::move(name))) {}
PicturePdf::~PicturePdf() = default;

bool PicturePdf::takes_jpeg(std::string_view file) { return jpeg_header(file).has_value(); }

void PicturePdf::add_jpeg(std::string_view file, const SearchablePage& page) {
  const std::optional<JpegHeader> header = jpeg_header(file);
  if (!header) fail(ErrorCode::input, cat(state_->name, ": is no JPEG picture that a PDF file can hold"));
  state_->check_size(header->width, header->height, page);
  const int picture = state_->output.add_stream(
      cat("/Type/XObject/Subtype/Image/Width ", header->width, "/Height ", header->height, "/ColorSpace/",
          header->components == 1 ? "DeviceGray" : "DeviceRGB", "/BitsPerComponent 8/Filter/DCTDecode"),
      file);
  state_->add(picture, page);
}

void PicturePdf::add(const Image& image, const SearchablePage& page) {
  state_->check_size(image.width, image.height, page);
  const bool grey = is_grey(image);
  const int picture = state_->output.add_packed(
      cat("/Type/XObject/Subtype/Image/Width ", image.width, "/Height ", image.height, "/ColorSpace/",
          grey ? "DeviceGray" : "DeviceRGB", "/BitsPerComponent 8/DecodeParms<</Predictor 12/Colors ",
          grey ? 1 : 3, "/Columns ", image.width, ">>"),
      filtered_rows(image, grey ? 3 : 1));
  state_->add(picture, page);
}

void PicturePdf::finish() {
  std::string kids;
  for (const int page : state_->pages) kids += reference(page) + " ";
  state_->output.write(state_->tree,
                       cat("<</Type/Pages/Kids[", kids, "]/Count ", state_->pages.size(), ">>"));
  const int root = state_->output.add(cat("<</Type/Catalog/Pages ", reference(state_->tree), ">>"));
  state_->output.finish(root);
}

}  // namespace glmocr
