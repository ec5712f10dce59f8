// SPDX-License-Identifier: Apache-2.0
#include "store/hub_cache.h"

#include <gmock/gmock.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "glmocr/error.h"

namespace glmocr {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;

constexpr const char* kVariables[] = {"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME",
                                      "HOME"};

// Every test has its own folder and none of the variables that a developer may have set.
class HubCache : public testing::Test {
 protected:
  HubCache() {
    std::string pattern = (fs::temp_directory_path() / "glmocr-hub-XXXXXX").string();
    folder_ = ::mkdtemp(pattern.data());
    for (const char* name : kVariables) {
      const char* value = std::getenv(name);
      saved_.emplace_back(name, value ? std::optional<std::string>(value) : std::nullopt);
      ::unsetenv(name);
    }
    set("HOME", folder_ / "home");
  }

  ~HubCache() override {
    for (const auto& [name, value] : saved_) {
      if (value) {
        ::setenv(name.c_str(), value->c_str(), 1);
      } else {
        ::unsetenv(name.c_str());
      }
    }
    fs::remove_all(folder_);
  }

  static void set(const char* name, const fs::path& value) { ::setenv(name, value.c_str(), 1); }

  static void write(const fs::path& path, const std::string& text) {
    fs::create_directories(path.parent_path());
    std::ofstream(path) << text;
  }

  // A model in a cache: commit `commit`, to which refs/main points.
  static fs::path add_model(const fs::path& cache, const std::string& folder, const std::string& commit) {
    write(cache / folder / "refs" / "main", commit);
    write(cache / folder / "snapshots" / commit / "config.json", "{}");
    return cache / folder / "snapshots" / commit;
  }

  static std::string error_of(const std::string& name) {
    try {
      resolve_snapshot(name);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::model);
      return error.what();
    }
    ADD_FAILURE() << name << " was found";
    return "";
  }

  fs::path folder_;
  std::vector<std::pair<std::string, std::optional<std::string>>> saved_;
};

TEST_F(HubCache, FolderFollowsTheVariablesInOrder) {
  EXPECT_EQ(hub_cache_folder(), folder_ / "home/.cache/huggingface/hub");
  set("XDG_CACHE_HOME", "/xdg");
  EXPECT_EQ(hub_cache_folder(), "/xdg/huggingface/hub");
  set("HF_HOME", "/hf");
  EXPECT_EQ(hub_cache_folder(), "/hf/hub");
  set("HUGGINGFACE_HUB_CACHE", "/old");
  EXPECT_EQ(hub_cache_folder(), "/old");
  set("HF_HUB_CACHE", "/new");
  EXPECT_EQ(hub_cache_folder(), "/new");
}

TEST_F(HubCache, EmptyVariableCountsAsUnset) {
  set("HF_HUB_CACHE", "");
  set("HF_HOME", "/hf");
  EXPECT_EQ(hub_cache_folder(), "/hf/hub");
}

TEST_F(HubCache, HomeAndVariablesAreExpanded) {
  set("HF_HOME", "~/models");
  EXPECT_EQ(hub_cache_folder(), folder_ / "home/models/hub");
  set("GLMOCR_TEST_DISK", "/disk");
  set("HF_HOME", "$GLMOCR_TEST_DISK/a/${GLMOCR_TEST_DISK}b");
  EXPECT_EQ(hub_cache_folder(), "/disk/a//diskb/hub");
  set("HF_HOME", "/x/$GLMOCR_TEST_UNSET/${GLMOCR_TEST_DISK/$");
  EXPECT_EQ(hub_cache_folder(), "/x/$GLMOCR_TEST_UNSET/${GLMOCR_TEST_DISK/$/hub");
  ::unsetenv("GLMOCR_TEST_DISK");
}

TEST_F(HubCache, AFolderIsTakenAsItIs) {
  fs::create_directories(folder_ / "snapshot");
  EXPECT_EQ(resolve_snapshot((folder_ / "snapshot").string()), folder_ / "snapshot");
}

TEST_F(HubCache, AHubNameIsFoundThroughMain) {
  set("HF_HUB_CACHE", folder_ / "hub");
  const fs::path snapshot = add_model(folder_ / "hub", "models--zai-org--GLM-OCR", "abc123");
  EXPECT_EQ(resolve_snapshot("zai-org/GLM-OCR"), snapshot);
}

