// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <string>
#include <vector>

namespace glmocr {

// "cuda:0,cuda:1" → its names; "cuda:0" → itself. Throws Error{usage} naming the list and the name at fault: an empty one,
// "auto" beside others, devices of different kinds, a card that is named twice.
std::vector<std::string> split_device_list(const std::string& list);

}  // namespace glmocr
