// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <string>

namespace glmocr::doclayout {

// The name that a tensor of the published snapshot has as an attribute of transformers 5: encoder.encoder is
// encoder.aifi, out_proj is o_proj, fc1 and fc2 are in mlp. Empty: the same.
std::string transformers_name(const std::string& published);

}  // namespace glmocr::doclayout
