// SPDX-License-Identifier: Apache-2.0
#include "glmocr/selftest.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include "api/model_state.h"
#include "kernels/kernels.h"

namespace glmocr {
namespace {

// Numbers in [-1, 1), a function of the seed alone.
class Noise {
 public:
  explicit Noise(std::uint64_t seed) : state_(seed) {}
  float next() {
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    return static_cast<float>(static_cast<std::int64_t>(state_ >> 33) - (std::int64_t{1} << 30)) * 0x1p-30f;
  }

 private:
  std::uint64_t state_;
};

// Makes the operands of a check on one device. Both devices get the same numbers.
class Operands {
 public:
  Operands(Device& device, DType compute) : device_(device), compute_(compute), noise_(7) {}

  Tensor activations(const Shape& shape) { return tensor(shape, compute_); }
  Tensor vector(std::int64_t size) { return tensor({size}, DType::f32); }
  Tensor tensor(const Shape& shape, DType dtype) {
    const auto n = static_cast<std::size_t>(shape.numel());
    if (dtype == DType::f32) {
      std::vector<float> values(n);
      for (float& value : values) value = noise_.next();
      return device_.upload_array(values.data(), shape);
    }
    std::vector<bf16> values(n);
    for (bf16& value : values) value = to_bf16(noise_.next());
    return device_.upload_array(values.data(), shape);
  }
  Tensor indices(const std::vector<std::int32_t>& values, const Shape& shape) {
    return device_.upload_array(values.data(), shape);
  }
  PagedKv cache(std::int64_t pages, std::int64_t heads, std::int64_t page_size, std::int64_t dim) {
    return {activations({pages, heads, page_size, dim}), activations({pages, heads, page_size, dim})};
  }
  Ops& ops() { return device_.ops(); }

