// SPDX-License-Identifier: Apache-2.0
// PNM, P1 to P6: plain and raw bitmaps, grey maps and pixmaps (pbm(5), pgm(5), ppm(5) of netpbm).
#include <algorithm>
#include <cmath>
#include <cstring>
#include <string_view>

#include "base/error.h"
#include "image/codec.h"

namespace glmocr {
namespace {

constexpr int kEnd = -1;
constexpr int kMaxDigits = 10;
constexpr std::int64_t kTable = 1 << 16;  // of sample values

class PnmReader {
 public:
  explicit PnmReader(const Source& source) : source_(source), position_(2) {}

  // The next number, after white space and comments.
  std::int64_t number(const char* what) {
    const int first = skip_blanks(what);
    std::int64_t value = 0;
    int digits = 0;
    for (int c = first; !is_blank(c) && c != '#' && c != kEnd; c = next(), ++digits) {
      if (c < '0' || c > '9') source_.reject(cat(what, " is not a number, at byte ", position_ - 1));
      if (digits == kMaxDigits) source_.reject(cat(what, " has more than ", kMaxDigits, " digits"));
      value = value * 10 + (c - '0');
    }
    if (last_ == '#') --position_;  // a comment follows without a blank
    return value;
  }

  // The next digit of a plain bitmap, where white space between them is optional.
  int bit() {
    const int c = skip_blanks("a pixel");
    if (c != '0' && c != '1') source_.reject(cat("a pixel is neither 0 nor 1, at byte ", position_ - 1));
    return c - '0';
  }

  const std::uint8_t* raw(std::size_t size) {
    if (size > source_.size() - position_) {
      source_.reject(
          cat("truncated file: ", size, " bytes of pixels expected, ", source_.size() - position_, " found"));
    }
    position_ += size;
    return source_.data() + position_ - size;
  }

 private:
  static bool is_blank(int c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
  int next() { return last_ = position_ < source_.size() ? source_.data()[position_++] : kEnd; }
  int skip_blanks(const char* what) {
    for (;;) {
      int c = next();
      while (c == '#') {
        while (c != '\n' && c != '\r' && c != kEnd) c = next();
      }
      if (c == kEnd) source_.reject(cat("truncated file: ", what, " is missing"));
      if (!is_blank(c)) return c;
    }
  }

  const Source& source_;
  std::size_t position_;
  int last_ = 0;
};

// What every sample value becomes in 8 bits: value / maxval · 255, rounded, as in Pillow. Grey of more than 8
// bits is scaled to 16 bits and keeps the high byte (Pillow clips it at 255).
std::vector<std::uint8_t> sample_table(int maxval, bool grey) {
  std::vector<std::uint8_t> table(maxval + 1);
  const bool deep_grey = grey && maxval > 255;
  for (int value = 0; value <= maxval; ++value) {
    const double share = 1.0 * value / maxval;
    table[value] = deep_grey ? std::lrint(share * 65535) >> 8 : std::lrint(share * 255);
  }
  return table;
}

// samples [height, width], 1 is black.
std::vector<std::uint8_t> read_bitmap(PnmReader& reader, std::size_t width, std::size_t height, bool plain) {
  std::vector<std::uint8_t> samples(width * height);
  if (plain) {
    for (std::uint8_t& sample : samples) sample = reader.bit() != 0 ? 0 : 255;
    return samples;
  }
  const std::size_t stride = (width + 7) / 8;
  const std::uint8_t* bits = reader.raw(stride * height);
  for (std::size_t y = 0; y < height; ++y) {
    for (std::size_t x = 0; x < width; ++x) {
      samples[y * width + x] = (bits[y * stride + x / 8] >> (7 - x % 8) & 1) != 0 ? 0 : 255;
    }
  }
  return samples;
}

std::vector<std::uint8_t> read_samples(PnmReader& reader, std::size_t count, bool plain, bool grey,
                                       const Source& source) {
  const std::int64_t maxval = reader.number("the largest value");
  if (maxval < 1 || maxval > 65535) source.reject(cat("largest value ", maxval, ", expected 1 to 65535"));
  const std::vector<std::uint8_t> table = sample_table(maxval, grey);
  const int size = maxval > 255 ? 2 : 1;
  const std::uint8_t* raw = plain ? nullptr : reader.raw(count * size);
  std::vector<std::uint8_t> samples(count);
  for (std::size_t i = 0; i < count; ++i) {
    std::int64_t value = 0;
    if (plain) {
      value = reader.number("a sample");
      if (value > maxval) source.reject(cat("sample ", value, " exceeds the largest value ", maxval));
    } else {
      value = std::min<std::int64_t>(size == 2 ? raw[2 * i] << 8 | raw[2 * i + 1] : raw[i], maxval);
    }
    samples[i] = table[value];
  }
  return samples;
}

}  // namespace

Raster decode_pnm(const Source& source) {
  const int kind = source.data()[1] - '0';  // 1 to 6, as sniff_format has checked
  const bool plain = kind <= 3;
  const bool bitmap = kind % 3 == 1;
  const bool color = kind % 3 == 0;
  PnmReader reader(source);
  const std::int64_t width = reader.number("the width");
  const std::int64_t height = reader.number("the height");
  source.check_size(width, height);
  const std::size_t area = width * height;
  source.begin_picture(width, height, (color ? kRgb : 1 + kRgb) * area + kTable);
  // A plain sample takes at least one byte, so a short file cannot make us allocate much.
  if (plain && area > source.size()) source.reject("truncated file");

  Raster raster;
  raster.image.width = width;
  raster.image.height = height;
  std::vector<std::uint8_t> samples =
      bitmap ? read_bitmap(reader, width, height, plain)
             : read_samples(reader, area * (color ? 3 : 1), plain, !color, source);
  if (color) {
    raster.image.rgb = std::move(samples);
  } else {
    raster.image.rgb.resize(area * 3);
    for (std::size_t i = 0; i < area; ++i) std::fill_n(&raster.image.rgb[3 * i], 3, samples[i]);
  }
  return raster;
}

}  // namespace glmocr
