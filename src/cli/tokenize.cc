// SPDX-License-Identifier: Apache-2.0
#include <cstdio>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "cli/arguments.h"
#include "cli/exit_code.h"
#include "cli/standard_streams.h"

namespace glmocr::cli {
namespace {

using OrderedJson = nlohmann::ordered_json;

std::string dumped(const OrderedJson& json) {
  return json.dump(-1, ' ', false, OrderedJson::error_handler_t::replace) + "\n";
}

std::string decoded(const Model& model, const TokenizeArguments& arguments) {
  const int vocabulary = model.info().vocabulary;
  for (const TokenId id : arguments.decode) {
    if (id < 0 || id >= vocabulary) {
      fail(ErrorCode::input, cat("token id ", id, " is not in the vocabulary, 0 to ", vocabulary - 1));
    }
  }
  const std::string text = model.detokenize(arguments.decode, false);
  return arguments.json ? dumped({{"ids", arguments.decode}, {"text", text}}) : text + "\n";
}

std::string encoded(const Model& model, const TokenizeArguments& arguments) {
  const std::vector<TokenId> ids = model.tokenize(arguments.text, arguments.match_added);
  std::vector<std::string> spellings;
  std::string lines;
  for (const TokenId id : ids) {
    spellings.push_back(model.token_text(id));
    char number[16];
    std::snprintf(number, sizeof number, "%8d  ", id);
    lines += cat(number, printable(spellings.back()), "\n");
  }
  if (arguments.json) return dumped({{"text", arguments.text}, {"ids", ids}, {"tokens", spellings}});
  return arguments.ids_only ? join(ids, " ") + "\n" : lines;
}

}  // namespace

int run_tokenize(const TokenizeArguments& arguments) {
  const Model model = load_model(arguments.model);
  write_standard_output(arguments.decode.empty() ? encoded(model, arguments) : decoded(model, arguments));
  return kOk;
}

}  // namespace glmocr::cli