 private:
  Device& device_;
  DType compute_;
  Noise noise_;
};

struct OpCheck {
  std::string name;
  double terms;  // products that one result sums up: its rounding error grows with their root
  std::function<Tensor(Operands&)> run;
};

Tensor run_paged(Operands& o, std::int64_t heads, std::int64_t kv_heads, std::int64_t dim) {
  // Two sequences: one decodes a row behind 40 keys, one prefills 5 rows behind 12.
  const PagedKv cache = o.cache(4, kv_heads, 16, dim);
  PagedBatch batch;
  batch.row_starts = o.indices({0, 1, 6}, {3});
  batch.context_lens = o.indices({41, 17}, {2});
  batch.page_table = o.indices({3, 0, 2, 1, 2, 0}, {2, 3});
  batch.max_rows = 5;
  batch.max_context = 41;
  o.ops().kv_write(o.activations({6, kv_heads, dim}), o.activations({6, kv_heads, dim}), cache,
                   o.indices({40, 28, 29, 30, 31, 33}, {6}));
  return o.ops().attention_paged(o.activations({6, heads, dim}), cache, batch,
                                 1 / std::sqrt(static_cast<float>(dim)));
}

std::vector<OpCheck> op_checks() {
  std::vector<OpCheck> checks;
  for (const auto& [rows, in, out] : {std::array<std::int64_t, 3>{1, 320, 96}, {3, 77, 33}, {70, 256, 130}}) {
    const std::array<std::int64_t, 3> size{rows, in, out};
    for (const DType weight : {DType::f32, DType::bf16}) {
      checks.push_back({cat("linear ", rows, "x", in, "x", out, " weights ", to_string(weight)),
                        static_cast<double>(in), [size, weight](Operands& o) {
                          return o.ops().linear(o.activations({size[0], size[1]}),
                                                o.tensor({size[2], size[1]}, weight),
                                                {.bias = o.vector(size[2]),
                                                 .activation = Activation::silu,
                                                 .residual = o.activations({size[0], size[2]})});
                        }});
    }
  }
  const auto rows = [&](const std::string& name, double terms, auto op) {
    checks.push_back({name, terms, op});
  };
  rows("rms_norm", 200, [](Operands& o) { return o.ops().rms_norm(o.activations({9, 200}), o.vector(200)); });
  rows("layer_norm", 200, [](Operands& o) {
    return o.ops().layer_norm(o.activations({9, 200}), o.vector(200), o.vector(200));
  });
  rows("swiglu", 1, [](Operands& o) {
    return o.ops().swiglu(o.activations({5, 130}), o.activations({5, 130}));
  });
  rows("gelu", 1, [](Operands& o) { return o.ops().activate(o.activations({5, 130}), Activation::gelu); });
  for (const RopeStyle style : {RopeStyle::half_split, RopeStyle::interleaved}) {
    rows(style == RopeStyle::half_split ? "rope half_split" : "rope interleaved", 2, [style](Operands& o) {
      const Tensor table =
          o.ops().rotary_table(o.indices({0, 5, 900, 3, 70, 1}, {2, 3}), o.vector(24),
                               o.indices(std::vector<std::int32_t>(24, 1), {24}), DType::f32);
      return o.ops().rope(o.activations({3, 2, 48}), table, style);
    });
  }
  for (const std::int64_t dim : {48, 64}) {
    rows(cat("attention head_dim ", dim), static_cast<double>(dim), [dim](Operands& o) {
      const std::vector<std::int32_t> segments{0, 1, 150};
      const Shape shape{150, 2, dim};
      return o.ops().attention(o.activations(shape), o.activations(shape), o.activations(shape),
                               {.scale = 0.125f, .segments = segments});
    });
    rows(cat("attention_paged head_dim ", dim), static_cast<double>(dim),
         [dim](Operands& o) { return run_paged(o, 6, 2, dim); });
  }
  rows("embed and gather", 1, [](Operands& o) {
    const Tensor rows =
        o.ops().embed(o.tensor({30, 40}, DType::bf16), o.indices({3, 29, 0, 3}, {4}), DType::f32);
    return o.ops().gather_rows(rows, o.indices({2, 0}, {2}));
  });
  return checks;
}

std::vector<float> run_on(Device& device, const OpCheck& check, DType compute) {
  std::vector<float> values;
  device.run_step(0, [&] {
    Operands operands(device, compute);
    const Tensor result = check.run(operands);
    values.resize(static_cast<std::size_t>(result.numel()));
    if (result.dtype == DType::f32) {
      device.download(result, values.data());
    } else {
      std::vector<bf16> stored(values.size());
      device.download(result, stored.data());
      std::transform(stored.begin(), stored.end(), values.begin(),
                     [](bf16 value) { return to_float(value); });
    }
  });
  return values;
}

// The largest |a − b| / (1 + |b|); NaN anywhere counts as infinite.
double largest_difference(const std::vector<float>& a, const std::vector<float>& b) {
  double largest = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double difference = std::abs(double{a[i]} - b[i]) / (1 + std::abs(double{b[i]}));
    if (!(difference <= largest))
      largest = std::isnan(difference) ? std::numeric_limits<double>::infinity() : difference;
  }
  return largest;
}

SelftestCheck run_check(Device& device, Device& ref, const OpCheck& check, DType compute) {
  SelftestCheck result;
  result.name = cat(check.name, compute == DType::bf16 ? ", bf16" : ", fp32");
  // fp32: a random walk of rounding errors. bf16: the results round to 8 bits, after at most two earlier
  // roundings.
  result.tolerance = compute == DType::bf16 ? 3 * 0x1p-8 : 8 * 0x1p-24 * std::sqrt(check.terms) + 0x1p-20;
  const std::vector<float> expected = run_on(ref, check, compute);
  const std::vector<float> found = run_on(device, check, compute);
  result.error = found.size() == expected.size() ? largest_difference(found, expected)
                                                 : std::numeric_limits<double>::infinity();
  result.passed = result.error <= result.tolerance;
  return result;
}

// A page of grey bars on white, with shades so that every patch differs.
Image drawn_picture() {
  Image image{140, 84, std::vector<std::uint8_t>(140 * 84 * 3, 255)};
  for (int y = 0; y < image.height; ++y) {
    for (int x = 0; x < image.width; ++x) {
      const bool ink = y % 28 > 8 && y % 28 < 20 && x % 11 < 2 + y / 28 + x / 70;
      for (int c = 0; c < 3; ++c) {
        image.rgb[(y * image.width + x) * 3 + c] =
            static_cast<std::uint8_t>(ink ? 20 + x / 3 : 255 - (x + 2 * y + 9 * c) % 40);
      }
    }
  }
  return image;
}

SelftestCheck run_forward(const std::string& path, const LoadOptions& options, ComputeType dtype) {
  LoadOptions plain;
  plain.device = "ref";
  plain.dtype = ComputeType::fp32;
  LoadOptions here = options;
  here.dtype = dtype;
  const Image images[] = {drawn_picture()};
  const Logits expected = Model::load(path, plain).forward(images, kTextPrompt);
  const Logits found = Model::load(path, here).forward(images, kTextPrompt);
  double dot = 0, a = 0, b = 0, largest = 0;
  for (std::size_t i = 0; i < expected.values.size(); ++i) {
    dot += double{expected.values[i]} * found.values[i];
    a += double{expected.values[i]} * expected.values[i];
    b += double{found.values[i]} * found.values[i];
    largest = std::max(largest, std::abs(double{expected.values[i]} - found.values[i]));
  }
  SelftestCheck check;
  const bool fp32 = dtype == ComputeType::fp32;
  check.name = fp32 ? "forward pass, fp32, largest difference of a logit"
                    : "forward pass, bf16, 1 - cosine of the logits";
  check.error = fp32 ? largest : 1 - dot / std::sqrt(a * b);
  check.tolerance = fp32 ? 2e-3 : 5e-4;
  check.passed = check.error <= check.tolerance;
  check.detail = cat("best token ", found.top(1)[0].first, ", on ref ", expected.top(1)[0].first);
  return check;
}

}  // namespace

bool selftest(const std::string& model_path, const LoadOptions& options,
              const std::function<void(const SelftestCheck&)>& report) {
  const DeviceOptions device_options{.threads = options.threads, .memory_limit = options.memory_limit};
  const auto device = open_device(options.device, device_options);
  const auto ref = open_device("ref", device_options);
  bool passed = true;
  const auto done = [&](const SelftestCheck& check) {
    passed = passed && check.passed;
    if (report) report(check);
  };
  for (const DType compute : {DType::f32, DType::bf16}) {
    for (const OpCheck& check : op_checks()) done(run_check(*device, *ref, check, compute));
  }
  for (const ComputeType dtype : {ComputeType::fp32, ComputeType::bf16}) {
    done(run_forward(model_path, options, dtype));
  }
  return passed;
}

}  // namespace glmocr
