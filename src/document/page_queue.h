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

#include "base/memory_budget.h"
#include "document/page.h"
#include "document/page_divider.h"
#include "document/page_source.h"
#include "document/second_look.h"
#include "engine/request.h"

namespace glmocr {

struct PageQueueOptions {
  ImageOptions image;
  PdfOptions pdf;  // `cancelled` is the queue's own
  PageRanges pages;
  ReadOptions read;
  int pages_ahead = 64;  // the most pages that are loading or waiting for their first token
  // The most bytes that the pictures of those pages take, decoded or prepared. A picture that takes more is loaded alone.
  std::int64_t bytes_ahead = std::int64_t{192} << 20;
  // The most bytes that pictures take together while they are decoded. A picture that takes more fails with
  // Error{memory}. 0: no limit.
  std::int64_t decoding_memory = 0;
  bool collect_events = false;  // fill Page::events
  // Reads pages in their regions, which gives Page::divided instead of Page::result.
  std::shared_ptr<const PageDivider> divider;
  int window = 0;  // the most pages that have a slot and were not taken; 0: no limit
  std::function<bool(std::int64_t input, std::int64_t number)> skip;  // pages that are not wanted
};

// An engine beside which pictures are decoded within the model's memory limit.
struct LoadingEngine {
  // The engine gets three quarters of what the model leaves of its limit, decoding the rest. Where that is too little for
  // any engine it gets all, and pictures of up to kLeastDecoding are decoded beyond the limit. Throws as Engine does.
  LoadingEngine(const Model& model, const EngineOptions& options);

  static constexpr std::int64_t kLeastDecoding = std::int64_t{8} << 20;
  std::int64_t decoding_memory() const;  // for PageQueueOptions

  MemoryShare decoding;
  bool limited = false;
  std::optional<Engine> engine;
};

// Reads many inputs through an engine and returns their pages in input order. The queue's own threads
// decode pages and submit them ahead, limited by their number and bytes, so that memory does not grow
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
  std::int64_t finished() const;  // pages that have ended, taken or not; those read twice end when taken
  std::int64_t tokens() const { return tokens_; }  // generated so far

 private:
  // One request of a page; guarded by mutex_.
  struct Part {
    bool begun = false;
    std::optional<Job> job;
    std::optional<Error> error;  // why there is no job
  };

  // The state of one page; guarded by mutex_.
  struct Slot {
    enum class State { waiting, loading, submitted, failed, taken };
    State state = State::waiting;
    bool looks_again = false;        // its parts are read a second time when it is taken
    bool begun = false;              // the first token of each part has come, or it ended without one
    std::int64_t bytes = 0;          // of its picture
    std::int64_t decoding = 0;       // of these, until the picture is prepared
    std::vector<Part> parts;         // one, the picture itself, without a divider
    std::vector<Job> again;          // second looks at parts
    std::int64_t parts_waiting = 0;  // for their first token
    Page page;
  };

  // What of a part is read again.
  struct Look {
    std::vector<WrittenLine> lines;
    SecondLook again;
    std::vector<Job> jobs;       // one per row
    std::optional<Error> error;  // why not all rows could be read
  };

  void load_pages();
  DocumentOptions document_options();
  bool load_next();
  void load(std::int64_t index, const SourcePage& source);
  void decode_and_submit(std::int64_t index, const SourcePage& source, Page& page);
  std::vector<PagePart> divide(const SourcePage& source, Image image, Page& page);
  void submit_parts(std::int64_t index, std::vector<PagePart> parts);
  void submit_part(std::int64_t index, std::int64_t part, const engine::Request& request);
  void reserve(std::int64_t index, std::int64_t bytes);
  void keep(std::int64_t index, std::int64_t bytes);
  engine::Request prepare(Image image, const ReadOptions& read);
  // Runs the action, again after a while as long as the engine is busy.
  template <class Action>
  auto when_not_busy(Action action);
  void on_token(std::int64_t index, std::int64_t part);
  void stop_waiting(Slot& slot);
  void stop_waiting(Slot& slot, Part& part);
  bool may_load() const;
  static void cancel(const Slot& slot);
  static void wait_for_end(const Slot& slot);
  bool add_input_not_begun();
  std::int64_t inputs_known() const;
  void finish(Page& page, const Job& job, const std::function<void(std::string_view)>& on_text,
              bool collect_events);
  void finish_regions(Page& page, std::int64_t index, const std::vector<Part>& parts);
  void look_again(Page& page, std::int64_t index, std::vector<Page>& read);
  void begin_look(Look& look, const DividedPage& divided, std::int64_t index, std::size_t part,
                  const Page& read);
  std::vector<Result> finish_look(Look& look, std::int64_t& tokens);
  Job submit_row(std::int64_t index, const Image& row, const Timings& first);

  Engine& engine_;
  const std::vector<std::string> files_;
  const PageQueueOptions options_;

  std::mutex order_mutex_;  // taken before mutex_; held while a page gets its slot
  PageSource source_;       // next(): guarded by order_mutex_
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Slot> slots_;               // guarded by mutex_; one per page that is known
  bool exhausted_ = false;               // guarded by mutex_; source_ has no page left
  std::int64_t next_to_take_ = 0;        // guarded by mutex_
  int beginning_ = 0;                    // guarded by mutex_; loaders whose page has no slot yet
  int pages_waiting_ = 0;                // guarded by mutex_; loading, or submitted and not begun
  std::int64_t bytes_waiting_ = 0;       // guarded by mutex_
  std::int64_t bytes_decoding_ = 0;      // guarded by mutex_
  std::set<std::int64_t> reserving_;     // guarded by mutex_; pages in reserve, whose first is served first
  std::atomic<bool> cancelled_ = false;  // set under mutex_
  std::atomic<std::int64_t> tokens_ = 0;
  std::vector<std::thread> loaders_;
};

}  // namespace glmocr
