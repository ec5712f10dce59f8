// SPDX-License-Identifier: Apache-2.0
// What the pictures of pictures_test.cc do not cover: limits, options, messages, and formats written here
// byte by byte.
#include "image/decode.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <initializer_list>

#include "base/error.h"
#include "support/expect_error.h"
#include "support/peak_memory.h"
#include "unit/image/fixtures.h"

namespace glmocr {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using namespace std::string_literals;

DecodedImage decode(const std::string& bytes, const ImageOptions& options = {}) {
  return decode_image(as_bytes(bytes), "some.file", options);
}

std::string failure(const std::string& bytes, const ImageOptions& options = {}) {
  try {
    decode(bytes, options);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::input);
    return error.what();
  }
  return "no error";
}

// Little-endian fields, each {value, bytes}.
std::string fields(std::initializer_list<std::pair<std::uint32_t, int>> list) {
  std::string out;
  for (const auto& [value, size] : list) {
    for (int i = 0; i < size; ++i) out += static_cast<char>(value >> (8 * i) & 0xff);
  }
  return out;
}

std::string bmp(int width, int height, int bits, int compression, const std::string& extra,
                const std::string& pixels) {
  return "BM" + fields({{0, 4}, {0, 4}, {static_cast<std::uint32_t>(54 + extra.size()), 4}}) +
         fields({{40, 4},
                 {static_cast<std::uint32_t>(width), 4},
                 {static_cast<std::uint32_t>(height), 4},
                 {1, 2},
                 {static_cast<std::uint32_t>(bits), 2},
                 {static_cast<std::uint32_t>(compression), 4},
                 {0, 4},
                 {0, 4},
                 {0, 4},
                 {static_cast<std::uint32_t>(bits <= 8 ? extra.size() / 4 : 0), 4},
                 {0, 4}}) +
         extra + pixels;
}

// A grey 2 x 1 page of a TIFF at `offset` in the file; `next` is the offset of the following page, 0 for
// none.
std::string tiff_page(std::uint32_t offset, std::uint32_t next, const std::string& pixels) {
  const auto tag = [](std::uint32_t id, std::uint32_t value) {
    return fields({{id, 2}, {3, 2}, {1, 4}, {value, 4}});
  };
  return fields({{8, 2}}) + tag(256, 2) + tag(257, 1) + tag(258, 8) + tag(259, 1) + tag(262, 1) +
         tag(273, offset + 2 + 8 * 12 + 4) + tag(278, 1) + tag(279, 2) + fields({{next, 4}}) + pixels;
}

TEST(Decode, SniffsByContent) {
  const auto sniff = [](const std::string& head) {
    const char* format = sniff_format(as_bytes(head));
    return std::string(format != nullptr ? format : "none");
  };
  EXPECT_EQ(sniff("\x89PNG\r\n\x1a\n"), "PNG");
  EXPECT_EQ(sniff("\xff\xd8\xff\xe0"), "JPEG");
  EXPECT_EQ(sniff("RIFF\1\2\3\4WEBPVP8 "), "WebP");
  EXPECT_EQ(sniff("MM\0\x2a"s), "TIFF");
  EXPECT_EQ(sniff("II\x2b\0"s), "TIFF");
  EXPECT_EQ(sniff("GIF89a"), "GIF");
  EXPECT_EQ(sniff("P5 1 1 255\n"), "PNM");
  EXPECT_EQ(sniff("P5x"), "none");
  EXPECT_EQ(sniff("\0\0\0\x18"
                  "ftypheic\0\0\0\0mif1heic"s),
            "HEIC");
  EXPECT_EQ(sniff("\0\0\0\x18"
                  "ftypmif1\0\0\0\0mif1avif"s),
            "AVIF");
  EXPECT_EQ(sniff("\0\0\0\x18"
                  "ftypisom\0\0\0\0mp41mp42"s),
            "none");
  EXPECT_EQ(sniff(""), "none");
}

TEST(Decode, RefusesWhatIsNoPicture) {
  EXPECT_EQ(failure(""), "some.file: empty file");
  EXPECT_THAT(failure("%PDF-1.7\n"), HasSubstr("is a PDF file, which is not supported"));
  EXPECT_THAT(failure("Hello"), HasSubstr("begins with 48 65 6c 6c 6f"));
  EXPECT_THAT(failure("\0\0\0\x18"
                      "ftypheic\0\0\0\0mif1heic"s),
              HasSubstr("some.file: HEIC picture: "));
}

