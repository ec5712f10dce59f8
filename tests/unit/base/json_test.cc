// SPDX-License-Identifier: Apache-2.0
#include "base/json.h"

#include <gtest/gtest.h>

#include "support/expect_error.h"

namespace glmocr {
namespace {

const Json kDocument =
    parse_json(R"({"sizes": {"width": 14, "heads": [2, 3.5, -1]}, "name": "x", "none": null})", "f");

TEST(JsonCursor, ReadsTypedValues) {
  const JsonCursor root(kDocument, "dir/f.json");
  EXPECT_EQ(root["sizes"]["width"].integer(1), 14);
  EXPECT_EQ(root["sizes"]["heads"].numbers<3>(), (std::array{2.0, 3.5, -1.0}));
  EXPECT_EQ(root["name"].string(), "x");
  EXPECT_EQ(root["absent"].integer_or(7, 1), 7);
  EXPECT_TRUE(root["none"].boolean_or(true)) << "null counts as absent";
  EXPECT_FALSE(root["absent"]);
}

TEST(JsonCursor, ErrorsNameFilePathFoundAndExpected) {
  const JsonCursor root(kDocument, "dir/f.json");
  const auto expect = [](const std::string& message, const auto& read) {
    expect_error(ErrorCode::model, {message}, read);
  };
  expect("dir/f.json: sizes.width is 14, expected an integer from 0 to 13",
         [&] { root["sizes"]["width"].integer(0, 13); });
  expect("dir/f.json: sizes.heads[1] is 3.5, expected an integer from 0 up",
         [&] { root["sizes"]["heads"].elements()[1].integer(0); });
  expect("dir/f.json: sizes.heads[2] is -1, expected a number above 0",
         [&] { root["sizes"]["heads"].elements()[2].positive_number(); });
  expect("dir/f.json: sizes.depth is missing, expected true or false",
         [&] { root["sizes"]["depth"].boolean(); });
  expect("dir/f.json: name is \"x\", expected an object", [&] { root["name"]["deeper"]; });
  expect("dir/f.json: the document is {", [&] { root.elements(); });
  expect("dir/f.json: name is \"x\", which is not supported: only \"y\" is",
         [&] { root["name"].expect("y"); });
}

TEST(ParseJson, NestsUpToTheLimit) {
  const auto nested = [](int levels) { return std::string(levels, '[') + std::string(levels, ']'); };
  EXPECT_NO_THROW(parse_json(nested(kMaxJsonDepth), "f"));
  expect_error(ErrorCode::input, {"f: nested deeper than 64 levels"},
               [&] { parse_json(nested(200'000), "f", ErrorCode::input); });
}

}  // namespace
}  // namespace glmocr
