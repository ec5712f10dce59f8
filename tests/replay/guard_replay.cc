// SPDX-License-Identifier: Apache-2.0
// Replays the repetition guard over texts that were read without it:
//
//   glm-ocr read --guard off -f jsonl --logprobs 1 PICTURE... | guard_replay SNAPSHOT
//
// Reads JSON lines with the keys "file", a picture, and "logprobs", the tokens of its text; or "text", such as a truth,
// which is tokenized here. Writes a JSON line for each: the tokens, the room on the picture and what the text takes of
// it; where the guard cuts, after which token and how many it keeps. Ends with 1 if it cut any.
#include <iostream>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "engine/repetition.h"
#include "glmocr/image.h"
#include "models/glm_ocr/config.h"

namespace glmocr::engine {
namespace {

using Json = nlohmann::ordered_json;

// Without the id that ended it, which the guard does not see.
std::vector<TokenId> tokens_of(const Json& line, const Tokenizer& tokenizer) {
  if (!line.contains("logprobs")) return tokenizer.encode(line.at("text").get<std::string>());
  std::vector<TokenId> tokens;
  for (const Json& event : line["logprobs"]) tokens.push_back(event.at("token"));
  if (line.at("finish_reason") == "stop") tokens.pop_back();
  return tokens;
}

Json replay(const Json& line, const GlmOcrConfig& config, const Tokenizer& tokenizer) {
  const std::string file = line.at("file");
  const std::vector<PreprocessedImage> images{
      preprocess(load_image(file), config.preprocess, SmallPrint::enlarged)};
  const TextRoom room = text_room(images, config.preprocess.patch_size);
  const std::vector<TokenId> tokens = tokens_of(line, tokenizer);
  RepetitionGuard guard(room);
  TextExtent extent;
  Json cut;
  for (std::int64_t i = 0; i < std::ssize(tokens); ++i) {
    const std::string bytes = tokenizer.piece_bytes(tokens[i], true);
    extent.add(bytes);
    const auto keep = cut.is_null() ? guard.push(tokens[i], bytes) : std::nullopt;
    if (keep) cut = {{"after", i + 1}, {"keep", *keep}};
  }
  return {{"file", file},      {"tokens", tokens.size()},       {"area", room.area},
          {"line", room.line}, {"width", extent.total().width}, {"cut", cut}};
}

int run(const std::string& snapshot) {
  const GlmOcrConfig config = load_config(snapshot);
  const Tokenizer tokenizer = Tokenizer::load(snapshot + "/tokenizer.json");
  std::int64_t texts = 0, cuts = 0;
  for (std::string line; std::getline(std::cin, line);) {
    const Json json = Json::parse(line);
    if (json.contains("error")) continue;
    const Json result = replay(json, config, tokenizer);
    std::cout << result.dump() << '\n';
    ++texts;
    if (!result["cut"].is_null()) ++cuts;
  }
  std::cerr << texts << " texts, " << cuts << " cut\n";
  return cuts > 0 ? 1 : 0;
}

}  // namespace
}  // namespace glmocr::engine

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: guard_replay SNAPSHOT < LINES\n";
    return 2;
  }
  try {
    return glmocr::engine::run(argv[1]);
  } catch (const std::exception& error) {
    std::cerr << "guard_replay: " << error.what() << '\n';
    return 2;
  }
}
