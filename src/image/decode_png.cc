// SPDX-License-Identifier: Apache-2.0
// PNG through libpng. Its errors leave by longjmp, so every call that can fail is in a member function
// without objects that have destructors; all state is in the reader, which cleans up.
#include <png.h>

#include <csetjmp>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "base/error.h"
#include "image/alpha.h"
#include "image/codec.h"
#include "image/exif.h"

namespace glmocr {
namespace {

constexpr std::size_t kLargestState = 1 << 20;  // no state of libpng or zlib is as large
// Of libpng and zlib, and of one chunk, for which libpng takes what its header says.
constexpr std::int64_t kPngState = (128 << 10) + kLargestState;
constexpr std::int64_t kPngRows = 2 * 8;  // bytes per pixel of libpng's two rows

class PngReader {
 public:
  explicit PngReader(std::span<const std::byte> bytes) : bytes_(bytes) {
    png_ =
        png_create_read_struct_2(PNG_LIBPNG_VER_STRING, this, on_error, on_warning, this, on_malloc, on_free);
    info_ = png_ != nullptr ? png_create_info_struct(png_) : nullptr;
  }
  ~PngReader() { png_destroy_read_struct(&png_, &info_, nullptr); }
  PngReader(const PngReader&) = delete;
  PngReader& operator=(const PngReader&) = delete;

  const char* error() const { return error_; }
  // At most 2^31 - 1.
  int width() const { return png_get_image_width(png_, info_); }
  int height() const { return png_get_image_height(png_, info_); }
  int channels() const { return png_get_channels(png_, info_); }

  // Reads up to the first IDAT. Takes no memory for rows.
  bool read_header() {
    if (info_ == nullptr) return false;
    if (setjmp(png_jmpbuf(png_)) != 0) return false;
    png_set_read_fn(png_, this, on_read);
    png_set_user_limits(png_, PNG_UINT_31_MAX, PNG_UINT_31_MAX);  // Source::begin_picture decides
    // Profiles and texts are not used; skipping them saves their decompression.
    static const png_byte kSkipped[] = "iCCP\0iTXt\0sPLT\0tEXt\0zTXt";
    png_set_keep_unknown_chunks(png_, PNG_HANDLE_CHUNK_NEVER, kSkipped, 5);
    png_read_info(png_, info_);
    return true;
  }

  bool has_alpha() const {
    return (png_get_color_type(png_, info_) & PNG_COLOR_MASK_ALPHA) != 0 ||
           png_get_valid(png_, info_, PNG_INFO_tRNS) != 0;
  }

  // Asks for 8-bit RGB or RGBA. libpng allocates its rows here.
  bool start() {
    if (setjmp(png_jmpbuf(png_)) != 0) return false;
    largest_block_ = PTRDIFF_MAX;
    png_set_expand(png_);    // palettes, 1, 2 and 4 bits, tRNS
    png_set_strip_16(png_);  // the high byte
    png_set_gray_to_rgb(png_);
    passes_ = png_set_interlace_handling(png_);
    png_read_update_info(png_, info_);
    largest_block_ = bytes_.size() + kLargestState;
    return true;
  }

  // out: [height, width, channels].
  bool read_pixels(std::uint8_t* out) {
    if (setjmp(png_jmpbuf(png_)) != 0) return false;
    const std::size_t stride = png_get_rowbytes(png_, info_);
    const int rows = height();
    for (int pass = 0; pass < passes_; ++pass) {
      for (int y = 0; y < rows; ++y) png_read_row(png_, out + y * stride, nullptr);
    }
    return true;
  }

  // Chunks after the pixels. A file that is truncated here lacks nothing that we need.
  void read_trailer() {
    if (setjmp(png_jmpbuf(png_)) != 0) return;
    png_read_end(png_, info_);
  }

  int orientation() const {
    png_uint_32 size = 0;
    png_bytep block = nullptr;
    return png_get_eXIf_1(png_, info_, &size, &block) != 0 ? exif_orientation({block, size}) : 1;
  }

 private:
  static void on_error(png_structp png, png_const_charp message) {
    auto* self = static_cast<PngReader*>(png_get_error_ptr(png));
    std::snprintf(self->error_, sizeof self->error_, "%s", message);
    png_longjmp(png, 1);
  }
  static void on_warning(png_structp, png_const_charp) {}
  // libpng takes memory for a chunk of any length before it reads it.
  static png_voidp on_malloc(png_structp png, png_alloc_size_t size) {
    const auto* self = static_cast<const PngReader*>(png_get_mem_ptr(png));
    return size <= self->largest_block_ ? std::malloc(size) : nullptr;
  }
  static void on_free(png_structp, png_voidp block) { std::free(block); }
  static void on_read(png_structp png, png_bytep out, std::size_t size) {
    auto* self = static_cast<PngReader*>(png_get_io_ptr(png));
    if (size > self->bytes_.size() - self->position_) png_error(png, "truncated file");
    std::memcpy(out, self->bytes_.data() + self->position_, size);
    self->position_ += size;
  }

  std::span<const std::byte> bytes_;
  std::size_t position_ = 0;
  png_structp png_ = nullptr;
  png_infop info_ = nullptr;
  int passes_ = 1;
  std::size_t largest_block_ = bytes_.size() + kLargestState;  // that libpng may take
  char error_[160] = "libpng cannot be initialised";
};

}  // namespace

Raster decode_png(const Source& source) {
  PngReader reader(source.bytes);
  if (!reader.read_header()) source.reject(reader.error());
  const std::int64_t width = reader.width(), height = reader.height();
  source.check_size(width, height);  // products of larger sizes overflow
  // With alpha: RGBA, and alpha that is split off.
  const std::int64_t decoding =
      (reader.has_alpha() ? 5 : kRgb) * width * height + kPngRows * width + kPngState;
  const int early_orientation = reader.orientation();
  source.begin_picture(width, height, decoding + turning(early_orientation) * width * height);
  if (!reader.start()) source.reject(reader.error());
  const int channels = reader.channels();
  GLMOCR_CHECK(channels == 3 || channels == 4);

  Raster raster;
  raster.image = {reader.width(), reader.height(), {}};
  std::vector<std::uint8_t>& pixels = raster.image.rgb;
  pixels.resize(width * height * channels);
  if (!reader.read_pixels(pixels.data())) source.reject(reader.error());
  reader.read_trailer();
  if (channels == 4) raster.alpha = split_alpha(pixels);
  raster.orientation = reader.orientation();
  if (raster.orientation != early_orientation) {  // told after the pixels
    source.check_memory(cat("turning ", width, "x", height),
                        decoding + turning(raster.orientation) * width * height);
  }
  return raster;
}

}  // namespace glmocr
