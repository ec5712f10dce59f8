// SPDX-License-Identifier: Apache-2.0
// The repetition guard on texts as real pages have them, on loops, and against a slow twin.
#include "engine/repetition.h"

#include <gtest/gtest.h>

#include <random>
#include <string>

#include "models/tokenizer.h"
#include "unit/engine/plain_repetition.h"

namespace glmocr::engine {
namespace {

// A page of A4 at 150 dots per inch, with letters of 20 pixels, of which a third is blank.
constexpr TextRoom kPage{.area = 3600, .line = 250};
// A page with less on it.
constexpr TextRoom kSparsePage{.area = 1900, .line = 250};
constexpr std::int64_t kMostTokens = 8192;

const Tokenizer& mini_tokenizer() {
  static const Tokenizer tokenizer = Tokenizer::load(GLMOCR_SOURCE_DIR "/models/mini/tokenizer.json");
  return tokenizer;
}

struct Cut {
  std::int64_t at = 0, keep = 0;  // tokens
};

std::optional<Cut> guard(std::span<const TokenId> tokens, const TextRoom& room = kPage) {
  RepetitionGuard guard(room);
  for (std::int64_t i = 0; i < std::ssize(tokens); ++i) {
    const auto keep = guard.push(tokens[i], mini_tokenizer().piece_bytes(tokens[i], true));
    if (keep) return Cut{i + 1, *keep};
  }
  return std::nullopt;
}

std::string repeated(const std::string& unit, int times) {
  std::string text;
  for (int i = 0; i < times; ++i) text += unit;
  return text;
}

// A text that stands on a page, at least 256 tokens of it in a cycle.
void expect_kept(const std::string& text) {
  const std::vector<TokenId> tokens = mini_tokenizer().encode("Some text before it.\n" + text);
  EXPECT_GE(tokens.size(), 256u);
  const auto cut = guard(tokens);
  EXPECT_FALSE(cut) << "cut after " << cut->at << " of " << tokens.size() << " tokens";
}

TEST(Repetition, KeepsDottedLeaders) {
  std::string contents;
  for (int i = 1; i <= 60; ++i) {
    contents +=
        "Chapter " + std::to_string(i) + " " + std::string(70, '.') + " " + std::to_string(10 * i) + "\n";
  }
  expect_kept(contents);
  expect_kept(repeated("Name " + repeated(" .", 50) + "\n", 40));
}

TEST(Repetition, KeepsRulesOfUnderscores) {
  expect_kept(repeated(std::string(90, '_') + "\n", 50));
  expect_kept(repeated("Name: " + std::string(40, '_') + "\n", 45));
  std::vector<TokenId> single(300, mini_tokenizer().encode("_")[0]);  // a line of an A3 page, one token each
  EXPECT_FALSE(guard(single));
}

TEST(Repetition, KeepsTablesWithEqualCells) {
  expect_kept("<table>" + repeated("<tr>" + repeated("<td>0</td>", 8) + "</tr>", 40) + "</table>");
  expect_kept("<table>" + repeated("<tr>" + repeated("<td></td>", 12) + "</tr>", 50) + "</table>");
  expect_kept(repeated("| yes | no | n/a | 0.00 | 0.00 |\n", 50));
  expect_kept(repeated("0.00 & 0.00 & 0.00 & 0.00 \\\\\n", 50));
}

TEST(Repetition, KeepsRepeatedListItems) {
  expect_kept(repeated("- I agree with this statement.\n", 60));
  expect_kept(repeated("[ ] ", 80) + "\n" + repeated("[ ] yes [ ] no\n", 60));
}

TEST(Repetition, KeepsPoemsWithRefrains) {
  expect_kept(
      repeated("Row, row, row your boat,\ngently down the stream.\nMerrily, merrily, merrily, merrily,\n"
               "life is but a dream.\n\n",
               12));
  expect_kept(repeated("Hallelujah, ", 90));
}

TEST(Repetition, KeepsCodeWithEqualLines) {
  expect_kept("```\n" + repeated("    result.push_back(next_value());\n", 60) + "```\n");
  expect_kept("```\n" + repeated("    }\n", 70) + repeated("\n", 20) +
              repeated("        0x00, 0x00, 0x00, 0x00,\n", 60));
}

TEST(Repetition, KeepsNumberedLines) {
  std::string lines;
  for (int i = 1; i <= 160; ++i) lines += std::to_string(i) + ". Signature\n";  // two columns
  expect_kept(lines);
}

// `count` tokens that differ from their neighbours and are no numbers; the seed decides which.
std::vector<TokenId> other_tokens(int count, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<TokenId> tokens;
  while (std::ssize(tokens) < count) {
    const auto id = static_cast<TokenId>(random() % mini_tokenizer().size());
    const std::string bytes = mini_tokenizer().piece_bytes(id, true);
    const bool number = bytes.find_first_of("0123456789") != std::string::npos;
    if (!bytes.empty() && !number && (tokens.empty() || tokens.back() != id)) tokens.push_back(id);
  }
  return tokens;
}

TEST(Repetition, CutsLoopsOf1To60Tokens) {
  constexpr int kBefore = 200;
  for (int length = 1; length <= 60; ++length) {
    std::vector<TokenId> tokens = other_tokens(kBefore, 1);
    const std::vector<TokenId> unit = other_tokens(length, 1000 + length);
    while (std::ssize(tokens) < kMostTokens) tokens.insert(tokens.end(), unit.begin(), unit.end());
    const auto cut = guard(tokens, kSparsePage);
    ASSERT_TRUE(cut) << length << mini_tokenizer().decode(unit);
    EXPECT_GE(cut->at, kBefore + RepetitionGuard::kFewestTokens) << length;
    EXPECT_GT(cut->keep, kBefore) << length;
    EXPECT_LE(cut->keep, cut->at) << length;
    EXPECT_EQ((cut->keep - kBefore) % length, 0) << length;
  }
}

TEST(Repetition, CutsCountingLoops) {
  for (const std::string before : {"", "Item ", "1.", "(a) see figure "}) {
    for (const std::string after : {"\n", ". ", ". The same words again and again.\n"}) {
      for (const int step : {1, 10, -1}) {
        std::string text = "Some text before it.\n";
        for (int i = 0; i < 4000; ++i) text += before + std::to_string(50000 + step * i) + after;
        const std::vector<TokenId> tokens = mini_tokenizer().encode(text);
        const auto cut = guard(tokens, kSparsePage);
        ASSERT_TRUE(cut) << before << step << after;
        EXPECT_LT(cut->at, kMostTokens) << before << step << after;
      }
    }
  }
}

TEST(Repetition, CutsLoopsWhoseRunsVaryInLength) {
  std::string text;
  std::mt19937 random(3);
  for (int i = 0; i < 1000; ++i) text += repeated(" *", 9 + static_cast<int>(random() % 4)) + "\n";
  const auto cut = guard(mini_tokenizer().encode(text), kSparsePage);
  ASSERT_TRUE(cut);
  EXPECT_LT(cut->at, kMostTokens);
}

// A table of measurements is as regular, but its numbers do not count.
TEST(Repetition, KeepsNumbersThatDoNotCount) {
  std::string text;
  std::mt19937 random(4);
  for (int i = 0; i < 900; ++i) text += std::to_string(random() % 1000) + (i % 6 == 5 ? "\n" : " ");
  EXPECT_FALSE(guard(mini_tokenizer().encode(text), {.area = 10, .line = 10}));
}

TEST(Repetition, KeepsWhatThePictureCanHold) {
  const std::vector<TokenId> unit = mini_tokenizer().encode("the same line\n");
  std::vector<TokenId> tokens;
  for (int i = 0; i < 500; ++i) tokens.insert(tokens.end(), unit.begin(), unit.end());
  const auto cut = [&](double area) { return guard(tokens, {.area = area, .line = 50}).value(); };
  const std::int64_t length = std::ssize(unit);
  EXPECT_GT(cut(700).keep, cut(350).keep);
  EXPECT_EQ(cut(0).keep, length) << "one repeat stays";
  EXPECT_FALSE(guard(tokens, {})) << "without pictures there is no bound";
}

TEST(Repetition, WaitsForTheModelToComeOutOfACycle) {
  const TextRoom room{.area = 100.1, .line = 100.1};
  const auto text = [](int dots) { return mini_tokenizer().encode(repeated(" .", dots) + " and goes on"); };
  const int kept = 250;  // 0.4 heights each
  EXPECT_FALSE(guard(text(kept + RepetitionGuard::kPatience - 1), room));
  const auto cut = guard(text(kept + RepetitionGuard::kPatience), room);
  ASSERT_TRUE(cut);
  EXPECT_EQ(cut->at, kept + RepetitionGuard::kPatience);
  EXPECT_EQ(cut->keep, kept);
}

TEST(Repetition, CyclesShareThePicture) {
  const auto kept = [](int lines_before) {
    const std::string before = repeated("another line\n", lines_before);
    const std::int64_t tokens = std::ssize(mini_tokenizer().encode(before));
    const auto cut =
        guard(mini_tokenizer().encode(before + repeated("the same line\n", 500)), {.area = 700, .line = 50});
    return cut.value().keep - tokens;
  };
  EXPECT_GT(kept(0), kept(30));
  EXPECT_GT(kept(30), kept(60)) << "which is a cycle itself";
}

TEST(Repetition, CyclesShareTheirLine) {
  const auto cut_after = [](const std::string& between) {
    const std::string text = repeated("LOC/", 180) + between + repeated("R,", 400);
    const auto cut = guard(mini_tokenizer().encode(text));
    return cut ? cut->at : 0;
  };
  EXPECT_GT(cut_after("x"), 0);
  EXPECT_EQ(cut_after("x\n"), 0) << "a line for each";
  EXPECT_EQ(cut_after("x "), 0) << "a line may end behind a word";
}

TEST(Repetition, ALineOfMarksMayNotEndBetweenThem) {
  EXPECT_TRUE(guard(mini_tokenizer().encode(repeated(" .", 900))));
  EXPECT_FALSE(guard(mini_tokenizer().encode(repeated(repeated(" .", 600) + "\n", 10))));
}

// Sequences of random pieces: loops, counting loops, runs, noise.
TEST(Repetition, AgreesWithASlowTwin) {
  const std::vector<std::string> vocabulary = {"0",    "1",     "7",  "12", "a",    "word", " word",
                                               ".",    "..",    " .", "_",  "\n",   "\n\n", " ",
                                               "<td>", "</td>", "é",  "\\", "frac", "<"};
  int cuts = 0;
  for (unsigned seed = 0; seed < 120; ++seed) {
    std::mt19937 random(seed);
    const auto below = [&](std::size_t n) { return static_cast<int>(random() % n); };
    const auto any = [&] { return static_cast<TokenId>(below(vocabulary.size())); };
    std::vector<TokenId> tokens;
    while (tokens.size() < 900) {
      std::vector<TokenId> unit(1 + below(seed % 2 ? 4 : 40));
      for (TokenId& token : unit) token = any();
      const int repeats = below(3) == 0 ? 1 : below(600);
      const int number = below(1000);
      for (int i = 0; i < repeats && tokens.size() < 900; ++i) {
        tokens.insert(tokens.end(), unit.begin(), unit.end());
        if (number % 3 == 0) tokens.insert(tokens.end(), 1 + below(3), TokenId{7});
        for (const char digit : std::to_string(number + i)) {
          if (number % 2 && digit < '2') tokens.push_back(digit - '0');
        }
      }
    }
    const TextRoom room{.area = below(400) * 1.0, .line = below(60) * 1.0};
    RepetitionGuard guard(room);
    PlainRepetition twin(room);
    for (const TokenId token : tokens) {
      const auto keep = guard.push(token, vocabulary[token]);
      ASSERT_EQ(keep, twin.push(token, vocabulary[token])) << seed;
      if (keep) ++cuts;
      if (keep) break;
    }
  }
  EXPECT_GT(cuts, 30);
  EXPECT_LT(cuts, 120);
}

}  // namespace
}  // namespace glmocr::engine
