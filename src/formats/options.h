// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstddef>
#include <string>
#include <vector>

#include "formats/headings.h"
#include "glmocr/region.h"

namespace glmocr::formats {

enum class Format { markdown, json, jsonl, html, text, hocr, alto };

// What is done with headers, footers, page numbers and texts in the margin.
enum class Furniture {
  drop,   // not written
  keep,   // written where they stand
  apart,  // written behind the page's text: HTML comments in Markdown, <aside> in HTML
};

struct FormatOptions {
  std::string file;                       // as given by the user; for the JSON of a document without pages
  Furniture furniture = Furniture::drop;  // in Markdown, HTML and text; the other formats hold every region
  bool page_breaks = false;               // marks in Markdown and HTML, form feeds in text
  bool join_tables = false;               // tables that go on over pages become one (Markdown, HTML, text)
  HeadingLevels headings;                 // of the whole document; by default from the labels alone
  // Where the crops of pictures are, relative to the text; empty: there are none, and no links to them.
  std::string picture_folder = "imgs";
};

// The crop of a picture that belongs to the output.
struct PictureFile {
  std::size_t region;  // index in DocumentPage::regions
  std::string name;    // in the folder of pictures
};

// The crops that a page's output refers to, "page3_region7.jpg": the page's number and the region's index, which do not
// depend on other pages. (--compat sdk counts instead: SdkFormatter::page.)
std::vector<PictureFile> picture_files(const DocumentPage& page);
std::string picture_name(const DocumentPage& page, std::size_t region);

}  // namespace glmocr::formats
