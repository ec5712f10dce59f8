// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <string>

namespace glmocr {

// The folder of the model to use when none is named: what the environment variable says, else the embedded model
// share/glm-ocr/models/NAME next to the folder of this library or of the running program. Throws Error{model} naming
// every place that was searched; `what` says what was not given.
std::string default_path(const std::string& what, const char* variable, const std::string& name);

}  // namespace glmocr
