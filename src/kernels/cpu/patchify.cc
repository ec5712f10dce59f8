// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>

#include "kernels/cpu/cpu_ops.h"
#include "kernels/cpu/values.h"

namespace glmocr::cpu {
namespace {

template <class T>
using Table = std::array<std::array<T, 256>, 3>;  // [channel, byte]

template <class T>
Table<T> make_table(const Tensor& normalized) {
  Table<T> table;
  const float* value = normalized.as<float>();
  for (auto& channel : table) {
    for (T& entry : channel) entry = from_float<T>(*value++);
  }
  return table;
}

// One patch whose first byte is *pixel, in a picture of rows of row_bytes.
template <class T>
void write_patch(const std::uint8_t* pixel, std::int64_t row_bytes, std::int64_t size, std::int64_t frames,
                 const Table<T>& table, T* out) {
  for (const auto& channel : table) {
    const T* frame = out;
    for (std::int64_t y = 0; y < size; ++y) {
      const std::uint8_t* row = pixel + y * row_bytes;
      for (std::int64_t x = 0; x < size; ++x) *out++ = channel[row[3 * x]];
    }
    for (std::int64_t repeat = 1; repeat < frames; ++repeat) out = std::copy_n(frame, size * size, out);
    ++pixel;
  }
}

// The blocks [begin, end) of those asked for.
template <class T>
void write_blocks(const Tensor& picture, const PatchOptions& options, const Table<T>& table, const Tensor& y,
                  std::int64_t begin, std::int64_t end) {
  const std::int64_t size = options.patch_size, merge = options.merge_size, row_bytes = picture.size(1) * 3;
  const std::int64_t blocks = picture.size(1) / (size * merge), stride = y.row_stride();
  const std::int64_t first = options.first / (merge * merge);
  T* out = y.as<T>() + begin * merge * merge * stride;
  for (std::int64_t block = first + begin; block < first + end; ++block) {
    for (std::int64_t within = 0; within < merge * merge; ++within, out += stride) {
      const std::int64_t top = (block / blocks * merge + within / merge) * size;
      const std::int64_t left = (block % blocks * merge + within % merge) * size;
      const std::uint8_t* pixel = picture.as<std::uint8_t>() + top * row_bytes + left * 3;
      write_patch(pixel, row_bytes, size, options.frames, table, out);
    }
  }
}

}  // namespace

Tensor CpuOps::patchify(const Tensor& picture, const Tensor& normalized, const PatchOptions& options,
                        DType compute) {
  const std::int64_t height = picture.size(0), width = picture.size(1), size = options.patch_size;
  const std::int64_t unit = size * options.merge_size, values = 3 * options.frames * size * size;
  GLMOCR_CHECK(is_compute_type(compute) && picture.size(2) == 3 && height % unit == 0 && width % unit == 0);
  GLMOCR_CHECK(picture.is_contiguous() && normalized.is_contiguous() && normalized.numel() == 3 * 256);
  const std::int64_t in_block = std::int64_t{options.merge_size} * options.merge_size;
  const std::int64_t all = height / size * (width / size);
  const std::int64_t count = options.count > 0 ? options.count : all - options.first;
  GLMOCR_CHECK(options.first >= 0 && options.first + count <= all);
  GLMOCR_CHECK(options.first % in_block == 0 && count % in_block == 0);
  const Tensor y = output(options.out, {count, values}, compute);
  const auto write = [&](const auto& table) {
    parallel(
        count / in_block, unit * unit * 3 * (1 + options.frames * size_of(compute)),
        [&](std::int64_t begin, std::int64_t end) { write_blocks(picture, options, table, y, begin, end); });
  };
  if (compute == DType::f32) {
    write(make_table<float>(normalized));
  } else {
    write(make_table<bf16>(normalized));
  }
  return y;
}

}  // namespace glmocr::cpu