std::string big_endian(std::uint32_t value, int size) {
  std::string out;
  for (int i = size - 1; i >= 0; --i) out += static_cast<char>(value >> (8 * i) & 0xff);
  return out;
}

std::string png_chunk(const std::string& type, const std::string& data) {
  return big_endian(static_cast<std::uint32_t>(data.size()), 4) + type + data +
         big_endian(crc32(type + data), 4);
}

// A file of each format whose header gives a size, and nearly nothing after it. WebP has 14 bits per side,
// which stays below the limit.
struct Header {
  const char* format;
  std::uint32_t width, height;  // as large as the header can say, with rows or pictures of gigabytes
  std::string bytes;
};

std::vector<Header> headers_of_huge_pictures() {
  const std::uint32_t most = 0x7fffffff;
  const std::string png = "\x89PNG\r\n\x1a\n" +
                          png_chunk("IHDR", big_endian(most, 4) + big_endian(1, 4) + "\x8\2\0\0\0"s) +
                          png_chunk("IDAT", "x\x9c\3\0\0\0\0\1"s) + png_chunk("IEND", "");
  const std::string gif = "GIF89a" + fields({{0xffff, 2}, {0xffff, 2}, {0, 3}}) + "," +
                          fields({{0, 4}, {0xffff, 2}, {0xffff, 2}, {0, 1}}) + "\2\1\x44\0;"s;
  // A baseline frame with one component, a Huffman table for each class, and a scan.
  const std::string jpeg = "\xff\xd8\xff\xdb\0\x43\0"s + std::string(64, 1) +
                           "\xff\xc0\0\x0b\x8\xff\xdc\xff\xdc\1\1\x11\0"s + "\xff\xc4\0\x14\0\1"s +
                           std::string(15, 0) + "\0"s + "\xff\xc4\0\x14\x10\1"s + std::string(15, 0) + "\0"s +
                           "\xff\xda\0\x8\1\1\0\0\x3f\0\0\0\xff\xd9"s;
  std::string tiff = tiff_page(8, 0, "\x10\x20");
  tiff.replace(2, 12, fields({{256, 2}, {4, 2}, {1, 4}, {0xffff, 4}}));
  tiff.replace(14, 12, fields({{257, 2}, {4, 2}, {1, 4}, {0xffff, 4}}));
  return {{"PNG", most, 1, png},
          {"GIF", 0xffff, 0xffff, gif},
          {"JPEG", 0xffdc, 0xffdc, jpeg},
          {"TIFF", 0xffff, 0xffff, "II\x2a\0\x08\0\0\0"s + tiff},
          {"BMP", 0xffff, 0xffff, bmp(0xffff, 0xffff, 24, 0, "", "\0\0\0"s)},
          {"PNM", 100000, 100000, "P6 100000 100000 255\n"}};
}

TEST(Decode, EveryFormatChecksTheSizeBeforeItTakesMemory) {
  for (const Header& header : headers_of_huge_pictures()) {
    std::string message;
    const std::int64_t growth = peak_growth([&] { message = failure(header.bytes); });
    EXPECT_THAT(message, HasSubstr(cat(header.format, " picture: size ", header.width, "x", header.height,
                                       " exceeds the limit of 268435456 pixels")));
    EXPECT_LT(growth, 32 << 20) << header.format;
  }
}

TEST(Decode, ThePixelsOfTheLargestPngDoNotOverflow) {
  const std::string size = big_endian(0x7fffffff, 4);
  EXPECT_THAT(failure("\x89PNG\r\n\x1a\n" + png_chunk("IHDR", size + size + "\x8\6\0\0\0"s) +
                      png_chunk("IDAT", "x\x9c\3\0\0\0\0\1"s)),
              HasSubstr("size 2147483647x2147483647 exceeds the limit"));
}

