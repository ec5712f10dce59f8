// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "document/page.h"
#include "document/page_source.h"

namespace glmocr {

struct PageQueueOptions {
  ImageOptions image;
  PdfOptions pdf;  // `cancelled` is the queue's own
  PageRanges pages;
  ReadOptions read;
  int pages_ahead = 64;  // the most pages that are loading or waiting for their first token
  // The most pixels of those pages, 192 MiB of RGB. A larger picture is loaded alone.
  std::int64_t pixels_ahead = std::int64_t{1} << 26;
  bool collect_events = false;  // fill Page::events
};

// Reads many inputs through an engine and returns their pages in input order. The queue's own threads
// decode pages and submit them ahead, limited by their number and pixels, so that memory does not grow
// with the number of inputs. Where the engine is busy, they wait and submit again.
class PageQueue {
 public:
  // The engine must outlive the queue. Throws Error{device} where no thread can be started.
  PageQueue(Engine& engine, std::vector<std::string> files, PageQueueOptions options);
  ~PageQueue();  // cancels what still runs
  PageQueue(const PageQueue&) = delete;
  PageQueue& operator=(const PageQueue&) = delete;

  // Waits for the next page in input order; nullopt after the last. `on_text` receives its text as it is
  // generated. One caller at a time.
  std::optional<Page> take(const std::function<void(std::string_view)>& on_text = {});

  // Any thread. Stops what runs and loads nothing more: pages that have not ended, and inputs that were not opened,
  // get Error{cancelled}.
  void cancel();

  // The pages known so far, and one for each input that was not opened yet.
  std::int64_t size() const;
  std::int64_t finished() const;                   // pages that have ended, taken or not
  std::int64_t tokens() const { return tokens_; }  // generated so far

 private:
  // The state of one page; guarded by mutex_.
  struct Slot {
    enum class State { waiting, loading, submitted, failed, taken };
    State state = State::waiting;
    bool begun = false;  // its first token has come, or it ended without one
    std::int64_t pixels = 0;
    std::optional<Job> job;
    Page page;
  };

  void load_pages();
  DocumentOptions document_options();
  bool load_next();
  void load(std::int64_t index, const SourcePage& source);
  Job decode_and_submit(std::int64_t index, const SourcePage& source, Page& page);
  void reserve_pixels(std::int64_t index, std::int64_t pixels);
  Job submit(const std::vector<Image>& images, const ReadOptions& read);
  void on_token(std::int64_t index);
  void stop_waiting(Slot& slot);
  bool add_input_not_begun();
  std::int64_t inputs_known() const;
  void finish(Page& page, const Job& job, const std::function<void(std::string_view)>& on_text);

  Engine& engine_;
  const std::vector<std::string> files_;
  const PageQueueOptions options_;

  std::mutex order_mutex_;  // taken before mutex_; held while a page gets its slot
  PageSource source_;       // next(): guarded by order_mutex_
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Slot> slots_;           // guarded by mutex_; one per page that is known
  bool exhausted_ = false;           // guarded by mutex_; source_ has no page left
  std::int64_t next_to_take_ = 0;    // guarded by mutex_
  int pages_waiting_ = 0;            // guarded by mutex_; loading, or submitted and not begun
  std::int64_t pixels_waiting_ = 0;  // guarded by mutex_
  std::set<std::int64_t>
      reserving_;  // guarded by mutex_; pages in reserve_pixels, whose first is served first
  std::atomic<bool> cancelled_ = false;  // set under mutex_
  std::atomic<std::int64_t> tokens_ = 0;
  std::vector<std::thread> loaders_;
};

}  // namespace glmocr
