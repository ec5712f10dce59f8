// SPDX-License-Identifier: Apache-2.0
#include "engine/request.h"

#include <algorithm>

#include "base/check_pixels.h"
#include "base/error.h"

namespace glmocr::engine {
namespace {

// Text with other contents than the picture's, such as the keys of JSON, takes so much less room on the picture than its
// length suggests.
constexpr double kRoomForOtherTexts = 8;

TextRoom room_of(const Request& request, int patch_size) {
  const ReadOptions& options = request.options;
  if (!options.guard) return {};
  TextRoom room = text_room(request.images, patch_size);
  if (options.prompt || options.task == Task::extract) {
    room.area *= kRoomForOtherTexts;
    room.line *= kRoomForOtherTexts;
  }
  return room;
}

}  // namespace

Request make_request(const GlmOcr& model, std::span<const Image> images, const ReadOptions& options) {
  Request request;
  request.options = options;
  request.images = preprocess_all(images, model.config().preprocess,
                                  options.enlarge_small_print ? SmallPrint::enlarged : SmallPrint::as_it_is);
  request.room = room_of(request, model.config().preprocess.patch_size);
  const std::string text = options.prompt ? *options.prompt : task_prompt(options.task, options.schema);
  request.prompt = build_prompt(model.config(), model.tokenizer(), grids_of(request.images), text,
                                options.allow_control_tokens ? AddedTokens::match : AddedTokens::ignore);
  request.stop_ids = model.config().generation.eos_token_id;
  return request;
}

std::vector<PreprocessedImage> preprocess_all(std::span<const Image> images, const PreprocessConfig& config,
                                              SmallPrint small_print) {
  std::vector<PreprocessedImage> ready;
  for (std::int64_t i = 0; i < std::ssize(images); ++i) {
    check_pixels(images[i], cat("picture ", i + 1));
    ready.push_back(preprocess(images[i], config, small_print));
  }
  return ready;
}

std::vector<GridTHW> grids_of(std::span<const PreprocessedImage> images) {
  std::vector<GridTHW> grids;
  for (const PreprocessedImage& image : images) grids.push_back(image.grid);
  return grids;
}

}  // namespace glmocr::engine
