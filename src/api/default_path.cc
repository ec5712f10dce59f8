// SPDX-License-Identifier: Apache-2.0
#include "api/default_path.h"

#include <dlfcn.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <vector>

#include "base/error.h"

namespace glmocr {
namespace {

namespace fs = std::filesystem;

// The file that contains this code: a shared library, or the program it is linked into. nullopt where the
// folder is not known: a program is known by the name under which it was started.
std::optional<fs::path> file_of_this_code() {
  static const char here = 0;
  Dl_info info{};
  if (::dladdr(&here, &info) == 0 || info.dli_fname == nullptr) return std::nullopt;
  const fs::path file = info.dli_fname;
  return file.has_parent_path() ? std::optional(file) : std::nullopt;
}

// Where the embedded model may be: in share/glm-ocr/models next to the folder (bin, lib) of the file
// that holds this code and of the running program, or next to the folder above it (lib/x86_64-linux-gnu).
std::vector<fs::path> places_of(const std::string& name) {
  std::vector<fs::path> files{"/proc/self/exe"};
  if (const auto file = file_of_this_code()) files.insert(files.begin(), *file);
  std::vector<fs::path> places;
  for (const fs::path& file : files) {
    std::error_code error;
    const fs::path folder = fs::weakly_canonical(file, error).parent_path();
    for (const fs::path& above : {folder.parent_path(), folder.parent_path().parent_path()}) {
      const fs::path place = above / "share" / "glm-ocr" / "models" / name;
      if (std::find(places.begin(), places.end(), place) == places.end()) places.push_back(place);
    }
  }
  return places;
}

}  // namespace

std::string default_path(const std::string& what, const char* variable, const std::string& name) {
  if (const char* path = std::getenv(variable); path && *path) return path;
  const std::vector<fs::path> places = places_of(name);
  for (const fs::path& place : places) {
    std::error_code error;
    if (fs::exists(place / "config.json", error)) return place.string();
  }
  std::vector<std::string> names;
  for (const fs::path& place : places) names.push_back(place.string());
  fail(ErrorCode::model, cat("no ", what, " given: ", variable,
                             " is not set, and the embedded model is in none of ", join(names, ", ")));
}

}  // namespace glmocr
