// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "document/document.h"
#include "document/page.h"

namespace glmocr {

// One page to be decoded.
struct SourcePage {
  Page page;  // file, input, number and last are set; or an error instead of a document
  std::shared_ptr<Document> document;  // nullptr: page.error
  std::int64_t index = 0;              // in the document, from 1

  // Decodes it, as Document::decode.
  DecodedImage decode(const SizeCallback& on_size) const;
  std::shared_ptr<void> claim;                // of its turn: pages are decoded in their order
  std::shared_ptr<std::atomic<int>> missing;  // pages of the document that are missing, one after the other
};

// Whether a page is left out, by the index of its input and its number in the document. Asked for number 0 before the
// input is opened, which stands for all its pages.
using SkipPage = std::function<bool(std::int64_t input, std::int64_t number)>;

// Many inputs as one stream of pages. Inputs are opened one after the other, when their first page is asked for.
class PageSource {
 public:
  PageSource(std::vector<std::string> files, DocumentOptions options, SkipPage skip = {})
      : files_(std::move(files)), options_(std::move(options)), skip_(std::move(skip)) {}

  // The next page; nullopt after the last. An input that cannot be opened, or of which no page is selected, is one
  // page with an error. So is the rest of a document of which many pages in a row are missing: it may count a
  // million. One caller at a time.
  std::optional<SourcePage> next();

  // Any thread: the pages of the input that is open which next() has not returned yet, left out ones included.
  std::int64_t pages_left() const { return pages_left_; }

 private:
  bool skipped(std::int64_t input, std::int64_t number) const { return skip_ && skip_(input, number); }
  std::int64_t next_wanted(std::int64_t input, std::int64_t page) const;
  std::optional<SourcePage> open(std::int64_t input);
  SourcePage current_page();
  SourcePage give_up();
  void close();

  const std::vector<std::string> files_;
  const DocumentOptions options_;
  const SkipPage skip_;
  std::int64_t next_input_ = 0;
  std::shared_ptr<Document> document_;  // nullptr: the next input is to be opened
  std::shared_ptr<std::atomic<int>> missing_;
  std::int64_t next_page_ = 0;  // of document_
  std::atomic<std::int64_t> pages_left_ = 0;
};

}  // namespace glmocr
