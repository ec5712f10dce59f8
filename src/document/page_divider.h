// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <memory>
#include <vector>

#include "document/page_source.h"
#include "glmocr/document.h"

namespace glmocr {

// A picture to be read for a page: one region of it.
struct PagePart {
  Image image;
  ReadOptions read;
};

// A page in its regions, of which the parts are read.
struct DividedPage {
  DocumentPage page;
  Image image;                       // with DocumentReaderOptions::keep_images
  std::vector<std::size_t> regions;  // of each part, the index of its region
  double regions_ms = 0;
};

// Turns a page's picture, finds its regions and cuts them out.
class PageDivider {
 public:
  explicit PageDivider(DocumentReaderOptions options);

  // Any thread. `page` gets warnings. What the text layer says needs no part. Throws Error.
  std::vector<PagePart> divide(const SourcePage& source, Image image, std::vector<std::string>& warnings,
                               DividedPage& divided) const;

 private:
  std::optional<TextLayer> usable_layer(const SourcePage& source, const Image& image,
                                        std::vector<std::string>& warnings) const;
  bool is_read(const Region& region) const;

  DocumentReaderOptions options_;
};

}  // namespace glmocr
