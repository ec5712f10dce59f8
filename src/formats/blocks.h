// SPDX-License-Identifier: Apache-2.0
// The text of a document as a sequence of blocks: what Markdown, HTML and text have in common. The rules, and where they
// depart from the official SDK, are in docs/formats.md.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "formats/options.h"
#include "glmocr/region.h"

namespace glmocr::formats {

enum class BlockKind {
  heading,
  paragraph,
  list_item,
  caption,
  formula,
  table,
  code,
  picture,
  footnote,
  furniture,   // header, footer, page number, text in the margin
  page_break,  // before the first block of a page
};

struct Block {
  BlockKind kind = BlockKind::paragraph;
  RegionLabel label = RegionLabel::text;
  std::int64_t page = 0;       // DocumentPage::number
  std::size_t region = 0;      // in DocumentPage::regions
  double left = 0, right = 0;  // of the region's box, as shares of the page's width
  int level = 0;               // of a heading: 1 … 6
  // Without the marks of a kind: no "#", "- ", "$$" or "```". A newline is a line that ends there. Inline formulas stand in
  // $ $, tables are HTML as the model wrote it (untrusted), "[^n]" refers to a footnote if the number n is in `notes`.
  std::string text;
  std::string marker;  // of a list item: "-", "1." or "1)"; of code: its language
  std::string tag;     // of a formula: its number, without parentheses
  std::vector<int>
      notes;  // that the text refers to; of a footnote: its own number, none where nothing refers to it
  std::string picture;  // file name
  bool apart = false;   // furniture that is written behind the page's text
};

// The blocks of one region (of DocumentPage::regions) by itself; none where it was not read, unless it is a picture.
std::vector<Block> region_blocks(const DocumentPage& page, std::size_t index, const FormatOptions& options);

// Makes the blocks of a document, page by page. Needs more than one page: words hyphenated and tables continued over a page
// (the last block of a page that may go on is held back until then), numbers of footnotes (counted), levels of
// headings (given by FormatOptions).
class BlockStream {
 public:
  explicit BlockStream(FormatOptions options) : options_(std::move(options)) {}

  // The blocks that are complete with this page.
  std::vector<Block> page(const DocumentPage& page);
  std::vector<Block> end();

 private:
  FormatOptions options_;
  std::vector<Block> held_;  // from the block that may go on, to the end of the page
  int held_pages_ = 0;
  int notes_ = 0;
};

}  // namespace glmocr::formats