TEST_F(HubCache, ReferenceMayEndInANewline) {
  set("HF_HUB_CACHE", folder_ / "hub");
  const fs::path snapshot = add_model(folder_ / "hub", "models--a--b", "abc123");
  write(folder_ / "hub/models--a--b/refs/main", "abc123\n");
  EXPECT_EQ(resolve_snapshot("a/b"), snapshot);
}

TEST_F(HubCache, RevisionIsABranchATagOrACommit) {
  set("HF_HUB_CACHE", folder_ / "hub");
  const fs::path repository = folder_ / "hub/models--a--b";
  add_model(folder_ / "hub", "models--a--b", "111");
  write(repository / "snapshots/222/config.json", "{}");
  write(repository / "refs/v1.0", "222");
  write(repository / "refs/refs/pr/7", "222");
  EXPECT_EQ(resolve_snapshot("a/b"), repository / "snapshots/111");
  EXPECT_EQ(resolve_snapshot("a/b@v1.0"), repository / "snapshots/222");
  EXPECT_EQ(resolve_snapshot("a/b@refs/pr/7"), repository / "snapshots/222");
  EXPECT_EQ(resolve_snapshot("a/b@222"), repository / "snapshots/222");
}

TEST_F(HubCache, OnlyTheFirstCacheThatIsSetIsUsed) {
  add_model(folder_ / "home/.cache/huggingface/hub", "models--a--b", "111");
  set("HF_HUB_CACHE", folder_ / "elsewhere");
  EXPECT_THAT(error_of("a/b"), HasSubstr((folder_ / "elsewhere/models--a--b").string()));
}

TEST_F(HubCache, AMissingModelSaysWhereAndHow) {
  EXPECT_THAT(error_of("zai-org/GLM-OCR"),
              AllOf(HasSubstr((folder_ / "home/.cache/huggingface/hub/models--zai-org--GLM-OCR").string()),
                    HasSubstr("hf download zai-org/GLM-OCR")));
}

TEST_F(HubCache, AMissingRevisionNamesThoseThatAreThere) {
  set("HF_HUB_CACHE", folder_ / "hub");
  add_model(folder_ / "hub", "models--a--b", "111");
  EXPECT_THAT(error_of("a/b@v2"), AllOf(HasSubstr("revision v2"), HasSubstr("stored revisions: 111"),
                                        HasSubstr("hf download a/b --revision v2")));
  fs::remove_all(folder_ / "hub/models--a--b/snapshots");
  EXPECT_THAT(error_of("a/b"), HasSubstr("stored revisions: none"));
}

TEST_F(HubCache, AnInterruptedDownloadIsNamed) {
  set("HF_HUB_CACHE", folder_ / "hub");
  const fs::path snapshot = add_model(folder_ / "hub", "models--a--b", "111");
  fs::remove(snapshot / "config.json");
  fs::create_symlink("../../blobs/missing", snapshot / "config.json");
  EXPECT_THAT(error_of("a/b"), AllOf(HasSubstr("incomplete"), HasSubstr("hf download a/b")));
}

TEST_F(HubCache, NamesThatLeadOutOfTheCacheAreRefused) {
  set("HF_HUB_CACHE", folder_ / "hub");
  add_model(folder_ / "hub", "models--a--b", "111");
  for (const char* name :
       {"a/..", "../b", "a/b/c", "/a", "a/", "nothing", "a/b@", "a/b@../../../x", "a b/c"}) {
    EXPECT_THAT(error_of(name), HasSubstr("not a hub name")) << name;
  }
  write(folder_ / "hub/models--a--b/refs/main", "../../../etc");
  EXPECT_THAT(error_of("a/b"), HasSubstr("is not in the Hugging Face cache"));
}

TEST_F(HubCache, AFileIsNoSnapshot) {
  write(folder_ / "model.safetensors", "x");
  EXPECT_THAT(error_of((folder_ / "model.safetensors").string()), HasSubstr("is a file"));
  EXPECT_THAT(error_of(""), HasSubstr("empty name"));
}

}  // namespace
}  // namespace glmocr
