// SPDX-License-Identifier: Apache-2.0
#include "image/encode.h"

#include <jpeglib.h>
#include <png.h>

#include <csetjmp>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>

#include "base/error.h"

namespace glmocr {
namespace {

constexpr std::int64_t kRowBytes = 3;  // of a pixel

void check(const Image& image, int most, const char* format) {
  if (image.width < 1 || image.height < 1 || image.width > most || image.height > most) {
    fail(ErrorCode::input,
         cat("a picture of ", image.width, "x", image.height, " pixels cannot be written as ", format));
  }
  GLMOCR_CHECK(std::ssize(image.rgb) == kRowBytes * image.width * image.height);
}

// libpng and libjpeg report errors by a jump, which must not cross objects with destructors: what they write to
// lives outside of the functions that call them.
struct PngOutput {
  std::vector<std::byte> bytes;
  bool out_of_memory = false;
};

void write_png(png_structp png, png_bytep data, png_size_t size) {
  auto* output = static_cast<PngOutput*>(png_get_io_ptr(png));
  try {
    const auto* first = reinterpret_cast<const std::byte*>(data);
    output->bytes.insert(output->bytes.end(), first, first + size);
  } catch (const std::bad_alloc&) {
    output->out_of_memory = true;
  }
  if (output->out_of_memory) png_error(png, "out of memory");
}

void flush_png(png_structp) {}
void ignore_png(png_structp, png_const_charp) {}
[[noreturn]] void stop_png(png_structp png, png_const_charp) { png_longjmp(png, 1); }

bool run_png(const Image& image, PngOutput& output) {
  png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, nullptr, stop_png, ignore_png);
  if (!png) return false;
  png_infop info = png_create_info_struct(png);
  if (!info || setjmp(png_jmpbuf(png))) {
    png_destroy_write_struct(&png, &info);
    return false;
  }
  png_set_write_fn(png, &output, write_png, flush_png);
  png_set_IHDR(png, info, image.width, image.height, 8, PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE,
               PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
  png_write_info(png, info);
  for (int y = 0; y < image.height; ++y) {
    png_write_row(png, image.rgb.data() + kRowBytes * image.width * y);
  }
  png_write_end(png, nullptr);
  png_destroy_write_struct(&png, &info);
  return true;
}

struct JpegErrors {
  jpeg_error_mgr manager;  // first: libjpeg knows this part only
  std::jmp_buf jump;
};

[[noreturn]] void stop_jpeg(j_common_ptr common) {
  std::longjmp(reinterpret_cast<JpegErrors*>(common->err)->jump, 1);
}
void ignore_jpeg(j_common_ptr, int) {}

// The compressed file is in memory of libjpeg, which the caller frees.
bool run_jpeg(const Image& image, int quality, unsigned char** bytes, unsigned long* size) {
  jpeg_compress_struct jpeg;
  JpegErrors errors;
  jpeg.err = jpeg_std_error(&errors.manager);
  errors.manager.error_exit = stop_jpeg;
  errors.manager.emit_message = ignore_jpeg;
  if (setjmp(errors.jump)) {
    jpeg_destroy_compress(&jpeg);
    return false;
  }
  jpeg_create_compress(&jpeg);
  jpeg_mem_dest(&jpeg, bytes, size);
  jpeg.image_width = image.width;
  jpeg.image_height = image.height;
  jpeg.input_components = 3;
  jpeg.in_color_space = JCS_RGB;
  jpeg_set_defaults(&jpeg);
  jpeg_set_quality(&jpeg, quality, TRUE);
  for (int i = 0; i < jpeg.num_components; ++i) {
    jpeg.comp_info[i].h_samp_factor = 1;
    jpeg.comp_info[i].v_samp_factor = 1;
  }
  jpeg_start_compress(&jpeg, TRUE);
  while (jpeg.next_scanline < jpeg.image_height) {
    JSAMPROW row = const_cast<JSAMPROW>(image.rgb.data() +
                                        kRowBytes * image.width * static_cast<int>(jpeg.next_scanline));
    jpeg_write_scanlines(&jpeg, &row, 1);
  }
  jpeg_finish_compress(&jpeg);
  jpeg_destroy_compress(&jpeg);
  return true;
}

}  // namespace

std::vector<std::byte> encode_png(const Image& image) {
  check(image, 1'000'000, "PNG");  // libpng's own limit
  PngOutput output;
  if (!run_png(image, output)) fail(ErrorCode::memory, "no memory to write a PNG picture");
  return std::move(output.bytes);
}

std::vector<std::byte> encode_jpeg(const Image& image, int quality) {
  check(image, JPEG_MAX_DIMENSION, "JPEG");
  GLMOCR_CHECK(1 <= quality && quality <= 100);
  unsigned char* bytes = nullptr;
  unsigned long size = 0;
  const bool written = run_jpeg(image, quality, &bytes, &size);
  const std::unique_ptr<unsigned char, decltype(&std::free)> owner(bytes, &std::free);
  if (!written) fail(ErrorCode::memory, "no memory to write a JPEG picture");
  const auto* first = reinterpret_cast<const std::byte*>(bytes);
  return {first, first + size};
}

}  // namespace glmocr
