// SPDX-License-Identifier: Apache-2.0
#include "document/page_queue.h"

#include <algorithm>
#include <chrono>
#include <system_error>
#include <utility>

#include "base/error.h"
#include "base/memory.h"
#include "document/second_look.h"
#include "engine/engine_access.h"
#include "engine/model_state.h"

namespace glmocr {
namespace {

// Threads that decode pictures, for each device: two keep any of them busy.
constexpr std::int64_t kLoaders = 2;
// How long to wait before submitting to a busy engine again, unless a page of this queue gets its first token
// sooner. The queue is not notified when requests of others end.
constexpr std::chrono::milliseconds kBusyWait(100);

double milliseconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

LoadingEngine::LoadingEngine(const Model& model, const EngineOptions& options) {
  const Replica& replica = ModelAccess::state(model).replicas.front();
  const std::shared_ptr<MemoryBudget>& memory = replica.memory;
  limited = memory->limit() > 0;
  if (limited) {
    constexpr std::int64_t kShare = 4;
    try {
      const std::int64_t left = memory->limit() - replica.memory_used;
      decoding = MemoryShare(memory, std::max<std::int64_t>(left, 0) / kShare, "pictures that are decoded");
      engine.emplace(model, options);
      return;
    } catch (const Error& error) {
      if (error.code() != ErrorCode::memory) throw;
      decoding = {};
    }
  }
  engine.emplace(model, options);
}

std::int64_t LoadingEngine::decoding_memory() const {
  return limited ? std::max(decoding.bytes(), kLeastDecoding) : 0;
}

PageQueue::PageQueue(Engine& engine, std::vector<std::string> files, PageQueueOptions options)
    : engine_(engine),
      files_(std::move(files)),
      options_(std::move(options)),
      source_(files_, document_options(), options_.skip) {
  try {
    const std::int64_t count = kLoaders * std::ssize(engine_.stats().devices);
    for (std::int64_t i = 0; i < count; ++i) loaders_.emplace_back([this] { load_pages(); });
  } catch (const std::system_error& error) {
    if (loaders_.empty()) {
      fail(ErrorCode::device,
           cat("a thread that loads pictures cannot be started: ", error.code().message()));
    }
  }
}

DocumentOptions PageQueue::document_options() {
  DocumentOptions options{options_.image, options_.pdf, options_.pages};
  options.pdf.cancelled = [this] { return cancelled_.load(); };
  return options;
}

PageQueue::~PageQueue() {
  cancel();
  for (std::thread& loader : loaders_) loader.join();
  for (const Slot& slot : slots_) wait_for_end(slot);
}

// The engine may still call on_token of a cancelled page until that has ended.
void PageQueue::wait_for_end(const Slot& slot) {
  for (const Part& part : slot.parts) {
    while (part.job && part.job->next()) {
    }
  }
  for (const Job& job : slot.again) {
    while (job.next()) {
    }
  }
}

void PageQueue::load_pages() {
  for (;;) {
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [&] { return cancelled_ || exhausted_ || may_load(); });
      if (cancelled_ || exhausted_) return;
      ++pages_waiting_;
      ++beginning_;
    }
    if (!load_next()) return;
  }
}

// False where there is no page left.
bool PageQueue::load_next() {
  std::optional<SourcePage> source;
  std::int64_t index = 0;
  {
    const std::lock_guard order(order_mutex_);
    source = source_.next();  // may open a document, which takes time
    const std::lock_guard lock(mutex_);
    --beginning_;
    if (!source || cancelled_) {
      exhausted_ = !source;
      --pages_waiting_;
      changed_.notify_all();
      return false;
    }
    index = std::ssize(slots_);
    Slot& slot = slots_.emplace_back();
    slot.state = Slot::State::loading;
    slot.page = source->page;
  }
  load(index, *source);
  return true;
}

void PageQueue::load(std::int64_t index, const SourcePage& source) {
  Page page = source.page;
  try {
    if (!page.error) decode_and_submit(index, source, page);
  } catch (...) {
    page.error = current_error();
  }
  const std::lock_guard lock(mutex_);
  Slot& slot = slots_[index];
  const bool failed = page.error.has_value();
  slot.looks_again = page.divided && !page.divided->pictures.empty();
  slot.page = std::move(page);
  slot.state = failed ? Slot::State::failed : Slot::State::submitted;
  if (failed || slot.parts_waiting == 0) stop_waiting(slot);
  if (cancelled_ || failed) cancel(slot);
  changed_.notify_all();
}

template <class Action>
auto PageQueue::when_not_busy(Action action) {
  for (;;) {
    try {
      return action();
    } catch (const Error& error) {
      if (error.code() != ErrorCode::busy) throw;
    }
    std::unique_lock lock(mutex_);
    if (!cancelled_) changed_.wait_for(lock, kBusyWait);
    if (cancelled_) fail(ErrorCode::cancelled, "interrupted");
  }
}

