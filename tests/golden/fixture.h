// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdlib>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/mapped_file.h"
#include "engine/forward.h"
#include "glmocr/image.h"
#include "kernels/kernels.h"
#include "models/glm_ocr/glm_ocr.h"

// What tools/make_golden.py writes (it documents the format at its top), and the means to run the same cases
// here.
namespace glmocr::golden {

using Json = nlohmann::json;

struct Fixture {
  std::string name;
  std::filesystem::path snapshot;  // folder of the weights
  Json json;

  const Json& cases() const { return json.at("cases"); }
};

inline Fixture load_fixture(const std::string& name, const std::filesystem::path& file,
                            const std::filesystem::path& snapshot) {
  return {name, snapshot, Json::parse(read_file(file))};
}

inline Fixture committed(const std::string& name) {
  const std::filesystem::path root = GLMOCR_SOURCE_DIR;
  const std::filesystem::path file = root / "tests/data/golden" / (name + ".json");
  Fixture fixture = load_fixture(name, file, "");
  fixture.snapshot = root / fixture.json.at("snapshot").get<std::string>();
  return fixture;
}

// A case's pictures and prompt, as our own code makes them; the parts of the prompt may come in any order.
inline engine::Request make_request(const GlmOcr& network, const Json& fixture, const Json& test_case) {
  engine::Request request;
  std::vector<PromptPart> parts;
  const std::filesystem::path pictures =
      std::filesystem::path(GLMOCR_SOURCE_DIR) / fixture.at("pictures_dir").get<std::string>();
  for (const Json& part : test_case.at("content")) {
    if (part.contains("image")) {
      const Image image = load_image((pictures / part["image"].get<std::string>()).string());
      request.images.push_back(preprocess(image, network.config().preprocess));
      parts.push_back({request.images.back().grid, ""});
    } else {
      parts.push_back({std::nullopt, part["text"].get<std::string>()});
    }
  }
  request.prompt = build_prompt(network.config(), network.tokenizer(), parts);
  request.stop_ids = network.config().generation.eos_token_id;
  return request;
}

// The device that the tests of this folder run on: "cpu", or what GLMOCR_TEST_DEVICE names.
inline std::string tested_device() {
  const char* wanted = std::getenv("GLMOCR_TEST_DEVICE");
  return wanted ? wanted : "cpu";
}

// A snapshot on a device, loaded once for all tests of a program.
struct Loaded {
  std::unique_ptr<Device> device;
  std::unique_ptr<GlmOcr> network;
};

inline Loaded& loaded(const std::filesystem::path& snapshot, const std::string& device, DType compute) {
  static std::map<std::string, Loaded> models;
  Loaded& model = models[cat(snapshot.string(), "|", device, "|", to_string(compute))];
  if (!model.network) {
    model.device = open_device(device);
    model.network = GlmOcr::load(snapshot, *model.device, compute);
  }
  return model;
}

}  // namespace glmocr::golden
