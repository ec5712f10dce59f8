// SPDX-License-Identifier: Apache-2.0
// TIFF files with several pages.
#include <gmock/gmock.h>

#include <span>

#include "image/decode.h"
#include "support/expect_error.h"
#include "support/tiff_writer.h"

namespace glmocr {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

std::span<const std::byte> as_bytes(const std::string& text) { return std::as_bytes(std::span(text)); }

TiffPages pages_of(const std::string& file) { return tiff_pages(as_bytes(file), "scan.tiff"); }

DecodedImage decode_page(const std::string& file, std::size_t page, const ImageOptions& options = {}) {
  return decode_tiff_page(as_bytes(file), pages_of(file).places.at(page), "scan.tiff: page", options);
}

TEST(TiffPages, EachIsDecoded) {
  const std::string file = tiff_of({{2, 1, 10}, {3, 2, 20}, {1, 4, 30}});
  EXPECT_EQ(pages_of(file).places.size(), 3u);
  EXPECT_THAT(pages_of(file).warning, IsEmpty());
  for (std::size_t page = 0; page < 3; ++page) {
    const DecodedImage decoded = decode_page(file, page);
    EXPECT_EQ(decoded.image.width, page == 0 ? 2 : page == 1 ? 3 : 1);
    EXPECT_EQ(decoded.image.rgb.at(0), 10 * (page + 1));
    EXPECT_THAT(decoded.warnings, IsEmpty()) << "no warning of further pages: they are asked for by number";
  }
}

TEST(TiffPages, OtherPicturesHaveNone) {
  EXPECT_THAT(pages_of("").places, IsEmpty());
  EXPECT_THAT(pages_of("P6 1 1 255 abc").places, IsEmpty());
  EXPECT_THAT(pages_of("II\x2a" + std::string(5, '\0')).places, IsEmpty());
}

TEST(TiffPages, SmallerVersionsAndMasksAreLeftOut) {
  const std::string file =
      tiff_of({{2, 1, 10, 0}, {1, 1, 11, 1}, {2, 1, 20, 2}, {2, 1, 21, 4}, {2, 1, 30, 0}});
  ASSERT_EQ(pages_of(file).places.size(), 3u);
  EXPECT_EQ(decode_page(file, 1).image.rgb.at(0), 20);
  EXPECT_EQ(decode_page(file, 2).image.rgb.at(0), 30);
  // A file is not without pages because of a wrong tag.
  EXPECT_EQ(pages_of(tiff_of({{2, 1, 10, 1}})).places.size(), 1u);
}

TEST(TiffPages, AChainThatBreaksOrLoopsKeepsThePagesBefore) {
  const std::string broken = tiff_of({{2, 1, 10}, {2, 1, 20}}, 0x7fffff00);
  EXPECT_EQ(pages_of(broken).places.size(), 2u);
  EXPECT_THAT(pages_of(broken).warning, HasSubstr("pages after this one cannot be found"));
  EXPECT_EQ(decode_page(broken, 1).image.rgb.at(0), 20);
  const std::string loop = tiff_of({{2, 1, 10}, {2, 1, 20}}, 8);
  EXPECT_EQ(pages_of(loop).places.size(), 2u);
}

TEST(TiffPages, TheLimitsHoldForEachPage) {
  const std::string file = tiff_of({{2, 1, 10}, {100, 100, 20}, {2, 1, 30}});
  ImageOptions options;
  options.max_pixels = 5000;
  EXPECT_EQ(decode_page(file, 0, options).image.width, 2);
  expect_error(ErrorCode::input,
               {"scan.tiff: page: TIFF picture: size 100x100 exceeds the limit of 5000 pixels"},
               [&] { decode_page(file, 1, options); });
  EXPECT_EQ(decode_page(file, 2, options).image.width, 2);
  std::int64_t bytes = 0;
  decode_tiff_page(as_bytes(file), pages_of(file).places[1], "a", {},
                   [&](std::int64_t size) { bytes = size; });
  EXPECT_GE(bytes, 3 * 10'000);
  const std::string cut = file.substr(0, file.size() - 1);
  expect_error(ErrorCode::input, {"scan.tiff: page: TIFF picture: "}, [&] { decode_page(cut, 2); });
  EXPECT_EQ(decode_page(cut, 1).image.width, 100);
}

TEST(TiffPages, TheirNumberIsLimited) {
  const std::vector<TiffPage> most(65'535);
  EXPECT_EQ(pages_of(tiff_of(most)).places.size(), most.size());
  const std::vector<TiffPage> more(65'536);
  expect_error(ErrorCode::input, {"scan.tiff: TIFF picture: more than 65535 pages"},
               [&] { pages_of(tiff_of(more)); });
}

}  // namespace
}  // namespace glmocr