void PageQueue::decode_and_submit(std::int64_t index, const SourcePage& source, Page& page) {
  const auto start = std::chrono::steady_clock::now();
  double waited_ms = 0;
  DecodedImage decoded = source.decode([&](std::int64_t bytes) {
    const auto wait_start = std::chrono::steady_clock::now();
    reserve(index, bytes);
    waited_ms = milliseconds_since(wait_start);
  });
  page.decode_image_ms = milliseconds_since(start) - waited_ms;
  page.width = decoded.image.width;
  page.height = decoded.image.height;
  page.warnings = std::move(decoded.warnings);
  submit_parts(index, divide(source, std::move(decoded.image), page));
}

std::vector<PagePart> PageQueue::divide(const SourcePage& source, Image image, Page& page) {
  std::vector<PagePart> parts;
  if (options_.divider) {
    page.divided = std::make_shared<DividedPage>();
    parts = options_.divider->divide(source, std::move(image), page.warnings, *page.divided);
  } else {
    parts.push_back({std::move(image), options_.read});
  }
  return parts;
}

// Prepares all pictures, which are then no longer needed, and submits them. Where one of several cannot be read, only
// its region has the error.
void PageQueue::submit_parts(std::int64_t index, std::vector<PagePart> parts) {
  const bool alone = !options_.divider;
  std::vector<std::optional<engine::Request>> requests(parts.size());
  std::int64_t bytes = 0;
  {
    const std::lock_guard lock(mutex_);
    slots_[index].parts.resize(parts.size());
    slots_[index].parts_waiting = std::ssize(parts);
  }
  const auto attempt = [&](std::size_t part, const auto& action) {
    try {
      action();
    } catch (const Error& error) {
      if (alone || error.code() == ErrorCode::cancelled) throw;
      const std::lock_guard lock(mutex_);
      slots_[index].parts[part].error = error;
      stop_waiting(slots_[index], slots_[index].parts[part]);
    }
  };
  for (std::size_t i = 0; i < parts.size(); ++i) {
    attempt(i, [&] {
      ReadOptions read = std::move(parts[i].read);
      read.on_token = [this, index, part = static_cast<std::int64_t>(i)](const TokenEvent& event) {
        if (event.token >= 0) on_token(index, part);
      };
      requests[i] = prepare(std::move(parts[i].image), read);
      for (const PreprocessedImage& image : requests[i]->images) bytes += std::ssize(image.resized.rgb);
    });
  }
  parts.clear();
  keep(index, bytes);
  for (std::size_t i = 0; i < requests.size(); ++i) {
    if (requests[i]) attempt(i, [&] { submit_part(index, static_cast<std::int64_t>(i), *requests[i]); });
    requests[i].reset();
  }
}

void PageQueue::submit_part(std::int64_t index, std::int64_t part, const engine::Request& request) {
  const Job job = when_not_busy([&] { return EngineAccess::submit(engine_, request); });
  const std::lock_guard lock(mutex_);
  slots_[index].parts[part].job = job;
  if (cancelled_) job.cancel();
}

engine::Request PageQueue::prepare(Image image, const ReadOptions& read) {
  std::vector<Image> images;
  images.push_back(std::move(image));
  return when_not_busy([&] { return EngineAccess::prepare(engine_, images, read); });
}

// Waits until the bytes fit beside those of other pages: called by the decoder, which has read the size
// only. What holds bytes gives them back without any page being taken, so the wait ends.
void PageQueue::reserve(std::int64_t index, std::int64_t bytes) {
  const std::int64_t limit = options_.decoding_memory;
  if (limit > 0 && bytes > limit) {
    fail(ErrorCode::memory, cat("the picture takes ", size_text(bytes),
                                " to decode; the memory limit leaves ", size_text(limit), " for that"));
  }
  std::unique_lock lock(mutex_);
  reserving_.insert(index);
  changed_.wait(lock, [&] {
    const bool fits = bytes_waiting_ == 0 || bytes_waiting_ + bytes <= options_.bytes_ahead;
    const bool decodes = limit == 0 || bytes_decoding_ + bytes <= limit;
    return cancelled_ || (*reserving_.begin() == index && fits && decodes);
  });
  reserving_.erase(index);
  changed_.notify_all();
  if (cancelled_) fail(ErrorCode::cancelled, "interrupted");
  slots_[index].bytes = slots_[index].decoding = bytes;
  bytes_waiting_ += bytes;
  bytes_decoding_ += bytes;
}

