// SPDX-License-Identifier: Apache-2.0
#include "document/page.h"

#include <new>

#include "base/error.h"

namespace glmocr {

std::string display_name(const Page& page) {
  return page.number == 0 ? display_name(page.file) : cat(display_name(page.file), ": page ", page.number);
}

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

}  // namespace glmocr
