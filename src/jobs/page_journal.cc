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
    : name_(file.string()) {
  const int descriptor = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (descriptor < 0) fail_io("cannot be opened");
  file_.reset(::fdopen(descriptor, "r+"));
  if (!file_) fail_io("cannot be opened");
  read_lines(identity + "\n");
}

PageJournal::PageJournal() : name_("temporary file"), file_(std::tmpfile()) {
  if (!file_) fail_io("cannot be made");
}

void PageJournal::fail_io(const char* what) const {
  fail(ErrorCode::input, cat(name_, ": ", what, ": ", std::strerror(errno)));
}

// Finds the pages of an earlier run and cuts off what is not whole.
void PageJournal::read_lines(const std::string& head) {
  std::string line;
  long end = 0;
  if (read_line(file_.get(), line) && line == head) {
    end = std::ftell(file_.get());
    while (read_line(file_.get(), line)) {
      try {
        const DocumentPage page = formats::parse_page_record(line, name_);
        lines_[page.number] = {end, has_failed(page), page.error.has_value()};
      } catch (const Error&) {
        break;  // written while the machine stopped
      }
      end = std::ftell(file_.get());
    }
  }
  if (std::fseek(file_.get(), end, SEEK_SET) != 0 || ::ftruncate(::fileno(file_.get()), end) != 0)
    fail_io("cannot be cut");
  if (end == 0 && (std::fputs(head.c_str(), file_.get()) < 0 || std::fflush(file_.get()) != 0))
    fail_io("cannot be written");
}

bool PageJournal::has(std::int64_t number) const {
  const auto line = lines_.find(number);
  return line != lines_.end() && !line->second.failed;
}

void PageJournal::add(const DocumentPage& page) {
  std::FILE* file = file_.get();
  if (std::fseek(file, 0, SEEK_END) != 0) fail_io("cannot be written");
  const long offset = std::ftell(file);
  const std::string line = formats::page_record(page) + "\n";
  if (std::fwrite(line.data(), 1, line.size(), file) != line.size() || std::fflush(file) != 0) {
    const int error = errno;
    if (::ftruncate(::fileno(file), offset) == 0) std::clearerr(file);
    errno = error;
    fail_io("cannot be written");
  }
  lines_[page.number] = {offset, has_failed(page), page.error.has_value()};
}

std::string PageJournal::line_at(long offset) const {
  std::string line;
  if (std::fseek(file_.get(), offset, SEEK_SET) != 0 || !read_line(file_.get(), line))
    fail_io("cannot be read");
  return line;
}

void PageJournal::for_each(const std::function<void(const DocumentPage& page)>& action) const {
  for (const auto& [number, line] : lines_) action(formats::parse_page_record(line_at(line.offset), name_));
}

std::int64_t PageJournal::failed_pages() const {
  return std::count_if(lines_.begin(), lines_.end(), [](const auto& line) { return line.second.failed; });
}

std::int64_t PageJournal::unread_pages() const {
  return std::count_if(lines_.begin(), lines_.end(), [](const auto& line) { return line.second.unread; });
}

}  // namespace glmocr