// The picture is prepared: from now on it takes this many bytes.
void PageQueue::keep(std::int64_t index, std::int64_t bytes) {
  const std::lock_guard lock(mutex_);
  Slot& slot = slots_[index];
  bytes_waiting_ += bytes - slot.bytes;
  slot.bytes = bytes;
  bytes_decoding_ -= std::exchange(slot.decoding, 0);
  changed_.notify_all();
}

void PageQueue::on_token(std::int64_t index, std::int64_t part) {
  ++tokens_;
  const std::lock_guard lock(mutex_);
  Slot& slot = slots_[index];
  stop_waiting(slot, slot.parts[part]);
}

void PageQueue::stop_waiting(Slot& slot, Part& part) {
  if (part.begun) return;
  part.begun = true;
  if (--slot.parts_waiting == 0 && slot.state != Slot::State::loading) stop_waiting(slot);
}

void PageQueue::stop_waiting(Slot& slot) {
  if (slot.begun) return;
  slot.begun = true;
  --pages_waiting_;
  bytes_waiting_ -= slot.bytes;
  bytes_decoding_ -= std::exchange(slot.decoding, 0);  // of a picture that is broken
  changed_.notify_all();
}

std::optional<Page> PageQueue::take(const std::function<void(std::string_view)>& on_text) {
  std::unique_lock lock(mutex_);
  const auto known = [&] { return next_to_take_ < std::ssize(slots_); };
  const auto ready = [&] {
    return known() && (slots_[next_to_take_].state == Slot::State::submitted ||
                       slots_[next_to_take_].state == Slot::State::failed);
  };
  changed_.wait(lock, [&] { return ready() || cancelled_ || (exhausted_ && !known()); });
  if (!known() && !(cancelled_ && add_input_not_begun())) return std::nullopt;
  const std::int64_t index = next_to_take_;
  Slot& slot = slots_[index];
  Page page;
  if (ready()) {
    page = std::move(slot.page);
  } else {
    page = slot.page;
    page.error = Error(ErrorCode::cancelled, "interrupted");
  }
  const std::vector<Part> parts = slot.parts;
  lock.unlock();
  if (!page.error && page.divided) {
    try {
      finish_regions(page, index, parts);
    } catch (...) {  // not enough memory, most likely: for this page
      page.error = current_error();
      cancel(slot);
      wait_for_end(slot);
    }
  } else if (!page.error) {
    finish(page, *parts.front().job, on_text, options_.collect_events);
  }
  lock.lock();
  if (slot.state == Slot::State::submitted) {
    stop_waiting(slot);  // a request may end without a token
    slot.parts.clear();
    slot.again.clear();
    slot.state = Slot::State::taken;
  }
  ++next_to_take_;
  changed_.notify_all();
  return page;
}

void PageQueue::finish_regions(Page& page, std::int64_t index, const std::vector<Part>& parts) {
  const bool looks_again = !page.divided->pictures.empty();
  std::vector<Page> read(parts.size());
  for (std::size_t i = 0; i < parts.size(); ++i) {
    read[i].error = parts[i].error;
    if (parts[i].job) finish(read[i], *parts[i].job, {}, looks_again);
    page.result.completion_tokens += read[i].result.completion_tokens;
  }
  if (looks_again) look_again(page, index, read);
  std::vector<Region>& regions = page.divided->page.regions;
  for (std::size_t i = 0; i < parts.size();) {
    Region& region = regions[page.divided->regions[i]];
    std::vector<Result> results;
    for (const std::size_t of = page.divided->regions[i]; i < parts.size() && page.divided->regions[i] == of;
         ++i) {
      if (read[i].error && !region.error) region.error = read[i].error;
      if (!read[i].error) results.push_back(std::move(read[i].result));
    }
    if (region.error && region.error->code() == ErrorCode::cancelled) page.error = region.error;
    if (region.error) continue;
    Result result = joined_results(results);
    region.content = std::move(result.text);
    region.mean_logprob = result.mean_logprob;
    region.finish_reason = result.finish_reason;
  }
}

// Reads doubtful rows again, those of the whole page at once, and takes what is better.
void PageQueue::look_again(Page& page, std::int64_t index, std::vector<Page>& read) {
  DividedPage& divided = *page.divided;
  std::vector<Look> looks(read.size());
  for (std::size_t i = 0; i < read.size(); ++i) {
    if (!read[i].error) begin_look(looks[i], divided, index, i, read[i]);
  }
  divided.pictures.clear();
  for (std::size_t i = 0; i < read.size(); ++i) {
    Look& look = looks[i];
    const std::vector<Result> rows = finish_look(look, page.result.completion_tokens);
    const std::size_t region_index = divided.regions[i];
    Region& region = divided.page.regions[region_index];
    if (look.error && look.error->code() == ErrorCode::cancelled) {
      read[i].error = look.error;
    } else if (look.error) {
      page.warnings.push_back(cat("region ", region_index, " (", to_string(region.label),
                                  "): could not be read again: ", look.error->what()));
    } else if (!rows.empty()) {
      std::optional<Result> better = improved(read[i].result, look.lines, look.again, rows);
      if (!better) continue;
      read[i].result = *std::move(better);
      if (region.task == RegionTask::formula) {
        region.label = RegionLabel::text;
        region.task = RegionTask::text;
      }
    }
  }
}

