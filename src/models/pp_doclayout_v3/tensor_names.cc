// SPDX-License-Identifier: Apache-2.0
#include "models/pp_doclayout_v3/tensor_names.h"

namespace glmocr::doclayout {
namespace {

void replace(std::string& text, const std::string& from, const std::string& to) {
  if (const auto at = text.find(from); at != std::string::npos) text.replace(at, from.size(), to);
}

}  // namespace

std::string transformers_name(const std::string& published) {
  std::string name = published;
  replace(name, ".encoder.encoder.", ".encoder.aifi.");
  if (name.find("backbone.") != std::string::npos) return "";
  replace(name, ".self_attn.out_proj.", ".self_attn.o_proj.");
  if (name.find(".mlp.") == std::string::npos) {
    replace(name, ".fc1.", ".mlp.fc1.");
    replace(name, ".fc2.", ".mlp.fc2.");
  }
  return name == published ? "" : name;
}

}  // namespace glmocr::doclayout
