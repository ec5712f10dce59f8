// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/core.h"
#include "kernels/kernels.h"
#include "models/glm_ocr/glm_ocr.h"

namespace glmocr::engine {

// The small random snapshot on a device of its own.
struct TestModel {
  std::unique_ptr<Device> device;
  std::unique_ptr<GlmOcr> model;
};

TestModel load_test_model(const std::string& device, const DeviceOptions& options = {.threads = 1},
                          DType compute = DType::f32);

// The same on a device that records steps, with `depth` of them in flight.
TestModel load_recording_model(int depth = 1);

// Room for one or two requests of this model.
inline constexpr EngineOptions kSmall{.kv_memory = 1 << 20, .page_size = 8};

// Loaded once, on "ref" in fp32.
const GlmOcr& test_model();

// A picture of noise.
Image test_picture(int height, int width, unsigned seed);

struct PictureSize {
  int height, width;
};
Request test_request(const GlmOcr& model, const std::string& text,
                     const std::vector<PictureSize>& pictures = {}, int max_tokens = 12);

// Requests of every kind: with none, one and two pictures, greedy and sampled, with a penalty, with
// log-probabilities.
std::vector<Request> mixed_requests(const GlmOcr& model);

// Bytes of keys and values of one token, in all layers.
std::int64_t kv_bytes_per_token(const GlmOcr& model);

Job submit(Core& core, Request request);

// Steps a core until all have ended. Throws what a request failed with.
std::vector<Result> run_together(const GlmOcr& model, std::vector<Request> requests,
                                 const EngineOptions& options = {}, EngineStats* stats = nullptr);
Result run_alone(const GlmOcr& model, Request request, const EngineOptions& options = {});

enum class PenaltySees { prompt, prompt_and_output };
// The tokens of a plain loop without an engine, which recomputes the whole sequence for every token, in one
// page. Of the sampling parameters it applies the repetition penalty.
std::vector<TokenId> plain_greedy(const GlmOcr& model, const Request& request, int tokens,
                                  PenaltySees sees = PenaltySees::prompt_and_output);

}  // namespace glmocr::engine
