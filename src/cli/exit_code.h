// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <span>

#include "glmocr/error.h"

namespace glmocr::cli {

enum ExitCode : int {
  kOk = 0,
  kSomeFailed = 1,  // also for a failed check of selftest, and an output that cannot be written
  kUsage = 2,
  kNoInput = 3,
  kModelUnusable = 4,
  kOutOfMemory = 5,
  kDeviceUnusable = 6,
  kInternal = 70,      // EX_SOFTWARE of sysexits.h
  kBusy = 75,          // EX_TEMPFAIL of sysexits.h
  kInterrupted = 130,  // 128 + SIGINT, as shells report it
  kOutputClosed = 141  // 128 + SIGPIPE
};

int exit_code(ErrorCode code);

struct ExitCodeMeaning {
  ExitCode code;
  const char* meaning;
};

// What --help shows: every exit code of the program.
std::span<const ExitCodeMeaning> exit_code_meanings();

}  // namespace glmocr::cli
