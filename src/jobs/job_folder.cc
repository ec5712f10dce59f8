// SPDX-License-Identifier: Apache-2.0
#include "jobs/job_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <fstream>
#include <system_error>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/mapped_file.h"
#include "base/utf8.h"

namespace glmocr {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

// Names that are not UTF-8 may look alike.
std::string id_of(const JobInput& input) { return hexadecimal(name_hash(input.name)); }

// No other process has it.
std::string this_run() {
  static const std::string id =
      cat(::getpid(), "-", std::chrono::system_clock::now().time_since_epoch().count());
  return id;
}

// What tells a document from another one with its name: size and time of the last change.
std::string identity_of(const JobInput& input) {
  struct stat status {};
  const bool exists = input.path != "-" && ::stat(input.path.c_str(), &status) == 0;
  Json json = {{"name", to_valid_utf8(input.name)}, {"id", id_of(input)}};
  if (exists && S_ISREG(status.st_mode)) {
    json["bytes"] = status.st_size;
    json["changed"] = cat(status.st_mtim.tv_sec, ".", status.st_mtim.tv_nsec);
  } else if (exists || input.path == "-") {
    json["run"] = this_run();
  }
  return json.dump();
}

void make_folder(const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) fail(ErrorCode::usage, cat(folder.string(), ": cannot be made: ", error.message()));
}

void append_line(const fs::path& file, const std::string& line) {
  std::error_code error;
  const std::uintmax_t size = fs::exists(file, error) ? fs::file_size(file, error) : 0;
  std::ofstream stream(file, std::ios::app | std::ios::binary);
  stream << line << '\n' << std::flush;
  if (stream) return;
  if (!error) fs::resize_file(file, size, error);  // the next line shall not follow half a one
  fail(ErrorCode::input, cat(file.string(), ": cannot be written"));
}

std::string options_text(const JobOptions& options) {
  Json json = Json::object();
  for (const auto& [name, value] : options) json[name] = to_valid_utf8(value);
  return json.dump(2) + "\n";
}

std::string difference(const Json& old, const JobOptions& options) {
  std::string text;
  for (const auto& [name, value] : options) {
    const auto before = old.find(name);
    const bool equal = before != old.end() && before->is_string() && *before == to_valid_utf8(value);
    if (!equal) text += cat(text.empty() ? "" : ", ", name);
  }
  return text;
}

}  // namespace

JobFolder::JobFolder(const fs::path& output, const Shard& shard, const JobOptions& options, bool resume)
    : folder_(output / ".glm-ocr") {
  if (shard.count > 1) folder_ /= cat("part-", shard.index, "-of-", shard.count);
  make_folder(folder_);
  lock();
  if (resume) {
    check_options(options);
    read_finished();
  } else {
    forget();
  }
  make_folder(folder_ / "pages");
  write_file_atomically(folder_ / "options.json", options_text(options));
  write_file_atomically(folder_ / "failed.jsonl", "");
}

JobFolder::LockFile::~LockFile() {
  if (descriptor >= 0) ::close(descriptor);
}

void JobFolder::lock() {
  const fs::path file = folder_ / "lock";
  lock_.descriptor = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (lock_.descriptor < 0)
    fail(ErrorCode::usage, cat(file.string(), ": cannot be opened: ", std::strerror(errno)));
  // File systems without locks go without.
  if (::flock(lock_.descriptor, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)
    fail(ErrorCode::usage, cat(folder_.parent_path().string(), ": another run is writing there"));
}

// The options last: what is left belongs to them if this is interrupted.
void JobFolder::forget() {
  for (const char* name : {"pages", "finished.jsonl", "failed.jsonl", "options.json"}) {
    std::error_code error;
    fs::remove_all(folder_ / name, error);
    if (error)
      fail(ErrorCode::usage, cat((folder_ / name).string(), ": cannot be removed: ", error.message()));
  }
}

void JobFolder::check_options(const JobOptions& options) {
  const fs::path file = folder_ / "options.json";
  std::error_code error;
  if (!fs::exists(file, error)) return;  // nothing was begun
  const Json old = Json::parse(read_file(file), nullptr, false);
  if (!old.is_object())
    fail(ErrorCode::usage, cat(file.string(), ": is not JSON; without --resume it is replaced"));
  const std::string names = difference(old, options);
  if (!names.empty()) {
    fail(ErrorCode::usage, cat("--resume: begun with other options (", names, "), see ", file.string(),
                               "; without --resume all is read anew"));
  }
}

void JobFolder::read_finished() {
  std::ifstream stream(folder_ / "finished.jsonl", std::ios::binary);
  for (std::string line; std::getline(stream, line);) {
    const Json json = Json::parse(line, nullptr, false);
    if (!json.is_object() || !json.contains("document") || !json["document"].is_object()) continue;
    const Json& document = json["document"];
    if (!document.contains("id") || !document["id"].is_string()) continue;
    const auto pictures = json.find("pictures");
    const bool counted = pictures != json.end() && pictures->is_number_integer();
    finished_[document["id"].get<std::string>()] = {document.dump(),
                                                    counted ? pictures->get<std::int64_t>() : 0};
  }
}

bool JobFolder::finished(const JobInput& input) const {
  const auto found = finished_.find(id_of(input));
  return found != finished_.end() && found->second.identity == identity_of(input);
}

std::int64_t JobFolder::pictures(const JobInput& input) const {
  const auto found = finished_.find(id_of(input));
  return found == finished_.end() ? 0 : found->second.pictures;
}

fs::path JobFolder::journal_file(const JobInput& input) const {
  return folder_ / "pages" / (id_of(input) + ".jsonl");
}

bool JobFolder::has_journal(const JobInput& input) const {
  std::error_code error;
  return fs::exists(journal_file(input), error);
}

PageJournal JobFolder::journal(const JobInput& input) const {
  return PageJournal(journal_file(input), identity_of(input));
}

void JobFolder::finish(const JobInput& input, const PageJournal& journal, std::int64_t pictures) {
  if (journal.failed_pages() > 0 || journal.pages() == 0) return;
  const Json line = {
      {"document", Json::parse(journal.identity())}, {"pages", journal.pages()}, {"pictures", pictures}};
  append_line(folder_ / "finished.jsonl", line.dump());
  std::error_code error;
  fs::remove(journal_file(input), error);
}

void JobFolder::add_failed(const DocumentPage& page) {
  Json json = {{"file", to_valid_utf8(page.file)}, {"page", page.number}};
  Json reasons = Json::array();
  const auto add = [&](const Error& error) {
    reasons.push_back({{"code", to_string(error.code())}, {"message", to_valid_utf8(error.what())}});
  };
  if (page.error) add(*page.error);
  for (const Region& region : page.regions) {
    if (region.error) add(*region.error);
    if (region.finish_reason == FinishReason::time_limit)
      reasons.push_back({{"code", "time_limit"}, {"message", "the time limit has passed"}});
  }
  json["errors"] = std::move(reasons);
  append_line(folder_ / "failed.jsonl", json.dump());
}

}  // namespace glmocr
