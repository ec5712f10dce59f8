// SPDX-License-Identifier: Apache-2.0
// HEIC and AVIF through libheif; built with GLMOCR_HEIF=ON, else no_heif.cc takes its place.
#include <libheif/heif.h>

#include <algorithm>
#include <memory>

#include "base/error.h"
#include "image/alpha.h"
#include "image/codec.h"

namespace glmocr {
namespace {

template <class T, auto release>
struct Releaser {
  void operator()(T* object) const { release(object); }
};
using Context = std::unique_ptr<heif_context, Releaser<heif_context, heif_context_free>>;
using Handle =
    std::unique_ptr<const heif_image_handle, Releaser<const heif_image_handle, heif_image_handle_release>>;
using Pixels = std::unique_ptr<heif_image, Releaser<heif_image, heif_image_release>>;

// Bytes per pixel: what is decoded, planes of 16 bits for example, what libheif converts it to, and ours.
constexpr std::int64_t kDecoding = 18;

void check(const heif_error& error, const Source& source) {
  if (error.code != heif_error_Ok) source.reject(error.message);
}

}  // namespace

// libheif applies rotation and mirroring of the container, so EXIF's orientation is not looked at.
Raster decode_heif(const Source& source) {
  const Context context(heif_context_alloc());
  if (context == nullptr) source.reject("libheif cannot be initialised");
  check(heif_context_read_from_memory_without_copy(context.get(), source.data(), source.size(), nullptr),
        source);
  heif_image_handle* raw_handle = nullptr;
  check(heif_context_get_primary_image_handle(context.get(), &raw_handle), source);
  const Handle handle(raw_handle);
  const std::int64_t coded_width = heif_image_handle_get_width(handle.get());
  const std::int64_t coded_height = heif_image_handle_get_height(handle.get());
  source.check_size(coded_width, coded_height);
  source.begin_picture(coded_width, coded_height, kDecoding * coded_width * coded_height);

  const bool has_alpha = heif_image_handle_has_alpha_channel(handle.get()) != 0;
  const int channels = has_alpha ? 4 : 3;
  heif_image* raw_image = nullptr;
  check(heif_decode_image(handle.get(), &raw_image, heif_colorspace_RGB,
                          has_alpha ? heif_chroma_interleaved_RGBA : heif_chroma_interleaved_RGB, nullptr),
        source);
  const Pixels image(raw_image);
  const int width = heif_image_get_width(image.get(), heif_channel_interleaved);
  const int height = heif_image_get_height(image.get(), heif_channel_interleaved);
  source.check_size(width, height);
  int stride = 0;
  const std::uint8_t* plane = heif_image_get_plane_readonly(image.get(), heif_channel_interleaved, &stride);
  if (plane == nullptr) source.reject("no pixels");

  Raster raster;
  const std::size_t row_size = std::size_t(width) * channels;
  raster.image = {width, height, std::vector<std::uint8_t>(row_size * height)};
  for (int y = 0; y < height; ++y) {
    std::copy_n(plane + std::ptrdiff_t{y} * stride, row_size, &raster.image.rgb[y * row_size]);
  }
  if (has_alpha) {
    raster.alpha = split_alpha(raster.image.rgb);
    if (heif_image_handle_is_premultiplied_alpha(handle.get()) != 0)
      unpremultiply(raster.image.rgb, raster.alpha);
  }
  return raster;
}

}  // namespace glmocr
