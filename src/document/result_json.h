// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <string>

#include "document/page.h"

namespace glmocr {

// A page as a JSON object, on one line or indented over several. In this order:
//   file, page (where the page has a number), text, finish_reason, complete (whether the model ended the text itself),
//   prompt_tokens, image_tokens, completion_tokens, mean_logprob,
//   timings (milliseconds: load, decode_image, vision, prefill, decode),
//   logprobs (token, text, logprob, top) where the page has events;
// or, for a page that failed: file, page, error (code, message).
// Bytes that are not UTF-8, as in some file names, become U+FFFD.
std::string result_json(const Page& page, bool indented);

}  // namespace glmocr
