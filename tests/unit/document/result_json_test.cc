// SPDX-License-Identifier: Apache-2.0
#include "document/result_json.h"

#include <gtest/gtest.h>

namespace glmocr {
namespace {

Page page_that_was_read() {
  Page page;
  page.file = "scans/page.png";
  page.load_ms = 12.34567;
  page.decode_image_ms = 2;
  page.result.text = "Two lines,\n\"é\"";
  page.result.finish_reason = FinishReason::length;
  page.result.prompt_tokens = 40;
  page.result.image_tokens = 33;
  page.result.completion_tokens = 2;
  page.result.mean_logprob = -0.125;
  page.result.device = "cuda:1";
  page.result.timings = {.queue_ms = 1, .vision_ms = 3.0004, .prefill_ms = 4.5, .decode_ms = 5};
  return page;
}

TEST(ResultJson, OneLine) {
  EXPECT_EQ(
      result_json(page_that_was_read(), false),
      R"({"file":"scans/page.png","text":"Two lines,\n\"é\"","finish_reason":"length",)"
      R"("complete":false,"prompt_tokens":40,"image_tokens":33,"completion_tokens":2,"mean_logprob":-0.125,)"
      R"("timings":{"load":12.346,"decode_image":2.0,"vision":3.0,"prefill":4.5,"decode":5.0},"device":"cuda:1"})");
}

TEST(ResultJson, Indented) {
  EXPECT_EQ(result_json(page_that_was_read(), true), R"({
  "file": "scans/page.png",
  "text": "Two lines,\n\"é\"",
  "finish_reason": "length",
  "complete": false,
  "prompt_tokens": 40,
  "image_tokens": 33,
  "completion_tokens": 2,
  "mean_logprob": -0.125,
  "timings": {
    "load": 12.346,
    "decode_image": 2.0,
    "vision": 3.0,
    "prefill": 4.5,
    "decode": 5.0
  },
  "device": "cuda:1"
})");
}

TEST(ResultJson, LogprobsWithAndWithoutAlternatives) {
  Page page = page_that_was_read();
  page.events = {{.token = 7, .text = "Two", .logprob = -0.25f, .top = {{7, -0.25f}, {9, -2.5f}}},
                 {.token = 8, .text = "", .logprob = 0}};
  const std::string json = result_json(page, false);
  EXPECT_EQ(json.substr(json.find(R"(,"logprobs")")),
            R"(,"logprobs":[{"token":7,"text":"Two","logprob":-0.25,"top":[[7,-0.25],[9,-2.5]]},)"
            R"({"token":8,"text":"","logprob":0.0}]})");
}

TEST(ResultJson, AFailedPageIsItsError) {
  Page page;
  page.file = "a.png";
  page.error = Error(ErrorCode::input, "a.png: not a picture");
  EXPECT_EQ(result_json(page, false),
            R"({"file":"a.png","error":{"code":"input","message":"not a picture"}})");
  page.file = "-";
  page.error = Error(ErrorCode::busy, "standard input: too much is waiting");
  EXPECT_EQ(result_json(page, false),
            R"({"file":"-","error":{"code":"busy","message":"too much is waiting"}})");
}

TEST(ResultJson, PagesOfDocumentsHaveTheirNumber) {
  Page page = page_that_was_read();
  page.number = 3;
  EXPECT_EQ(result_json(page, false).substr(0, 44), R"({"file":"scans/page.png","page":3,"text":"Tw)");
  page.error = Error(ErrorCode::input, "scans/page.png: page 3: is lost");
  EXPECT_EQ(result_json(page, false),
            R"({"file":"scans/page.png","page":3,"error":{"code":"input","message":"is lost"}})");
}

TEST(ResultJson, BytesThatAreNotUtf8AreReplaced) {
  Page page;
  page.file = "caf\xe9.png";
  page.error = Error(ErrorCode::internal, "x");
  EXPECT_EQ(result_json(page, false),
            "{\"file\":\"caf\xef\xbf\xbd.png\",\"error\":{\"code\":\"internal\",\"message\":\"x\"}}");
}

}  // namespace
}  // namespace glmocr
