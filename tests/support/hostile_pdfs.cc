// SPDX-License-Identifier: Apache-2.0
#include "support/hostile_pdfs.h"

#include <cstdint>
#include <fstream>
#include <iterator>
#include <random>
#include <stdexcept>

#include "support/pdf_writer.h"

namespace glmocr {
namespace {

using Outcome = HostilePdf::Outcome;

std::string repeated(const std::string& text, int count) {
  std::string all;
  all.reserve(text.size() * static_cast<std::size_t>(count));
  for (int i = 0; i < count; ++i) all += text;
  return all;
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const std::size_t at = text.find(from);
  if (at == std::string::npos) throw std::logic_error("hostile_pdfs: \"" + from + "\" is not in the file");
  return text.replace(at, from.size(), to);
}

// A page that draws `content`; `resources` is its dictionary's inside, and may refer to `objects`, whose numbers are 1, 2, ….
std::string page_with(const std::string& content, const std::string& resources = "",
                      const std::vector<std::string>& objects = {}, const std::string& page_keys = "",
                      const std::string& catalog = "", const std::string& box = "0 0 200 100") {
  PdfWriter writer;
  for (const std::string& object : objects) writer.add(object);
  const int stream = writer.add_stream("", content);
  const int tree = writer.next();
  writer.add("<</Type/Pages/Kids[" + reference(tree + 1) + "]/Count 1>>");
  writer.add("<</Type/Page/Parent " + reference(tree) + "/MediaBox[" + box + "]/Contents " +
             reference(stream) + "/Resources<<" + resources + ">>" + page_keys + ">>");
  return writer.finish(writer.add("<</Type/Catalog/Pages " + reference(tree) + catalog + ">>"));
}

std::string stream(const std::string& keys, const std::string& data) {
  return "<<" + keys + "/Length " + std::to_string(data.size()) + ">>stream\n" + data + "\nendstream";
}

// A page with an image of these keys and data, over all of it.
std::string image_page(const std::string& keys, const std::string& data,
                       const std::vector<std::string>& more = {}) {
  std::vector<std::string> objects = {stream("/Type/XObject/Subtype/Image" + keys, data)};
  objects.insert(objects.end(), more.begin(), more.end());
  return page_with("200 0 0 100 0 0 cm /I Do", "/XObject<</I 1 0 R>>", objects);
}

// A page tree given as objects, of which the first is its root.
std::string tree_of(const std::vector<std::string>& objects, const std::string& catalog = "") {
  PdfWriter writer;
  for (const std::string& object : objects) writer.add(object);
  return writer.finish(writer.add("<</Type/Catalog/Pages 1 0 R" + catalog + ">>"));
}

const std::string kLeaf = "<</Type/Page/Parent 1 0 R/MediaBox[0 0 200 100]>>";

std::string good() { return pdf_of({{pdf_text("Good")}}); }

// zlib data that unpacks to about 158 times its size: one byte, then matches of 258 bytes, in fixed Huffman codes.
std::string flate_bomb(int matches) {
  std::string data = "\x78\x01";
  std::uint32_t bits = 0;
  int count = 0;
  const auto put = [&](std::uint32_t value, int width) {
    bits |= value << count;
    for (count += width; count >= 8; count -= 8, bits >>= 8) data += static_cast<char>(bits & 0xff);
  };
  put(0b011, 3);       // the last block, fixed codes
  put(0b00001100, 8);  // the byte 0, of which the code begins with its highest bit
  for (int i = 0; i < matches; ++i) {
    put(0b10100011, 8);  // length 258
    put(0, 5);           // distance 1
  }
  put(0, 7);  // the end of the block
  put(0, 7);
  return data;  // without a checksum
}

// Forms that draw each other: each of the levels draws the next ten times.
std::string laughing_forms(int levels) {
  std::vector<std::string> objects;
  for (int i = 1; i <= levels; ++i) {
    const bool last = i == levels;
    objects.push_back(
        stream("/Type/XObject/Subtype/Form/BBox[0 0 200 100]" +
                   (last ? std::string() : "/Resources<</XObject<</F " + reference(i + 1) + ">>>>"),
               last ? "0 0 10 10 re f" : repeated("/F Do ", 10)));
  }
  return page_with("/F Do", "/XObject<</F 1 0 R>>", objects);
}

std::string random_bytes(int count) {
  std::mt19937 random(7);
  std::string bytes;
  for (int i = 0; i < count; ++i) bytes += static_cast<char>(random() & 0xff);
  return bytes;
}

std::string file_of(const std::string& name) {
  std::ifstream file(std::string(GLMOCR_TEST_DATA) + "/pdf/" + name, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

void add_structure(std::vector<HostilePdf>& list) {
  const std::string file = good();
  const std::string start = file.substr(file.rfind("startxref"));
  const auto xref = file.rfind("xref\n0 ");
  list.push_back({"empty", "", Outcome::no_page});
  list.push_back({"header only", "%PDF-1.7\n", Outcome::no_page});
  list.push_back({"no PDF", "Dear reader,\nthis is a letter.\n", Outcome::no_page});
  list.push_back({"random bytes", "%PDF-1.7\n" + random_bytes(1 << 16), Outcome::no_page});
  list.push_back({"zeros", "%PDF-1.7\n" + std::string(1 << 20, '\0'), Outcome::no_page});
  list.push_back({"cut in the middle", file.substr(0, file.size() / 2)});
  list.push_back({"cut before the table", file.substr(0, file.find("xref"))});
  list.push_back({"no startxref", replaced(file, start, "%%EOF\n"), Outcome::a_page});
  list.push_back({"startxref negative", replaced(file, start, "startxref\n-5\n%%EOF\n"), Outcome::a_page});
  list.push_back(
      {"startxref huge", replaced(file, start, "startxref\n99999999999\n%%EOF\n"), Outcome::a_page});
  list.push_back({"table shifted", replaced(file, "%PDF-1.7\n", "%PDF-1.7\n% shifted\n"), Outcome::a_page});
  list.push_back({"table of itself", [&] {
                    std::string loop = file;
                    for (std::size_t at = xref + 27; loop.substr(at + 10, 8) == " 00000 n"; at += 20) {
                      const std::string place = std::to_string(xref);
                      loop.replace(at, 10, std::string(10 - place.size(), '0') + place);
                    }
                    return loop;
                  }()});
  list.push_back({"table of 4 billion", replaced(file, "xref\n0 6", "xref\n0 4294967295")});
  list.push_back({"previous table is itself",
                  replaced(file, "trailer\n<<", "trailer\n<</Prev " + std::to_string(xref))});
  list.push_back({"no catalogue", replaced(file, "/Root 5 0 R", ""), Outcome::either});
  list.push_back({"catalogue is a number", replaced(file, "/Root 5 0 R", "/Root 5")});
  list.push_back({"catalogue is missing", replaced(file, "/Root 5 0 R", "/Root 77 0 R")});
  list.push_back({"catalogue without pages", tree_of({"<<>>"})});
  list.push_back({"trailer is garbage", replaced(file, "trailer\n<<", "trailer\n<[(<"), Outcome::either});
  list.push_back({"object number huge", replaced(file, "3 0 obj", "4294967299 0 obj")});
  list.push_back({"reference to itself", page_with("", "/Font 1 0 R", {"1 0 R"})});
  const std::string deep = repeated("[", 200'000);
  list.push_back({"nested arrays", page_with("", "/Font 1 0 R", {deep})});
  list.push_back({"nested dictionaries", page_with("", "/Font 1 0 R", {repeated("<</A", 200'000)})});
  list.push_back({"object stream extends itself",
                  page_with("", "/Font 9 0 R",
                            {stream("/Type/ObjStm/N 1000000000/First 10/Extends 1 0 R", "1 0 2 0 <<>>")})});
}

void add_trees(std::vector<HostilePdf>& list) {
  list.push_back({"page tree of itself", tree_of({"<</Type/Pages/Kids[1 0 R]/Count 1>>"}), Outcome::no_page});
  list.push_back(
      {"page tree in a circle", tree_of({"<</Type/Pages/Kids[2 0 R]/Count 2>>",
                                         "<</Type/Pages/Parent 1 0 R/Kids[1 0 R 3 0 R]/Count 2>>", kLeaf})});
  std::vector<std::string> deep;
  for (int i = 1; i <= 5000; ++i) {
    deep.push_back("<</Type/Pages/Kids[" + reference(i + 1) + "]/Count 1" +
                   (i > 1 ? "/Parent " + reference(i - 1) : std::string()) + ">>");
  }
  deep.push_back("<</Type/Page/Parent 5000 0 R/MediaBox[0 0 200 100]>>");
  list.push_back({"page tree of 5000 levels", tree_of(deep)});
  list.push_back({"kids are no list", tree_of({"<</Type/Pages/Kids 2 0 R/Count 1>>", kLeaf})});
  list.push_back(
      {"kids are missing", tree_of({"<</Type/Pages/Kids[8 0 R 9 0 R null]/Count 3>>"}), Outcome::no_page});
  list.push_back({"count negative", tree_of({"<</Type/Pages/Kids[2 0 R]/Count -1>>", kLeaf})});
  list.push_back({"count of 2 billion", tree_of({"<</Type/Pages/Kids[2 0 R]/Count 2147483647>>", kLeaf})});
  list.push_back({"count of a million", tree_of({"<</Type/Pages/Kids[2 0 R]/Count 1000000>>", kLeaf})});
  list.push_back({"no pages", tree_of({"<</Type/Pages/Kids[]/Count 0>>"}), Outcome::no_page});
  list.push_back({"one page many times",
                  tree_of({"<</Type/Pages/Kids[" + repeated("2 0 R ", 20'000) + "]/Count 20000>>", kLeaf})});
  list.push_back({"parents in a circle",
                  tree_of({"<</Type/Pages/Kids[2 0 R]/Count 1/Parent 3 0 R>>", "<</Type/Page/Parent 1 0 R>>",
                           "<</Type/Pages/Parent 1 0 R/Kids[1 0 R]/Count 1>>"})});
  list.push_back({"outline in a circle",
                  tree_of({"<</Type/Pages/Kids[2 0 R]/Count 1>>", kLeaf, "<</First 4 0 R/Last 4 0 R>>",
                           "<</Title(x)/Next 4 0 R/Prev 4 0 R/First 3 0 R/Parent 3 0 R>>"},
                          "/Outlines 3 0 R"),
                  Outcome::a_page});
}

void add_boxes(std::vector<HostilePdf>& list) {
  const auto boxed = [](const std::string& box, const std::string& keys = "") {
    return pdf_of({{pdf_text("Box"), box, keys}});
  };
  list.push_back({"box backwards", boxed("200 100 0 0"), Outcome::a_page});
  list.push_back({"box negative", boxed("-200 -100 -50 -10"), Outcome::a_page});
  list.push_back({"box of nothing", boxed("0 0 0 0")});
  list.push_back({"box of a million points", boxed("0 0 1000000 1000000")});
  list.push_back({"box of 1e38", boxed("0 0 1e38 1e38")});
  list.push_back(
      {"box of 10^30", boxed("0 0 1000000000000000000000000000000 1000000000000000000000000000000")});
  list.push_back({"box of words", boxed("a b c d")});
  list.push_back({"box of three numbers", boxed("0 0 200")});
  list.push_back({"box tiny", boxed("0 0 0.0001 0.0001")});
  list.push_back({"box thin", boxed("0 0 1000000 1")});
  list.push_back({"crop box elsewhere", boxed("0 0 200 100", "/CropBox[5000 5000 6000 6000]")});
  list.push_back({"turned by 17 degrees", boxed("0 0 200 100", "/Rotate 17")});
  list.push_back({"unit of a billion", boxed("0 0 200 100", "/UserUnit 1000000000")});
}

void add_contents(std::vector<HostilePdf>& list) {
  list.push_back({"a million q", page_with(repeated("q ", 1'000'000))});
  list.push_back({"a million [", page_with(repeated("[", 1'000'000))});
  list.push_back({"a million numbers", page_with(repeated("1 ", 1'000'000) + " f")});
  list.push_back({"a million lines", page_with("0 0 m " + repeated("200 100 l 0 50 l ", 500'000) + "S")});
  list.push_back(
      {"a million letters", page_with("BT /F1 9 Tf (" + std::string(1'000'000, 'x') + ") Tj ET",
                                      "/Font<</F1<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>>>")});
  list.push_back({"a million clips", page_with(repeated("0 0 200 100 re W n ", 300'000) + "0 0 9 9 re f")});
  list.push_back({"operators of random bytes", page_with(random_bytes(100'000))});
  list.push_back({"dashes without length", page_with("[0.00001 0.00001] 0 d 9 w 0 0 m 1000000 1000000 l S")});
  list.push_back({"line width of 1e30", page_with("1000000000000000000000000000000 w 0 0 m 9 9 l S")});
  list.push_back({"inline image without end", page_with("BI /W 100000 /H 100000 /BPC 8 /CS /RGB ID abc")});
  list.push_back(
      {"form of itself",
       page_with("/F Do", "/XObject<</F 1 0 R>>",
                 {stream("/Type/XObject/Subtype/Form/BBox[0 0 9 9]/Resources<</XObject<</F 1 0 R>>>>",
                         "/F Do /F Do")})});
  list.push_back({"forms of forms", laughing_forms(12)});
  const std::string tiles = "/Type/Pattern/PatternType 1/PaintType 1/TilingType 1/BBox[0 0 9 9]";
  const auto pattern = [&](const std::string& keys, const std::string& draws) {
    return page_with("/Pattern cs /P scn 0 0 200 100 re f", "/Pattern<</P 1 0 R>>",
                     {stream(tiles + keys, draws)});
  };
  list.push_back({"pattern of itself", pattern("/XStep 9/YStep 9/Resources<</Pattern<</P 1 0 R>>>>",
                                               "/Pattern cs /P scn 0 0 9 9 re f")});
  list.push_back(
      {"pattern of tiny steps", pattern("/XStep 0.0001/YStep 0.0001/Resources<<>>", "0 0 9 9 re f")});
  list.push_back({"pattern of no steps", pattern("/XStep 0/YStep 0/Resources<<>>", "0 0 9 9 re f")});
  list.push_back(
      {"shading with a function of itself",
       page_with("/S sh",
                 "/Shading<</S<</ShadingType 2/ColorSpace/DeviceGray/Coords[0 0 200 0]/Function 1 0 R>>>>",
                 {"<</FunctionType 3/Domain[0 1]/Functions[1 0 R]/Bounds[]/Encode[0 1]>>"})});
  list.push_back(
      {"sampled function of 4 billion samples",
       page_with(
           "/S sh", "/Shading<</S<</ShadingType 2/ColorSpace/DeviceGray/Coords[0 0 200 0]/Function 1 0 R>>>>",
           {stream("/FunctionType 0/Domain[0 1 0 1]/Range[0 1]/Size[65536 65536]/BitsPerSample 32", "x")})});
  list.push_back(
      {"calculator function without end",
       page_with("/S sh",
                 "/Shading<</S<</ShadingType 2/ColorSpace/DeviceGray/Coords[0 0 200 0]/Function 1 0 R>>>>",
                 {stream("/FunctionType 4/Domain[0 1]/Range[0 1]", repeated("{", 100'000))})});
  list.push_back({"soft mask of itself",
                  page_with("/G gs 0 0 200 100 re f", "/ExtGState<</G 2 0 R>>",
                            {stream("/Type/XObject/Subtype/Form/BBox[0 0 200 "
                                    "100]/Group<</S/Transparency>>/Resources<</ExtGState<</G 2 0 R>>>>",
                                    "/G gs 0 0 200 100 re f"),
                             "<</SMask<</S/Luminosity/G 1 0 R>>>>"})});
  list.push_back(
      {"type 3 font of itself",
       page_with(
           "BT /F 9 Tf (a) Tj ET", "/Font<</F 1 0 R>>",
           {"<</Type/Font/Subtype/Type3/FontBBox[0 0 9 9]/FontMatrix[.1 0 0 .1 0 0]/CharProcs<</a 2 0 R>>"
            "/Encoding<</Differences[97/a]>>/FirstChar 97/LastChar 97/Widths[9]/Resources<</Font<</F 1 0 "
            "R>>>>>>",
            stream("", "BT /F 9 Tf (aa) Tj ET")})});
}

void add_streams(std::vector<HostilePdf>& list) {
  const std::string draws = "0 0 50 50 re f";
  const auto with_length = [&](const std::string& length) {
    return replaced(page_with(draws), "/Length " + std::to_string(draws.size()), "/Length " + length);
  };
  list.push_back({"length too short", with_length("3"), Outcome::a_page});
  list.push_back({"length too long", with_length("400"), Outcome::a_page});
  list.push_back({"length of 2^63", with_length("9223372036854775807"), Outcome::a_page});
  list.push_back({"length negative", with_length("-100"), Outcome::a_page});
  list.push_back({"length is the stream", with_length("1 0 R"), Outcome::a_page});
  const auto filtered = [&](const std::string& filter, const std::string& data) {
    return tree_of({"<</Type/Pages/Kids[2 0 R]/Count 1>>",
                    "<</Type/Page/Parent 1 0 R/MediaBox[0 0 200 100]/Contents 3 0 R>>",
                    stream("/Filter" + filter, data)});
  };
  list.push_back(
      {"run length bomb", filtered("[" + repeated("/RunLengthDecode", 6) + "]", std::string(400, '\x81'))});
  list.push_back({"flate bomb", filtered("/FlateDecode", flate_bomb(8'000'000))});
  list.push_back({"two flate bombs in one",
                  filtered("[/FlateDecode/RunLengthDecode/RunLengthDecode]", flate_bomb(100'000))});
  list.push_back({"a thousand filters",
                  filtered("[" + repeated("/ASCIIHexDecode", 1000) + "]", std::string(10'000, '3'))});
  list.push_back({"filter unknown", filtered("/NoSuchDecode", draws)});
  list.push_back({"LZW of random bytes", filtered("/LZWDecode", random_bytes(10'000))});
  list.push_back(
      {"predictor of 2 billion columns",
       filtered("/FlateDecode/DecodeParms<</Predictor 15/Columns 2147483647/Colors 32/BitsPerComponent 16>>",
                flate_bomb(1000))});
}

void add_images(std::vector<HostilePdf>& list) {
  const std::string grey = "/ColorSpace/DeviceGray/BitsPerComponent 8";
  list.push_back({"image of 10^10 pixels", image_page("/Width 100000/Height 100000" + grey, "abc")});
  list.push_back({"image of 2^62 pixels", image_page("/Width 2147483647/Height 2147483647" + grey, "abc")});
  list.push_back({"image of a bomb",
                  image_page("/Width 30000/Height 30000/Filter/FlateDecode" + grey, flate_bomb(3'500'000))});
  list.push_back({"image of no pixels", image_page("/Width 0/Height 0" + grey, "abc")});
  list.push_back({"image of negative size", image_page("/Width -5/Height -5" + grey, "abc")});
  list.push_back(
      {"image of 77 bits", image_page("/Width 9/Height 9/ColorSpace/DeviceGray/BitsPerComponent 77", "abc")});
  for (const char* filter : {"DCTDecode", "JPXDecode", "JBIG2Decode", "CCITTFaxDecode"}) {
    list.push_back({"image of random " + std::string(filter),
                    image_page("/Width 500/Height 500" + grey + "/Filter/" + filter, random_bytes(5000))});
  }
  list.push_back(
      {"fax of 2 billion columns",
       image_page("/Width 2147483647/Height 9/BitsPerComponent 1/ColorSpace/DeviceGray/Filter/CCITTFaxDecode"
                  "/DecodeParms<</K -1/Columns 2147483647/Rows 2147483647>>",
                  random_bytes(5000))});
  list.push_back(
      {"colour space of itself", image_page("/Width 9/Height 9/BitsPerComponent 8/ColorSpace 2 0 R",
                                            std::string(81, 'x'), {"[/Indexed 2 0 R 255(abc)]"})});
  list.push_back({"colour profile of random bytes",
                  image_page("/Width 9/Height 9/BitsPerComponent 8/ColorSpace[/ICCBased 2 0 R]",
                             std::string(243, 'x'), {stream("/N 3", random_bytes(3000))})});
  list.push_back(
      {"image is its own mask", image_page("/Width 9/Height 9/SMask 1 0 R" + grey, std::string(81, 'x'))});
}

void add_fonts(std::vector<HostilePdf>& list) {
  const std::string text = "BT /F 24 Tf 10 40 Td (Text) Tj ET";
  const auto font = [&](const std::string& keys, const std::vector<std::string>& more = {}) {
    std::vector<std::string> objects = {"<</Type/Font" + keys + ">>"};
    objects.insert(objects.end(), more.begin(), more.end());
    return page_with(text, "/Font<</F 1 0 R>>", objects);
  };
  list.push_back({"font missing", page_with(text), Outcome::a_page});
  list.push_back({"font without anything", font(""), Outcome::a_page});
  for (const char* kind : {"FontFile", "FontFile2", "FontFile3"}) {
    list.push_back({std::string(kind) + " of random bytes",
                    font("/Subtype/TrueType/BaseFont/Odd/FontDescriptor 2 0 R",
                         {"<</Type/FontDescriptor/FontName/Odd/Flags 32/" + std::string(kind) + " 3 0 R>>",
                          stream("/Subtype/Type1C", random_bytes(20'000))}),
                    Outcome::a_page});
  }
  list.push_back({"composite font without parts", font("/Subtype/Type0/BaseFont/Odd/Encoding/Identity-H"),
                  Outcome::a_page});
  list.push_back({"composite font of itself",
                  font("/Subtype/Type0/BaseFont/Odd/Encoding 2 0 R/DescendantFonts[1 0 R]",
                       {stream("/Type/CMap/CMapName/Odd/UseCMap 2 0 R", "begincmap /Odd usecmap endcmap")}),
                  Outcome::a_page});
  list.push_back({"Chinese font that is not embedded",
                  font("/Subtype/Type0/BaseFont/STSong-Light/Encoding/UniGB-UCS2-H/DescendantFonts[2 0 R]",
                       {"<</Type/Font/Subtype/CIDFontType0/BaseFont/STSong-Light/CIDSystemInfo<</"
                        "Registry(Adobe)/Ordering(GB1)/Supplement 2>>>>"}),
                  Outcome::a_page});
  list.push_back(
      {"letters of size 1e9", page_with("BT /F 1000000000 Tf (Text) Tj ET",
                                        "/Font<</F<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>>>")});
}

void add_active(std::vector<HostilePdf>& list) {
  const std::string text = "0 0 50 50 re f";
  const auto with = [&](const std::string& catalog, const std::vector<std::string>& objects,
                        const std::string& page_keys = "") {
    return page_with(text, "", objects, page_keys, catalog);
  };
  list.push_back({"JavaScript when opened",
                  with("/OpenAction<</S/JavaScript/JS(while(true){})>>", {},
                       "/AA<</O<</S/JavaScript/JS(while(true){})>>>>"),
                  Outcome::a_page});
  list.push_back(
      {"JavaScript by name",
       with("/Names<</JavaScript<</Names[(a)<</S/JavaScript/JS(app.launchURL\\(\"http://x\"\\))>>]>>>>", {}),
       Outcome::a_page});
  list.push_back(
      {"program to be launched", with("/OpenAction<</S/Launch/F(/bin/true)>>", {}), Outcome::a_page});
  list.push_back(
      {"address to be opened", with("/OpenAction<</S/URI/URI(http://localhost:1/)>>", {}), Outcome::a_page});
  list.push_back({"embedded files",
                  with("/Names<</EmbeddedFiles<</Names[(a)<</F(a)/EF<</F 1 0 R>>>>]>>>>",
                       {stream("/Type/EmbeddedFile", "MZ program")}),
                  Outcome::a_page});
  list.push_back(
      {"names in a circle", with("/Names<</EmbeddedFiles 1 0 R>>", {"<</Kids[1 0 R]>>"}), Outcome::a_page});
  list.push_back(
      {"stream in another file",
       page_with(text, "/XObject<</I 1 0 R>>",
                 {"<</Type/XObject/Subtype/Image/F(/etc/passwd)/Width 9/Height 9/BitsPerComponent 8"
                  "/ColorSpace/DeviceGray/Length 0>>stream\n\nendstream"}),
       Outcome::a_page});
  list.push_back(
      {"page of another file",
       page_with("/F Do", "/XObject<</F 1 0 R>>",
                 {stream("/Type/XObject/Subtype/Form/BBox[0 0 9 9]/Ref<</F(/etc/passwd)/Page 0>>", text)}),
       Outcome::a_page});
  list.push_back({"XFA form",
                  with("/AcroForm<</Fields[]/XFA 1 0 R>>",
                       {stream("", "<xdp:xdp xmlns:xdp='http://ns.adobe.com/xdp/'/>")}),
                  Outcome::a_page});
  list.push_back({"form fields in a circle",
                  with("/AcroForm<</Fields[1 0 R]>>", {"<</T(a)/FT/Tx/Kids[1 0 R]/Parent 1 0 R>>"})});
  list.push_back(
      {"annotation of itself",
       with("",
            {"<</Type/Annot/Subtype/Stamp/Rect[0 0 9 9]/AP<</N 2 0 R>>/Parent 1 0 R/Popup 1 0 R>>",
             stream("/Type/XObject/Subtype/Form/BBox[0 0 9 9]/Resources<</XObject<</F 2 0 R>>>>", "/F Do")},
            "/Annots[1 0 R 1 0 R]")});
  list.push_back({"annotations without number", with("", {"<</Type/Annot/Subtype/Square/Rect[0 0 9 9]>>"},
                                                     "/Annots[" + repeated("1 0 R ", 100'000) + "]")});
}

void add_encrypted(std::vector<HostilePdf>& list) {
  list.push_back({"encrypted by RC4", file_of("rc4.pdf"), Outcome::no_page});
  list.push_back({"encrypted by AES-256", file_of("aes256.pdf"), Outcome::no_page});
  const auto encrypted = [](const std::string& dictionary) {
    return replaced(good(), "trailer\n<<", "trailer\n<</ID[(a)(b)]/Encrypt" + dictionary);
  };
  list.push_back(
      {"encrypted by an unknown method", encrypted("<</Filter/Standard/V 99/R 99/O(x)/U(x)/P -4>>")});
  list.push_back({"encrypted by another filter", encrypted("<</Filter/Other/V 1>>")});
  list.push_back({"encryption of itself",
                  encrypted("<</Filter/Standard/V 4/R 4/CF<</StdCF 5 0 R>>/O 5 0 R/U 5 0 R/P -4>>")});
  list.push_back({"encryption with a long key",
                  encrypted("<</Filter/Standard/V 2/R 3/Length 2147483640/O(" + std::string(32, 'x') +
                            ")/U(" + std::string(32, 'y') + ")/P -4>>")});
}

}  // namespace

std::vector<HostilePdf> hostile_pdfs() {
  std::vector<HostilePdf> list;
  add_structure(list);
  add_trees(list);
  add_boxes(list);
  add_contents(list);
  add_streams(list);
  add_images(list);
  add_fonts(list);
  add_active(list);
  add_encrypted(list);
  return list;
}

}  // namespace glmocr
