// SPDX-License-Identifier: Apache-2.0
// The example of README.md, built and run against the installed package by tests/install/install_test.cmake.
#include <glmocr/glmocr.h>

#include <iostream>

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  try {
    const glmocr::Model model = glmocr::Model::load(MODEL_DIR);
    glmocr::Reader reader(model);
    const glmocr::Result result = reader.read(glmocr::load_image(argv[1]));
    std::cout << result.text << "\n";
  } catch (const glmocr::Error& error) {
    std::cerr << error.what() << "\n";
    return 1;
  }
}
