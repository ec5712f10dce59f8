// SPDX-License-Identifier: Apache-2.0
// A picture of the format GLMOCR_FUZZ_FORMAT, of which there is one fuzzer each: its pixels, or Error{input}. PNG files get
// right checksums again, because nearly every change would end at the check of its chunk. The memory that decoding takes
// is compared with what is told before.
#include <malloc.h>
#include <sanitizer/allocator_interface.h>

#include <atomic>
#include <cstring>

#include "fuzz/fuzz.h"
#include "image/decode.h"

namespace glmocr::fuzz {
namespace {

constexpr std::string_view kFormat = GLMOCR_FUZZ_FORMAT;
// Small enough for a thousand pictures per second.
constexpr std::int64_t kMaxPixels = 1 << 16;

// Bytes that are allocated, and the most of them since the mark was set.
std::atomic<std::int64_t> allocated = 0, peak = 0;

void on_malloc(const volatile void*, std::size_t size) {
  const std::int64_t now = allocated += static_cast<std::int64_t>(size);
  if (now > peak) peak = now;
}
void on_free(const volatile void* block) {
  allocated -= static_cast<std::int64_t>(__sanitizer_get_allocated_size(const_cast<const void*>(block)));
}

// What may be taken beyond what is told: messages, the tables of codes of a lossless WebP, dictionaries of the codecs of
// TIFF, which are resident as far as they are used, and turning a PNG whose orientation follows its pixels.
constexpr std::int64_t kSlack =
    kFormat == "WebP" || kFormat == "TIFF" ? 64 << 20 : (64 << 10) + (kFormat == "PNG" ? 3 * kMaxPixels : 0);
// What reading a header may take, beside its parts that the file holds.
constexpr std::int64_t kHeader = 2 << 20;

std::uint32_t crc32(const std::uint8_t* data, std::size_t size) {
  std::uint32_t sum = ~0u;
  for (std::size_t i = 0; i < size; ++i) {
    sum ^= data[i];
    for (int bit = 0; bit < 8; ++bit) sum = sum >> 1 ^ (sum & 1 ? 0xedb88320u : 0);
  }
  return ~sum;
}

std::uint32_t big_endian(const std::uint8_t* at) {
  return std::uint32_t{at[0]} << 24 | std::uint32_t{at[1]} << 16 | std::uint32_t{at[2]} << 8 | at[3];
}

void repair_checksums(std::uint8_t* data, std::size_t size) {
  for (std::size_t at = 8; at + 12 <= size;) {
    const std::size_t length = big_endian(data + at);
    if (length > size - at - 12) return;
    const std::uint32_t sum = crc32(data + at + 4, length + 4);
    for (int i = 0; i < 4; ++i) data[at + 8 + length + i] = static_cast<std::uint8_t>(sum >> (24 - 8 * i));
    at += length + 12;
  }
}

}  // namespace
}  // namespace glmocr::fuzz

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  __sanitizer_install_malloc_and_free_hooks(glmocr::fuzz::on_malloc, glmocr::fuzz::on_free);
  return 0;
}

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t max_size,
                                               unsigned seed) {
  size = LLVMFuzzerMutate(data, size, max_size);
  if (glmocr::fuzz::kFormat == "PNG" && seed % 16 != 0) glmocr::fuzz::repair_checksums(data, size);
  return size;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace glmocr;
  using fuzz::expect;
  const std::span<const std::byte> bytes(reinterpret_cast<const std::byte*>(data), size);
  const char* format = sniff_format(bytes);
  if (format == nullptr || format != fuzz::kFormat) return -1;  // not for the corpus
  ImageOptions options;
  options.max_pixels = fuzz::kMaxPixels;
  if (size % 2 != 0) options.background = {1, 2, 3};
  std::int64_t told = -1;
  const std::int64_t before = fuzz::allocated;
  fuzz::peak = before;
  fuzz::attempt({ErrorCode::input, ErrorCode::memory}, "some.picture", [&] {
    const DecodedImage decoded = decode_image(bytes, "some.picture", options, [&](std::int64_t needed) {
      expect(told < 0, "the memory is told twice");
      told = needed;
    });
    const Image& image = decoded.image;
    expect(image.width > 0 && image.height > 0, "a size that is not positive");
    const std::int64_t pixels = std::int64_t{image.width} * image.height;
    expect(pixels <= fuzz::kMaxPixels, "more pixels than allowed");
    expect(told >= 3 * pixels, "less memory is told than the pixels take");
    expect(std::ssize(image.rgb) == 3 * pixels, "pixels are missing");
    expect(decoded.format == fuzz::kFormat, "another format");
  });
  const std::int64_t taken = fuzz::peak - before + static_cast<std::int64_t>(size);
  const std::int64_t header = fuzz::kHeader + 4 * static_cast<std::int64_t>(size);
  const std::int64_t allowed = told < 0 ? header : told + fuzz::kSlack;
  if (taken > allowed) std::fprintf(stderr, "taken %ld, told %ld\n", long{taken}, long{told});
  expect(taken <= allowed, "more memory is taken than was told");
  return 0;
}
