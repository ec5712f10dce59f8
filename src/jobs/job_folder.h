// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "jobs/input_list.h"
#include "jobs/page_journal.h"

namespace glmocr {

// The names and values of options that change what is written.
using JobOptions = std::vector<std::pair<std::string, std::string>>;

// What a job keeps in DIR/.glm-ocr so that it can go on after it was stopped at any moment:
//   options.json     the options it was begun with
//   finished.jsonl   a line for each document whose outputs are complete
//   pages/           the journals of the others, and of those of which pages failed
//   failed.jsonl     a line for each page that could not be read, of the last run
// Each part of a job that is divided has a folder of its own there, part-0-of-4, so that several machines can share DIR.
class JobFolder {
 public:
  // Throws Error{usage} where another process works there, or where `resume` is asked for with other options than before,
  // naming them. Without `resume` what was kept is deleted.
  JobFolder(const std::filesystem::path& output, const Shard& shard, const JobOptions& options, bool resume);

  // Whether all outputs of a document are complete, without failures, and the file has not changed since. Never for what
  // can be read only once: standard input, pipes.
  bool finished(const JobInput& input) const;
  // The number of pictures that a finished document was given with; 0 for any other.
  std::int64_t pictures(const JobInput& input) const;
  PageJournal journal(const JobInput& input) const;
  bool has_journal(const JobInput& input) const;
  // Its outputs are written, `pictures` beside them: the journal goes, unless pages failed or it has none.
  void finish(const JobInput& input, const PageJournal& journal, std::int64_t pictures);
  // All pages and documents that failed in this run.
  void add_failed(const DocumentPage& page);

 private:
  struct LockFile {
    LockFile() = default;
    ~LockFile();
    LockFile(const LockFile&) = delete;
    LockFile& operator=(const LockFile&) = delete;
    int descriptor = -1;
  };
  void forget();
  std::filesystem::path journal_file(const JobInput& input) const;
  void lock();
  void check_options(const JobOptions& options);
  void read_finished();

  std::filesystem::path folder_;
  LockFile lock_;
  struct Finished {
    std::string identity;
    std::int64_t pictures = 0;
  };
  std::map<std::string, Finished> finished_;  // by the hash of the name
};

}  // namespace glmocr
