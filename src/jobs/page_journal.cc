// SPDX-License-Identifier: Apache-2.0
#include "jobs/page_journal.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "base/error.h"
#include "formats/page_record.h"

namespace glmocr {
namespace {

// The next line with its newline; false at the end of the file, or where that is not the end of a line.
bool read_line(std::FILE* file, std::string& line) {
  char* buffer = nullptr;
  std::size_t capacity = 0;
  const ssize_t length = ::getline(&buffer, &capacity, file);
  if (length > 0) line.assign(buffer, static_cast<std::size_t>(length));
  std::free(buffer);
  return length > 0 && line.ends_with('\n');
}

}  // namespace

bool has_failed(const DocumentPage& page) {
  return page.error || std::any_of(page.regions.begin(), page.regions.end(), [](const Region& region) {
           return region.error || region.finish_reason == FinishReason::time_limit;
         });
}

PageJournal::PageJournal(const std::filesystem::path& file, const std::string& identity)
    : name_(file.string()), identity_(identity) {
  const int descriptor = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (descriptor < 0) fail_io("cannot be opened");
  file_.reset(::fdopen(descriptor, "r"));
  if (!file_) fail_io("cannot be opened");
  read_lines();
}

PageJournal::PageJournal() : name_("temporary file"), file_(std::tmpfile()) {
  if (!file_) fail_io("cannot be made");
}

void PageJournal::fail_io(const char* what) const {
  fail(ErrorCode::input, cat(name_, ": ", what, ": ", std::strerror(errno)));
}

// Finds the pages of an earlier run and cuts off what is not whole.
void PageJournal::read_lines() {
  const std::string head = identity_ + "\n";
  std::string line;
  if (read_line(file_.get(), line) && line == head) {
    end_ = std::ssize(line);
    while (read_line(file_.get(), line)) {
      try {
        note(formats::parse_page_record(line, name_), end_);
      } catch (const Error&) {
        break;  // written while the machine stopped
      }
      end_ += std::ssize(line);
    }
  }
  if (::ftruncate(::fileno(file_.get()), end_) != 0) fail_io("cannot be cut");
  if (end_ == 0) append(head);
}

void PageJournal::note(const DocumentPage& page, std::int64_t offset) {
  if (page.number > 0) lines_.erase(0);
  lines_[page.number] = {offset, has_failed(page), page.error.has_value()};
}

// Past the stream, whose buffer would keep what a full disk refuses and write it later.
void PageJournal::append(const std::string& line) {
  const int file = ::fileno(file_.get());
  for (std::size_t done = 0; done < line.size();) {
    const ssize_t put =
        ::pwrite(file, line.data() + done, line.size() - done, end_ + static_cast<off_t>(done));
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) {
      const int error = errno;
      if (::ftruncate(file, end_) == 0) errno = error;
      fail_io("cannot be written");
    }
    done += static_cast<std::size_t>(put);
  }
  end_ += std::ssize(line);
}

bool PageJournal::has(std::int64_t number) const {
  const auto line = lines_.find(number);
  return line != lines_.end() && !line->second.failed;
}

void PageJournal::add(const DocumentPage& page) {
  const std::int64_t offset = end_;
  append(formats::page_record(page) + "\n");
  note(page, offset);
}

std::string PageJournal::line_at(std::int64_t offset) const {
  std::string line;
  if (::fseeko(file_.get(), offset, SEEK_SET) != 0 || !read_line(file_.get(), line))
    fail_io("cannot be read");
  return line;
}

void PageJournal::for_each(const std::function<void(const DocumentPage& page)>& action) const {
  for (const auto& [number, line] : lines_) action(formats::parse_page_record(line_at(line.offset), name_));
}

std::set<std::int64_t> PageJournal::read_pages() const {
  std::set<std::int64_t> numbers;
  for (const auto& [number, line] : lines_) {
    if (!line.failed) numbers.insert(number);
  }
  return numbers;
}

std::int64_t PageJournal::failed_pages() const {
  return std::count_if(lines_.begin(), lines_.end(), [](const auto& line) { return line.second.failed; });
}

std::int64_t PageJournal::unread_pages() const {
  return std::count_if(lines_.begin(), lines_.end(), [](const auto& line) { return line.second.unread; });
}

}  // namespace glmocr
