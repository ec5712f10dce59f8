// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <string>

#include "glmocr/log.h"

namespace glmocr {

void log(LogLevel level, const std::string& message);

}  // namespace glmocr
