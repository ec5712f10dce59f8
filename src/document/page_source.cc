// SPDX-License-Identifier: Apache-2.0
#include "document/page_source.h"

#include <utility>

#include "base/error.h"

namespace glmocr {
namespace {

constexpr int kMostMissing = 20;  // in a row, before the rest of a document is given up

}  // namespace

DecodedImage SourcePage::decode(const SizeCallback& on_size) const {
  try {
    DecodedImage decoded = document->decode(index, on_size);
    *missing = 0;
    return decoded;
  } catch (const MissingPage&) {
    ++*missing;
    throw;
  }
}

std::optional<SourcePage> PageSource::next() {
  if (document_ && *missing_ >= kMostMissing) return give_up();
  if (document_) return current_page();
  while (next_input_ < std::ssize(files_)) {
    const std::int64_t input = next_input_++;
    if (skipped(input, 0)) continue;
    if (std::optional<SourcePage> page = open(input)) return page;
  }
  return std::nullopt;
}

// The first page from `page` on that is selected and not left out; 0 where there is none.
std::int64_t PageSource::next_wanted(std::int64_t input, std::int64_t page) const {
  const std::int64_t count = document_->page_count();
  do {
    page = options_.pages.next(page, count);
    if (page == 0 || !skipped(input, page)) return page;
  } while (++page <= count);
  return 0;
}

// The first page of an input; nullopt where all are left out.
std::optional<SourcePage> PageSource::open(std::int64_t input) {
  SourcePage failed;
  failed.page.file = files_[input];
  failed.page.input = input;
  try {
    document_ = open_document(files_[input], options_);
    missing_ = std::make_shared<std::atomic<int>>(0);
    const std::int64_t count = document_->page_count();
    if (options_.pages.next(1, count) == 0) {
      fail(ErrorCode::input, cat(display_name(files_[input]), ": has ", count,
                                 count == 1 ? " page" : " pages", "; asked for: ", options_.pages.text()));
    }
    next_page_ = next_wanted(input, 1);
    if (next_page_ == 0) {
      close();
      return std::nullopt;
    }
    return current_page();
  } catch (...) {
    close();
    failed.page.error = current_error();
    return failed;
  }
}

SourcePage PageSource::current_page() {
  const std::int64_t count = document_->page_count();
  SourcePage result;
  result.page.input = next_input_ - 1;
  result.page.file = files_[result.page.input];
  result.page.number = document_->numbered() ? next_page_ : 0;
  result.document = document_;
  result.missing = missing_;
  result.index = next_page_;
  result.claim = document_->claim(next_page_);
  next_page_ = next_page_ < count ? next_wanted(result.page.input, next_page_ + 1) : 0;
  pages_left_ = next_page_ == 0 ? 0 : options_.pages.size(next_page_, count);
  result.page.last = next_page_ == 0;
  if (result.page.last) close();
  return result;
}

SourcePage PageSource::give_up() {
  SourcePage result;
  result.page.input = next_input_ - 1;
  result.page.file = files_[result.page.input];
  result.page.number = next_page_;
  result.page.error =
      Error(ErrorCode::input,
            cat(display_name(result.page.file), ": page ", next_page_, " and the ", pages_left_ - 1,
                " after it are given up: many pages before them do not exist either"));
  close();
  return result;
}

void PageSource::close() {
  document_.reset();
  missing_.reset();
  pages_left_ = 0;
}

}  // namespace glmocr
