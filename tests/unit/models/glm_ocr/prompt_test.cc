// SPDX-License-Identifier: Apache-2.0
#include "models/glm_ocr/prompt.h"

#include <gtest/gtest.h>

#include "support/expect_error.h"

namespace glmocr {
namespace {

TEST(TaskPrompt, IsThePublishedText) {
  EXPECT_EQ(task_prompt(Task::text, ""), "Text Recognition:");
  EXPECT_EQ(task_prompt(Task::table, ""), "Table Recognition:");
  EXPECT_EQ(task_prompt(Task::formula, ""), "Formula Recognition:");
  EXPECT_EQ(task_prompt(Task::extract, R"({"name": ""})"), "请按下列JSON格式输出图中信息:\n{\"name\": \"\"}");
}

TEST(TaskPrompt, RefusesASchemaThatIsNoJson) {
  const auto refused = [](const std::string& schema, const std::vector<std::string>& parts) {
    expect_error(ErrorCode::input, parts, [&] { task_prompt(Task::extract, schema); });
  };
  refused("", {"needs a schema"});
  refused("{\"a\": ", {"schema", "not valid JSON"});
  refused(R"({"a": "", "a": ""})", {"schema", "\"a\"", "twice"});
  refused(std::string(200'000, '['), {"schema", "nested deeper than 64 levels"});
}

}  // namespace
}  // namespace glmocr
