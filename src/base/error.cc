// SPDX-License-Identifier: Apache-2.0
#include "base/error.h"

#include <new>

namespace glmocr {

std::string_view to_string(ErrorCode code) {
  switch (code) {
    case ErrorCode::usage:
      return "usage";
    case ErrorCode::input:
      return "input";
    case ErrorCode::model:
      return "model";
    case ErrorCode::memory:
      return "memory";
    case ErrorCode::device:
      return "device";
    case ErrorCode::busy:
      return "busy";
    case ErrorCode::cancelled:
      return "cancelled";
    case ErrorCode::internal:
      return "internal";
  }
  return "internal";
}

void fail(ErrorCode code, const std::string& message) { throw Error(code, message); }

Error current_error() {
  try {
    throw;
  } catch (const Error& error) {
    return error;
  } catch (const std::bad_alloc&) {
    return Error(ErrorCode::memory, "not enough memory");
  } catch (const std::exception& error) {
    return Error(ErrorCode::internal, error.what());
  } catch (...) {
    return Error(ErrorCode::internal, "an exception that is no std::exception");
  }
}

void detail::check_failed(const char* condition, const char* file, int line) {
  // Without the folder, which tells nothing outside the machine that built it.
  const std::string path = file;
  fail(ErrorCode::internal, cat("internal error: ", path.substr(path.find_last_of('/') + 1), ":", line, ": ",
                                condition, " does not hold"));
}

}  // namespace glmocr
