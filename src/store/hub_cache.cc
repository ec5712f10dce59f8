// SPDX-License-Identifier: Apache-2.0
#include "store/hub_cache.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <optional>
#include <vector>

#include "base/error.h"
#include "base/mapped_file.h"

namespace glmocr {
namespace {

namespace fs = std::filesystem;

std::optional<std::string> environment(const std::string& name) {
  const char* value = std::getenv(name.c_str());
  if (value == nullptr || *value == '\0') return std::nullopt;
  return value;
}

bool is_variable_character(char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_'; }

// Expands "~/x", "$NAME" and "${NAME}" as Python's expanduser and expandvars do: an unset variable stays as
// written.
std::string expand(const std::string& text) {
  std::string rest = text;
  if (rest == "~" || rest.starts_with("~/")) rest.replace(0, 1, environment("HOME").value_or("~"));
  std::string expanded;
  for (std::size_t at = 0; at < rest.size();) {
    const bool braced = rest.compare(at, 2, "${") == 0;
    std::size_t end = at + (braced ? 2 : 1);
    const std::size_t begin = end;
    while (rest[at] == '$' && end < rest.size() && is_variable_character(rest[end])) ++end;
    const auto value = environment(rest.substr(begin, end - begin));
    const bool closed = !braced || (end < rest.size() && rest[end] == '}');
    if (rest[at] == '$' && end > begin && closed && value) {
      expanded += *value;
      at = end + (braced ? 1 : 0);
    } else {
      expanded += rest[at++];
    }
  }
  return expanded;
}

struct HubName {
  std::string org, name, revision;
};

// A part of "org/name": letters, digits, '-', '_' and '.', as the hub allows them.
bool is_repository_part(const std::string& part) {
  const auto allowed = [](char c) { return is_variable_character(c) || c == '-' || c == '.'; };
  return !part.empty() && part != "." && part != ".." && std::all_of(part.begin(), part.end(), allowed);
}

// A revision is the name of a file below refs/: it may hold slashes ("refs/pr/1"), but must not lead out of
// that folder.
bool is_revision(const std::string& revision) {
  if (revision.empty() || revision.front() == '/' || revision.find('\\') != std::string::npos) return false;
  const fs::path path = revision;
  return std::none_of(path.begin(), path.end(), [](const fs::path& part) { return part == ".."; });
}

std::optional<HubName> parse_hub_name(const std::string& text) {
  HubName hub{"", text, "main"};
  if (const std::size_t at = hub.name.find('@'); at != std::string::npos) {
    hub.revision = hub.name.substr(at + 1);
    hub.name.resize(at);
  }
  const std::size_t slash = hub.name.find('/');
  if (slash == std::string::npos) return std::nullopt;
  hub.org = hub.name.substr(0, slash);
  hub.name.erase(0, slash + 1);
  if (!is_repository_part(hub.org) || !is_repository_part(hub.name) || !is_revision(hub.revision)) {
    return std::nullopt;
  }
  return hub;
}

std::string how_to_get(const HubName& hub) {
  const std::string revision = hub.revision == "main" ? "" : " --revision " + hub.revision;
  return cat("get it with: hf download ", hub.org, "/", hub.name, revision);
}

std::string trimmed(std::string text) {
  const auto space = [](char c) { return std::isspace(static_cast<unsigned char>(c)) != 0; };
  while (!text.empty() && space(text.back())) text.pop_back();
  return text;
}

// The commit that a branch or tag points at; a revision that is neither is a commit itself.
std::string commit_of(const fs::path& repository, const std::string& revision) {
  std::error_code error;
  const fs::path reference = repository / "refs" / revision;
  if (!fs::is_regular_file(reference, error)) return revision;
  try {
    return trimmed(read_file(reference));
  } catch (const Error& unreadable) {
    fail(ErrorCode::model, unreadable.what());
  }
}

// The revisions in the cache, for an error message.
std::string stored_revisions(const fs::path& repository) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator entry(repository / "snapshots", error), end; !error && entry != end;
       entry.increment(error)) {
    names.push_back(entry->path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names.empty() ? "none" : join(names, ", ");
}

fs::path find_in_cache(const std::string& text, const HubName& hub) {
  std::error_code error;
  const fs::path repository = hub_cache_folder() / cat("models--", hub.org, "--", hub.name);
  if (!fs::is_directory(repository, error)) {
    fail(ErrorCode::model, cat(text, ": no such folder, and not in the Hugging Face cache (looked for ",
                               repository.string(), "); ", how_to_get(hub)));
  }
  const std::string commit = commit_of(repository, hub.revision);
  const fs::path snapshot = repository / "snapshots" / commit;
  if (!is_revision(commit) || !fs::is_directory(snapshot, error)) {
    fail(ErrorCode::model,
         cat(text, ": revision ", hub.revision, " is not in the Hugging Face cache (looked for ",
             (repository / "refs" / hub.revision).string(), " and ", snapshot.string(),
             "; stored revisions: ", stored_revisions(repository), "); ", how_to_get(hub)));
  }
  if (!fs::exists(snapshot / "config.json", error)) {
    fail(ErrorCode::model, cat(text, ": incomplete in the Hugging Face cache (", snapshot.string(),
                               " holds no config.json); ", how_to_get(hub)));
  }
  return snapshot;
}

}  // namespace

fs::path hub_cache_folder() {
  if (const auto path = environment("HF_HUB_CACHE")) return expand(*path);
  if (const auto path = environment("HUGGINGFACE_HUB_CACHE")) return expand(*path);
  if (const auto path = environment("HF_HOME")) return fs::path(expand(*path)) / "hub";
  if (const auto path = environment("XDG_CACHE_HOME")) return fs::path(expand(*path)) / "huggingface" / "hub";
  return fs::path(expand("~/.cache/huggingface/hub"));
}

fs::path resolve_snapshot(const std::string& name) {
  std::error_code error;
  if (name.empty()) fail(ErrorCode::model, "model: empty name, expected a snapshot folder or org/name");
  if (fs::is_directory(name, error)) return name;
  if (fs::exists(name, error)) {
    fail(ErrorCode::model,
         cat(name, ": is a file, expected the folder of a snapshot (config.json and the weights)"));
  }
  const auto hub = parse_hub_name(name);
  if (!hub) {
    fail(ErrorCode::model, cat(name, ": no such folder, and not a hub name (org/name or org/name@revision)"));
  }
  return find_in_cache(name, *hub);
}

}  // namespace glmocr
