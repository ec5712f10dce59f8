// SPDX-License-Identifier: Apache-2.0
#include "models/glm_ocr/preprocess.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "base/error.h"
#include "image/letter_height.h"

namespace glmocr {
namespace {

constexpr double kMaxRatio = 200.0;
constexpr double kEnlargementStep = 0.25;
constexpr double kMaxEnlargement = 1.5;

template <class T>
using Table = std::array<std::array<T, 256>, 3>;  // [channel, byte]

// Rescale and normalise as torchvision does, in fp32 and fused: (x - mean / factor) / (std / factor).
float normalized(int value, int channel, const PreprocessConfig& config) {
  auto mean = static_cast<float>(config.image_mean[channel]);
  auto deviation = static_cast<float>(config.image_std[channel]);
  const auto x = static_cast<float>(value);
  if (!config.do_normalize) return config.do_rescale ? x * static_cast<float>(config.rescale_factor) : x;
  if (config.do_rescale) {
    const auto unit = static_cast<float>(1.0 / config.rescale_factor);
    mean *= unit;
    deviation *= unit;
  }
  return (x - mean) / deviation;
}

void store(float value, float& out) { out = value; }
void store(float value, std::uint16_t& out) {  // bf16, to nearest even; the values are finite
  const auto bits = std::bit_cast<std::uint32_t>(value);
  out = static_cast<std::uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

template <class T>
Table<T> make_table(const PreprocessConfig& config) {
  for (const double deviation : config.image_std) {
    if (config.do_normalize && !(static_cast<float>(deviation) > 0.0f)) {
      fail(ErrorCode::model,
           cat("preprocessor_config.json: image_std holds ", deviation, ", expected values above 0"));
    }
  }
  Table<T> table;
  for (int channel = 0; channel < 3; ++channel) {
    for (int value = 0; value < 256; ++value)
      store(normalized(value, channel, config), table[channel][value]);
  }
  return table;
}

// One patch: pixel points at its first byte in `image`; returns the end of what was written.
template <class T>
T* write_patch(const std::uint8_t* pixel, std::size_t row_size, int patch_size, int frames,
               const Table<T>& table, T* out) {
  for (int channel = 0; channel < 3; ++channel) {
    const T* frame = out;
    for (int y = 0; y < patch_size; ++y) {
      const std::uint8_t* row = pixel + y * row_size + channel;
      for (int x = 0; x < patch_size; ++x) *out++ = table[channel][row[3 * x]];
    }
    for (int repeat = 1; repeat < frames; ++repeat) out = std::copy_n(frame, patch_size * patch_size, out);
  }
  return out;
}

template <class T>
void write_all(const PreprocessedImage& image, const PreprocessConfig& config, Frames frames, T* out) {
  const int patch = config.patch_size;
  const int merge = config.merge_size;
  GLMOCR_CHECK(image.resized.height == image.grid.h * patch && image.resized.width == image.grid.w * patch);
  GLMOCR_CHECK(image.grid.h % merge == 0 && image.grid.w % merge == 0);
  const Table<T> table = make_table<T>(config);
  const int frame_count = frames == Frames::all ? config.temporal_patch_size : 1;
  const std::size_t row_size = static_cast<std::size_t>(image.resized.width) * 3;
  for (int block_y = 0; block_y < image.grid.h; block_y += merge) {
    for (int block_x = 0; block_x < image.grid.w; block_x += merge) {
      for (int y = block_y; y < block_y + merge; ++y) {
        for (int x = block_x; x < block_x + merge; ++x) {
          const std::uint8_t* pixel =
              &image.resized.rgb[y * patch * row_size + static_cast<std::size_t>(x) * patch * 3];
          out = write_patch(pixel, row_size, patch, frame_count, table, out);
        }
      }
    }
  }
}

// value / unit rounded half to even, at least 0, as Python's round.
std::int64_t round_to_units(std::int64_t value, std::int64_t unit) {
  const std::int64_t quotient = value / unit;
  const std::int64_t twice_rest = value % unit * 2;
  return quotient + (twice_rest > unit || (twice_rest == unit && quotient % 2 == 1) ? 1 : 0);
}

}  // namespace

// The steps and the order of the double arithmetic are those of smart_resize in transformers'
// image_processing_glm46v.py, with as many frames as temporal_patch_size.
ImageSize smart_resize(int height, int width, const PreprocessConfig& config) {
  GLMOCR_CHECK(height > 0 && width > 0);
  const std::int64_t unit = config.block_size();
  const std::int64_t frames = config.temporal_patch_size;
  std::int64_t h = height;
  std::int64_t w = width;
  if (h < unit || w < unit) {
    const double scale = std::max(static_cast<double>(unit) / height, static_cast<double>(unit) / width);
    h = static_cast<std::int64_t>(height * scale);
    w = static_cast<std::int64_t>(width * scale);
  }
  if (static_cast<double>(std::max(h, w)) / static_cast<double>(std::min(h, w)) > kMaxRatio) {
    fail(ErrorCode::input, cat("picture of ", width, "x", height, " pixels: one side is more than ",
                               kMaxRatio, " times the other"));
  }
  std::int64_t out_h = round_to_units(h, unit) * unit;
  std::int64_t out_w = round_to_units(w, unit) * unit;
  const auto area = static_cast<double>(frames * h * w);
  const auto fit = [&](std::int64_t side, double beta) {
    return std::max(unit, static_cast<std::int64_t>(std::floor(side / beta / unit)) * unit);
  };
  const auto grow = [&](std::int64_t side, double beta) {
    return static_cast<std::int64_t>(std::ceil(side * beta / unit)) * unit;
  };
  if (frames * out_h * out_w > config.longest_edge) {
    const double beta = std::sqrt(area / static_cast<double>(config.longest_edge));
    out_h = fit(h, beta);
    out_w = fit(w, beta);
  } else if (frames * out_h * out_w < config.shortest_edge) {
    const double beta = std::sqrt(static_cast<double>(config.shortest_edge) / area);
    out_h = grow(h, beta);
    out_w = grow(w, beta);
  }
  return {static_cast<int>(out_h), static_cast<int>(out_w)};
}

double enlargement(const Image& image, const PreprocessConfig& config) {
  if (config.enlarge_letters_below <= 0) return 1;
  const auto pixels = static_cast<double>(config.longest_edge) / config.temporal_patch_size;
  const auto fits = [&](double factor) {
    return static_cast<double>(image.height) * image.width * factor * factor <= pixels;
  };
  if (!fits(1 + kEnlargementStep)) return 1;
  const std::optional<double> letter = estimate_letter_height(image);
  if (!letter) return 1;
  double factor = 1;
  while (factor < kMaxEnlargement && *letter * factor < config.enlarge_letters_below &&
         fits(factor + kEnlargementStep)) {
    factor += kEnlargementStep;
  }
  return factor;
}

PreprocessedImage preprocess(const Image& image, const PreprocessConfig& config, SmallPrint small_print) {
  const int unit = config.block_size();
  PreprocessedImage out;
  if (config.do_resize) {
    const double factor = small_print == SmallPrint::enlarged ? enlargement(image, config) : 1;
    const ImageSize size =
        smart_resize(static_cast<int>(image.height * factor), static_cast<int>(image.width * factor), config);
    out.resized = resize_bicubic(image, size.width, size.height, config.flavour);
  } else if (image.width % unit != 0 || image.height % unit != 0) {
    fail(ErrorCode::input, cat("picture of ", image.width, "x", image.height,
                               " pixels: do_resize is off, so both sides ", "must be multiples of ", unit));
  } else {
    out.resized = image;
  }
  out.grid = {1, out.resized.height / config.patch_size, out.resized.width / config.patch_size};
  return out;
}

void write_patches(const PreprocessedImage& image, const PreprocessConfig& config, float* out,
                   Frames frames) {
  write_all(image, config, frames, out);
}

void write_patches(const PreprocessedImage& image, const PreprocessConfig& config, std::uint16_t* out,
                   Frames frames) {
  write_all(image, config, frames, out);
}

}  // namespace glmocr
