// SPDX-License-Identifier: Apache-2.0
// A mapped file that is truncated while no InterruptWatcher exists, as while a model is loaded.
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include "base/mapped_file.h"
#include "cli/signals.h"
#include "support/temporary_folder.h"

namespace glmocr::cli {
namespace {

TEST(LostFileDeathTest, IsNamed) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  const TemporaryFolder folder;
  const std::string path = folder.write("weights of a model", std::string(1 << 20, 'x')).string();
  const auto lose = [&] {
    handle_lost_files();
    const MappedFile file(path);
    if (::truncate(path.c_str(), 4096) != 0) std::_Exit(1);
    volatile std::byte last = file.bytes().back();
    std::_Exit(static_cast<int>(last));
  };
  EXPECT_EXIT(lose(), testing::ExitedWithCode(4),
              "glm-ocr: .*/weights of a model: can no longer be read: it was truncated, or its disk failed, "
              "while the "
              "program ran\n");
}

}  // namespace
}  // namespace glmocr::cli