TEST(Decode, TheSizeIsReportedBeforeMemoryIsTaken) {
  ImageOptions options;
  options.max_pixels = std::int64_t{1} << 31;
  options.picture_memory = std::int64_t{1} << 60;
  for (const Header& header : headers_of_huge_pictures()) {
    if (std::int64_t{header.width} * header.height > options.max_pixels)
      options.max_pixels = std::int64_t{1} << 34;
    std::int64_t reported = 0;
    const std::int64_t growth = peak_growth([&] {
      EXPECT_THROW(decode_image(as_bytes(header.bytes), "some.file", options,
                                [&](std::int64_t bytes) {
                                  reported += bytes;
                                  throw Error(ErrorCode::cancelled, "enough");
                                }),
                   Error)
          << header.format;
    });
    EXPECT_GE(reported, std::int64_t{3} * header.width * header.height) << header.format;
    EXPECT_LT(growth, 32 << 20) << header.format;
  }
}

TEST(Decode, EveryFormatChecksItsMemoryBeforeItTakesIt) {
  ImageOptions options;
  options.max_pixels = std::int64_t{1} << 34;
  for (const Header& header : headers_of_huge_pictures()) {
    const std::int64_t growth = peak_growth([&] {
      expect_error(
          ErrorCode::memory,
          {cat("some.file: ", header.format, " picture: size ", header.width, "x", header.height, " takes "),
           " to decode, more than the limit of 416.0 MiB (picture_memory)"},
          [&] { decode(header.bytes, options); });
    });
    EXPECT_LT(growth, 32 << 20) << header.format;
  }
}

// What decoding takes is what is told, within the size of a small picture.
TEST(Decode, NoPictureTakesMoreMemoryThanIsTold) {
  if (!kMemoryIsMeasurable) GTEST_SKIP() << "a sanitizer keeps freed memory";
  constexpr std::int64_t kSide = 3000;
  const std::string pixels(kSide * kSide * 3, 'x');
  for (const std::string& file :
       {cat("P6 ", kSide, " ", kSide, " 255\n") + pixels, cat("P5 ", kSide, " ", kSide, " 255\n") + pixels,
        bmp(kSide, kSide, 24, 0, "", pixels)}) {
    std::int64_t told = 0;
    const std::int64_t growth = peak_growth(
        [&] { decode_image(as_bytes(file), "some.file", {}, [&](std::int64_t bytes) { told = bytes; }); });
    EXPECT_LT(growth, told - std::ssize(file) + (4 << 20));
    EXPECT_LT(told, std::ssize(file) + (4 << 20) + 4 * kSide * kSide);
  }
}

TEST(Decode, AProgressiveJpegCountsItsCoefficients) {
  const auto told = [](const std::string& name) {
    const std::string bytes = read_file(data_path("pictures/" + name));
    std::int64_t needed = 0;
    const Image image = decode_image(as_bytes(bytes), name, {}, [&](std::int64_t count) {
                          needed = count - std::ssize(bytes);
                        }).image;
    return std::pair(needed, std::int64_t{image.width} * image.height);
  };
  const auto [plain, pixels] = told("444.jpg");
  const auto [progressive, other_pixels] = told("progressive.jpg");
  EXPECT_GE(progressive - 3 * other_pixels, plain - 3 * pixels + 2 * other_pixels);
}

// A grey picture of 2 x `height` pixels in tiles of `side` x `side`, all of them at the same few bytes.
std::string tiff_with_tiles(std::uint32_t height, std::uint32_t side) {
  const auto tag = [](std::uint32_t id, std::uint32_t type, std::uint32_t count, std::uint32_t value) {
    return fields({{id, 2}, {type, 2}, {count, 4}, {value, 4}});
  };
  const std::uint32_t tiles = (height + side - 1) / side, after = 8 + 2 + 9 * 12 + 4;
  std::string offsets, sizes;
  for (std::uint32_t i = 0; i < tiles; ++i) {
    offsets += fields({{8, 4}});
    sizes += fields({{16, 4}});
  }
  return "II\x2a\0\x08\0\0\0"s + fields({{9, 2}}) + tag(256, 4, 1, 2) + tag(257, 4, 1, height) +
         tag(258, 3, 1, 8) + tag(259, 3, 1, 8) + tag(262, 3, 1, 1) + tag(322, 4, 1, side) +
         tag(323, 4, 1, side) + tag(324, 4, tiles, tiles == 1 ? 8 : after) +
         tag(325, 4, tiles, tiles == 1 ? 16 : after + 4 * tiles) + fields({{0, 4}}) + offsets + sizes;
}

