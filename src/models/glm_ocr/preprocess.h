// SPDX-License-Identifier: Apache-2.0
// From a decoded picture to the rows that the vision tower reads: the size rule, the resize, normalisation
// and patch order of transformers' Glm46VImageProcessor (torchvision backend).
#pragma once
#include <array>
#include <cstdint>

#include "image/image.h"
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
  bool do_convert_rgb = true;  // pictures are RGB from decoding on; read for completeness
  // Ours, absent in the published snapshot: pictures whose letters are lower than this, in pixels, are
  // enlarged before the size rule; 0: none are.
  int enlarge_letters_below = 0;
  ResizeFlavour flavour = ResizeFlavour::torchvision;

  int block_size() const {
    return patch_size * merge_size;
  }  // side of a block of patches that makes one token
};

struct ImageSize {
  int height;
  int width;
};

// The size a picture is stretched to: both sides multiples of block_size(), the area within the budgets.
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

// By how much the sides of a picture with small print are to grow: 1, 1.25 or 1.5, so that its letters reach
// enlarge_letters_below, as far as longest_edge allows. A token of a small model holds so many letters of
// 10 px that it loses its place among them (train/README.md).
double enlargement(const Image& image, const PreprocessConfig& config);

// Resizes by smart_resize, once; a picture with small print is taken for `enlargement` times as large. With
// SmallPrint::as_it_is these are transformers' pixels. Throws Error{input} as smart_resize does, and where
// do_resize is off and a side is no multiple of block_size().
PreprocessedImage preprocess(const Image& image, const PreprocessConfig& config,
                             SmallPrint small_print = SmallPrint::as_it_is);

// What a patch holds: every temporal frame, equal as they are, or one of them (for weights summed over the
// frames).
enum class Frames { all, one };

// Writes the normalised patches: out [grid.patches(), 3 * frames * patch_size * patch_size], in a row
// channel, frame, y, x from slowest to fastest; rows block by block (merge_size x merge_size patches), blocks
// row by row. fp32, or bf16 rounded to nearest even from it. Throws Error{model} where image_std has a zero.
void write_patches(const PreprocessedImage& image, const PreprocessConfig& config, float* out,
                   Frames frames = Frames::all);
void write_patches(const PreprocessedImage& image, const PreprocessConfig& config, std::uint16_t* out,
                   Frames frames = Frames::all);

}  // namespace glmocr
