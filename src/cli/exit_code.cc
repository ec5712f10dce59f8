// SPDX-License-Identifier: Apache-2.0
#include "cli/exit_code.h"

namespace glmocr::cli {
namespace {

constexpr ExitCodeMeaning kMeanings[] = {
    {kOk, "all inputs were read"},
    {kSomeFailed, "some inputs failed, an output could not be written, or a check failed"},
    {kUsage, "the command line is wrong"},
    {kNoInput, "no input could be read"},
    {kModelUnusable, "the model cannot be used"},
    {kOutOfMemory, "the memory (--memory) is not enough"},
    {kDeviceUnusable, "the device cannot be opened"},
    {kInternal, "a bug in this program"},
    {kBusy, "too much is waiting already; try again later"},
    {kInterrupted, "interrupted by Ctrl-C (143: by SIGTERM); finished pages are written"},
    {kOutputClosed, "standard output was closed by its reader (or ended by SIGPIPE)"},
};

}  // namespace

int exit_code(ErrorCode code) {
  switch (code) {
    case ErrorCode::usage:
      return kUsage;
    case ErrorCode::input:
      return kNoInput;
    case ErrorCode::model:
      return kModelUnusable;
    case ErrorCode::memory:
      return kOutOfMemory;
    case ErrorCode::device:
      return kDeviceUnusable;
    case ErrorCode::busy:
      return kBusy;
    case ErrorCode::cancelled:
      return kInterrupted;
    case ErrorCode::internal:
      return kInternal;
  }
  return kInternal;
}

std::span<const ExitCodeMeaning> exit_code_meanings() { return kMeanings; }

}  // namespace glmocr::cli
