// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "engine/request.h"

namespace glmocr::engine {

// Encodes the pictures of a request and runs its whole prompt in one step, without sampling. `sink` receives
// the intermediate tensors. Nothing else may use the network's device meanwhile. Throws Error{input} for a
// prompt longer than the model's context, Error{memory}.
Logits forward(const GlmOcr& network, Request request, const TensorSink& sink = {});

}  // namespace glmocr::engine
