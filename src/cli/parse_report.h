// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <string>

#include "cli/console.h"
#include "glmocr/document.h"

namespace glmocr::cli {

// Reports the pages of `parse` on standard error, and counts them for the exit code and --stats.
class ParseReport {
 public:
  explicit ParseReport(Console& console) : console_(console) {}

  void add(const ReadPage& page);
  // What could not be written.
  void add_unwritten(const std::string& why);
  // Documents that an earlier run had finished.
  void add_finished(std::size_t documents) { finished_ += static_cast<std::int64_t>(documents); }
  // Pages that an earlier run had read, of documents that it had not finished.
  void add_kept(std::size_t pages) { kept_ += static_cast<std::int64_t>(pages); }
  void add_write_time(double milliseconds) { write_ms_ += milliseconds; }

  std::int64_t read() const { return read_; }
  // 0 if none failed, 1 if some were read, now or before, or could not be written, else the code of the first failure.
  int exit_code() const;
  // Where the time went; times of the pages' own threads add up to more than the clock shows.
  std::string summary(const EngineStats& engine, double seconds) const;

 private:
  Console& console_;
  std::int64_t read_ = 0, failed_ = 0, unwritten_ = 0, finished_ = 0, kept_ = 0;
  std::int64_t regions_ = 0, from_layer_ = 0;
  double decode_ms_ = 0, regions_ms_ = 0, write_ms_ = 0;
  ErrorCode first_failure_ = ErrorCode::internal;
};

// Whether reading a page again may succeed: not where its file is at fault.
bool may_succeed(const DocumentPage& page);

}  // namespace glmocr::cli
