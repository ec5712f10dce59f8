// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <string>

#include "glmocr/log.h"

namespace glmocr {

// Passes a message to the sink of set_log_sink. Any thread.
void log(LogLevel level, const std::string& message);

}  // namespace glmocr
