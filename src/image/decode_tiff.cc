// SPDX-License-Identifier: Apache-2.0
// Pages of a TIFF through libtiff: strips or tiles are unpacked to 8-bit samples, then converted to
// RGB as Pillow does. Colour spaces that are rare in documents (YCbCr without JPEG, CIE Lab) go through
// libtiff's own RGBA conversion.
#include <tiffio.h>

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string_view>

#include "base/error.h"
#include "base/memory.h"
#include "image/alpha.h"
#include "image/cmyk.h"
#include "image/codec.h"
#include "image/decode.h"

namespace glmocr {
namespace {

constexpr std::int64_t kTiffState = 1 << 20;  // of libtiff and its codecs
constexpr std::int64_t kTiffRows = 256;       // bytes per pixel of a block's width: libjpeg's rows

// What libtiff's callbacks get: the bytes, the position in them, and room for the first error message.
struct OpenFile {
  const Source& source;
  std::size_t position = 0;
  char error[256] = "";
};

tmsize_t on_read(thandle_t handle, void* out, tmsize_t size) {
  auto& input = *static_cast<OpenFile*>(handle);
  const std::size_t left = input.source.size() - std::min(input.position, input.source.size());
  const std::size_t count = std::min<std::size_t>(std::max<tmsize_t>(size, 0), left);
  if (count > 0) std::memcpy(out, input.source.data() + input.position, count);
  input.position += count;
  return count;
}
tmsize_t on_write(thandle_t, void*, tmsize_t) { return 0; }
toff_t on_seek(thandle_t handle, toff_t offset, int whence) {
  auto& input = *static_cast<OpenFile*>(handle);
  const toff_t base = whence == SEEK_SET ? 0 : whence == SEEK_CUR ? input.position : input.source.size();
  return input.position = base + offset;
}
int on_close(thandle_t) { return 0; }
toff_t on_size(thandle_t handle) { return static_cast<OpenFile*>(handle)->source.size(); }
int on_error(TIFF*, void* user, const char*, const char* format, std::va_list arguments) {
  auto& input = *static_cast<OpenFile*>(user);
  if (input.error[0] == 0) std::vsnprintf(input.error, sizeof input.error, format, arguments);
  return 1;  // handled: nothing is printed
}
int on_warning(TIFF*, void*, const char*, const char*, std::va_list) { return 1; }

struct TiffCloser {
  void operator()(TIFF* tiff) const { TIFFClose(tiff); }
};
using Tiff = std::unique_ptr<TIFF, TiffCloser>;

Tiff open_tiff(OpenFile& input) {
  TIFFOpenOptions* options = TIFFOpenOptionsAlloc();
  if (options == nullptr) throw std::bad_alloc();
  TIFFOpenOptionsSetErrorHandlerExtR(options, on_error, &input);
  TIFFOpenOptionsSetWarningHandlerExtR(options, on_warning, nullptr);
  // No single buffer of libtiff needs more than the samples of the largest picture, 8 bytes per pixel.
  const std::int64_t samples = std::min(input.source.max_pixels, input.source.max_bytes / 8) * 8;
  TIFFOpenOptionsSetMaxSingleMemAlloc(options, samples + (1 << 20));
  TIFF* tiff = TIFFClientOpenExt("libtiff", "rm", &input, on_read, on_write, on_seek, on_close, on_size,
                                 nullptr, nullptr, options);
  TIFFOpenOptionsFree(options);
  return Tiff(tiff);
}

[[noreturn]] void reject(const OpenFile& input, const char* otherwise) {
  input.source.reject(input.error[0] != 0 ? input.error : otherwise);
}

template <class T>
T field(TIFF* tiff, std::uint32_t tag, T otherwise = 0) {
  T value = otherwise;
  return TIFFGetFieldDefaulted(tiff, tag, &value) == 1 ? value : otherwise;
}

// How the samples of the file lie, and which of them we keep.
struct Layout {
  std::uint32_t width, height;
  std::uint16_t bits;      // of a sample
  std::uint16_t channels;  // in the file
  std::uint16_t colors;    // channels that carry colour: 1, 3 or 4; they come first
  std::uint16_t photometric;
  std::uint16_t
      alpha;  // kind of the channel after the colours, EXTRASAMPLE_ASSOCALPHA or _UNASSALPHA; else 0
  bool planar;
  int kept() const { return colors + (alpha != 0 ? 1 : 0); }
};

Layout read_layout(TIFF* tiff, const Source& source) {
  Layout layout{};
  layout.width = field<std::uint32_t>(tiff, TIFFTAG_IMAGEWIDTH);
  layout.height = field<std::uint32_t>(tiff, TIFFTAG_IMAGELENGTH);
  source.check_size(layout.width, layout.height);
  layout.bits = field<std::uint16_t>(tiff, TIFFTAG_BITSPERSAMPLE, 1);
  layout.channels = field<std::uint16_t>(tiff, TIFFTAG_SAMPLESPERPIXEL, 1);
  layout.photometric = field<std::uint16_t>(tiff, TIFFTAG_PHOTOMETRIC, PHOTOMETRIC_MINISWHITE);
  layout.planar =
      field<std::uint16_t>(tiff, TIFFTAG_PLANARCONFIG, PLANARCONFIG_CONTIG) == PLANARCONFIG_SEPARATE;
  const bool grey_or_index = layout.photometric == PHOTOMETRIC_MINISWHITE ||
                             layout.photometric == PHOTOMETRIC_MINISBLACK ||
                             layout.photometric == PHOTOMETRIC_PALETTE;
  layout.colors = grey_or_index ? 1 : layout.photometric == PHOTOMETRIC_SEPARATED ? 4 : 3;

  std::uint16_t extra_count = 0;
  std::uint16_t* extras = nullptr;
  TIFFGetFieldDefaulted(tiff, TIFFTAG_EXTRASAMPLES, &extra_count, &extras);
  const bool rgb = layout.photometric == PHOTOMETRIC_RGB;
  if (layout.channels > layout.colors && (rgb || grey_or_index)) {
    if (extra_count == 0)
      layout.alpha = rgb && layout.channels == 4 ? EXTRASAMPLE_UNASSALPHA : 0;  // as Pillow
    if (extra_count > 0 && (extras[0] == EXTRASAMPLE_ASSOCALPHA || extras[0] == EXTRASAMPLE_UNASSALPHA)) {
      layout.alpha = extras[0];
    }
  }
  return layout;
}

// True where the samples are used as they are stored; otherwise libtiff converts them.
bool is_direct(TIFF* tiff, const Layout& layout) {
  switch (layout.photometric) {
    case PHOTOMETRIC_MINISWHITE:
    case PHOTOMETRIC_MINISBLACK:
    case PHOTOMETRIC_PALETTE:
    case PHOTOMETRIC_RGB:
    case PHOTOMETRIC_SEPARATED:
      return true;
    case PHOTOMETRIC_YCBCR:
      // libjpeg inside of libtiff can hand out RGB.
      return field<std::uint16_t>(tiff, TIFFTAG_COMPRESSION) == COMPRESSION_JPEG && !layout.planar &&
             TIFFSetField(tiff, TIFFTAG_JPEGCOLORMODE, JPEGCOLORMODE_RGB) == 1;
    default:
      return false;
  }
}

void check_samples(TIFF* tiff, const Layout& layout, const Source& source) {
  const auto sample_format = field<std::uint16_t>(tiff, TIFFTAG_SAMPLEFORMAT, SAMPLEFORMAT_UINT);
  if (sample_format != SAMPLEFORMAT_UINT && sample_format != SAMPLEFORMAT_VOID) {
    source.reject(cat("sample format ", sample_format, " is not supported, expected 1 (unsigned)"));
  }
  if (layout.bits < 1 || layout.bits > 16) {
    source.reject(cat(layout.bits, " bits per sample are not supported, expected 1 to 16"));
  }
  if (layout.photometric == PHOTOMETRIC_PALETTE && layout.bits > 8) {
    source.reject(cat(layout.bits, "-bit palette indices are not supported, expected 1 to 8"));
  }
  if (layout.channels < layout.colors) {
    source.reject(cat(layout.channels, " samples per pixel, expected ", layout.colors));
  }
}

// Unpacks `count` pixels from `in`, a row of packed samples with `channels` per pixel, of which the first
// `kept` are wanted, to 8 bits at `out`, `out_step` bytes per pixel. Samples of fewer bits are scaled to 255
// unless they are palette indices; of more bits, the high 8 are kept.
void unpack(const std::uint8_t* in, const Layout& layout, int channels, int kept, std::size_t count,
            std::uint8_t* out, int out_step) {
  const int bits = layout.bits;
  const bool scaled = layout.photometric != PHOTOMETRIC_PALETTE;
  for (std::size_t x = 0; x < count; ++x, out += out_step) {
    for (int c = 0; c < kept; ++c) {
      const std::size_t sample = x * channels + c;
      if (bits == 8) {
        out[c] = in[sample];
      } else if (bits == 16) {
        std::uint16_t value;  // libtiff has brought it into our byte order
        std::memcpy(&value, in + 2 * sample, 2);
        out[c] = value >> 8;
      } else {
        std::uint32_t value = 0;
        for (std::size_t bit = sample * bits; bit < (sample + 1) * bits; ++bit) {
          value = value << 1 | (in[bit / 8] >> (7 - bit % 8) & 1);
        }
        if (bits > 8) value >>= bits - 8;
        if (bits < 8 && scaled) value = value * 255 / ((1u << bits) - 1);
        out[c] = value;
      }
    }
  }
}

// Strips or tiles: rectangles that are decoded as a whole.
struct Blocks {
  std::uint32_t width, height;
  tmsize_t bytes, row_bytes;
  bool tiled;
};

// Rejects files whose strips and tiles unpack to far more than the picture holds: they may all lie in the
// same few bytes. An ordinary picture has at most 8 bytes per pixel; its tiles reach beyond its edges.
void check_blocks(TIFF* tiff, const Layout& layout, const OpenFile& input) {
  constexpr std::uint64_t kSlack = 128 << 20;
  const bool tiled = TIFFIsTiled(tiff) != 0;
  const std::uint64_t bytes = tiled ? TIFFTileSize64(tiff) : TIFFStripSize64(tiff);
  const std::uint64_t count = tiled ? TIFFNumberOfTiles(tiff) : TIFFNumberOfStrips(tiff);
  const std::uint64_t most = kSlack + 16 * std::uint64_t{layout.width} * layout.height;
  if (bytes == 0) reject(input, "strips or tiles of an impossible size");
  if (count > most / bytes) {
    input.source.reject(cat(count, tiled ? " tiles" : " strips", " of ", size_text(bytes), " for ",
                            layout.width, "x", layout.height, " pixels, expected at most ", size_text(most),
                            " in all"));
  }
}

// Begins the picture. libtiff's own conversion has pixels of 32 bits, and two blocks.
void begin_picture(TIFF* tiff, const Layout& layout, bool direct, int orientation, const Source& source) {
  const std::int64_t block = TIFFIsTiled(tiff) != 0 ? TIFFTileSize64(tiff) : TIFFStripSize64(tiff);
  const std::int64_t pixels = std::int64_t{layout.width} * layout.height;
  const std::int64_t alpha = layout.alpha != 0 ? 1 : 0;
  const std::int64_t own = layout.colors == 3 ? alpha : kRgb + alpha;  // beside the samples
  const std::int64_t pixel_bytes = direct ? layout.kept() + own : sizeof(std::uint32_t) + kRgb;
  // The last block's coded bytes are in the file and again in libtiff.
  const std::int64_t width = std::max<std::int64_t>(
      layout.width, TIFFIsTiled(tiff) != 0 ? field<std::uint32_t>(tiff, TIFFTAG_TILEWIDTH) : 0);
  const std::int64_t codec =
      block * (direct ? 1 : 2) + kTiffRows * std::min(width, block) + std::ssize(source.bytes) + kTiffState;
  source.begin_picture(layout.width, layout.height, codec + (pixel_bytes + turning(orientation)) * pixels);
}

Blocks read_blocks(TIFF* tiff, const Layout& layout, OpenFile& input) {
  Blocks blocks{};
  blocks.tiled = TIFFIsTiled(tiff) != 0;
  if (blocks.tiled) {
    blocks.width = field<std::uint32_t>(tiff, TIFFTAG_TILEWIDTH);
    blocks.height = field<std::uint32_t>(tiff, TIFFTAG_TILELENGTH);
    blocks.bytes = std::max<tmsize_t>(TIFFTileSize(tiff), 0);
    blocks.row_bytes = std::max<tmsize_t>(TIFFTileRowSize(tiff), 0);
  } else {
    blocks.width = layout.width;
    blocks.height = std::min(field<std::uint32_t>(tiff, TIFFTAG_ROWSPERSTRIP, layout.height), layout.height);
    blocks.bytes = std::max<tmsize_t>(TIFFStripSize(tiff), 0);
    blocks.row_bytes = std::max<tmsize_t>(TIFFScanlineSize(tiff), 0);
  }
  const tmsize_t channels = layout.planar ? 1 : layout.channels;
  const tmsize_t needed = (blocks.width * channels * layout.bits + 7) / 8;
  if (blocks.height == 0 || blocks.row_bytes < needed || blocks.bytes / blocks.row_bytes < blocks.height) {
    reject(input, "strips or tiles of an impossible size");
  }
  return blocks;
}

// All kept samples, 8 bits each: [height, width, kept].
std::vector<std::uint8_t> read_samples(TIFF* tiff, const Layout& layout, OpenFile& input) {
  const Blocks blocks = read_blocks(tiff, layout, input);
  const int kept = layout.kept();
  const int planes = layout.planar ? kept : 1;
  std::vector<std::uint8_t> samples(std::size_t{layout.width} * layout.height * kept);
  std::vector<std::uint8_t> block(blocks.bytes);
  for (int plane = 0; plane < planes; ++plane) {
    for (std::uint32_t y0 = 0; y0 < layout.height; y0 += blocks.height) {
      const std::uint32_t rows = std::min(blocks.height, layout.height - y0);
      for (std::uint32_t x0 = 0; x0 < layout.width; x0 += blocks.width) {
        const tmsize_t size = blocks.tiled ? blocks.bytes : rows * blocks.row_bytes;
        const tmsize_t got =
            blocks.tiled
                ? TIFFReadEncodedTile(tiff, TIFFComputeTile(tiff, x0, y0, 0, plane), block.data(), size)
                : TIFFReadEncodedStrip(tiff, TIFFComputeStrip(tiff, y0, plane), block.data(), size);
        if (got < size) reject(input, "truncated file");
        const std::size_t columns = std::min(blocks.width, layout.width - x0);
        for (std::uint32_t y = 0; y < rows; ++y) {
          std::uint8_t* out = &samples[(std::size_t{y0 + y} * layout.width + x0) * kept + plane];
          const std::uint8_t* in = &block[y * blocks.row_bytes];
          unpack(in, layout, layout.planar ? 1 : layout.channels, layout.planar ? 1 : kept, columns, out,
                 kept);
        }
      }
    }
  }
  return samples;
}

// The palette as 8-bit RGB, [256, 3]; black after its end.
std::vector<std::uint8_t> read_palette(TIFF* tiff, const Layout& layout, const Source& source) {
  std::uint16_t* maps[3] = {};
  if (TIFFGetField(tiff, TIFFTAG_COLORMAP, &maps[0], &maps[1], &maps[2]) != 1)
    source.reject("palette is missing");
  std::vector<std::uint8_t> palette(256 * 3);
  for (int i = 0; i < 1 << layout.bits; ++i) {
    for (int c = 0; c < 3; ++c) palette[3 * i + c] = maps[c][i] >> 8;
  }
  return palette;
}

// samples [n, kept] to RGB and alpha.
void to_rgb(TIFF* tiff, const Layout& layout, std::vector<std::uint8_t> samples, Raster& raster,
            const Source& source) {
  std::vector<std::uint8_t>& rgb = raster.image.rgb;
  if (layout.colors == 3) {
    rgb = std::move(samples);
    if (layout.alpha != 0) raster.alpha = split_alpha(rgb);
  } else {
    const bool indexed = layout.photometric == PHOTOMETRIC_PALETTE;
    const std::vector<std::uint8_t> palette =
        indexed ? read_palette(tiff, layout, source) : std::vector<std::uint8_t>();
    const std::uint8_t inverted = layout.photometric == PHOTOMETRIC_MINISWHITE ? 255 : 0;
    const std::size_t kept = layout.kept();
    const std::size_t count = samples.size() / kept;
    rgb.resize(count * 3);
    if (layout.alpha != 0) raster.alpha.resize(count);
    for (std::size_t i = 0; i < count; ++i) {
      const std::uint8_t* in = &samples[i * kept];
      if (layout.colors == 4) {
        cmyk_to_rgb(in, &rgb[3 * i]);
      } else if (indexed) {
        std::copy_n(&palette[3 * *in], 3, &rgb[3 * i]);
      } else {
        std::fill_n(&rgb[3 * i], 3, *in ^ inverted);
      }
      if (layout.alpha != 0) raster.alpha[i] = in[layout.colors];
    }
  }
  if (layout.alpha == EXTRASAMPLE_ASSOCALPHA) unpremultiply(rgb, raster.alpha);
}

// libtiff's own conversion, for the colour spaces that is_direct excludes.
void convert_by_libtiff(TIFF* tiff, const Layout& layout, Raster& raster, OpenFile& input) {
  char why[1024] = "";
  if (TIFFRGBAImageOK(tiff, why) != 1) input.source.reject(why);
  std::vector<std::uint32_t> packed(std::size_t{layout.width} * layout.height);  // ABGR
  // Asking for the orientation of the file leaves its rows as they are; ours is applied later.
  const auto orientation = field<std::uint16_t>(tiff, TIFFTAG_ORIENTATION, ORIENTATION_TOPLEFT);
  if (TIFFReadRGBAImageOriented(tiff, layout.width, layout.height, packed.data(), orientation, 1) != 1) {
    reject(input, "broken pixel data");
  }
  raster.image.rgb.resize(packed.size() * 3);
  for (std::size_t i = 0; i < packed.size(); ++i) {
    raster.image.rgb[3 * i] = TIFFGetR(packed[i]);
    raster.image.rgb[3 * i + 1] = TIFFGetG(packed[i]);
    raster.image.rgb[3 * i + 2] = TIFFGetB(packed[i]);
  }
}

}  // namespace

Raster decode_tiff(const Source& source) {
  OpenFile input{source};
  const Tiff tiff = open_tiff(input);
  if (tiff == nullptr) reject(input, "broken header");
  if (source.tiff_page != 0 && TIFFSetSubDirectory(tiff.get(), source.tiff_page) != 1)
    reject(input, "broken page");
  const Layout layout = read_layout(tiff.get(), source);
  check_blocks(tiff.get(), layout, input);
  const bool direct = is_direct(tiff.get(), layout);

  Raster raster;
  raster.orientation = field<std::uint16_t>(tiff.get(), TIFFTAG_ORIENTATION, ORIENTATION_TOPLEFT);
  begin_picture(tiff.get(), layout, direct, raster.orientation, source);
  raster.image.width = layout.width;
  raster.image.height = layout.height;
  if (direct) {
    check_samples(tiff.get(), layout, source);
    to_rgb(tiff.get(), layout, read_samples(tiff.get(), layout, input), raster, source);
  } else {
    convert_by_libtiff(tiff.get(), layout, raster, input);
  }
  if (source.tiff_page == 0 && TIFFLastDirectory(tiff.get()) == 0)
    raster.warnings.push_back("TIFF with several pages: only the first is read");
  return raster;
}

TiffPages tiff_pages(std::span<const std::byte> bytes, const std::string& name) {
  constexpr std::int64_t kMostPages = 65535;
  TiffPages pages;
  const char* format = sniff_format(bytes);
  if (format == nullptr || std::string_view(format) != "TIFF") return pages;
  const Source source{bytes, name, format, ImageOptions().max_pixels, ImageOptions().picture_memory, {}};
  OpenFile input{source};
  const Tiff tiff = open_tiff(input);
  if (tiff == nullptr) return pages;
  std::int64_t directories = 0;
  do {
    if (++directories > kMostPages) source.reject(cat("more than ", kMostPages, " pages"));
    const auto kind = field<std::uint32_t>(tiff.get(), TIFFTAG_SUBFILETYPE);
    if (directories == 1 || (kind & (FILETYPE_REDUCEDIMAGE | FILETYPE_MASK)) == 0) {
      pages.places.push_back(TIFFCurrentDirOffset(tiff.get()));
    }
    input.error[0] = 0;
  } while (TIFFReadDirectory(tiff.get()) == 1);
  if (input.error[0] != 0) pages.warning = cat("pages after this one cannot be found: ", input.error);
  return pages;
}

}  // namespace glmocr
