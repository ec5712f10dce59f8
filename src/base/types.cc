// SPDX-License-Identifier: Apache-2.0
#include "glmocr/types.h"

namespace glmocr {

std::string_view to_string(FinishReason reason) {
  switch (reason) {
    case FinishReason::stop:
      return "stop";
    case FinishReason::length:
      return "length";
    case FinishReason::repetition:
      return "repetition";
    case FinishReason::time_limit:
      return "time_limit";
    case FinishReason::cancelled:
      return "cancelled";
  }
  return "cancelled";
}

}  // namespace glmocr
