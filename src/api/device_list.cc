// SPDX-License-Identifier: Apache-2.0
#include "api/device_list.h"

#include <algorithm>

#include "base/error.h"

namespace glmocr {
namespace {

std::string kind_of(const std::string& device) { return device.substr(0, device.find(':')); }

// "cuda:0:sm80" is the card "cuda:0".
std::string card_of(const std::string& device) {
  return device.substr(0, device.find(':', kind_of(device).size() + 1));
}

}  // namespace

std::vector<std::string> split_device_list(const std::string& list) {
  std::vector<std::string> names;
  for (std::size_t begin = 0; begin <= list.size();) {
    const std::size_t end = std::min(list.find(',', begin), list.size());
    names.push_back(list.substr(begin, end - begin));
    begin = end + 1;
  }
  if (names.size() == 1) return names;
  const auto refuse = [&](const std::string& why) {
    fail(ErrorCode::usage, cat("devices \"", list, "\": ", why));
  };
  for (auto name = names.begin(); name != names.end(); ++name) {
    if (name->empty()) refuse("a name is empty");
    if (*name == "auto") refuse("\"auto\" stands for one device and cannot be part of a list");
    if (kind_of(*name) != kind_of(names.front())) {
      refuse(
          cat("\"", names.front(), "\" and \"", *name, "\" are of different kinds, whose texts may differ"));
    }
    const auto is_same_card = [&](const std::string& other) { return card_of(other) == card_of(*name); };
    if (kind_of(*name) == "cuda" && std::any_of(names.begin(), name, is_same_card)) {
      refuse(cat("\"", card_of(*name), "\" is named twice"));
    }
  }
  return names;
}

}  // namespace glmocr
