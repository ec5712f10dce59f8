// SPDX-License-Identifier: Apache-2.0
// The rules of the protocol that need no worker.
#include "pdf/protocol.h"

#include <gmock/gmock.h>

#include <cstring>
#include <limits>

#include "pdf/worker_process.h"

namespace glmocr::pdf {
namespace {

using testing::HasSubstr;

PixelSize sized(double width, double height, double dpi = 200, int max_side = 3500) {
  PixelSize size;
  EXPECT_TRUE(pixel_size(width, height, dpi, max_side, size)) << width << " x " << height;
  return size;
}

TEST(PixelSize, FollowsTheResolution) {
  const PixelSize a4 = sized(595.28, 841.89);
  EXPECT_EQ(a4.width, 1654);
  EXPECT_EQ(a4.height, 2339);
  EXPECT_EQ(a4.dpi, 200);
  EXPECT_EQ(sized(72, 36, 150).width, 150);
  EXPECT_EQ(sized(72, 36, 150).height, 75);
}

TEST(PixelSize, TheLongerSideIsLimited) {
  const PixelSize a0 = sized(2384, 3370);
  EXPECT_EQ(a0.height, 3500);
  EXPECT_EQ(a0.width, 2476);
  EXPECT_NEAR(a0.dpi, 74.78, 0.01);
  EXPECT_EQ(sized(1e6, 1).width, 3500);
  EXPECT_EQ(sized(1e6, 1).height, 1);
  EXPECT_EQ(sized(1e300, 1e300, 200, 10).width, 10);
  EXPECT_EQ(sized(1e-9, 1e-9).width, 1);
}

TEST(PixelSize, WhatIsNoSizeIsRefused) {
  PixelSize size;
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const double infinity = std::numeric_limits<double>::infinity();
  for (const double bad : {0.0, -1.0, nan, infinity}) {
    EXPECT_FALSE(pixel_size(bad, 10, 200, 3500, size)) << bad;
    EXPECT_FALSE(pixel_size(10, bad, 200, 3500, size)) << bad;
  }
}

// A reply that check_reply accepts.
Reply rendered() {
  Reply reply;
  reply.width = 10;
  reply.height = 20;
  reply.stride = 32;
  return reply;
}

std::string refused(Reply reply, Command command = Command::render, std::int64_t got = sizeof(Reply)) {
  try {
    check_reply(reply, got, command, 20, 32 * 20);
    return "";
  } catch (const WorkerLost& lost) {
    return lost.what;
  }
}

TEST(Replies, OnesOfAWorkerAreAccepted) {
  EXPECT_EQ(refused(rendered()), "");
  EXPECT_EQ(refused({}, Command::open), "");
  Reply piece;
  piece.bytes = 640;
  EXPECT_EQ(refused(piece, Command::save), "");
  EXPECT_EQ(refused({}, Command::add_text), "");
  Reply text = rendered();
  for (text.count = -1; text.count <= 17; ++text.count) EXPECT_EQ(refused(text, Command::text), "");
  Reply failed;
  failed.status = Status::broken;
  EXPECT_EQ(refused(failed), "") << "a failure has no size";
}

TEST(Replies, WhatAWorkerWouldNotSayIsRefused) {
  EXPECT_THAT(refused(rendered(), Command::render, sizeof(Reply) - 1), HasSubstr("another version"));
  const auto with = [](auto change) {
    Reply reply = rendered();
    change(reply);
    return refused(reply);
  };
  EXPECT_THAT(with([](Reply& reply) { reply.version = 99; }), HasSubstr("another version"));
  EXPECT_THAT(with([](Reply& reply) { reply.status = static_cast<Status>(77); }),
              HasSubstr("unknown answer"));
  EXPECT_THAT(with([](Reply& reply) { reply.width = 0; }), HasSubstr("size that cannot be"));
  EXPECT_THAT(with([](Reply& reply) { reply.width = -10; }), HasSubstr("size that cannot be"));
  EXPECT_THAT(with([](Reply& reply) { reply.height = 21; }), HasSubstr("size that cannot be"));
  EXPECT_THAT(with([](Reply& reply) { reply.stride = 29; }), HasSubstr("size that cannot be"));
  EXPECT_THAT(with([](Reply& reply) { reply.stride = 33; }), HasSubstr("size that cannot be"));
  EXPECT_THAT(with([](Reply& reply) { reply.stride = INT32_MAX; }), HasSubstr("size that cannot be"));
  Reply text = rendered();
  for (const std::int32_t count : {-2, 18, INT32_MAX}) {  // of the 17 for which there is room
    text.count = count;
    EXPECT_THAT(refused(text, Command::text), HasSubstr("number of characters")) << count;
  }
  Reply piece;
  piece.bytes = 641;  // of the 640 for which there is room
  EXPECT_THAT(refused(piece, Command::save), HasSubstr("piece of a file"));
  piece.bytes = -1;
  EXPECT_THAT(refused(piece, Command::more), HasSubstr("piece of a file"));
  piece.bytes = 0;
  piece.more = 1;
  EXPECT_THAT(refused(piece, Command::more), HasSubstr("piece of a file")) << "it would never end";
  Reply open;
  open.page_count = std::int64_t{1} << 40;
  EXPECT_THAT(refused(open, Command::open), HasSubstr("number of pages"));
}

TEST(Replies, TextsAreEndedAndPrintable) {
  Reply reply;
  reply.status = Status::broken;
  std::memset(reply.message, 'x', sizeof reply.message);
  reply.message[1] = '\x1b';
  reply.message[2] = '\n';
  check_reply(reply, sizeof reply, Command::render, 20, 1000);
  EXPECT_EQ(std::string(reply.message), "x??" + std::string(sizeof reply.message - 4, 'x'));
}

}  // namespace
}  // namespace glmocr::pdf
