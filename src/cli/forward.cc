// SPDX-License-Identifier: Apache-2.0
#include <cstdio>
#include <filesystem>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "cli/arguments.h"
#include "cli/exit_code.h"
#include "cli/npy.h"
#include "cli/standard_streams.h"

namespace glmocr::cli {
namespace {

using OrderedJson = nlohmann::ordered_json;

OrderedJson to_json(const Logits& logits, int top) {
  OrderedJson best = OrderedJson::array();
  for (const auto& entry : logits.top(top)) best.push_back({entry.first, entry.second});
  return {{"prompt_tokens", logits.prompt_tokens},
          {"image_grid_thw", logits.image_grid_thw},
          {"logits_shape", {1, 1, logits.values.size()}},
          {"top", std::move(best)},
          {"mean", logits.mean()},
          {"std", logits.std()}};
}

std::string to_text(const Logits& logits, int top, const Model& model) {
  std::string text = cat("prompt tokens  ", logits.prompt_tokens, "\n");
  for (const auto& thw : logits.image_grid_thw) {
    text +=
        cat("image grid     ", thw[0], " x ", thw[1], " x ", thw[2], " (frames, rows, columns of patches)\n");
  }
  char line[160];
  std::snprintf(line, sizeof line, "logits         %zu, mean %.6f, deviation %.6f\n", logits.values.size(),
                logits.mean(), logits.std());
  text += line;
  for (const auto& entry : logits.top(top)) {
    std::snprintf(line, sizeof line, "%14d %12.6f  ", entry.first, double{entry.second});
    text += cat(line, printable(model.token_text(entry.first)), "\n");
  }
  return text;
}

TensorSink dump_into(const std::filesystem::path& folder) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error)
    fail(ErrorCode::usage, cat("--dump ", folder.string(), ": cannot be created: ", error.message()));
  return [folder](const std::string& name, std::span<const std::int64_t> shape,
                  std::span<const float> values) { write_npy(folder, name, shape, values); };
}

}  // namespace

int run_forward(const ForwardArguments& arguments, Console& console) {
  if (const std::string& device = arguments.model.load.device; device.find(',') != std::string::npos) {
    fail(ErrorCode::usage, cat("--device ", device, ": a forward pass runs on one device"));
  }
  const TensorSink sink = arguments.dump.empty() ? TensorSink{} : dump_into(arguments.dump);
  std::vector<Image> images;
  for (const std::string& file : arguments.files) {
    std::vector<std::string> warnings;
    images.push_back(load_image(file, arguments.image, &warnings));
    for (const std::string& warning : warnings) console.warning(warning);
  }
  const Model model = load_model(arguments.model);
  const Logits logits = model.forward(images, arguments.prompt, sink);
  write_standard_output(arguments.json ? to_json(logits, arguments.top).dump() + "\n"
                                       : to_text(logits, arguments.top, model));
  return kOk;
}

}  // namespace glmocr::cli
