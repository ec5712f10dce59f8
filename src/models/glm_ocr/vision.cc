// SPDX-License-Identifier: Apache-2.0
#include "models/glm_ocr/vision.h"

#include <algorithm>
#include <cmath>

#include "models/arena_size.h"

namespace glmocr {
namespace {

// Rows run at once in multiples of this.
constexpr std::int64_t kRowUnit = 16;

// The default eps of torch.nn.LayerNorm; config.json has no key for it.
constexpr float kMergerNormEps = 1e-5f;

// A block of 2×2 patches becomes one token; config.cc accepts no other size.
constexpr std::int64_t kMerged = 4;

// The first half of the pairs is rotated by the patch's row, the second by its column.
RotaryConstants make_rotary(const VisionConfig& c, Device& device) {
  const int quarter = c.head_dim() / 4;
  const std::vector<float> once = inverse_frequencies(c.rope_theta, c.head_dim() / 2, quarter);
  std::vector<float> frequencies = once;
  frequencies.insert(frequencies.end(), once.begin(), once.end());
  std::vector<std::int32_t> axis(quarter, 0);
  axis.insert(axis.end(), quarter, 1);
  return {device, frequencies, axis};
}

// First row of each frame of each picture, and the end: [frames + 1].
std::vector<std::int32_t> segment_offsets(std::span<const GridTHW> grids) {
  std::vector<std::int32_t> offsets{0};
  for (const GridTHW& grid : grids) {
    for (int frame = 0; frame < grid.t; ++frame) offsets.push_back(offsets.back() + grid.h * grid.w);
  }
  return offsets;
}

std::int64_t longest_segment(std::span<const GridTHW> grids) {
  std::int64_t longest = 0;
  for (const GridTHW& grid : grids) longest = std::max<std::int64_t>(longest, std::int64_t{grid.h} * grid.w);
  return longest;
}

// Row and column of the patches [begin, end), in their order: block by block of 2×2. [2, end - begin].
std::vector<std::int32_t> patch_positions(std::span<const GridTHW> grids, std::int64_t begin,
                                          std::int64_t end) {
  std::vector<std::int32_t> positions(2 * (end - begin));
  constexpr std::int64_t kSide = 2;
  std::int64_t first = 0;
  for (const GridTHW& grid : grids) {
    const std::int64_t blocks_per_row = grid.w / kSide, frame = std::int64_t{grid.h} * grid.w;
    for (std::int64_t p = std::max(begin, first); p < std::min(end, first + grid.patches()); ++p) {
      const std::int64_t in_frame = (p - first) % frame, block = in_frame / kMerged,
                         within = in_frame % kMerged;
      const std::int64_t row = block / blocks_per_row * kSide + within / kSide;
      const std::int64_t column = block % blocks_per_row * kSide + within % kSide;
      positions[p - begin] = static_cast<std::int32_t>(row);
      positions[end - begin + p - begin] = static_cast<std::int32_t>(column);
    }
    first += grid.patches();
  }
  return positions;
}

Tensor rows_of(const Tensor& x, std::int64_t begin, std::int64_t end) { return x.slice(0, begin, end); }

}  // namespace

VisionEncoder::VisionEncoder(const GlmOcrConfig& config, const VisionWeights& weights, Device& device,
                             DType compute)
    : config_(config.vision),
      weights_(weights),
      device_(device),
      compute_(compute),
      rotary_(make_rotary(config_, device)) {}

VisionPass VisionEncoder::begin(std::span<const GridTHW> grids, bool paid) const {
  VisionPass pass;
  pass.grids_.assign(grids.begin(), grids.end());
  pass.segments_ = segment_offsets(grids);
  pass.longest_ = longest_segment(grids);
  pass.stages_ = merge_stage() + 1;
  pass.flop_left_ = flop(grids);

  const std::int64_t n = pass.patches();
  const Shape heads{n, config_.num_heads, config_.head_dim()};
  pass.memory_ = paid ? device_.allocate_paid(held_bytes(n)) : device_.allocate(held_bytes(n));
  std::int64_t offset = 0;
  const auto place = [&](const Shape& shape, DType dtype) {
    const Tensor tensor = pass.memory_.view(shape, dtype, offset);
    offset += arena_bytes(shape.numel(), dtype);
    return tensor;
  };
  pass.rotary_ = place({2, n, config_.head_dim() / 2}, DType::f32);
  pass.x_ = place({n, config_.hidden_size}, compute_);
  pass.q_ = place(heads, compute_);
  pass.v_ = place(heads, compute_);
  pass.features_ = pass.memory_.view({n / kMerged, config_.out_hidden_size}, compute_, offset);
  pass.k_ = place(heads, compute_);
  return pass;
}

std::int64_t VisionEncoder::held_bytes(std::int64_t patches) const {
  const std::int64_t hidden = arena_bytes(patches * config_.hidden_size, compute_);
  const std::int64_t features = arena_bytes(patches / kMerged * config_.out_hidden_size, compute_);
  return arena_bytes(patches * config_.head_dim(), DType::f32) + 3 * hidden + std::max(hidden, features);
}

VisionEncoder::Stage VisionEncoder::kind_of(int stage) const {
  if (stage == 0) return Stage::embed;
  if (stage == merge_stage()) return Stage::merge;
  constexpr Stage kOfBlock[kBlockStages] = {Stage::project, Stage::attend, Stage::finish};
  return kOfBlock[(stage - 1) % kBlockStages];
}

double VisionEncoder::flop_per_row(Stage stage, std::int64_t segment_rows) const {
  const VisionConfig& c = config_;
  const double hidden = c.hidden_size, out = c.out_hidden_size;
  switch (stage) {
    case Stage::embed:
      return 2.0 * c.in_channels * c.temporal_patch_size * c.patch_size * c.patch_size * hidden;
    case Stage::project:
      return 6 * hidden * hidden;
    case Stage::attend:
      return 4 * hidden * static_cast<double>(segment_rows);
    case Stage::finish:
      return 2 * hidden * hidden + 6 * hidden * c.intermediate_size;
    case Stage::merge:
      return (8 * hidden * out + 2 * out * out + 6 * out * out * c.in_channels) / kMerged;
  }
  return 0;
}

double VisionEncoder::flop(std::span<const GridTHW> grids) const {
  double sum = 0;
  for (const GridTHW& grid : grids) {
    const std::int64_t segment = std::int64_t{grid.h} * grid.w;
    for (int stage = 0; stage <= merge_stage(); ++stage) {
      sum += flop_per_row(kind_of(stage), segment) * static_cast<double>(grid.patches());
    }
  }
  return sum;
}

// Of rows of the current stage.
double VisionEncoder::flop_of(const VisionPass& pass, std::int64_t begin, std::int64_t end) const {
  const Stage stage = kind_of(pass.stage_);
  if (stage != Stage::attend) return flop_per_row(stage, 0) * static_cast<double>(end - begin);
  double sum = 0;
  for (std::size_t s = 0; s + 1 < pass.segments_.size(); ++s) {
    const std::int64_t first = pass.segments_[s], last = pass.segments_[s + 1];
    const std::int64_t rows = std::min(end, last) - std::max(begin, first);
    if (rows > 0) sum += flop_per_row(stage, last - first) * static_cast<double>(rows);
  }
  return sum;
}

// Groups of equal size, as large as the limits allow. Attention needs no workspace that grows with its rows.
std::int64_t VisionEncoder::rows_at_once(const VisionPass& pass, double flop) const {
  const Stage stage = kind_of(pass.stage_);
  const std::int64_t n = pass.patches(), limit = stage == Stage::attend ? n : std::min(n, most_rows());
  const double fit = std::min(flop / flop_per_row(stage, pass.longest_), static_cast<double>(limit));
  if (fit == n) return n;
  const std::int64_t most = std::max(static_cast<std::int64_t>(fit) / kRowUnit, std::int64_t{1}) * kRowUnit;
  return round_up(divide_up(n, divide_up(n, most)), kRowUnit);
}

bool VisionEncoder::run(VisionPass& pass, const Patches& patches, double flop,
                        const Observer& observer) const {
  const std::int64_t n = pass.patches();
  for (double spent = 0; !pass.complete();) {
    const Stage stage = kind_of(pass.stage_);
    const bool whole = observer && stage == Stage::merge;  // an observer is shown whole tensors
    const std::int64_t begin = pass.row_, end = whole ? n : std::min(begin + rows_at_once(pass, flop), n);
    const double cost = flop_of(pass, begin, end);
    if (spent > 0 && spent + cost > flop) return false;
    run_rows(pass, begin, end, patches, observer);
    spent += cost;
    pass.flop_left_ -= cost;
    pass.row_ = end;
    if (end < n) continue;
    if (stage == Stage::embed) observe(observer, "vision.patch_embed", pass.x_);
    if (stage == Stage::finish)
      observe(observer, "vision.blocks.", (pass.stage_ - 1) / kBlockStages, pass.x_);
    pass.row_ = 0;
    ++pass.stage_;
  }
  return true;
}

void VisionEncoder::run_rows(VisionPass& pass, std::int64_t begin, std::int64_t end, const Patches& patches,
                             const Observer& observer) const {
  const ArenaScope scope(device_);
  const auto block = [&]() -> const VisionBlockWeights& {
    return weights_.blocks[(pass.stage_ - 1) / kBlockStages];
  };
  switch (kind_of(pass.stage_)) {
    case Stage::embed:
      return embed(pass, begin, end, patches(begin, end));
    case Stage::project:
      return project(block(), pass, begin, end);
    case Stage::attend:
      return attend(pass, begin, end);
    case Stage::finish:
      return finish(block(), pass, begin, end);
    case Stage::merge:
      return merge(rows_of(pass.x_, begin, end), rows_of(pass.features_, begin / kMerged, end / kMerged),
                   observer);
  }
}

void VisionEncoder::embed(VisionPass& pass, std::int64_t begin, std::int64_t end,
                          const Tensor& patches) const {
  device_.ops().linear(patches, weights_.patch_embed, {.out = rows_of(pass.x_, begin, end)});
  const std::vector<std::int32_t> positions = patch_positions(pass.grids_, begin, end);
  const Tensor table =
      rotary_.table(device_.ops(), device_.upload_array(positions.data(), {2, end - begin}), DType::f32);
  for (std::int64_t half = 0; half < 2; ++half) {  // cosines, sines
    const auto rows = [&](const Tensor& t, std::int64_t from, std::int64_t to) {
      return t.slice(0, half, half + 1).slice(1, from, to);
    };
    device_.copy(rows(table, 0, end - begin), rows(pass.rotary_, begin, end));
  }
}

// Queries, keys and values from norm1(x).
void VisionEncoder::project(const VisionBlockWeights& w, VisionPass& pass, std::int64_t begin,
                            std::int64_t end) const {
  Ops& ops = device_.ops();
  const NormOptions eps{.eps = config_.rms_norm_eps};
  const Tensor h = ops.rms_norm(rows_of(pass.x_, begin, end), w.norm1, eps);
  const Tensor table = pass.rotary_.slice(1, begin, end);
  const Tensor v = rows_of(pass.v_, begin, end).reshape({end - begin, config_.hidden_size});
  const auto projected = ops.linear_three(h, {&w.q, &w.k, &w.v}, RowClass::many, {Tensor{}, Tensor{}, v});
  const auto rotated = [&](const Tensor& from, const Tensor& norm, const Tensor& all) {
    const ArenaScope scope(device_);
    const Tensor to = rows_of(all, begin, end);
    ops.norm_rope(from.reshape(to.shape), norm, eps.eps, table, RopeStyle::half_split, to);
  };
  rotated(projected[0], w.q_norm, pass.q_);
  rotated(projected[1], w.k_norm, pass.k_);
}

// q = attention(q, k, v)
void VisionEncoder::attend(const VisionPass& pass, std::int64_t begin, std::int64_t end) const {
  // The segments with some of these rows, and which rows of q are theirs.
  const auto first = std::upper_bound(pass.segments_.begin(), pass.segments_.end(), begin) - 1;
  const auto last = std::lower_bound(first, pass.segments_.end(), end);
  std::vector<std::int32_t> queries;
  for (auto offset = first; offset <= last; ++offset) {
    queries.push_back(static_cast<std::int32_t>(std::clamp<std::int64_t>(*offset, begin, end) - begin));
  }
  const Tensor q = rows_of(pass.q_, begin, end);
  device_.ops().attention(q, pass.k_, pass.v_,
                          {.scale = 1 / std::sqrt(static_cast<float>(config_.head_dim())),
                           .segments = {first, last + 1},
                           .query_segments = queries,
                           .out = q.reshape({end - begin, config_.hidden_size})});
}

// x = x + proj(attention), then x = x + mlp(norm2(x))
void VisionEncoder::finish(const VisionBlockWeights& w, const VisionPass& pass, std::int64_t begin,
                           std::int64_t end) const {
  Ops& ops = device_.ops();
  const Tensor x = rows_of(pass.x_, begin, end);
  ops.linear(rows_of(pass.q_, begin, end).reshape(x.shape), w.proj, {.residual = x, .out = x});
  const Tensor h = ops.rms_norm(x, w.norm2, {.eps = config_.rms_norm_eps});
  ops.gated_mlp(h, {w.gate, w.up, w.down}, {.residual = x, .out = x});
}

// Norm, 2×2 convolution, and the merger's projection and MLP: four patch rows become one token.
void VisionEncoder::merge(const Tensor& x, const Tensor& merged, const Observer& observer) const {
  Ops& ops = device_.ops();
  const VisionWeights& w = weights_;
  const Tensor normed = ops.rms_norm(x, w.post_layernorm, {.eps = config_.rms_norm_eps});
  observe(observer, "vision.post_layernorm", normed);
  // Four consecutive rows are one 2×2 block, so the convolution is a product over rows of four patches.
  const Tensor blocks = normed.reshape({x.size(0) / kMerged, kMerged * config_.hidden_size});
  const Tensor down = ops.linear(blocks, w.downsample);
  observe(observer, "vision.downsample", down);
  const Tensor projected = ops.layer_norm(ops.linear(down, w.merger_proj), w.merger_norm, w.merger_norm_bias,
                                          {.eps = kMergerNormEps});
  const Tensor y = ops.activate(projected, Activation::gelu);
  ops.gated_mlp(y, {w.merger_gate, w.merger_up, w.merger_down}, {.out = merged});
  observe(observer, "vision.merger", merged);
}

std::int64_t VisionEncoder::workspace_bytes(std::int64_t patches, bool whole) const {
  const VisionConfig& c = config_;
  const std::int64_t rows = whole ? patches : std::min(patches, most_rows()), tokens = rows / kMerged;
  const std::int64_t picture = std::int64_t{c.in_channels} * c.patch_size * c.patch_size;
  const auto tensor = [&](std::int64_t count, std::int64_t width) {
    return arena_bytes(count * width, compute_);
  };
  const std::int64_t hidden = tensor(rows, c.hidden_size), token = tensor(tokens, c.out_hidden_size);

  // Pixels and patches; positions and their rotations.
  const std::int64_t embedding =
      arena_bytes(patches * picture, DType::u8) + tensor(rows, picture * c.temporal_patch_size) +
      arena_bytes(2 * rows, DType::i32) + arena_bytes(rows * c.head_dim(), DType::f32);
  // Norm of x; q, k and the norm of one of them.
  const std::int64_t projection = 4 * hidden;
  // Norm; gate, up and their product.
  const std::int64_t mlp = hidden + 3 * tensor(rows, c.intermediate_size);
  // Norm; convolution, projection, its norm and activation; gate, up and their product.
  const std::int64_t merger =
      hidden + 4 * token + 3 * tensor(tokens, std::int64_t{c.out_hidden_size} * c.in_channels);
  return std::max({embedding, projection, mlp, merger}) + kOperationScratch;
}

}  // namespace glmocr
