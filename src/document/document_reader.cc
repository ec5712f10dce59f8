// SPDX-License-Identifier: Apache-2.0
#include <utility>

#include "base/error.h"
#include "document/page_queue.h"
#include "glmocr/document.h"

namespace glmocr {
namespace {

// "page N: MESSAGE" without the name of the file, which callers know.
void add_region_warnings(const DividedPage& divided, std::vector<std::string>& warnings) {
  for (const std::size_t index : divided.regions) {
    const Region& region = divided.page.regions[index];
    const std::string name = cat("region ", index, " (", to_string(region.label), "): ");
    if (region.error) {
      warnings.push_back(cat(name, region.error->what()));
    } else if (region.finish_reason == FinishReason::repetition) {
      warnings.push_back(cat(name, "the text repeats itself more often than the picture has room for: cut"));
    } else if (region.finish_reason == FinishReason::length) {
      warnings.push_back(cat(name, "the text is cut off: too many tokens"));
    } else if (region.finish_reason == FinishReason::time_limit) {
      warnings.push_back(cat(name, "the text is cut off: the time limit has passed"));
    }
  }
}

PageQueueOptions queue_options(DocumentReaderOptions options) {
  if (options.pages_ahead < 1)
    fail(ErrorCode::usage, cat("pages_ahead: ", options.pages_ahead, ", not 1 or more"));
  PageQueueOptions queue;
  queue.image = options.image;
  queue.pdf.dpi = options.dpi;
  queue.pdf.password = options.password;
  if (!options.pages.empty()) queue.pages = PageRanges::parse(options.pages);
  queue.pages_ahead = options.pages_ahead;
  queue.window = options.pages_ahead;
  queue.decoding_memory = options.decoding_memory;
  queue.skip = options.skip;
  queue.divider = std::make_shared<PageDivider>(std::move(options));
  return queue;
}

}  // namespace

struct DocumentReader::State {
  State(Engine& engine, std::vector<std::string> files, DocumentReaderOptions options)
      : queue(engine, std::move(files), queue_options(std::move(options))) {}
  PageQueue queue;
};

DocumentReader::DocumentReader(Engine& engine, std::vector<std::string> files, DocumentReaderOptions options)
    : state_(std::make_unique<State>(engine, std::move(files), std::move(options))) {}

DocumentReader::~DocumentReader() = default;
DocumentReader::DocumentReader(DocumentReader&&) noexcept = default;
DocumentReader& DocumentReader::operator=(DocumentReader&&) noexcept = default;

std::optional<ReadPage> DocumentReader::next() {
  std::optional<Page> page = state_->queue.take();
  if (!page) return std::nullopt;
  ReadPage result;
  result.input = page->input;
  result.last = page->last;
  result.decode_ms = page->decode_image_ms;
  result.tokens = page->result.completion_tokens;
  if (page->divided && !page->error) {
    add_region_warnings(*page->divided, page->warnings);
    result.page = std::move(page->divided->page);
    result.image = std::move(page->divided->image);
    result.regions_ms = page->divided->regions_ms;
  }
  result.page.file = std::move(page->file);
  result.page.number = page->number;
  result.page.warnings = std::move(page->warnings);
  result.page.error = std::move(page->error);
  return result;
}

void DocumentReader::cancel() { state_->queue.cancel(); }
std::int64_t DocumentReader::pages() const { return state_->queue.size(); }
std::int64_t DocumentReader::finished_pages() const { return state_->queue.finished(); }
std::int64_t DocumentReader::tokens() const { return state_->queue.tokens(); }

}  // namespace glmocr
