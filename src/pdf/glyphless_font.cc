// SPDX-License-Identifier: Apache-2.0
#include "pdf/glyphless_font.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <utility>
#include <vector>

#include "base/error.h"

namespace glmocr::pdf {
namespace {

constexpr int kUnitsPerEm = 1000, kAscent = 800, kDescent = -200;
constexpr int kAdvance = static_cast<int>(kGlyphWidth * kUnitsPerEm);

// Numbers with their highest byte first.
class Bytes {
 public:
  Bytes& u8(int value) { return put(static_cast<std::uint32_t>(value), 1); }
  Bytes& u16(int value) { return put(static_cast<std::uint32_t>(value), 2); }
  Bytes& u32(std::uint32_t value) { return put(value, 4); }
  Bytes& zeros(int count) {
    text.append(static_cast<std::size_t>(count), '\0');
    return *this;
  }
  std::string text;

 private:
  Bytes& put(std::uint32_t value, int count) {
    for (int i = count - 1; i >= 0; --i) text += static_cast<char>((value >> (8 * i)) & 0xFF);
    return *this;
  }
};

std::uint32_t checksum(const std::string& padded) {
  std::uint32_t sum = 0;
  for (std::size_t i = 0; i < padded.size(); ++i) {
    sum += std::uint32_t{static_cast<unsigned char>(padded[i])} << (8 * (3 - i % 4));
  }
  return sum;
}

// OpenType specification 1.9, the tables that a font in a PDF file needs: two glyphs.
std::vector<std::pair<std::string, std::string>> tables() {
  constexpr std::uint32_t kVersion = 0x00010000;
  Bytes cmap, glyf, head, hhea, hmtx, loca, maxp, post;
  cmap.u16(0).u16(1).u16(3).u16(1).u32(12);                // one table: Windows, Unicode
  cmap.u16(4).u16(24).u16(0).u16(2).u16(2).u16(0).u16(0);  // format 4 with a single segment
  cmap.u16(0xFFFF).u16(0).u16(0xFFFF).u16(1).u16(0);       // which ends the list
  // Glyph 1 is a line from corner to corner and back, which encloses nothing: readers mark a text by what its letters fill.
  glyf.u16(1).u16(0).u16(kDescent).u16(kAdvance).u16(kAscent).u16(2).u16(0);  // one contour of three points
  glyf.u8(1).u8(1).u8(1);                                                     // all of them on the curve
  glyf.u16(0).u16(kAdvance).u16(-kAdvance).u16(kDescent).u16(kAscent - kDescent).u16(kDescent - kAscent);
  glyf.zeros(1);
  head.u32(kVersion).u32(kVersion).u32(0).u32(0x5F0F3CF5).u16(3).u16(kUnitsPerEm).zeros(16);
  head.u16(0).u16(kDescent).u16(kAdvance).u16(kAscent).u16(0).u16(8).u16(2).u16(0).u16(0);
  hhea.u32(kVersion).u16(kAscent).u16(kDescent).u16(0).u16(kAdvance).zeros(22).u16(1);
  hmtx.u16(kAdvance).u16(0).u16(0);
  loca.u16(0).u16(0).u16(static_cast<int>(glyf.text.size() / 2));
  maxp.u32(kVersion).u16(2).u16(3).u16(1).zeros(4).u16(1).zeros(16);
  post.u32(0x00030000).u32(0).u16(-100).u16(50).u32(1).zeros(16);
  return {{"cmap", cmap.text}, {"glyf", glyf.text}, {"head", head.text}, {"hhea", hhea.text},
          {"hmtx", hmtx.text}, {"loca", loca.text}, {"maxp", maxp.text}, {"post", post.text}};
}

void append_hex(std::string& text, std::uint32_t value) {
  std::array<char, 8> digits;
  std::snprintf(digits.data(), digits.size(), "%04X", value);
  text += digits.data();
}

// In UTF-16, as hexadecimal digits.
std::string utf16(char32_t c) {
  std::string text;
  if (c >= 0x10000) {
    append_hex(text, 0xD800 + ((c - 0x10000) >> 10));
    append_hex(text, 0xDC00 + ((c - 0x10000) & 0x3FF));
  } else {
    append_hex(text, c);
  }
  return text;
}

// A map from codes to letters (ISO 32000-1, 9.10.3). Lists have at most 100 entries.
std::string unicode_map(std::u32string_view letters) {
  constexpr std::size_t kAtOnce = 100;
  std::string map =
      "/CIDInit /ProcSet findresource begin\n12 dict begin\nbegincmap\n"
      "/CIDSystemInfo <</Registry (Adobe) /Ordering (UCS) /Supplement 0>> def\n"
      "/CMapName /Adobe-Identity-UCS def\n/CMapType 2 def\n"
      "1 begincodespacerange\n<0000> <FFFF>\nendcodespacerange\n";
  for (std::size_t begin = 0; begin < letters.size(); begin += kAtOnce) {
    const std::u32string_view part = letters.substr(begin, kAtOnce);
    map += cat(part.size(), " beginbfchar\n");
    for (std::size_t i = 0; i < part.size(); ++i) {
      map += '<';
      append_hex(map, static_cast<std::uint32_t>(begin + i + 1));
      map += "> <" + utf16(part[i]) + ">\n";
    }
    map += "endbfchar\n";
  }
  return map + "endcmap\nCMapName currentdict /CMap defineresource pop\nend\nend";
}

}  // namespace

std::string glyphless_font_file() {
  constexpr int kEntry = 16;
  const auto list = tables();
  const int count = static_cast<int>(list.size());  // 8, a power of two
  Bytes file;
  file.u32(0x00010000).u16(count).u16(count * kEntry).u16(3).u16(0);
  std::string data;
  for (const auto& [name, table] : list) {
    const std::string padded = table + std::string((4 - table.size() % 4) % 4, '\0');
    file.text += name;
    file.u32(checksum(padded))
        .u32(static_cast<std::uint32_t>(12 + count * kEntry) + static_cast<std::uint32_t>(data.size()));
    file.u32(static_cast<std::uint32_t>(table.size()));
    data += padded;
  }
  return file.text + data;
}

int write_glyphless_font(PdfOutput& output, std::u32string_view letters) {
  const std::string program = glyphless_font_file();
  const int file = output.add_packed(cat("/Length1 ", program.size()), program);
  const int descriptor =
      output.add(cat("<</Type/FontDescriptor/FontName/Glyphless/Flags 4/FontBBox[0 ", kDescent, " ", kAdvance,
                     " ", kAscent, "]/ItalicAngle 0/Ascent ", kAscent, "/Descent ", kDescent, "/CapHeight ",
                     kAscent, "/StemV 80/FontFile2 ", reference(file), ">>"));
  std::string glyphs(2, '\0');  // every code has glyph 1
  for (std::size_t i = 0; i < letters.size(); ++i) glyphs += std::string("\0\1", 2);
  const int glyph_map = output.add_packed("", glyphs);
  const int codes = output.add(
      cat("<</Type/Font/Subtype/CIDFontType2/BaseFont/Glyphless/CIDSystemInfo<</Registry(Adobe)/"
          "Ordering(Identity)"
          "/Supplement 0>>/DW ",
          kAdvance, "/CIDToGIDMap ", reference(glyph_map), "/FontDescriptor ", reference(descriptor), ">>"));
  const int meaning = output.add_packed("", unicode_map(letters));
  return output.add(cat("<</Type/Font/Subtype/Type0/BaseFont/Glyphless/Encoding/Identity-H/DescendantFonts[",
                        reference(codes), "]/ToUnicode ", reference(meaning), ">>"));
}

}  // namespace glmocr::pdf
