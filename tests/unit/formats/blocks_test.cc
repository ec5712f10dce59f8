// SPDX-License-Identifier: Apache-2.0
// The rules of docs/formats.md, through the Markdown they give.
#include "formats/blocks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "unit/formats/documents.h"

namespace glmocr::formats {
namespace {

constexpr RegionLabel kText = RegionLabel::text;

std::string md(std::vector<Region> regions, const FormatOptions& options = {}) {
  return write(Format::markdown, {page(std::move(regions))}, options);
}

TEST(Blocks, WhatTheSdkBreaksIsKept) {
  EXPECT_EQ(markdown(kText, "1.5 GHz"), "1.5 GHz");
  EXPECT_EQ(markdown(kText, "U.S. policy"), "U.S. policy");
  EXPECT_EQ(markdown(kText, "I.e."), "I.e.");
  EXPECT_EQ(markdown(kText, "\\theta is"), "\\theta is");
  EXPECT_EQ(markdown(kText, "\\t\\t x \\t"), "x");
  EXPECT_EQ(markdown(kText, "(1)"), "(1)");
  EXPECT_EQ(markdown(kText, "(a)symmetric"), "(a)symmetric");
  EXPECT_EQ(markdown(kText, "（2）Abc"), "(2) Abc");
  EXPECT_EQ(markdown(kText, "$5 and $6"), "$5 and $6");
  EXPECT_EQ(markdown(kText, "x$ a $y"), "x $a$ y");
  EXPECT_EQ(markdown(kText, "2024. gada"), "2024. gada");
  EXPECT_EQ(markdown(RegionLabel::doc_title, "# A study of\nthings"), "# A study of things");
  EXPECT_EQ(markdown(RegionLabel::doc_title, " "), "");
}

TEST(Blocks, RepeatsOfALongTextStay) {
  std::string rows;
  for (int i = 0; i < 300; ++i) rows += "an equal row ";
  rows.pop_back();
  EXPECT_EQ(markdown(kText, rows + " end"), rows + " end");
}

TEST(Blocks, Formulas) {
  constexpr RegionLabel kFormula = RegionLabel::display_formula;
  EXPECT_EQ(markdown(kFormula, "$$\n\\theta\n$$"), "$$\n\\theta\n$$");
  EXPECT_EQ(markdown(kFormula, "\\theta"), "$$\n\\theta\n$$");
  EXPECT_EQ(markdown(kFormula, "f\\(x\\)"), "$$\nf\\(x\\)\n$$");
  EXPECT_EQ(markdown(kFormula, "\\[ x"), "$$\nx\n$$");
  EXPECT_EQ(markdown(kFormula, "x$$"), "$$\nx\n$$");
  EXPECT_EQ(markdown(kFormula, "$x$"), "$$\nx\n$$");
  EXPECT_EQ(markdown(kFormula, "a\n\n+ b"), "$$\na\n+ b\n$$");
  EXPECT_EQ(markdown(kFormula, "$$"), "");
}

TEST(Blocks, FormulaNumbers) {
  const Region above = region(RegionLabel::display_formula, "a", {100, 100, 700, 150});
  const Region below = region(RegionLabel::display_formula, "b", {100, 200, 700, 250});
  const Region one = region(RegionLabel::formula_number, "(1)", {800, 110, 900, 140});
  const Region two = region(RegionLabel::formula_number, "(2)", {800, 210, 900, 240});
  const std::string both = "$$\na \\tag{1}\n$$\n\n$$\nb \\tag{2}\n$$\n";
  EXPECT_EQ(md({above, one, below, two}), both);
  EXPECT_EQ(md({above, below, one, two}), both);  // the SDK gives b the 1 and deletes the 2
  EXPECT_EQ(md({one, text("x")}), "(1)\n\nx\n");  // which the SDK deletes
  EXPECT_EQ(md({above, region(RegionLabel::formula_number, "(1)\n(2)", one.box)}), "$$\na \\tag{1, 2}\n$$\n");
  EXPECT_EQ(md({above, region(RegionLabel::formula_number, "(1) (2)", one.box)}),
            "$$\na \\tag{(1) (2)}\n$$\n");
  Region other_column = one;
  other_column.box = {800, 700, 900, 740};
  EXPECT_EQ(md({above, other_column}), "$$\na \\tag{1}\n$$\n");  // the neighbour in reading order
}

TEST(Blocks, LinesOfAParagraph) {
  EXPECT_EQ(
      markdown(kText,
               "The first line of a paragraph, which is\nwrapped by the width of the page here,\nand ends."),
      "The first line of a paragraph, which is wrapped by the width of the page here, and ends.");
  EXPECT_EQ(markdown(kText, "Jane Doe\n12 Road\nTown"), "Jane Doe\n\n12 Road\n\nTown");
  EXPECT_EQ(markdown(kText, "an exam-\nple"), "an example");
  EXPECT_EQ(markdown(kText, "一二三四五六七八九十一二三四五六七八九十一二三四五六七八九十\n一二"),
            "一二三四五六七八九十一二三四五六七八九十一二三四五六七八九十一二");
}

TEST(Blocks, LinesOfAWholePage) {
  Region whole = text(
      "Notes on Pages\nA page of print is not a photograph\nof the world. It has ink and paper, and\n"
      "it is never shorter than it must be or\nWhy it is so\nMillions of drawn pages: books, papers,\n"
      "Names, and so on.\nThis line at the foot of the page stands across both of its columns.",
      {0, 0, 700, 1000});
  EXPECT_EQ(md({whole}),
            "Notes on Pages\n\nA page of print is not a photograph of the world. It has ink and paper, and "
            "it is never "
            "shorter than it must be or\n\nWhy it is so\n\nMillions of drawn pages: books, papers, Names, "
            "and so on.\n\n"
            "This line at the foot of the page stands across both of its columns.\n");
}

TEST(Blocks, LinesThatAreParagraphs) {
  const std::string line = "A sentence that is repeated here until it fills a line. ";
  const std::string paragraph = line + line + line + "End.";
  EXPECT_EQ(markdown(kText, paragraph + "\n" + paragraph), paragraph + "\n\n" + paragraph);
  EXPECT_EQ(markdown(RegionLabel::reference_content,
                     "[1] An author, a title and a year.\n[2] Another one of these."),
            "[1] An author, a title and a year.\n\n[2] Another one of these.");
}

TEST(Blocks, TextOfTheDocumentIsWrapped) {
  Region layer = text("short\nlines of the\nsame paragraph");
  layer.source = TextSource::text_layer;
  EXPECT_EQ(md({layer}), "short lines of the same paragraph\n");
}

TEST(Blocks, Lists) {
  EXPECT_EQ(markdown(kText, "• one\n* two\n- three"), "- one\n- two\n- three");
  EXPECT_EQ(markdown(kText, "1. one\n2.Two\n3) three"), "1. one\n2. Two\n3) three");
  EXPECT_EQ(md({text("- a"), text("b"), text("- c")}), "- a\n- b\n- c\n");
  EXPECT_EQ(md({text("- a"), text("b", {200, 0, 900, 9}), text("- c")}), "- a\n\nb\n\n- c\n");
}

TEST(Blocks, PartsOfAWholePage) {
  EXPECT_EQ(
      markdown(kText,
               "# Head\n\ntext\n\n$$\na\n$$\nb <table><tr><td>1</table> c\n\\[d\\]\n```py\n# e\n```\nf"),
      "# Head\n\ntext\n\n$$\na\n$$\n\nb\n\n<table>\n<tr><td>1</td></tr>\n</table>\n\nc\n\n$$\nd\n$$\n\n"
      "```py\n# e\n```\n\nf");
  EXPECT_EQ(markdown(kText, "$$ x"), "$$ x");
  EXPECT_EQ(markdown(kText, "```\na"), "```\na\n```");
}

TEST(Blocks, Algorithms) {
  EXPECT_EQ(markdown(RegionLabel::algorithm, "for i\n  print i\nend"), "```\nfor i\n  print i\nend\n```");
  EXPECT_EQ(markdown(RegionLabel::algorithm, "for $ i $\nend"), "for $i$  \nend");
}

TEST(Blocks, DividedWords) {
  EXPECT_EQ(md({text("an exam-"), text("ple, it")}), "an example, it\n");
  EXPECT_EQ(md({text("an exam-"), picture(), region(RegionLabel::figure_title, "fig"), text("ple")},
               {.picture_folder = ""}),
            "an example\n\nfig\n");
  EXPECT_EQ(md({text("an exam-"), text("Upper"), text("ple")}), "an exam-\n\nUpper\n\nple\n");
  EXPECT_EQ(md({text("a naï-"), text("veté-"), text("like word")}), "a naïvetélike word\n");
  EXPECT_EQ(md({text("state-of-the-"), text("art")}), "state-of-the-art\n");
  EXPECT_EQ(md({text("self-"), text("contained")}), "self-contained\n");
  EXPECT_EQ(md({text("Jean-\nPaul x\u00AD"), text("y")}), "Jean-Paul xy\n");
  EXPECT_EQ(md({text("a dash -"), text("b")}), "a dash -\n\nb\n");
}

TEST(Blocks, DividedOverPages) {
  const std::vector<DocumentPage> pages = {
      page({text("an exam-"), region(RegionLabel::footnote, "a note")}, 1),
      page({region(RegionLabel::header, "head"), text("ple"), text("more")}, 2)};
  EXPECT_EQ(write(Format::markdown, pages), "an example\n\na note\n\nmore\n");
  EXPECT_EQ(write(Format::markdown, pages, {.page_breaks = true}),
            "<!-- page 1 -->\n\nan example\n\na note\n\n<!-- page 2 -->\n\nmore\n");
  const auto writer = document_writer(Format::markdown);
  EXPECT_EQ(writer->page(pages[0]), "");  // held back
  EXPECT_EQ(writer->page(page({text("Other")}, 2)), "an exam-\n\na note\n\nOther");
}

TEST(Blocks, AWordIsNotHeldForever) {
  const auto writer = document_writer(Format::markdown, {.picture_folder = ""});
  std::string out = writer->page(page({text("an exam-")}));
  for (int i = 2; i < 20; ++i) out += writer->page(page({picture()}, i));
  EXPECT_EQ(out, "an exam-");
}

TEST(Blocks, HeadersAndFooters) {
  const std::vector<Region> regions = {region(RegionLabel::header, "A -- <b> -- head-->er"), text("x"),
                                       region(RegionLabel::number, "7")};
  EXPECT_EQ(md(regions), "x\n");
  EXPECT_EQ(md(regions, {.furniture = Furniture::keep}), "A -- <b> -- head-->er\n\nx\n\n7\n");
  EXPECT_EQ(md(regions, {.furniture = Furniture::apart}),
            "x\n\n<!-- header: A - - b - - head- -er -->\n\n<!-- number: 7 -->\n");
}

TEST(Blocks, Footnotes) {
  const auto linked = [](const std::string& body, const std::string& note) {
    return md({text(body), region(RegionLabel::footnote, note)});
  };
  EXPECT_EQ(linked("word $ ^{1} $ on", "1 See it."), "word[^1] on\n\n[^1]: See it.\n");
  EXPECT_EQ(linked("word$^{12}$ on", "$^{12}$ See it."), "word[^1] on\n\n[^1]: See it.\n");
  EXPECT_EQ(linked("word<sup>a</sup> on", "<sup>a</sup>See it."), "word[^1] on\n\n[^1]: See it.\n");
  EXPECT_EQ(linked("word¹² on", "12. See it."), "word[^1] on\n\n[^1]: See it.\n");
  EXPECT_EQ(linked("word† on", "† See it."), "word[^1] on\n\n[^1]: See it.\n");
  EXPECT_EQ(linked("word$^\\dagger$ on", "† See it."), "word[^1] on\n\n[^1]: See it.\n");
  EXPECT_EQ(linked("see [3]", "[3] It."), "see[^1]\n\n[^1]: It.\n");
  EXPECT_EQ(linked("a $^{1}$ b $^{2}$", "1 one, of which there are\n12 in all\n2 two"),
            "a[^1] b[^2]\n\n[^1]: one, of which there are 12 in all\n\n[^2]: two\n");
  EXPECT_EQ(linked("a† b‡", "† one\n‡ two"), "a[^1] b[^2]\n\n[^1]: one\n\n[^2]: two\n");
  // Unsure: they stay as they are.
  EXPECT_EQ(linked("see [3]", "3 It."), "see [3]\n\n3 It.\n");
  EXPECT_EQ(linked("word $x^{1}$ on", "1 See it."), "word $x^{1}$ on\n\n1 See it.\n");
  EXPECT_EQ(linked("a * b", "* See it."), "a * b\n\n* See it.\n");
  EXPECT_EQ(linked("word $^{1}$", "1.5 times"), "word $^{1}$\n\n1.5 times\n");
}

TEST(Blocks, FootnotesAreCountedOverPages) {
  const std::vector<Region> regions = {text("a $^{1}$"), region(RegionLabel::footnote, "1 note")};
  EXPECT_EQ(write(Format::markdown, {page(regions, 1), page(regions, 2)}),
            "a[^1]\n\n[^1]: note\n\na[^2]\n\n[^2]: note\n");
}

Region table(const std::string& rows, Box box = {100, 100, 900, 200}) {
  return region(RegionLabel::table, "<table>" + rows + "</table>", box);
}

TEST(Blocks, TablesOverPages) {
  const std::string head = "<tr><td>a</td><td>b</td></tr>", row = "<tr><td>1</td><td>2</td></tr>";
  const FormatOptions join = {.join_tables = true};
  EXPECT_EQ(
      write(Format::markdown, {page({table(head + row)}, 1), page({table(head + row)}, 2)}, join),
      "<table>\n<tr><td>a</td><td>b</td></tr>\n<tr><td>1</td><td>2</td></tr>\n<tr><td>1</td><td>2</td></tr>\n"
      "</table>\n");
}

TEST(Blocks, TablesThatMayBeOthersStay) {
  const std::string two = "<tr><td>1</td><td>2</td></tr>", three = "<tr><td>1</td><td>2</td><td>3</td></tr>";
  const auto count = [&](const std::vector<Region>& first, const std::vector<Region>& second,
                         bool join = true) {
    const std::string out = write(Format::markdown, {page(first, 1), page(second, 2)},
                                  {.join_tables = join, .picture_folder = ""});
    int tables = 0;
    for (std::size_t at = out.find("<table>"); at != std::string::npos; at = out.find("<table>", at + 1))
      ++tables;
    return tables;
  };
  EXPECT_EQ(count({table(two)}, {table(two)}), 1);
  EXPECT_EQ(
      count({table(two), region(RegionLabel::footer, "f")}, {region(RegionLabel::header, "h"), table(two)}),
      1);
  EXPECT_EQ(count({table(two)}, {table(two)}, false), 2);
  EXPECT_EQ(count({table(two)}, {table(three)}), 2);
  EXPECT_EQ(count({table(two)}, {table(two, {100, 0, 700, 50})}), 2);
  EXPECT_EQ(count({table(two), text("x")}, {table(two)}), 2);
  EXPECT_EQ(count({table(two)}, {text("x"), table(two)}), 2);
  EXPECT_EQ(count({table(two)}, {region(RegionLabel::figure_title, "Table 2"), table(two)}), 2);
  EXPECT_EQ(count({table(two), picture()}, {table(two)}), 2);
}

TEST(Blocks, Html) {
  EXPECT_EQ(markdown(kText, "a <script>x</script> <b onclick=x>b</b> H<sub>2</sub>O 1 < 2 $a<b$"),
            "a &lt;script>x&lt;/script> &lt;b onclick=x>b</b> H<sub>2</sub>O 1 < 2 $a<b$");
}

TEST(Headings, LevelsFromHeights) {
  const auto heading = [](double height) {
    return region(RegionLabel::paragraph_title, "T", {0, 0, 100, height});
  };
  const std::vector<DocumentPage> pages = {
      page({region(RegionLabel::doc_title, "Title"), heading(30), heading(20), heading(21)}, 1),
      page({heading(31), heading(20)}, 2)};
  HeadingHeights heights;
  for (const DocumentPage& page : pages) heights.add(page);
  EXPECT_EQ(write(Format::markdown, pages, {.headings = heights.levels()}),
            "# Title\n\n## T\n\n### T\n\n### T\n\n## T\n\n### T\n");
  EXPECT_EQ(write(Format::markdown, {pages[0]}), "# Title\n\n## T\n\n## T\n\n## T\n");
}

TEST(Headings, OneLevelWhereHeightsAreAlike) {
  HeadingHeights heights;
  heights.add(page({region(RegionLabel::paragraph_title, "T", {0, 0, 100, 20}),
                    region(RegionLabel::paragraph_title, "T", {0, 0, 100, 21.5})}));
  const Region small = region(RegionLabel::paragraph_title, "T", {0, 0, 100, 5});
  EXPECT_EQ(heights.levels().level(small, page({})), 2);
}

TEST(Headings, LettersWithoutDescenders) {
  const auto height = [](const std::string& heading, double box) {
    return letter_height(region(RegionLabel::paragraph_title, heading, {0, 0, 200, box}));
  };
  EXPECT_NEAR(height("Results", 15.4), height("Discussing", 20), 0.15 * 20);  // tight boxes
  EXPECT_NEAR(height("Results", 24), height("Discussing", 24), 0.15 * 24);    // with a margin
}

TEST(Headings, Numbers) {
  EXPECT_EQ(number_depth("1 Introduction"), 1);
  EXPECT_EQ(number_depth("## 12. Introduction"), 1);
  EXPECT_EQ(number_depth("2.1 Method"), 2);
  EXPECT_EQ(number_depth("A.1. Proofs"), 2);
  EXPECT_EQ(number_depth("10.2.3 Details"), 3);
  EXPECT_EQ(number_depth("2024 in figures"), 0);
  EXPECT_EQ(number_depth("3D models"), 0);
  EXPECT_EQ(number_depth("A method"), 0);
  EXPECT_EQ(number_depth(""), 0);
  const auto heading = [](const std::string& text) {
    return region(RegionLabel::paragraph_title, text, {0, 0, 100, 20});
  };
  const DocumentPage numbered =
      page({heading("1 Method"), heading("1.1 Parts"), heading("1.1.1 Detail"), heading("Notes")});
  HeadingHeights heights;
  heights.add(numbered);
  EXPECT_EQ(write(Format::markdown, {numbered}, {.headings = heights.levels()}),
            "## 1 Method\n\n### 1.1 Parts\n\n#### 1.1.1 Detail\n\n## Notes\n");
}

TEST(Headings, LettersOfSeveralLines) {
  Region title = region(RegionLabel::paragraph_title, "a heading that goes over two lines", {0, 0, 200, 50});
  const double estimated = letter_height(title);
  title.lines = {{{0, 0, 200, 23}, "a heading that", {}}, {{0, 27, 200, 50}, "goes over two lines", {}}};
  EXPECT_NEAR(letter_height(title), estimated, 0.1 * estimated);
}

TEST(PictureFiles, AreNamedByPageAndRegion) {
  const auto files = picture_files(page({text("a"), picture()}, 3));
  ASSERT_EQ(files.size(), 1U);
  EXPECT_EQ(files[0].region, 1U);
  EXPECT_EQ(files[0].name, "page3_region1.jpg");
  EXPECT_EQ(write(Format::markdown, {page({picture()}, 3)}, {.picture_folder = "a b.pdf.imgs"}),
            "![Picture on page 3](a%20b.pdf.imgs/page3_region0.jpg)\n");
}

}  // namespace
}  // namespace glmocr::formats