TEST(Decode, TiffTilesMayNotHoldFarMoreThanThePicture) {
  std::string message;
  const std::int64_t growth = peak_growth([&] { message = failure(tiff_with_tiles(1, 16384)); });
  EXPECT_THAT(message, HasSubstr("1 tiles of 256.0 MiB for 2x1 pixels, expected at most 128.0 MiB in all"));
  EXPECT_LT(growth, 32 << 20);
  EXPECT_THAT(failure(tiff_with_tiles(1 << 18, 1024)), HasSubstr("256 tiles of 1.0 MiB for 2x262144 pixels"));
  EXPECT_THAT(failure(tiff_with_tiles(1 << 20, 256)), HasSubstr("4096 tiles of 64.0 KiB"));
  // A tile that reaches beyond a small picture is usual: this one is refused for its data.
  EXPECT_THAT(failure(tiff_with_tiles(1, 512)), Not(HasSubstr("expected at most")));
}

TEST(Decode, AChunkThatIsLongerThanTheFileTakesNoMemory) {
  if (!kMemoryIsMeasurable) GTEST_SKIP() << "a sanitizer takes all addresses";
  const std::string png = "\x89PNG\r\n\x1a\n" +
                          png_chunk("IHDR", big_endian(8, 4) + big_endian(8, 4) + "\x8\2\0\0\0"s) +
                          big_endian(2'000'000'000, 4) + "eXIf" + std::string(200'000, 'x');
  const std::int64_t before = own_memory("VmPeak:");
  EXPECT_THAT(failure(png), HasSubstr("some.file: PNG picture: "));
  EXPECT_LT(own_memory("VmPeak:") - before, 1 << 30);
}

TEST(Decode, LimitsPixels) {
  ImageOptions options;
  options.max_pixels = 11;
  EXPECT_THAT(failure("P5 4 3 255\n123456789012", options),
              HasSubstr("size 4x3 exceeds the limit of 11 pixels"));
  options.max_pixels = 12;
  EXPECT_EQ(decode("P5 4 3 255\n123456789012", options).image.width, 4);
  EXPECT_THAT(failure("P6 100000 100000 255\n"), HasSubstr("exceeds the limit"));
  EXPECT_THAT(failure("P4 0 4\n"), HasSubstr("not positive"));
}

TEST(Decode, PlainPnm) {
  EXPECT_THAT(decode("P1 #c\n2 2\n01 1#x\n0").image.rgb,
              ElementsAre(255, 255, 255, 0, 0, 0, 0, 0, 0, 255, 255, 255));
  EXPECT_THAT(decode("P2 2 1 3\n1 3").image.rgb, ElementsAre(85, 85, 85, 255, 255, 255));
  EXPECT_THAT(decode("P6 1 1 1023\n\3\xff\1\xff\0\0"s).image.rgb, ElementsAre(255, 127, 0));
  EXPECT_THAT(failure("P2 2 1 3\n1 4"), HasSubstr("sample 4 exceeds the largest value 3"));
  EXPECT_THAT(failure("P1 2 1\n12"), HasSubstr("neither 0 nor 1"));
  EXPECT_THAT(failure("P2 2 1 -3\n"), HasSubstr("the largest value is not a number, at byte 7"));
}

TEST(Decode, BmpRunLengths) {
  const std::string palette = "\x0a\x14\x1e\0\x28\x32\x3c\0\x46\x50\x5a\0"s;  // blue, green, red
  // From the bottom: two of 1, end of row; one of 2, move right by 1, one of 1; end.
  const std::string runs = "\2\1\0\0\1\2\0\2\1\0\1\1\0\1"s;
  EXPECT_THAT(decode(bmp(3, 2, 8, 1, palette, runs)).image.rgb,
              ElementsAre(90, 80, 70, 30, 20, 10, 60, 50, 40,  //
                          60, 50, 40, 60, 50, 40, 30, 20, 10));
  EXPECT_THAT(failure(bmp(3, 2, 8, 1, palette, "\2\1\0\0\1"s)), HasSubstr("truncated"));
  EXPECT_THAT(decode(bmp(4, 1, 4, 2, palette, "\0\3\x12\x00\1\x20\0\1"s)).image.rgb,
              ElementsAre(60, 50, 40, 90, 80, 70, 30, 20, 10, 90, 80, 70));
}

