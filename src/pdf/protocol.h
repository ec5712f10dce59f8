// SPDX-License-Identifier: Apache-2.0
// What PdfFile and its worker, the program glm-ocr-pdf, tell each other. Both come from one build and run on one
// machine: the messages are plain structs.
//
// The worker is started with these descriptors and no others (0, 1 and 2 are /dev/null):
//   3  one end of a SOCK_SEQPACKET socket pair: one Request in, one Reply out, one at a time, until it is closed
//   4  the PDF file, for reading
//   5  shared memory of a fixed size, into which pages are rendered: rows of RGB, 8 bits each, from the top
// and with the arguments: auto | pdfium | poppler.
//
//   open      needs the password, which may be empty      → page_count
//   measure   page, dpi, max_side                         → width, height: the size that render will give
//   render    page, dpi, max_side                         → width, height, stride; the pixels are in the shared memory
//   text      page, dpi, max_side                         → width, height, count, complete; as many Characters are in the
//                                                           shared memory; count is -1 where the renderer cannot tell
//   add_text  page, width, height, matrix, bytes: the      → the page has that over it, in the worker's memory
//             shared memory holds a PDF file of so many
//             bytes, whose only page is put over the page
//   save      the document with what was added             → bytes of a PDF file, the next of which are in the shared
//                                                           memory; more: not the last ones
//   more      after a reply with more                      → as save
// Before open, and after it failed, the other commands fail. What is not `ok` has a message. A worker that cannot go on
// ends without a reply; it ends itself where a request takes longer than its time limit.
#pragma once
#include <cstdint>
#include <type_traits>

namespace glmocr::pdf {

inline constexpr int kSocketFd = 3;
inline constexpr int kDocumentFd = 4;
inline constexpr int kPixelsFd = 5;

inline constexpr std::uint32_t kProtocolVersion = 2;
inline constexpr int kMaxPassword = 1023;  // bytes

enum class Command : std::uint32_t { open = 1, measure, render, text, add_text, save, more };

struct Request {
  std::uint32_t version = kProtocolVersion;
  Command command = Command::open;
  std::int64_t page = 0;  // from 0
  double dpi = 0;
  std::int32_t max_side = 0;  // pixels of the longer side at most
  // add_text: from the coordinates of the file in the shared memory to the pixels of a picture of the page that is `width`
  // x `height` large, from its upper left corner. x' = m[0] x + m[2] y + m[4], y' = m[1] x + m[3] y + m[5].
  std::int32_t width = 0, height = 0;
  double matrix[6] = {};
  std::int64_t bytes = 0;
  std::int32_t time_limit_s = 0;         // positive: the worker ends itself after so many seconds
  char password[kMaxPassword + 1] = {};  // UTF-8, ended by NUL
};

enum class Status : std::uint32_t {
  ok,
  broken,       // not a PDF file, or one that cannot be read
  password,     // encrypted, and the password is not the right one
  no_page,      // the page does not exist or cannot be loaded
  bad_page,     // the page exists and cannot be rendered
  no_renderer,  // neither PDFium nor poppler can be used, or no jail can be built for them
};

struct Reply {
  std::uint32_t version = kProtocolVersion;
  Status status = Status::ok;
  std::int64_t page_count = 0;
  std::int32_t width = 0, height = 0;  // pixels
  std::int32_t stride = 0;             // bytes from row to row
  std::int32_t count = 0;              // of characters
  std::int32_t complete = 1;           // 0: the page has more characters
  std::int32_t more = 0;               // 1: of save, there are more bytes
  std::int64_t bytes = 0;              // of save
  char renderer[20] = {};              // "PDFium" or "poppler"
  char message[240] = {};              // ended by NUL
};

inline constexpr std::int32_t kMaxCharacters = 1'000'000;  // of one page

// A character of a page's text, in pixels of the page from its upper left corner. No number of it is checked.
struct Character {
  // Bits of `flags`.
  static constexpr std::uint32_t kInvisible = 1;  // neither filled nor outlined
  static constexpr std::uint32_t kGenerated = 2;  // not in the file: a space or an end of line
  static constexpr std::uint32_t kUnmapped = 4;   // the font does not tell its code point
  std::uint32_t code_point = 0;
  std::uint16_t flags = 0;
  std::uint16_t direction = 0;  // in which the text runs: 0 to the right, 1 down, 2 to the left, 3 up
  float x0 = 0, y0 = 0, x1 = 0, y1 = 0;  // close around what is drawn
  float origin_x = 0, origin_y = 0;      // on the base line
  float size = 0;                        // of the font
};

static_assert(std::is_trivially_copyable_v<Character>);
static_assert(std::is_trivially_copyable_v<Request> && std::is_trivially_copyable_v<Reply>);

// The size in pixels of a page of this size in points (1/72 inch) at `dpi`, made smaller so that the longer side
// has at most `max_side`: the same rule as the official SDK's. False where the page has no positive, finite size.
struct PixelSize {
  std::int32_t width = 0, height = 0;
  double dpi = 0;  // after the limit
};
bool pixel_size(double width_pt, double height_pt, double dpi, int max_side, PixelSize& size);

}  // namespace glmocr::pdf
