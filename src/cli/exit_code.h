// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <span>

#include "glmocr/error.h"

namespace glmocr::cli {

enum ExitCode : int {
  kOk = 0,
  kSomeFailed = 1,  // also a check of selftest, and an output that cannot be written
  kUsage = 2,
  kNoInput = 3,
  kModelUnusable = 4,
  kOutOfMemory = 5,
  kDeviceUnusable = 6,
  kInternal = 70,      // as EX_SOFTWARE of sysexits.h
  kInterrupted = 130,  // 128 + SIGINT, as shells say it
  kOutputClosed = 141  // 128 + SIGPIPE
};

int exit_code(ErrorCode code);

struct ExitCodeMeaning {
  ExitCode code;
  const char* meaning;
};

// What --help says; every code of the program stands here.
std::span<const ExitCodeMeaning> exit_code_meanings();

}  // namespace glmocr::cli
