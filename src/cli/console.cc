// SPDX-License-Identifier: Apache-2.0
#include "cli/console.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

namespace glmocr::cli {
namespace {

constexpr const char* kErase = "\r\033[K";

bool is_set(const char* variable) {
  const char* value = std::getenv(variable);
  return value != nullptr && *value != '\0';
}

std::string escaped(unsigned char byte) {
  if (byte == '\n') return "\\n";
  if (byte == '\r') return "\\r";
  if (byte == '\t') return "\\t";
  char hex[5];
  std::snprintf(hex, sizeof hex, "\\x%02x", unsigned{byte});
  return hex;
}

}  // namespace

std::string printable(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    const auto next = static_cast<unsigned char>(i + 1 < text.size() ? text[i + 1] : 0);
    if (byte == 0xC2 && next >= 0x80 && next <= 0x9F) {  // U+0080 … U+009F are control characters too
      out += escaped(byte) + escaped(next);
      ++i;
    } else if (byte < 0x20 || byte == 0x7F) {
      out += escaped(byte);
    } else {
      out += text[i];
    }
  }
  return out;
}

Console::Console() {
  const char* term = std::getenv("TERM");
  terminal_ = ::isatty(STDERR_FILENO) == 1 && term != nullptr && std::string_view(term) != "dumb";
  colours_ = terminal_ && !is_set("NO_COLOR");
}

void Console::error(const std::string& message) {
  write_line("glm-ocr: " + coloured("31", printable(message)));
}

void Console::warning(const std::string& message) {
  write_line("glm-ocr: " + coloured("33", "warning: ") + printable(message));
}

void Console::note(const std::string& message) {
  if (verbosity_ >= Verbosity::verbose) write_line("glm-ocr: " + printable(message));
}

void Console::print(const std::string& text) {
  if (verbosity_ != Verbosity::quiet) write_line(text);
}

// One write per line, so that lines of several processes do not mix.
void Console::write_line(const std::string& line) {
  const std::lock_guard lock(mutex_);
  const std::string text = (status_shown_ ? kErase : "") + line + "\n";
  status_shown_ = false;
  std::fwrite(text.data(), 1, text.size(), stderr);
}

void Console::show_status(const std::string& line) {
  const std::lock_guard lock(mutex_);
  const std::string text = kErase + line;
  status_shown_ = true;
  std::fwrite(text.data(), 1, text.size(), stderr);
}

void Console::clear_status() {
  const std::lock_guard lock(mutex_);
  if (status_shown_) std::fputs(kErase, stderr);
  status_shown_ = false;
}

int Console::columns() const {
  winsize size{};
  if (::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
  return 80;
}

std::string Console::coloured(const char* colour, const std::string& text) const {
  if (!colours_) return text;
  return std::string("\033[") + colour + "m" + text + "\033[0m";
}

}  // namespace glmocr::cli
