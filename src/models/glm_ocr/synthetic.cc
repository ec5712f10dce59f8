// SPDX-License-Identifier: Apache-2.0
#include "models/glm_ocr/synthetic.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <vector>

#include "tensor/dtype.h"

namespace glmocr {
namespace {

GlmOcrConfig published_config() {
  GlmOcrConfig c;
  c.text = {.vocab_size = 59392,
            .hidden_size = 1536,
            .num_hidden_layers = 16,
            .num_attention_heads = 16,
            .num_key_value_heads = 8,
            .head_dim = 128,
            .intermediate_size = 4608,
            .max_position_embeddings = 131072,
            .mrope_section = {16, 24, 24}};
  c.vision = {
      .hidden_size = 1024, .depth = 24, .num_heads = 16, .intermediate_size = 4096, .out_hidden_size = 1536};
  return c;
}

GlmOcrConfig small_config() {
  GlmOcrConfig c;
  c.text = {.vocab_size = 500,
            .hidden_size = 64,
            .num_hidden_layers = 2,
            .num_attention_heads = 4,
            .num_key_value_heads = 2,
            .head_dim = 32,
            .intermediate_size = 96,
            .max_position_embeddings = 4096,
            .mrope_section = {4, 6, 6}};
  c.vision = {.hidden_size = 64, .depth = 2, .num_heads = 2, .intermediate_size = 96, .out_hidden_size = 64};
  return c;
}

// Norms are near 1; a matrix keeps the size of what it multiplies; biases are small.
struct Spread {
  float centre, width;
};
Spread spread_of(const std::string& name, const Shape& shape) {
  if (shape.rank() > 1) {
    const double fan_in = static_cast<double>(shape.numel()) / static_cast<double>(shape[0]);
    return {0, static_cast<float>(std::sqrt(3 / fan_in))};  // of variance 1 / fan_in
  }
  return name.ends_with("bias") ? Spread{0, 0.1f} : Spread{1, 0.25f};
}

// As many different values as a tensor has; more of them repeat these.
constexpr std::int64_t kDifferent = 65521;  // a prime: rows of equal length differ

std::vector<bf16> random_values(std::uint64_t seed, const Spread& spread, std::int64_t count) {
  std::vector<bf16> values(count);
  for (bf16& value : values) {
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    const std::int64_t high = seed >> 33;
    value = to_bf16(spread.centre + spread.width * static_cast<float>(high - (1 << 30)) * 0x1p-30f);
  }
  return values;
}

}  // namespace

GlmOcrConfig synthetic_config(SyntheticSize size) {
  return size == SyntheticSize::published ? published_config() : small_config();
}

WeightLoader::Maker random_tensors() {
  return [](const std::string& name, const Shape& shape) {
    const std::int64_t count = shape.numel();
    const std::vector<bf16> values =
        random_values(std::hash<std::string>()(name), spread_of(name, shape), std::min(count, kDifferent));
    MadeTensor made{.stored = {}, .memory = std::make_unique_for_overwrite<std::byte[]>(count * 2)};
    for (std::int64_t at = 0; at < count; at += std::ssize(values)) {
      std::memcpy(made.memory.get() + 2 * at, values.data(), 2 * std::min(std::ssize(values), count - at));
    }
    made.stored.file = "memory";
    made.stored.dtype_name = "BF16";
    made.stored.shape = shape;
    made.stored.data = made.memory.get();
    made.stored.bytes = 2 * count;
    return made;
  };
}

}  // namespace glmocr
