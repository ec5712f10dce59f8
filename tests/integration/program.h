// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "support/temporary_folder.h"

namespace glmocr::integration {

struct ProcessOptions {
  std::string standard_input;
  bool open_input = false;          // standard input is a pipe that never ends
  bool closed_output = false;       // no standard output at all
  bool closed_input = false;        // no standard input at all
  bool closed_errors = false;       // no standard error at all
  std::string output_file;          // standard output goes there instead of a pipe
  bool full_output = false;         // standard output is a pipe without room
  bool nonblocking_output = false;  // standard output is a non-blocking pipe of one page
  bool no_threads = false;          // threads cannot be started: their stacks would be larger than the memory
  bool ignore_sigpipe = false;
  std::vector<std::pair<std::string, std::string>> environment;  // added; GLMOCR_MODEL and the like are unset
};

struct ProcessResult {
  int exit_code = -1;  // -1: ended by a signal
  int signal = 0;
  std::string out, err;
  std::int64_t peak_memory = 0;  // bytes resident at most
  double seconds = 0;            // from its start to its end
};

// The program as a child process.
class Process {
 public:
  explicit Process(const std::vector<std::string>& arguments, const ProcessOptions& options = {});
  ~Process();  // kills it if it still runs
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  bool running() const;
  pid_t pid() const { return pid_; }
  void send(int signal) const;
  void close_output();                             // as when the reader of a pipe goes away
  void read_until_line();                          // waits for a complete line on standard output
  void read_until_error(const std::string& text);  // waits for a text on standard error; reads nothing else
  bool ends_within(int seconds) const;             // whether it ends by itself; reads nothing
  ProcessResult wait();                            // reads both streams to their ends

 private:
  bool read_some();

  pid_t pid_ = -1;
  int in_ = -1, out_ = -1, err_ = -1;
  std::string input_;
  ProcessResult result_;
  std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
};

ProcessResult run(const std::vector<std::string>& arguments, const ProcessOptions& options = {});

// A file of tests/data.
std::string data(const std::string& name);
std::string picture(const std::string& name);
inline const std::string kWord = picture("word_112x56.png"), kSmallWord = picture("word_56x56.png");
inline const std::string kPage = picture("page_900x700.png"), kBroken = data("broken/truncated.png");

std::string read_all(const std::filesystem::path& path);
void write_all(const std::filesystem::path& path, const std::string& content);
std::vector<std::string> lines_of(const std::string& text);
std::vector<nlohmann::json> json_lines(const std::string& text);

}  // namespace glmocr::integration