TEST(Decode, BmpChannels) {
  const std::string masks = fields({{0xf800, 4}, {0x07e0, 4}, {0x001f, 4}});
  EXPECT_THAT(decode(bmp(1, 1, 16, 3, masks, "\x3f\xfc\0\0"s)).image.rgb, ElementsAre(255, 133, 255));
  EXPECT_THAT(decode(bmp(1, -2, 24, 0, "", "\1\2\3\0\4\5\6\0"s)).image.rgb, ElementsAre(3, 2, 1, 6, 5, 4));
  EXPECT_THAT(decode(bmp(1, 1, 32, 0, "", "\1\2\3\0"s)).image.rgb,
              ElementsAre(3, 2, 1));  // the last byte is not alpha
  EXPECT_THAT(failure(bmp(1, 1, 2, 0, "", "\0\0\0\0"s)), HasSubstr("2 bits per pixel"));
  EXPECT_THAT(failure(bmp(1, 1, 24, 4, "", "\0\0\0\0"s)), HasSubstr("compression 4"));
}

TEST(Decode, FirstPageOfATiffWithAWarning) {
  const std::string header = "II\x2a\0\x08\0\0\0"s;
  const DecodedImage single = decode(header + tiff_page(8, 0, "\x10\x20"));
  EXPECT_THAT(single.image.rgb, ElementsAre(16, 16, 16, 32, 32, 32));
  EXPECT_TRUE(single.warnings.empty());
  const std::string first = tiff_page(8, 8 + 104, "\x10\x20");
  const DecodedImage two = decode(header + first + tiff_page(8 + 104, 0, "\x30\x40"));
  EXPECT_EQ(two.image.rgb, single.image.rgb);
  EXPECT_THAT(two.warnings, ElementsAre(HasSubstr("several pages")));
}

TEST(Decode, BackgroundIsPutBehindAlpha) {
  const std::string bytes = read_file(data_path("pictures/rgb_alpha.png"));
  ImageOptions options;
  options.background = {10, 20, 30};
  const DecodedImage plain = decode(bytes);
  const DecodedImage composed = decode(bytes, options);
  // Alpha runs from 0 in the first column to 255 in the last.
  EXPECT_THAT(std::span(composed.image.rgb).first(3), ElementsAre(10, 20, 30));
  const std::size_t last = 3 * (plain.image.width - 1);
  EXPECT_THAT(std::span(composed.image.rgb).subspan(last, 3),
              testing::ElementsAreArray(std::span(plain.image.rgb).subspan(last, 3)));
  const std::string opaque = read_file(data_path("pictures/444.jpg"));
  EXPECT_EQ(decode(opaque, options).image.rgb, decode(opaque).image.rgb);
}

TEST(Decode, PicturesThatLieInAlphaAlone) {
  const DecodedImage dark = decode(read_file(data_path("pictures/only_alpha.png")));
  EXPECT_THAT(dark.warnings, ElementsAre(HasSubstr("composed on white")));
  EXPECT_THAT(std::span(dark.image.rgb).first(3), ElementsAre(255, 255, 255));
  EXPECT_EQ(*std::min_element(dark.image.rgb.begin(), dark.image.rgb.end()), 0);

  // White on a transparent ground, as a BMP with an alpha mask: one opaque and one transparent pixel.
  std::string light = bmp(2, 1, 32, 3, fields({{0xff0000, 4}, {0xff00, 4}, {0xff, 4}, {0xff000000, 4}}),
                          "\xff\xff\xff\xff\xff\xff\xff\0"s);
  light[14] = 56;
  EXPECT_THAT(decode(light).image.rgb, ElementsAre(255, 255, 255, 0, 0, 0));
  EXPECT_THAT(decode(light).warnings, ElementsAre(HasSubstr("composed on black")));
}

}  // namespace
}  // namespace glmocr
