// SPDX-License-Identifier: Apache-2.0
#include "image/decode.h"

#include <algorithm>
#include <cstdio>
#include <new>
#include <string_view>
#include <utility>

#include "base/error.h"
#include "base/memory.h"
#include "image/alpha.h"
#include "image/codec.h"
#include "image/orient.h"

namespace glmocr {
namespace {

using namespace std::string_view_literals;

struct Signature {
  std::size_t offset;
  std::string_view bytes;
  const char* format;
};

constexpr Signature kSignatures[] = {
    {0, "\x89PNG\r\n\x1a\n"sv, "PNG"},
    {0, "\xff\xd8\xff"sv, "JPEG"},
    {8, "WEBP"sv, "WebP"},
    {0, "II\x2a\0"sv, "TIFF"},
    {0, "MM\0\x2a"sv, "TIFF"},
    {0, "II\x2b\0"sv, "TIFF"},  // BigTIFF
    {0, "MM\0\x2b"sv, "TIFF"},
    {0, "GIF87a"sv, "GIF"},
    {0, "GIF89a"sv, "GIF"},
    {0, "%PDF-"sv, "PDF"},
    {0, "\0\0\0\x0cjP  \r\n\x87\n"sv, "JPEG 2000"},
    {0, "\xff\x4f\xff\x51"sv, "JPEG 2000"},
    {0, "\0\0\0\x0cJXL \r\n\x87\n"sv, "JPEG XL"},
    {0, "\xff\x0a"sv, "JPEG XL"},
    {0, "<svg"sv, "SVG"},
    {0, "BM"sv, "BMP"},
};

// ISO base media files name their kind by brands: the major brand, a version, then the compatible brands.
const char* sniff_brands(std::string_view head) {
  if (head.size() < 16 || head.substr(4, 4) != "ftyp") return nullptr;
  const auto byte = [&](int i) { return static_cast<unsigned char>(head[i]); };
  const std::size_t box_size = byte(2) << 8 | byte(3);
  const char* format = nullptr;
  for (std::size_t at = 8; at + 4 <= std::min(head.size(), std::max<std::size_t>(box_size, 12)); at += 4) {
    const std::string_view brand = head.substr(at, 4);
    if (brand == "avif" || brand == "avis") return "AVIF";
    if (brand == "heic" || brand == "heix" || brand == "hevc" || brand == "hevx" || brand == "heim" ||
        brand == "heis" || brand == "mif1" || brand == "msf1") {
      format = "HEIC";
    }
  }
  return format;
}

bool is_pnm(std::string_view head) {
  return head.size() >= 3 && head[0] == 'P' && head[1] >= '1' && head[1] <= '6' &&
         " \t\r\n\v\f#"sv.find(head[2]) != std::string_view::npos;
}

// "begins with 48 65 6c 6c 6f": enough to recognise a web page or a text file.
std::string first_bytes(std::span<const std::byte> bytes) {
  std::string text = "begins with";
  for (const std::byte byte : bytes.first(std::min<std::size_t>(bytes.size(), 8))) {
    char hex[4];
    std::snprintf(hex, sizeof hex, " %02x", static_cast<unsigned>(byte));
    text += hex;
  }
  return text;
}

Raster decode_raster(const Source& source) {
  const std::string_view format = source.format;
  if (format == "PNG") return decode_png(source);
  if (format == "JPEG") return decode_jpeg(source);
  if (format == "WebP") return decode_webp(source);
  if (format == "TIFF") return decode_tiff(source);
  if (format == "GIF") return decode_gif(source);
  if (format == "BMP") return decode_bmp(source);
  if (format == "PNM") return decode_pnm(source);
  if (format == "HEIC" || format == "AVIF") return decode_heif(source);
  fail(ErrorCode::input, cat(source.name, ": is a ", format, " file, which is not supported"));
}

DecodedImage decode_source(const Source& source, const ImageOptions& options) {
  try {
    Raster raster = decode_raster(source);
    resolve_alpha(raster, options.background);
    return {oriented(std::move(raster.image), raster.orientation), source.format, std::move(raster.warnings)};
  } catch (const std::bad_alloc&) {
    fail(ErrorCode::memory,
         cat(source.name, ": ", source.format, " picture: not enough memory for its pixels"));
  }
}

}  // namespace

const char* sniff_format(std::span<const std::byte> bytes) {
  const std::string_view head(reinterpret_cast<const char*>(bytes.data()),
                              std::min<std::size_t>(bytes.size(), 256));
  for (const Signature& signature : kSignatures) {
    if (head.size() >= signature.offset + signature.bytes.size() &&
        head.substr(signature.offset, signature.bytes.size()) == signature.bytes) {
      return signature.format;
    }
  }
  return is_pnm(head) ? "PNM" : sniff_brands(head);
}

DecodedImage decode_image(std::span<const std::byte> bytes, const std::string& name,
                          const ImageOptions& options, const SizeCallback& on_size) {
  if (bytes.empty()) fail(ErrorCode::input, cat(name, ": empty file"));
  const char* format = sniff_format(bytes);
  if (format == nullptr) {
    fail(ErrorCode::input, cat(name, ": not a picture (PNG, JPEG, WebP, TIFF, GIF, BMP, PNM, HEIC or AVIF): ",
                               first_bytes(bytes)));
  }
  return decode_source({bytes, name, format, options.max_pixels, options.picture_memory, on_size}, options);
}

DecodedImage decode_tiff_page(std::span<const std::byte> bytes, std::uint64_t place, const std::string& name,
                              const ImageOptions& options, const SizeCallback& on_size) {
  return decode_source({bytes, name, "TIFF", options.max_pixels, options.picture_memory, on_size, place},
                       options);
}

void Source::reject(const std::string& what) const {
  fail(ErrorCode::input, cat(name, ": ", format, " picture: ", what));
}

void Source::begin_picture(std::int64_t width, std::int64_t height, std::int64_t bytes) const {
  check_size(width, height);
  check_memory(cat("size ", width, "x", height), bytes);
  if (on_size) on_size(std::ssize(this->bytes) + bytes);
}

void Source::check_memory(const std::string& what, std::int64_t bytes) const {
  const std::int64_t needed = std::ssize(this->bytes) + bytes;
  if (needed <= max_bytes) return;
  fail(ErrorCode::memory,
       cat(name, ": ", format, " picture: ", what, " takes ", size_text(needed),
           " to decode, more than the limit of ", size_text(max_bytes), " (picture_memory)"));
}

void Source::check_size(std::int64_t width, std::int64_t height) const {
  if (width <= 0 || height <= 0) reject(cat("size ", width, "x", height, " is not positive"));
  if (width > INT32_MAX || height > INT32_MAX || width > max_pixels / height) {
    reject(cat("size ", width, "x", height, " exceeds the limit of ", max_pixels, " pixels"));
  }
}

}  // namespace glmocr
