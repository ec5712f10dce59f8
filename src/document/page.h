// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "glmocr/glmocr.h"

namespace glmocr {

struct DividedPage;

// One page of an input and what was read from it.
struct Page {
  std::string file;         // as it was given; "-" is standard input
  std::int64_t input = 0;   // which of the inputs it belongs to, from 0
  std::int64_t number = 0;  // of the page, from 1; 0 where the input is one picture, or could not be opened
  bool last = true;         // of the pages of its input
  int width = 0, height = 0;
  double load_ms = 0;          // loading the model, the same for all pages; set by the caller
  double decode_image_ms = 0;  // reading and decoding the picture
  std::vector<std::string> warnings;
  Result result;                   // valid unless there is an error
  std::vector<TokenEvent> events;  // one per token of the result, with PageQueueOptions::collect_events
  std::shared_ptr<DividedPage>
      divided;  // with PageQueueOptions::divider: the page in its regions, instead of `result`
  std::optional<Error> error;
};

// The name of an input in messages.
inline std::string display_name(const std::string& file) { return file == "-" ? "standard input" : file; }

// "paper.pdf", or "paper.pdf: page 3".
std::string display_name(const Page& page);

}  // namespace glmocr
