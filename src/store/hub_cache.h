// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <filesystem>
#include <string>

namespace glmocr {

// Where huggingface_hub keeps downloaded models: HF_HUB_CACHE, else HUGGINGFACE_HUB_CACHE, else HF_HOME/hub,
// else XDG_CACHE_HOME/huggingface/hub, else ~/.cache/huggingface/hub. The first variable that is set counts,
// and no other; a leading ~ and $VARIABLES in it are expanded (huggingface_hub/constants.py).
std::filesystem::path hub_cache_folder();

// The folder of a snapshot: `name` itself where it is a folder, else a hub name "org/name" or
// "org/name@revision" (a branch, a tag or a commit; "main" by default) that is looked up in
// hub_cache_folder(). Nothing is downloaded. Throws Error{model} that says where it looked and how to get the
// model.
std::filesystem::path resolve_snapshot(const std::string& name);

}  // namespace glmocr
