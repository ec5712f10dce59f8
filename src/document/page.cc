// SPDX-License-Identifier: Apache-2.0
#include "document/page.h"

#include "base/error.h"

namespace glmocr {

std::string display_name(const Page& page) {
  return page.number == 0 ? display_name(page.file) : cat(display_name(page.file), ": page ", page.number);
}

}  // namespace glmocr
