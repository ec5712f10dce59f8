// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <filesystem>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/mapped_file.h"

// nlohmann::json with errors that name the document. Included by few .cc files: it is heavy to compile.
namespace glmocr {

using Json = nlohmann::json;

// Parses a JSON document; a key that stands twice in one object is an error, because readers disagree on
// which wins. Throws Error{code} naming the document.
inline Json parse_json(std::string_view text, const std::string& name, ErrorCode code = ErrorCode::model) {
  std::vector<std::set<std::string>> keys;
  const auto watch = [&](int, Json::parse_event_t event, Json& parsed) {
    if (event == Json::parse_event_t::object_start) keys.emplace_back();
    if (event == Json::parse_event_t::object_end) keys.pop_back();
    if (event == Json::parse_event_t::key && !keys.back().insert(parsed.get<std::string>()).second) {
      fail(code, cat(name, ": key \"", parsed.get<std::string>(), "\" stands twice in one object"));
    }
    return true;
  };
  try {
    return Json::parse(text.begin(), text.end(), watch);
  } catch (const Json::exception& error) {
    fail(code, cat(name, ": not valid JSON: ", error.what()));
  }
}

// Reads and parses a file of a snapshot. Throws Error{model}.
inline Json load_json(const std::filesystem::path& path) {
  std::string text;
  try {
    text = read_file(path);
  } catch (const Error& error) {
    fail(ErrorCode::model, error.what());
  }
  return parse_json(text, path.string());
}

}  // namespace glmocr
