// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <functional>
#include <string>

#include "glmocr/export.h"

namespace glmocr {

enum class LogLevel { debug, info, warning, error };

// The library never prints. Its messages go to the sink set here; without a sink they are dropped. Any thread
// may set it; the sink is called by one thread at a time, under a lock.
using LogSink = std::function<void(LogLevel, const std::string&)>;
GLMOCR_API void set_log_sink(LogSink sink);

}  // namespace glmocr