void PageQueue::begin_look(Look& look, const DividedPage& divided, std::int64_t index, std::size_t part,
                           const Page& read) {
  try {
    const Task task = task_of(divided.page.regions[divided.regions[part]].task);
    look.lines = written_lines(read.events);
    look.again = second_look(divided.pictures[part], task, read.result, look.lines);
    for (const Image& row : look.again.rows) look.jobs.push_back(submit_row(index, row, read.result.timings));
  } catch (...) {
    look.error = current_error();
    for (const Job& job : look.jobs) job.cancel();
  }
}

// Waits for the rows. Adds their tokens.
std::vector<Result> PageQueue::finish_look(Look& look, std::int64_t& tokens) {
  std::vector<Result> rows;
  for (const Job& job : look.jobs) {
    Page row;
    finish(row, job, {}, false);
    tokens += row.result.completion_tokens;
    const bool decides = !look.error || (row.error && row.error->code() == ErrorCode::cancelled);
    if (row.error && decides) look.error = row.error;
    rows.push_back(std::move(row.result));
  }
  return rows;
}

Job PageQueue::submit_row(std::int64_t index, const Image& row, const Timings& first) {
  ReadOptions read = row_options(options_.divider->read_options(), row, first);
  read.on_token = [this](const TokenEvent& event) { tokens_ += event.token >= 0; };
  const engine::Request request = prepare(text_picture(row), read);
  Job job = when_not_busy([&] { return EngineAccess::submit(engine_, request); });
  const std::lock_guard lock(mutex_);
  slots_[index].again.push_back(job);
  if (cancelled_) job.cancel();
  return job;
}

// Whether another page may be loaded.
bool PageQueue::may_load() const {
  return pages_waiting_ < options_.pages_ahead &&
         (options_.window == 0 || std::ssize(slots_) + beginning_ - next_to_take_ < options_.window);
}

// The first input of which no page is known, as one page that is waiting. False where there is none.
bool PageQueue::add_input_not_begun() {
  const std::int64_t input = inputs_known();
  if (input == std::ssize(files_)) return false;
  Page& page = slots_.emplace_back().page;
  page.file = files_[input];
  page.input = input;
  return true;
}

std::int64_t PageQueue::inputs_known() const { return slots_.empty() ? 0 : slots_.back().page.input + 1; }

std::int64_t PageQueue::size() const {
  const std::lock_guard lock(mutex_);
  return std::ssize(slots_) + source_.pages_left() + std::ssize(files_) - inputs_known();
}

void PageQueue::finish(Page& page, const Job& job, const std::function<void(std::string_view)>& on_text,
                       bool collect_events) {
  if (on_text || collect_events) {
    while (const auto event = job.next()) {
      if (on_text) on_text(event->text);
      if (collect_events && event->token >= 0) page.events.push_back(*event);
    }
  }
  try {
    page.result = job.wait();
    if (page.events.size() > page.result.tokens.size()) page.events.resize(page.result.tokens.size());
  } catch (...) {
    page.error = current_error();
    return;
  }
  const std::lock_guard lock(mutex_);
  if (cancelled_ && page.result.finish_reason == FinishReason::cancelled) {
    page.error = Error(ErrorCode::cancelled, "interrupted");
  }
}

void PageQueue::cancel() {
  const std::lock_guard lock(mutex_);
  cancelled_ = true;
  for (const Slot& slot : slots_) cancel(slot);
  changed_.notify_all();
}

void PageQueue::cancel(const Slot& slot) {
  for (const Part& part : slot.parts) {
    if (part.job) part.job->cancel();
  }
  for (const Job& job : slot.again) job.cancel();
}

std::int64_t PageQueue::finished() const {
  const std::lock_guard lock(mutex_);
  std::int64_t count = next_to_take_;
  for (std::int64_t i = next_to_take_; i < std::ssize(slots_); ++i) {
    const Slot& slot = slots_[i];
    const auto ended = [](const Part& part) { return part.job ? part.job->done() : part.error.has_value(); };
    if (slot.state == Slot::State::failed || (slot.state == Slot::State::submitted && !slot.looks_again &&
                                              std::all_of(slot.parts.begin(), slot.parts.end(), ended))) {
      ++count;
    }
  }
  return count;
}

}  // namespace glmocr
