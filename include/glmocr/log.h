// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <functional>
#include <string>

namespace glmocr {

enum class LogLevel { debug, info, warning, error };

// The library never prints: whoever wants to see its messages sets a sink. Thread-safe; the sink is called
// under a lock. Without one, messages are dropped.
using LogSink = std::function<void(LogLevel, const std::string&)>;
void set_log_sink(LogSink sink);

}  // namespace glmocr
