// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "glmocr/region.h"

namespace glmocr {

// The pages of one document as they are read, one per line of a file. So a run that was interrupted goes on where it
// stopped, outputs that need all pages hold none in memory, and memory does not grow with the document but for a few bytes
// per page.
class PageJournal {
 public:
  // Opens the journal of a document that `identity` tells from others with its name; what an earlier run wrote for the
  // same identity is kept, up to its last whole line. Throws Error{input} naming the file.
  PageJournal(const std::filesystem::path& file, const std::string& identity);
  // One that is in no folder and ends with the object.
  PageJournal();

  const std::string& identity() const { return identity_; }

  // Whether the page was read, all its regions included.
  bool has(std::int64_t number) const;
  // The numbers of all such pages.
  std::set<std::int64_t> read_pages() const;
  // A page that was there before is replaced; so is number 0, that the document could not be opened, by a page of it.
  // Throws Error{input} where it cannot be written; the journal is then as it was.
  void add(const DocumentPage& page);
  // The pages in the order of their numbers.
  void for_each(const std::function<void(const DocumentPage& page)>& action) const;

  std::int64_t pages() const { return static_cast<std::int64_t>(lines_.size()); }
  std::int64_t failed_pages() const;
  std::int64_t unread_pages() const;  // of these, those of which nothing was read

 private:
  struct Line {
    std::int64_t offset = 0;
    bool failed = false;
    bool unread = false;
  };
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  [[noreturn]] void fail_io(const char* what) const;
  void read_lines();
  void append(const std::string& line);
  void note(const DocumentPage& page, std::int64_t offset);
  std::string line_at(std::int64_t offset) const;

  std::string name_, identity_;
  std::unique_ptr<std::FILE, Close> file_;
  std::int64_t end_ = 0;                // of the last whole line
  std::map<std::int64_t, Line> lines_;  // by the page's number
};

// Whether a page or one of its regions could not be read.
bool has_failed(const DocumentPage& page);

}  // namespace glmocr
