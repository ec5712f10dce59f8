// SPDX-License-Identifier: Apache-2.0
// A font that draws nothing and whose letters have a meaning; internal to this room.
#pragma once
#include <string>
#include <string_view>

#include "pdf/pdf_output.h"

namespace glmocr::pdf {

inline constexpr double kGlyphWidth = 0.5;           // of every letter, in sizes of the font
inline constexpr std::size_t kMostLetters = 65'000;  // of one font

// The program of the font, TrueType.
std::string glyphless_font_file();

// Writes a font to be used with codes of two bytes: code i + 1 means `letters[i]`, of at most kMostLetters. Returns its
// object.
int write_glyphless_font(PdfOutput& output, std::u32string_view letters);

}  // namespace glmocr::pdf
