// SPDX-License-Identifier: Apache-2.0
#include "engine/request.h"

#include <numeric>

namespace glmocr::engine {

double Completion::mean_logprob() const {
  if (logprobs.empty()) return 0;
  return std::accumulate(logprobs.begin(), logprobs.end(), 0.0) / static_cast<double>(logprobs.size());
}

}  // namespace glmocr::engine
