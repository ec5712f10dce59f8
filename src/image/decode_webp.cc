// SPDX-License-Identifier: Apache-2.0
// WebP through libwebp; the container (animation, EXIF) through its demuxer. A still picture has one frame.
#include <webp/decode.h>
#include <webp/demux.h>

#include <memory>

#include "base/error.h"
#include "image/alpha.h"
#include "image/codec.h"
#include "image/exif.h"

namespace glmocr {
namespace {

struct DemuxerDeleter {
  void operator()(WebPDemuxer* demuxer) const { WebPDemuxDelete(demuxer); }
};
using Demuxer = std::unique_ptr<WebPDemuxer, DemuxerDeleter>;

struct Frame : WebPIterator {
  Frame() : WebPIterator{} {}
  ~Frame() { WebPDemuxReleaseIterator(this); }
  Frame(const Frame&) = delete;
  Frame& operator=(const Frame&) = delete;
};

// Bytes that libwebp takes to decode a frame, beside its pixels. Lossless: the pixels as 32 bits, and transforms; lossy:
// rows, and alpha as a lossless picture of its own. Not counted: tables of codes, a few megabytes at most in files that
// encoders write, but hundreds in one that has a table for every sixteen pixels.
std::int64_t decoding_bytes(const WebPIterator& frame) {
  constexpr std::int64_t kRows = 192;  // per pixel of the width
  constexpr std::int64_t kState = 64 << 10;
  const std::int64_t pixels = std::int64_t{frame.width} * frame.height;
  WebPBitstreamFeatures features;
  const bool known = WebPGetFeatures(frame.fragment.bytes, frame.fragment.size, &features) == VP8_STATUS_OK;
  const bool lossless = known && features.format == 2;
  return (lossless ? 5 : frame.has_alpha != 0 ? 6 : 0) * pixels + kRows * frame.width + kState;
}

int orientation(const WebPDemuxer* demuxer) {
  WebPChunkIterator chunk{};
  const bool found = WebPDemuxGetChunk(demuxer, "EXIF", 1, &chunk) != 0;
  const int value = found ? exif_orientation({chunk.chunk.bytes, chunk.chunk.size}) : 1;
  WebPDemuxReleaseChunkIterator(&chunk);
  return value;
}

}  // namespace

Raster decode_webp(const Source& source) {
  const WebPData data{source.data(), source.size()};
  WebPDemuxState state = WEBP_DEMUX_PARSE_ERROR;
  const Demuxer demuxer(WebPDemuxPartial(&data, &state));
  if (state < WEBP_DEMUX_DONE) {
    source.reject(state == WEBP_DEMUX_PARSE_ERROR ? "broken container" : "truncated file");
  }
  const int width = WebPDemuxGetI(demuxer.get(), WEBP_FF_CANVAS_WIDTH);
  const int height = WebPDemuxGetI(demuxer.get(), WEBP_FF_CANVAS_HEIGHT);
  source.check_size(width, height);
  Frame frame;
  if (WebPDemuxGetFrame(demuxer.get(), 1, &frame) == 0) source.reject("no frame in the container");
  const bool covers = frame.width == width && frame.height == height;
  if (frame.x_offset < 0 || frame.y_offset < 0 || frame.x_offset + std::int64_t{frame.width} > width ||
      frame.y_offset + std::int64_t{frame.height} > height) {
    source.reject("the first frame exceeds the canvas");
  }

  // What the first frame of an animation leaves uncovered is transparent black.
  const int channels = frame.has_alpha != 0 || !covers ? 4 : 3;
  const std::int64_t stride = std::int64_t{width} * channels;
  Raster raster;
  raster.orientation = orientation(demuxer.get());
  const std::int64_t pixel_bytes = (channels == 4 ? 5 : kRgb) + turning(raster.orientation);
  source.begin_picture(width, height, decoding_bytes(frame) + pixel_bytes * width * height);
  raster.image = {width, height, std::vector<std::uint8_t>(stride * height)};
  std::vector<std::uint8_t>& pixels = raster.image.rgb;
  const std::int64_t start = frame.y_offset * stride + std::int64_t{frame.x_offset} * channels;
  const auto decode = channels == 4 ? WebPDecodeRGBAInto : WebPDecodeRGBInto;
  if (decode(frame.fragment.bytes, frame.fragment.size, pixels.data() + start, pixels.size() - start,
             stride) == nullptr) {
    source.reject("broken pixel data");
  }
  if (channels == 4) raster.alpha = split_alpha(pixels);
  return raster;
}

}  // namespace glmocr
