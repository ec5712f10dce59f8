// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <sstream>
#include <string>
#include <string_view>

#include "glmocr/error.h"

namespace glmocr {

// cat("tensor ", name, ": expected ", n): every argument streamed into one string.
template <class... Args>
std::string cat(const Args&... args) {
  std::ostringstream out;
  (out << ... << args);
  return out.str();
}

// join({"a", "b"}, ", ") is "a, b". The items are of any type that can be streamed.
template <class Items>
std::string join(const Items& items, std::string_view separator) {
  std::ostringstream out;
  bool first = true;
  for (const auto& item : items) {
    if (!first) out << separator;
    out << item;
    first = false;
  }
  return out.str();
}

[[noreturn]] void fail(ErrorCode code, const std::string& message);

// The exception that is being handled, as an Error.
Error current_error();

namespace detail {
[[noreturn]] void check_failed(const char* condition, const char* file, int line);
}

// For bugs in this code, never for input. Throws Error{internal}.
#define GLMOCR_CHECK(condition) \
  ((condition) ? void(0) : ::glmocr::detail::check_failed(#condition, __FILE__, __LINE__))

}  // namespace glmocr
