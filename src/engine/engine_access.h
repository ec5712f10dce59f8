// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <span>

#include "engine/request.h"
#include "glmocr/engine.h"

namespace glmocr {

// The two halves of Engine::submit, for the library's own code: a request that waits for a busy engine is prepared once,
// and the pictures are not needed meanwhile. Any thread.
struct EngineAccess {
  // Throws Error{busy} where no more requests may wait, and as engine::make_request does.
  static engine::Request prepare(const Engine& engine, std::span<const Image> images,
                                 const ReadOptions& options);
  // Throws as Engine::submit does; the request can be submitted again then.
  static Job submit(Engine& engine, const engine::Request& request);
};

}  // namespace glmocr
