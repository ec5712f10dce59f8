// SPDX-License-Identifier: Apache-2.0
#include "document/result_json.h"

#include <cmath>

#include <nlohmann/json.hpp>

namespace glmocr {
namespace {

using OrderedJson = nlohmann::ordered_json;

double rounded(double milliseconds) { return std::round(milliseconds * 1000) / 1000; }

OrderedJson logprobs_json(const std::vector<TokenEvent>& events) {
  OrderedJson list = OrderedJson::array();
  for (const TokenEvent& event : events) {
    OrderedJson token = {{"token", event.token}, {"text", event.text}, {"logprob", event.logprob}};
    if (!event.top.empty()) {
      token["top"] = OrderedJson::array();
      for (const auto& other : event.top) token["top"].push_back({other.first, other.second});
    }
    list.push_back(std::move(token));
  }
  return list;
}

// The message without the name and page that it begins with: other keys hold these already.
std::string bare_message(const Page& page) {
  std::string message = page.error->what();
  for (const std::string& name : {display_name(page) + ": ", display_name(page.file) + ": "}) {
    if (message.starts_with(name)) return message.substr(name.size());
  }
  return message;
}

OrderedJson to_json(const Page& page) {
  OrderedJson json = {{"file", page.file}};
  if (page.number > 0) json["page"] = page.number;
  if (page.error) {
    json["error"] = {{"code", to_string(page.error->code())}, {"message", bare_message(page)}};
    return json;
  }
  const Result& result = page.result;
  json.update({{"text", result.text},
               {"finish_reason", to_string(result.finish_reason)},
               {"complete", result.finish_reason == FinishReason::stop},
               {"prompt_tokens", result.prompt_tokens},
               {"image_tokens", result.image_tokens},
               {"completion_tokens", result.completion_tokens},
               {"mean_logprob", result.mean_logprob},
               {"timings",
                {{"load", rounded(page.load_ms)},
                 {"decode_image", rounded(page.decode_image_ms)},
                 {"vision", rounded(result.timings.vision_ms)},
                 {"prefill", rounded(result.timings.prefill_ms)},
                 {"decode", rounded(result.timings.decode_ms)}}}});
  if (!result.device.empty()) json["device"] = result.device;
  if (!page.events.empty()) json["logprobs"] = logprobs_json(page.events);
  return json;
}

}  // namespace

std::string result_json(const Page& page, bool indented) {
  return to_json(page).dump(indented ? 2 : -1, ' ', false, OrderedJson::error_handler_t::replace);
}

}  // namespace glmocr
