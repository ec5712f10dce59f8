// SPDX-License-Identifier: Apache-2.0
// JSON files with errors that name the file, the key, what was found and what was expected. Included by few
// .cc files: nlohmann/json is heavy to compile.
#pragma once
#include <array>
#include <cmath>
#include <filesystem>
#include <functional>
#include <limits>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/mapped_file.h"

namespace glmocr {

using Json = nlohmann::json;

// Called for every event of a parse; returns whether the value (or the member of a key) is kept. It must keep
// every object.
using JsonFilter = std::function<bool(int depth, Json::parse_event_t event, Json& value)>;

// The deepest nesting allowed: printing and comparing values is recursive.
inline constexpr int kMaxJsonDepth = 64;

// Parses a JSON document. Throws Error{code} naming the document where it is not JSON, where it is nested too
// deeply, and where a key that the filter keeps occurs twice in one object, because readers disagree on which
// one counts.
inline Json parse_json(std::string_view text, const std::string& name, ErrorCode code = ErrorCode::model,
                       const JsonFilter& filter = {}) {
  using Event = Json::parse_event_t;
  std::vector<std::set<std::string>> keys;  // of the objects that are open
  const auto watch = [&](int depth, Event event, Json& value) {
    if (depth > kMaxJsonDepth) fail(code, cat(name, ": nested deeper than ", kMaxJsonDepth, " levels"));
    if (event == Event::object_start) keys.emplace_back();
    if (event == Event::object_end) keys.pop_back();
    if (filter && !filter(depth, event, value)) return false;
    if (event == Event::key && !keys.back().insert(value.get<std::string>()).second) {
      fail(code, cat(name, ": key \"", value.get<std::string>(), "\" occurs twice in one object"));
    }
    return true;
  };
  try {
    return Json::parse(text.begin(), text.end(), watch);
  } catch (const Json::parse_error& error) {
    fail(code, cat(name, ": not valid JSON at byte ", error.byte, ": ", error.what()));
  } catch (const Json::exception& error) {
    fail(code, cat(name, ": not valid JSON: ", error.what()));
  }
}

// Reads and parses a file of a snapshot. Throws Error{model}.
inline Json load_json(const std::filesystem::path& path) {
  std::string text;
  try {
    text = read_file(path, kLongestText, FileKind::regular);
  } catch (const Error& error) {
    fail(ErrorCode::model, error.what());
  }
  return parse_json(text, path.string());
}

// A value of a document together with its path ("model.merges[3]"), for errors. An absent member is a cursor
// too; it converts to false, like null. Refers to the document. Getters throw Error{model}.
class JsonCursor {
 public:
  JsonCursor(const Json& document, std::string file) : JsonCursor(document, std::move(file), "") {}

  explicit operator bool() const { return !value_->is_null(); }
  const Json& value() const { return *value_; }

  // The member `key` of an object.
  JsonCursor operator[](std::string_view key) const {
    static const Json kAbsent;
    const auto found = object().value().find(key);
    return {found == value_->end() ? kAbsent : *found, file_,
            path_.empty() ? std::string(key) : cat(path_, ".", key)};
  }
  const JsonCursor& object() const {
    if (!value_->is_object()) expected("an object");
    return *this;
  }
  std::vector<JsonCursor> elements() const {
    if (!value_->is_array()) expected("a list");
    std::vector<JsonCursor> elements;
    for (std::size_t i = 0; i < value_->size(); ++i) {
      elements.push_back({(*value_)[i], file_, cat(path_, "[", i, "]")});
    }
    return elements;
  }

  std::string string() const {
    if (!value_->is_string()) expected("a string");
    return value_->get<std::string>();
  }
  bool boolean() const {
    if (!value_->is_boolean()) expected("true or false");
    return value_->get<bool>();
  }
  int integer(int least, int most = std::numeric_limits<int>::max()) const {
    const double number = value_->is_number_integer() ? value_->get<double>() : std::nan("");
    if (!(least <= number && number <= most)) {
      const bool open = most == std::numeric_limits<int>::max();
      expected(open ? cat("an integer from ", least, " up") : cat("an integer from ", least, " to ", most));
    }
    return value_->get<int>();
  }
  double number() const {
    if (!value_->is_number()) expected("a number");
    return value_->get<double>();
  }
  double positive_number() const {
    if (!value_->is_number() || !(value_->get<double>() > 0)) expected("a number above 0");
    return value_->get<double>();
  }
  template <std::size_t N>
  std::array<double, N> numbers() const {
    if (!value_->is_array() || value_->size() != N) expected(cat(N, " numbers"));
    const std::vector<JsonCursor> values = elements();
    std::array<double, N> numbers;
    for (std::size_t i = 0; i < N; ++i) numbers[i] = values[i].number();
    return numbers;
  }

  // The same with a value for what is absent.
  bool boolean_or(bool fallback) const { return *this ? boolean() : fallback; }
  int integer_or(int fallback, int least, int most = std::numeric_limits<int>::max()) const {
    return *this ? integer(least, most) : fallback;
  }
  double positive_number_or(double fallback) const { return *this ? positive_number() : fallback; }

  // For keys of which only one value is implemented, which is also the default.
  void expect(const Json& only) const {
    if (*this && value() != only) unsupported(only.dump());
  }

  // What errors show of the value: its member "type", or the beginning of its text.
  std::string shown() const {
    constexpr std::size_t kShown = 60;
    if (!*this) return "missing";
    if (value_->is_object() && value_->contains("type") && (*value_)["type"].is_string()) {
      return (*value_)["type"].dump();
    }
    const std::string text = value_->dump();
    return text.size() <= kShown ? text : text.substr(0, kShown) + "...";
  }

  // file: path `problem`
  [[noreturn]] void bad(std::string_view problem) const {
    fail(ErrorCode::model, cat(file_, ": ", path_.empty() ? "the document" : path_, " ", problem));
  }
  [[noreturn]] void expected(std::string_view what) const { bad(cat("is ", shown(), ", expected ", what)); }
  [[noreturn]] void unsupported(std::string_view only) const {
    bad(cat("is ", shown(), ", which is not supported: only ", only, " is"));
  }

 private:
  JsonCursor(const Json& value, std::string file, std::string path)
      : value_(&value), file_(std::move(file)), path_(std::move(path)) {}

  const Json* value_;
  std::string file_;
  std::string path_;
};

}  // namespace glmocr
