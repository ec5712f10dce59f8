// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <mutex>
#include <string>
#include <string_view>

namespace glmocr::cli {

enum class Verbosity { quiet, normal, verbose, debug };

// Text with control characters escaped as in C, so that a file name can neither control the terminal nor
// split a message into lines.
std::string printable(std::string_view text);

// Everything the program prints besides its result: lines on standard error and, on a terminal, a status line
// below them that is erased before anything else is written. Any thread.
class Console {
 public:
  Console();

  void set_verbosity(Verbosity verbosity) { verbosity_ = verbosity; }
  Verbosity verbosity() const { return verbosity_; }
  // Whether standard error is a terminal that a status line can be drawn on.
  bool is_terminal() const { return terminal_; }

  void error(const std::string& message);    // "glm-ocr: MESSAGE"
  void warning(const std::string& message);  // "glm-ocr: warning: MESSAGE"
  void note(const std::string& message);     // "glm-ocr: MESSAGE", only with -v
  void print(const std::string& text);       // as it is, and a newline; not with --quiet

  void show_status(const std::string& line);
  void clear_status();
  int columns() const;  // of the terminal
  // Text in a colour of the terminal ("33": yellow), or as it is where colours are off (NO_COLOR, no
  // terminal).
  std::string coloured(const char* colour, const std::string& text) const;

 private:
  void write_line(const std::string& line);

  std::mutex mutex_;
  Verbosity verbosity_ = Verbosity::normal;
  bool terminal_ = false;
  bool colours_ = false;
  bool status_shown_ = false;  // guarded by mutex_
};

}  // namespace glmocr::cli
