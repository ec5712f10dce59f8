// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "engine/request.h"

namespace glmocr::engine {

// One unsampled step over the whole prompt of a request, its pictures encoded before it. `sink` sees the intermediate
// tensors. Nothing else uses the network's device meanwhile. Throws Error{input} for a prompt longer than the model's
// context, Error{memory}.
Logits forward(const GlmOcr& network, Request request, const TensorSink& sink = {});

}  // namespace glmocr::engine
