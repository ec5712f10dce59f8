// SPDX-License-Identifier: Apache-2.0
// The repetition guard against its plain twin. An input is a program: room on the picture, then units of tokens, each
// with how often it is repeated and whether a number that counts follows it.
#include "engine/repetition.h"
#include "fuzz/fuzz.h"
#include "unit/engine/plain_repetition.h"

namespace glmocr::fuzz {
namespace {

const std::vector<std::string> kVocabulary = {"0",  "1",  "7",    "12", "a",    "word", " word", ".",
                                              "..", " .", "_",    "\n", "\n\n", " ",    "<td>",  "</td>",
                                              "é",  "\\", "frac", "<",  "",     "\xe9", "9",     "="};
constexpr std::size_t kMostTokens = 420;  // the twin's time grows with the cube

std::vector<TokenId> tokens_of(const std::uint8_t* data, std::size_t size) {
  std::vector<TokenId> tokens;
  std::size_t at = 0;
  const auto next = [&] { return at < size ? data[at++] : std::uint8_t{0}; };
  while (at < size && tokens.size() < kMostTokens) {
    const std::size_t length = 1 + next() % 24;
    std::vector<TokenId> unit;
    for (std::size_t i = 0; i < length; ++i) {
      unit.push_back(static_cast<TokenId>(next() % kVocabulary.size()));
    }
    const int repeats = 1 + next();
    const int step = static_cast<int>(next() % 8) - 3;
    int number = next();
    for (int i = 0; i < repeats && tokens.size() < kMostTokens; ++i, number += step) {
      tokens.insert(tokens.end(), unit.begin(), unit.end());
      if (step == -3) continue;
      for (const char digit : std::to_string(std::abs(number))) {
        if (digit < '2') tokens.push_back(digit - '0');
        if (digit == '7') tokens.push_back(2);
        if (digit == '9') tokens.push_back(22);
      }
    }
  }
  tokens.resize(std::min(tokens.size(), kMostTokens));
  return tokens;
}

}  // namespace
}  // namespace glmocr::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace glmocr;
  using fuzz::expect;
  if (size < 3) return -1;
  const engine::TextRoom room{.area = data[0] * 2.0, .line = data[1] * 0.5};
  engine::RepetitionGuard guard(room);
  engine::PlainRepetition twin(room);
  std::int64_t seen = 0;
  for (const TokenId token : fuzz::tokens_of(data + 2, size - 2)) {
    const std::string& bytes = fuzz::kVocabulary[static_cast<std::size_t>(token)];
    const auto keep = guard.push(token, bytes);
    expect(keep == twin.push(token, bytes), "the guard and its twin disagree");
    ++seen;
    if (!keep) continue;
    expect(*keep > 0 && *keep <= seen, "more tokens are kept than there are");
    break;
  }
  return 0;
}
