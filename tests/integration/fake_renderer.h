// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "integration/program.h"

namespace glmocr::integration {

// Renders with tests/support/fake_pdfium.
inline ProcessOptions fake_renderer() {
  ProcessOptions options;
  options.environment = {{"GLMOCR_PDFIUM", GLMOCR_FAKE_PDFIUM}};
  return options;
}

}  // namespace glmocr::integration
