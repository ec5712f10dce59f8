// SPDX-License-Identifier: Apache-2.0
// From a decoded picture to the one that is cut into patches: the size rule, the resize and the normalisation
// of transformers' Glm46VImageProcessor (torchvision backend). Ops::patchify does the cutting.
#pragma once
#include <array>
#include <cstdint>

#include "image/resize.h"

namespace glmocr {

// preprocessor_config.json; the defaults are those of the published snapshot.
struct PreprocessConfig {
  int patch_size = 14;
  int temporal_patch_size = 2;
  int merge_size = 2;
  // Despite their names both are budgets of pixels, counted over temporal_patch_size equal frames.
  std::int64_t shortest_edge = 12544;
  std::int64_t longest_edge = 9633792;
  std::array<double, 3> image_mean{0.48145466, 0.4578275, 0.40821073};
  std::array<double, 3> image_std{0.26862954, 0.26130258, 0.27577711};
  double rescale_factor = 1.0 / 255.0;
  bool do_resize = true;
  bool do_rescale = true;
  bool do_normalize = true;
  // Our own key, absent in the published snapshot: pictures whose letters are smaller than this height, in
  // pixels, are enlarged before the size rule; 0: none are.
  int enlarge_letters_below = 0;
  ResizeFlavour flavour = ResizeFlavour::torchvision;

  // The side, in pixels, of a block of patches that becomes one token.
  int block_size() const { return patch_size * merge_size; }
};

struct ImageSize {
  int height;
  int width;
};

// The size that a picture is resized to: both sides multiples of block_size(), the area within the budgets.
// Throws Error{input} naming the size where one side is more than 200 times the other.
ImageSize smart_resize(int height, int width, const PreprocessConfig& config);

// A picture in patches: frames, rows, columns.
struct GridTHW {
  int t = 1;
  int h = 0;
  int w = 0;
  std::int64_t patches() const { return std::int64_t{t} * h * w; }
  std::int64_t tokens(int merge_size) const { return patches() / (merge_size * merge_size); }
  bool operator==(const GridTHW&) const = default;
};

struct PreprocessedImage {
  Image resized;
  GridTHW grid;
};

enum class SmallPrint { as_it_is, enlarged };

// The factor by which a picture with small print is enlarged, 1, 1.25 or 1.5: the smallest with which its
// letters reach enlarge_letters_below, as far as longest_edge allows. Where letters are 10 pixels high, one
// token covers so many of them that a small model skips or repeats lines (train/README.md).
double enlargement(const Image& image, const PreprocessConfig& config);

// Resizes once, to the size that smart_resize gives; with SmallPrint::enlarged, to the size it gives for the
// picture enlarged by `enlargement`. With SmallPrint::as_it_is the pixels are those of transformers. Throws
// Error{input} as smart_resize does, and where do_resize is off and a side is not a multiple of block_size().
PreprocessedImage preprocess(const Image& image, const PreprocessConfig& config,
                             SmallPrint small_print = SmallPrint::as_it_is);

// What a byte becomes in each channel, [3, 256], in fp32: torchvision's rescaling and normalisation, fused.
// Throws Error{model} where a value of image_std is not above 0 in fp32.
using NormalizedBytes = std::array<std::array<float, 256>, 3>;
NormalizedBytes normalized_bytes(const PreprocessConfig& config);

}  // namespace glmocr
