// SPDX-License-Identifier: Apache-2.0
// What only a shared library can get wrong: the embedded model is found from the library's folder, not the
// program's, and an Error that the library throws is caught here as glmocr::Error.
#include <glmocr/glmocr.h>

#include <cstdlib>
#include <iostream>
#include <string>

namespace {

int failures = 0;

void expect(bool holds, const std::string& what) {
  if (holds) return;
  std::cerr << "failed: " << what << "\n";
  ++failures;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  ::unsetenv("GLMOCR_MODEL");
  const std::string path = glmocr::default_model_path();
  expect(path.ends_with("share/glm-ocr/models/mini"), "the embedded model is " + path);
  try {
    glmocr::Model::load("/nonexistent");
    expect(false, "a model that does not exist was loaded");
  } catch (const glmocr::Error& error) {
    expect(error.code() == glmocr::ErrorCode::model, error.what());
  }
  const glmocr::Model model = glmocr::Model::load(path);
  glmocr::Engine engine(model);
  int tokens = 0;
  glmocr::ReadOptions options;
  options.on_token = [&](const glmocr::TokenEvent&) { ++tokens; };
  const glmocr::Result result = engine.submit({glmocr::load_image(argv[1])}, options).wait();
  expect(!result.text.empty() && tokens > 0, "no text was read");
  return failures == 0 ? 0 : 1;
}
