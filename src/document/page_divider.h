// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <memory>
#include <vector>

#include "document/page_source.h"
#include "glmocr/document.h"

namespace glmocr {

// How a region is read.
Task task_of(RegionTask task);

// A picture of text as it is read: with white around it, which keeps signs at its edges from being lost.
Image text_picture(const Image& picture);

// A picture to be read for a page: one region of it, or a piece of one.
struct PagePart {
  Image image;
  ReadOptions read;
};

// A page in its regions, of which the parts are read.
struct DividedPage {
  DocumentPage page;
  Image image;                       // with DocumentReaderOptions::keep_images
  std::vector<std::size_t> regions;  // of each part, the index of its region
  std::vector<Image> pictures;       // of each part, with DocumentReaderOptions::second_look
  double regions_ms = 0;
};

// Turns a page's picture, finds its regions and cuts them out.
class PageDivider {
 public:
  explicit PageDivider(DocumentReaderOptions options);

  // Any thread. `page` gets warnings. What the text layer says needs no part. Throws Error.
  std::vector<PagePart> divide(const SourcePage& source, Image image, std::vector<std::string>& warnings,
                               DividedPage& divided) const;
  const ReadOptions& read_options() const { return options_.read; }

 private:
  std::optional<TextLayer> usable_layer(const SourcePage& source, const Image& image,
                                        std::vector<std::string>& warnings) const;
  std::vector<Image> pictures_of(const Region& region, const Image& page) const;
  bool looks_twice() const;
  bool is_read(const Region& region) const;

  DocumentReaderOptions options_;
};

}  // namespace glmocr
