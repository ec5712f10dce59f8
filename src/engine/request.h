// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <span>
#include <vector>

#include "engine/text_room.h"
#include "glmocr/engine.h"
#include "models/glm_ocr/glm_ocr.h"

namespace glmocr::engine {

// A request as the engine runs it.
struct Request {
  Prompt prompt;
  std::vector<PreprocessedImage> images;  // in the prompt's order
  std::vector<TokenId> stop_ids;          // each ends the text
  TextRoom room;                          // on the pictures, for the repetition guard
  ReadOptions options;                    // those of prompt and pictures are no longer read
};

// Prepares the pictures, measures their room for text, builds the prompt that the options ask for and takes the model's
// stop ids. Throws Error{input} naming the picture's number (from 1), or the option.
Request make_request(const GlmOcr& model, std::span<const Image> images, const ReadOptions& options);

// The pictures as the model takes them. Throws Error{input} naming the picture's number (from 1).
std::vector<PreprocessedImage> preprocess_all(std::span<const Image> images, const PreprocessConfig& config,
                                              SmallPrint small_print);

std::vector<GridTHW> grids_of(std::span<const PreprocessedImage> images);

}  // namespace glmocr::engine
