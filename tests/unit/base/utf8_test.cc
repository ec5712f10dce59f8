// SPDX-License-Identifier: Apache-2.0
#include "base/utf8.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace glmocr {
namespace {

using namespace std::string_literals;

const std::string kFffd = "\xEF\xBF\xBD";

struct IllFormed {
  std::string bytes;
  std::size_t offset;    // of the first bad byte
  std::string repaired;  // one U+FFFD for each maximal ill-formed part (Unicode 14, section 3.9)
};

const std::vector<IllFormed>& ill_formed() {
  static const std::vector<IllFormed> kCases = {
      {"\x80", 0, kFffd},                          // a continuation alone
      {"a\xFF", 1, "a" + kFffd},                   // never a lead
      {"\xC0\xAF", 0, kFffd + kFffd},              // overlong slash
      {"\xC1\xBF", 0, kFffd + kFffd},              // overlong
      {"\xE0\x80\xAF", 0, kFffd + kFffd + kFffd},  // overlong
      {"\xF0\x8F\xBF\xBF", 0, kFffd + kFffd + kFffd + kFffd},
      {"\xED\xA0\x80", 0, kFffd + kFffd + kFffd},              // surrogate U+D800
      {"\xED\xBF\xBF", 0, kFffd + kFffd + kFffd},              // surrogate U+DFFF
      {"\xF4\x90\x80\x80", 0, kFffd + kFffd + kFffd + kFffd},  // U+110000
      {"\xF5\x80\x80\x80", 0, kFffd + kFffd + kFffd + kFffd},
      {"\xE2\x82", 0, kFffd},                // cut off
      {"\xF0\x9F\x99", 0, kFffd},            // cut off
      {"é\xC3", 2, "é" + kFffd},             // cut off after a character
      {"\xE2\x82z", 0, kFffd + "z"},         // one part, then a letter
      {"\xF0\x9F\xC3\xA9", 0, kFffd + "é"},  // broken off by a whole character
      {"\xF1\x80\x80\xE1\x80\xC2\x62\x80\x63\x80\xBF\x64", 0,
       kFffd + kFffd + kFffd + "b" + kFffd + "c" + kFffd + kFffd + "d"},  // the standard's table 3-8
  };
  return kCases;
}

TEST(Utf8, WellFormedTextHasNoBadByte) {
  for (const std::string& text : {""s, "abc"s, "\0"s, "é€🙂"s, "\xEF\xBF\xBF"s,
                                  "\xED\x9F\xBF\xEE\x80\x80"s, "\xF4\x8F\xBF\xBF"s}) {
    EXPECT_EQ(find_invalid_utf8(text), std::string_view::npos) << text;
    EXPECT_EQ(to_valid_utf8(text), text);
  }
}

TEST(Utf8, NamesTheFirstBadByteAndReplacesEachMaximalPart) {
  for (const IllFormed& bad : ill_formed()) {
    EXPECT_EQ(find_invalid_utf8(bad.bytes), bad.offset) << bad.repaired;
    EXPECT_EQ(to_valid_utf8(bad.bytes), bad.repaired);
  }
}

TEST(Utf8, EveryCodePointSurvives) {
  std::string text;
  std::u32string code_points;
  for (char32_t c = 0; c <= 0x10FFFF; ++c) {
    if (c == 0xD800) c = 0xE000;
    append_utf8(text, c);
    code_points.push_back(c);
  }
  EXPECT_EQ(find_invalid_utf8(text), std::string_view::npos);
  EXPECT_TRUE(decode_utf8(text) == code_points);
  EXPECT_EQ(text.size(), 0x80u + 2 * 0x780 + 3 * (0xF800 - 0x800) + 4 * 0x100000);
}

TEST(Utf8, DecodingNamesTheOffset) {
  try {
    decode_utf8("abc\xFF");
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::input);
    EXPECT_NE(std::string(error.what()).find("byte 3"), std::string::npos) << error.what();
  }
}

TEST(Utf8Stream, HoldsBackAnIncompleteCharacter) {
  Utf8Stream stream;
  EXPECT_EQ(stream.push("a\xF0"), "a");
  EXPECT_EQ(stream.push("\x9F"), "");
  EXPECT_EQ(stream.push("\x99\x82z"), "🙂z");
  EXPECT_EQ(stream.finish(), "");
  EXPECT_EQ(stream.push("\xE2\x82"), "");
  EXPECT_EQ(stream.finish(), kFffd);
  EXPECT_EQ(stream.finish(), "");
}

TEST(Utf8Stream, AnyCutGivesTheSameText) {
  for (const IllFormed& bad : ill_formed()) {
    const std::string bytes = "é" + bad.bytes + "🙂";
    for (std::size_t cut = 0; cut <= bytes.size(); ++cut) {
      Utf8Stream stream;
      std::string text = stream.push(std::string_view(bytes).substr(0, cut));
      text += stream.push(std::string_view(bytes).substr(cut));
      text += stream.finish();
      EXPECT_EQ(text, "é" + bad.repaired + "🙂") << "cut at " << cut;
    }
  }
}

}  // namespace
}  // namespace glmocr
