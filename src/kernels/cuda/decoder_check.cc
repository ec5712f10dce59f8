// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda/decoder_check.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <vector>

#include "base/numbers.h"
#include "tensor/ops.h"

namespace glmocr::cuda {
namespace {

// A small decoder whose matrices are parts of the same numbers. Of its layers the third uses a place of the first again
// (decoder_layers.cuh).
class Trial {
 public:
  explicit Trial(Device& device) : device_(device) {
    numbers_ = random({kInner + kApart * 7, kHidden}, 0.06f);
    const std::vector<float> ones(kHidden, 0.9f);
    norm_ = device.upload_array(ones.data(), {kHidden});
    const std::int64_t sizes[7][2] = {{2 * kDim, kHidden}, {kDim, kHidden},   {kDim, kHidden},
                                      {kHidden, 2 * kDim}, {kInner, kHidden}, {kInner, kHidden},
                                      {kHidden, kInner}};
    for (int i = 0; i < 7; ++i) {
      const auto [out, in] = sizes[i];
      Tensor matrix = numbers_.slice(0, i * kApart, i * kApart + out * in / kHidden).reshape({out, in});
      weights_[i].data = matrix;
      weights_[i].out_features = out;
      weights_[i].in_features = in;
    }
    const DecoderBlock block{.q = &weights_[0],
                             .k = &weights_[1],
                             .v = &weights_[2],
                             .o = &weights_[3],
                             .gate = &weights_[4],
                             .up = &weights_[5],
                             .down = &weights_[6],
                             .attention_norm = norm_,
                             .mlp_input_norm = norm_,
                             .mlp_norm = norm_,
                             .next_norm = norm_};
    blocks_.assign(kLayers, block);
  }

  // A row whose sequence has `context` tokens.
  bool works(std::int32_t context) {
    const ArenaScope scope(device_);
    const int pages = divide_up(context, kPage), last = context - 1;
    std::vector<std::int32_t> table(pages);
    std::iota(table.rbegin(), table.rend(), 0);
    PagedBatch batch;
    batch.row_starts = ints({0, 1});
    batch.context_lens = ints({context});
    batch.page_table = ints(table).reshape({1, pages});
    batch.max_rows = 1;
    batch.max_context = pages * kPage;
    batch.rows = RowClass::few;
    const std::vector<float> frequencies(kDim / 2, 0.01f);
    const Tensor rotary = device_.ops().rotary_table(ints({last}).reshape({1, 1}),
                                                     device_.upload_array(frequencies.data(), {kDim / 2}),
                                                     ints(std::vector<std::int32_t>(kDim / 2)), DType::bf16);
    const auto store = device_.make_kv_store({kLayers, 1, kDim, pages, kPage, DType::bf16});
    fill(*store);
    const DecoderPlace place{*store, ints({table[last / kPage] * kPage + last % kPage}), rotary, batch, 1e-5f,
                             0.09f};
    const DecoderRows one = copy_of_row(), other = copy_of_row();
    if (!device_.ops().decoder_layers(one, blocks_, place)) return false;
    // Key and value of the slot are written again.
    decoder_layers_one_by_one(device_.ops(), other, blocks_, place);
    return bytes(one.x) == bytes(other.x) && bytes(one.h) == bytes(other.h);
  }

 private:
  static constexpr int kPage = 32, kDim = 128, kLayers = 3;
  static constexpr std::int64_t kHidden = 1056, kInner = 2080, kApart = 48;  // kApart: rows between matrices

  Tensor ints(const std::vector<std::int32_t>& values) {
    return device_.upload_array(values.data(), {std::ssize(values)});
  }
  Tensor random(const Shape& shape, float size) {
    std::vector<bf16> values(shape.numel());
    for (bf16& value : values) {
      seed_ = seed_ * 1664525 + 1013904223;
      value = to_bf16(size * ((seed_ >> 8) * 0x1p-23f - 1));
    }
    return device_.upload_array(values.data(), shape);
  }
  DecoderRows copy_of_row() {
    seed_ = 5;
    const Tensor x = random({1, kHidden}, 1);
    return {x, random({1, kHidden}, 1)};
  }
  void fill(KvStore& store) {
    const KvSpec& spec = store.spec();
    std::vector<std::int32_t> slots(spec.pages * spec.page_size);
    std::iota(slots.begin(), slots.end(), 0);
    const Tensor all = ints(slots), values = random({std::ssize(slots), 1, kDim}, 1);
    for (int layer = 0; layer < kLayers; ++layer) device_.ops().kv_write(values, values, store, layer, all);
  }
  std::vector<std::byte> bytes(const Tensor& t) {
    std::vector<std::byte> result(t.bytes());
    device_.download(t, result.data());
    return result;
  }
  Device& device_;
  std::uint32_t seed_ = 1;
  Tensor numbers_, norm_;
  Weight weights_[7];
  std::vector<DecoderBlock> blocks_;
};

}  // namespace

bool decoder_layers_work(Device& device) {
  const ArenaScope scope(device);
  Trial trial(device);
  return trial.works(5) && trial.works(200);
}

}  // namespace glmocr::cuda
