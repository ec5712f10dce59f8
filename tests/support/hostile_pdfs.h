// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <string>
#include <vector>

namespace glmocr {

// A PDF file that is broken, endless or malicious.
struct HostilePdf {
  std::string name;
  std::string content;
  // What must come of it: at least one page, no page at all, or either.
  enum class Outcome { a_page, no_page, either } outcome = Outcome::either;
};

std::vector<HostilePdf> hostile_pdfs();

}  // namespace glmocr
