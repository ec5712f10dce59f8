// SPDX-License-Identifier: Apache-2.0
// workspace_bytes is what a memory budget is planned with: never less than what a pass takes, and not much
// more.
#include <gtest/gtest.h>

#include <list>
#include <numeric>
#include <vector>

#include "kernels/kernels.h"
#include "models/arena_size.h"
#include "models/glm_ocr/glm_ocr.h"
#include "support/encode_pictures.h"

namespace glmocr {
namespace {

struct Target {
  const char* device;
  DType compute;
};

class Workspace : public testing::TestWithParam<Target> {
 protected:
  // A fresh device for every size, because its peak counts from the beginning.
  void open() {
    model_.reset();
    device_ = open_device(GetParam().device);
    model_ = GlmOcr::load(std::filesystem::path(GLMOCR_TEST_DATA) / "awkward", *device_, GetParam().compute);
  }
  // kOperationScratch is room for the operations of any device; the reference takes none of it.
  void expect_near_peak(std::int64_t bytes) {
    EXPECT_LE(device_->arena_peak_bytes(), bytes);
    EXPECT_GE(device_->arena_peak_bytes(), (bytes - kOperationScratch) * 7 / 10);
  }
  Tensor table(std::vector<std::int32_t> values, const Shape& shape) {
    buffers_.push_back(device_->allocate(std::ssize(values) * 4));
    const Tensor tensor = buffers_.back().view(shape, DType::i32);
    device_->upload(values.data(), tensor);
    return tensor;
  }

  std::unique_ptr<Device> device_;
  std::list<Buffer> buffers_;
  std::unique_ptr<GlmOcr> model_;
};

TEST_P(Workspace, OfVision) {
  const std::vector<std::vector<GridTHW>> batches{
      {{1, 2, 2}}, {{1, 8, 12}}, {{1, 2, 2}, {1, 16, 10}}, {{1, 32, 40}}};
  for (const std::vector<GridTHW>& grids : batches) {
    open();
    std::vector<PreprocessedImage> images;
    std::vector<const PreprocessedImage*> pointers;
    std::int64_t patches = 0;
    for (const GridTHW& grid : grids) {
      const int height = 14 * grid.h, width = 14 * grid.w;
      images.push_back(
          {{width, height, std::vector<std::uint8_t>(std::int64_t{3} * height * width, 100)}, grid});
      patches += grid.patches();
    }
    for (const PreprocessedImage& image : images) pointers.push_back(&image);
    VisionPass pass;
    device_->run_step([&] { test::encode_pictures(*model_, pointers, pass); });
    SCOPED_TRACE(patches);
    expect_near_peak(model_->vision().workspace_bytes(patches));
  }
}

TEST_P(Workspace, OfTheDecoder) {
  constexpr int kPage = 32;
  for (const auto& [rows, logit_rows] : {std::pair{1, 1}, {5, 5}, {16, 16}, {100, 1}, {500, 3}}) {
    open();
    const Decoder& decoder = model_->decoder();
    const std::int64_t pages = divide_up(rows, kPage);
    const auto cache = device_->make_kv_store(decoder.kv_spec(pages, kPage));
    std::vector<std::int32_t> numbers(rows);
    std::iota(numbers.begin(), numbers.end(), 0);
    const Tensor count = table(numbers, {rows}), logit_indices = count.slice(0, 0, logit_rows);
    // The fixed tables of an engine are wider than a step.
    const Tensor positions = table(std::vector<std::int32_t>(3 * (rows + 5), 1), {3, rows + 5});
    DecoderInput input{.positions = positions.slice(1, 0, rows), .slots = count, .cache = cache.get()};
    input.batch = {.row_starts = table({0, rows}, {2}),
                   .context_lens = table({rows}, {1}),
                   .page_table = count.slice(0, 0, pages).reshape({1, pages}),
                   .max_rows = rows,
                   .max_context = rows,
                   .rows = rows <= kFewRows ? RowClass::few : RowClass::many};
    device_->run_step([&] {
      input.hidden = decoder.embed(count);
      decoder.logits(device_->ops().gather_rows(decoder.forward(input), logit_indices));
    });
    SCOPED_TRACE(rows);
    expect_near_peak(decoder.workspace_bytes(rows, logit_rows));
  }
}

INSTANTIATE_TEST_SUITE_P(Devices, Workspace,
                         testing::Values(Target{"ref", DType::f32}, Target{"ref", DType::bf16},
                                         Target{"cpu", DType::f32}, Target{"cpu", DType::bf16}),
                         [](const auto& info) {
                           return std::string(info.param.device) + "_" +
                                  (info.param.compute == DType::f32 ? "fp32" : "bf16");
                         });

}  // namespace
}  // namespace glmocr
