// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <functional>
#include <string>

#include "glmocr/export.h"
#include "glmocr/model.h"

namespace glmocr {

struct SelftestCheck {
  std::string name;
  bool passed = false;
  double error = 0, tolerance = 0;  // largest difference found, and allowed
  std::string detail;               // for the forward pass: the most probable tokens
};

// Checks a device: every operation against its definition (the device "ref") over a table of shapes and
// types, then one forward pass of the model at `model_path` over a drawn picture against the same pass on
// "ref" in fp32. `report` is called after each check. Returns whether all passed. Throws what Model::load
// throws, and Error{usage} for several devices.
GLMOCR_API bool selftest(const std::string& model_path, const LoadOptions& options,
                         const std::function<void(const SelftestCheck&)>& report);

}  // namespace glmocr
