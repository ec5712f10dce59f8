// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cmath>
#include <nlohmann/json.hpp>

#include "formats/markup.h"
#include "formats/page_record.h"
#include "formats/sdk_format.h"
#include "formats/table.h"
#include "formats/word_layout.h"
#include "support/expect_error.h"
#include "unit/formats/documents.h"

namespace glmocr::formats {
namespace {

using testing::HasSubstr;
using testing::Not;

DocumentPage full_page() {
  Region heading = region(RegionLabel::doc_title, "A & B", {100, 10, 900, 60});
  heading.mean_logprob = std::log(0.5);
  heading.lines = {
      {{100, 10, 900, 60}, "A & B", {{{100, 10, 200, 60}, "A", {}}, {{700, 10, 900, 60}, "B", {}}}}};
  Region unread = text("");
  unread.content.reset();
  unread.error = Error(ErrorCode::memory, "too large");
  unread.finish_reason = FinishReason::time_limit;
  Region layer = text("from the layer");
  layer.source = TextSource::text_layer;
  layer.polygon = {{1, 2}, {3, 4}, {5, 6}};
  DocumentPage full = page({heading, picture(), unread, layer, region(RegionLabel::footer, "foot")}, 7);
  full.rotation = 90;
  full.skew = 0.5;
  full.warnings = {"a warning"};
  return full;
}

TEST(Json, PagesAndRegions) {
  const auto json =
      nlohmann::ordered_json::parse(write(Format::json, {full_page(), page({}, 8)}, {.file = "given.pdf"}));
  EXPECT_EQ(json["file"], "given.pdf");
  ASSERT_EQ(json["pages"].size(), 2U);
  const auto& first = json["pages"][0];
  EXPECT_EQ(first["page"], 7);
  EXPECT_EQ(first["rotation"], 90);
  EXPECT_EQ(first["skew"], 0.5);
  EXPECT_EQ(first["warnings"][0], "a warning");
  ASSERT_EQ(first["regions"].size(), 5U);  // headers and footers too
  EXPECT_EQ(
      first["regions"][0].dump(),
      R"({"index":0,"label":"text","bbox_2d":[100,10,900,60],"polygon":[[100,10],[900,10],[900,60],[100,60]],)"
      R"("content":"# A & B","native_label":"doc_title","score":1.0,"confidence":0.5,"box":[100.0,10.0,900.0,60.0],)"
      R"("lines":[{"box":[100.0,10.0,900.0,60.0],"text":"A & B","words":[{"box":[100.0,10.0,200.0,60.0],"text":"A"},)"
      R"({"box":[700.0,10.0,900.0,60.0],"text":"B"}]}],"source":"picture"})");
  EXPECT_EQ(first["regions"][1]["image_path"], "imgs/page7_region1.jpg");
  EXPECT_EQ(first["regions"][2]["content"], nullptr);
  EXPECT_EQ(first["regions"][2]["error"]["code"], "memory");
  EXPECT_EQ(first["regions"][2]["finish_reason"], "time_limit");
  EXPECT_EQ(first["regions"][3]["source"], "text-layer");
  EXPECT_FALSE(first["regions"][3].contains("confidence"));
  EXPECT_EQ(first["regions"][4]["label"], "footer");
  EXPECT_EQ(json["pages"][1]["regions"].size(), 0U);
}

TEST(Json, Lines) {
  DocumentPage failed = page({}, 2);
  failed.error = Error(ErrorCode::input, "paper.pdf: page 2: broken");
  EXPECT_EQ(write(Format::jsonl, {page({}, 0), failed}),
            R"({"file":"paper.pdf","page":1,"width":1000,"height":1000,"rotation":0,"regions":[]})"
            "\n"
            R"({"file":"paper.pdf","page":2,"width":1000,"height":1000,"rotation":0,)"
            R"("error":{"code":"input","message":"paper.pdf: page 2: broken"},"regions":[]})"
            "\n");
}

TEST(Json, WithoutPages) {
  EXPECT_EQ(write(Format::json, {}, {.file = "\"é\xff"}),
            "{\n  \"file\": \"\\\"é\uFFFD\",\n  \"pages\": []\n}\n");
}

TEST(PlainText, HasNoMarks) {
  const std::vector<DocumentPage> pages = {
      page({region(RegionLabel::doc_title, "# T"), text("H<sub>2</sub>O$^{1}$ <x> $a$"), text("- a"),
            text("- b"), region(RegionLabel::display_formula, "$$x$$"),
            region(RegionLabel::formula_number, "(3)"), picture(), region(RegionLabel::footnote, "1 note")}),
      page({region(RegionLabel::table, "<table><tr><th>a<td colspan=2>b<td>c<tr><td>d</table>")}, 2)};
  EXPECT_EQ(write(Format::text, pages),
            "T\n\nH2O[1] <x> $a$\n\n- a\n- b\n\nx (3)\n\n[1] note\n\na\tb\t\tc\nd\n");
}

TEST(PlainText, FormFeeds) {
  EXPECT_EQ(
      write(Format::text, {page({}, 1), page({text("a")}, 2), page({text("b")}, 3)}, {.page_breaks = true}),
      "\fa\n\fb\n");
  EXPECT_EQ(write(Format::text, {}), "");
}

std::string body(const std::vector<Region>& regions, const FormatOptions& options = {}) {
  const std::string html = write(Format::html, {page(regions)}, options);
  const std::size_t begin = html.find("<body>\n") + 7;
  return html.substr(begin, html.find("</body>") - begin);
}

TEST(Html, Blocks) {
  EXPECT_EQ(body({region(RegionLabel::doc_title, "A"), text("a $b<c$ d $^{1}$"), text("- x"), text("- y"),
                  text("3. z"), region(RegionLabel::footnote, "1 note"), picture()}),
            "<h1>A</h1>\n<p>a <span class=\"formula\">\\(b&lt;c\\)</span> d<sup><a "
            "href=\"#note-1\">1</a></sup></p>\n"
            "<ul>\n<li>x</li>\n<li>y</li>\n</ul>\n<ol>\n<li value=\"3\">z</li>\n</ol>\n"
            "<aside class=\"footnote\" id=\"note-1\"><sup>1</sup> note</aside>\n"
            "<figure><img src=\"imgs/page1_region6.jpg\" alt=\"Picture on page 1\"></figure>\n");
  EXPECT_EQ(
      body({text("a"), region(RegionLabel::header, "h")},
           {.furniture = Furniture::apart, .page_breaks = true}),
      "<hr class=\"page\" id=\"page-1\" title=\"page 1\">\n<p>a</p>\n<aside class=\"header\">h</aside>\n");
  EXPECT_THAT(write(Format::html, {}, {.file = "<x>"}), HasSubstr("<title>&lt;x&gt;</title>"));
}

TEST(Html, NothingOfTheTextBecomesMarkup) {
  EXPECT_EQ(body({text("<script>x</script> \"&amp;\" <b>y <i>z</b> [^1] </sup>")}),
            "<p>&lt;script&gt;x&lt;/script&gt; &quot;&amp;amp;&quot; <b>y <i>z</i></b> [^1] </p>\n");
  EXPECT_EQ(body({region(RegionLabel::display_formula, "</div><img onerror=x>")}),
            "<div class=\"formula\">\\[&lt;/div&gt;&lt;img onerror=x&gt;\\]</div>\n");
}

TEST(Tables, Sanitised) {
  const Table table = parse_table(
      "<TABLE border=1 onclick='x'><thead><tr><TH scope=row COLSPAN=\"2\">a &lt;b&gt; "
      "&#233;&#x41;&bogus;</th>"
      "<td rowspan = '3' style=x><a href=javascript:x>l<sup>2</sup></a><script>s</script><sub>open</td></tr>"
      "<tr><td colspan=99999>1<br/>2<table><tr><td>inner</td></tr></table></table>after");
  EXPECT_EQ(table_html(table),
            "<table>\n<caption>after</caption>\n"
            "<tr><th colspan=\"2\">a &lt;b&gt; éA&amp;bogus;</th><td rowspan=\"3\">l<sup>2</sup> s "
            "<sub>open</sub></td></tr>\n"
            "<tr><td colspan=\"200\">1<br>2</td></tr>\n<tr><td>inner</td></tr>\n</table>");
}

TEST(Tables, AnyText) {
  EXPECT_EQ(table_html(parse_table("<table")), "<table>\n<caption>&lt;table</caption>\n</table>");
  EXPECT_EQ(table_html(parse_table("<table><td>a<td>b")), "<table>\n<tr><td>a</td><td>b</td></tr>\n</table>");
  EXPECT_EQ(markdown(RegionLabel::table, "no <i>table</i>"), "no <i>table</i>");
  EXPECT_EQ(markdown(RegionLabel::table, "<table>no table</table>"), "no table");
}

TEST(Tables, Columns) {
  EXPECT_EQ(table_plain(parse_table("<tr><td rowspan=2>a<td>b<td rowspan=2>c<tr><td>d<tr><td>e<td>f\ng")),
            "a\tb\tc\n\td\ne\tf g");
  EXPECT_EQ(column_count(parse_table("<tr><td colspan=3>a<tr><td>b<td>c")), 3);
}

TEST(Hocr, Structure) {
  DocumentPage two = full_page();
  two.file = "a \"b\".pdf";
  const std::string hocr = write(Format::hocr, {page({}, 6), two});
  EXPECT_THAT(
      hocr,
      HasSubstr(
          "<div class=\"ocr_page\" id=\"page_2\" title=\"image &quot;a 'b'.pdf&quot;; bbox 0 0 1000 1000; "
          "ppageno 1\">\n<div class=\"ocr_carea\" id=\"block_2_1\" title=\"bbox 100 10 900 60\">\n"
          "<p class=\"ocr_par\" id=\"par_2_1\" title=\"bbox 100 10 900 60\">\n"
          "<span class=\"ocr_line\" id=\"line_2_1_1\" title=\"bbox 100 10 900 60; baseline 0 0\">"
          "<span class=\"ocrx_word\" id=\"word_2_1_1_1\" title=\"bbox 100 10 200 60; x_wconf 50\">A</span> "
          "<span class=\"ocrx_word\" id=\"word_2_1_1_2\" title=\"bbox 700 10 900 60; x_wconf 50\">B</span>"
          "</span>\n</p>\n</div>\n"
          "<div class=\"ocr_photo\" id=\"photo_2_2\" title=\"bbox 100 300 900 500\"></div>\n"));
  EXPECT_THAT(hocr, HasSubstr("x_wconf 100\">layer</span>"));
  EXPECT_THAT(hocr, HasSubstr(">foot</span>"));
  EXPECT_THAT(write(Format::hocr, {page({text("a\x01<x>\xEF\xBF\xBE c")})}), HasSubstr(">a&lt;x&gt;</span>"));
}

TEST(Alto, Structure) {
  const std::string alto = write(Format::alto, {full_page()});
  EXPECT_THAT(
      alto,
      HasSubstr(
          "<Page ID=\"page_1\" PHYSICAL_IMG_NR=\"7\" WIDTH=\"1000\" HEIGHT=\"1000\">\n"
          "<PrintSpace HPOS=\"0\" VPOS=\"0\" WIDTH=\"1000\" HEIGHT=\"1000\">\n"
          "<TextBlock ID=\"block_1_1\" HPOS=\"100\" VPOS=\"10\" WIDTH=\"800\" HEIGHT=\"50\" "
          "TAGREFS=\"label_doc_title\">\n"
          "<TextLine HPOS=\"100\" VPOS=\"10\" WIDTH=\"800\" HEIGHT=\"50\">"
          "<String CONTENT=\"A\" HPOS=\"100\" VPOS=\"10\" WIDTH=\"100\" HEIGHT=\"50\" WC=\"0.5\"/><SP/>"));
  EXPECT_THAT(alto, HasSubstr("<Illustration ID=\"block_1_2\""));
  EXPECT_THAT(
      alto, HasSubstr("TAGREFS=\"label_text\"><Shape><Polygon POINTS=\"1,2 3,4 5,6\"/></Shape>\n<TextLine"));
  EXPECT_THAT(write(Format::alto, {}), Not(HasSubstr("<Page")));
}

std::vector<PlacedText> placed(const Region& region) { return placed_lines(page({region}), 0, {}); }

TEST(WordLayout, SpreadsWordsOverLines) {
  const auto lines = placed(text("one two three four five six seven eight nine ten", {100, 100, 300, 160}));
  ASSERT_EQ(lines.size(), 2U);
  EXPECT_EQ(lines[0].text + " " + lines[1].text, "one two three four five six seven eight nine ten");
  EXPECT_EQ(lines[0].box.y1, 130);
  EXPECT_EQ(lines[1].box.y0, 130);
  for (const PlacedText& line : lines) {
    double left = 100;
    for (const PlacedText& word : line.words) {
      EXPECT_GE(word.box.x0, left);
      EXPECT_GT(word.box.x1, word.box.x0);
      left = word.box.x1;
    }
    EXPECT_LE(left, 300);
    EXPECT_GT(left, 250);
  }
}

TEST(WordLayout, OneLineForEachRow) {
  const auto lines =
      placed(region(RegionLabel::table, "<table><tr><td>a<td>b<tr><td>c<td>d", {0, 0, 100, 40}));
  ASSERT_EQ(lines.size(), 2U);
  EXPECT_EQ(lines[1].text, "c d");
  EXPECT_EQ(lines[1].box.y0, 20);
}

TEST(WordLayout, VerticalText) {
  const auto lines = placed(region(RegionLabel::vertical_text, "縦書き\n二行", {900, 100, 960, 400}));
  ASSERT_EQ(lines.size(), 2U);
  EXPECT_EQ(lines[0].box.x1, 960);  // the first line on the right
  EXPECT_EQ(lines[0].box.x0, 930);
  EXPECT_EQ(lines[1].box.x0, 900);
  EXPECT_EQ(lines[0].box.y0, 100);
  EXPECT_EQ(lines[0].box.y1, 400);
}

TEST(WordLayout, KnownLinesWithoutWords) {
  Region known = text("ignored");
  known.lines = {{{0, 0, 90, 20}, "one two", {}}, {{0, 20, 90, 40}, "  ", {}}};
  const auto lines = placed(known);
  ASSERT_EQ(lines.size(), 1U);
  ASSERT_EQ(lines[0].words.size(), 2U);
  EXPECT_EQ(lines[0].words[1].box.x1, 90);
}

TEST(WordLayout, StaysOnThePage) {
  const auto lines = placed(text("word", {-50, 990, 2000, 1e300}));
  ASSERT_EQ(lines.size(), 1U);
  EXPECT_EQ(lines[0].box.x0, 0);
  EXPECT_EQ(lines[0].box.y1, 1000);
  EXPECT_EQ(placed(text("word", {5, 5, 5, 5})).size(), 1U);
}

TEST(PageRecord, ComesBack) {
  const DocumentPage full = full_page();
  const std::string record = page_record(full);
  EXPECT_EQ(record.find('\n'), std::string::npos);
  const DocumentPage back = parse_page_record(record, "jobs");
  EXPECT_EQ(page_record(back), record);
  EXPECT_EQ(write(Format::json, {back}), write(Format::json, {full}));
  EXPECT_EQ(back.regions[2].error->code(), ErrorCode::memory);
  EXPECT_EQ(back.regions[3].polygon.size(), 3U);
  EXPECT_FALSE(back.regions[1].content);
}

TEST(PageRecord, ErrorsNameTheKey) {
  expect_error(ErrorCode::input, {"jobs: not valid JSON"}, [] { parse_page_record("{", "jobs"); });
  expect_error(ErrorCode::input, {"jobs: width is missing"},
               [] { parse_page_record(R"({"file":"a","page":1})", "jobs"); });
  std::string record = page_record(page({text("a")}));
  record.replace(record.find("\"text\""), 6, "\"txet\"");
  expect_error(ErrorCode::input, {"jobs: regions[0].label"}, [&] { parse_page_record(record, "jobs"); });
}

TEST(Writers, ManyPagesOneByOne) {
  for (const Format format :
       {Format::markdown, Format::json, Format::html, Format::text, Format::hocr, Format::alto}) {
    const auto writer = document_writer(format);
    const std::size_t first = writer->page(full_page()).size();
    std::size_t longest = 0;
    for (int i = 0; i < 50; ++i) longest = std::max(longest, writer->page(full_page()).size());
    EXPECT_GT(longest, 0U) << suffix(format);
    EXPECT_LE(longest, first + 100) << suffix(format);  // nothing is collected
  }
}

// Quadratic time would be minutes.
TEST(Writers, LinearTime) {
  constexpr std::size_t kLength = 50'000;
  const std::vector<std::string> units = {
      "$",     "$$",    "$a",  "\\$",     "\\[",     "\\[\\]",
      "$$a$$", "<",     "<b>", "</b>",    "<table>", "<td colspan=200 rowspan=200>x<tr>",
      "```",   "```\n", "(1",  "a-\n",    "a-\n\n",  "- a\n",
      "[^1]",  "[1]",   "¹",   "$^{1}$ ", "&#x41;",  "<table></table>",
      ".",     "\\_",   "\\t", "#",       "一",      "\u00AD\n",
      "* ",    "\n",    " ",   "\xff",    "<br onx", "1. \n(a)b\n"};
  for (const std::string& unit : units) {
    std::string content;
    while (content.size() < kLength) content += unit;
    std::vector<Region> regions = {text(content), region(RegionLabel::footnote, "1 " + content)};
    if (unit.size() < 3) regions.push_back(region(RegionLabel::display_formula, content));
    const auto begin = std::chrono::steady_clock::now();
    for (const Format format : {Format::markdown, Format::html, Format::text, Format::hocr}) {
      write(format, {page(regions)}, {.furniture = Furniture::keep, .join_tables = true});
    }
    SdkFormatter().page(page(regions));
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
    EXPECT_LT(seconds.count(), 5) << unit;
  }
}

}  // namespace
}  // namespace glmocr::formats
