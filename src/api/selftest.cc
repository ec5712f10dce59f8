// SPDX-License-Identifier: Apache-2.0
#include "glmocr/selftest.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <deque>
#include <functional>
#include <limits>
#include <memory>
#include <numeric>

#include "base/error.h"
#include "base/memory.h"
#include "base/memory_budget.h"
#include "base/numbers.h"
#include "kernels/kernels.h"
#include "models/glm_ocr/prompt.h"

namespace glmocr {
namespace {

// Numbers in [-1, 1), a function of the seed alone.
class Noise {
 public:
  explicit Noise(std::uint64_t seed) : state_(seed) {}
  float next() {
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    const std::int64_t high = state_ >> 33;
    return (high - (1 << 30)) * 0x1p-30f;
  }

 private:
  std::uint64_t state_;
};

using Ids = std::vector<std::int32_t>;

// Makes the operands of a check on one device and reads its results. Every device gets the same numbers.
// Lives as long as the check's tensors.
class Operands {
 public:
  Operands(Device& device, DType compute) : device_(device), compute_(compute), noise_(7) {}

  DType compute() const { return compute_; }
  Ops& ops() { return device_.ops(); }
  Tensor activations(const Shape& shape) { return upload(numbers(shape.numel()), shape, compute_); }
  Tensor vector(std::int64_t size) { return upload(numbers(size), {size}, DType::f32); }
  Tensor matrix(const Shape& shape) { return upload(numbers(shape.numel()), shape, DType::f32); }
  Tensor indices(const Ids& values, const Shape& shape) { return device_.upload_array(values.data(), shape); }
  Weight weight(std::int64_t out, std::int64_t in, DType dtype, WeightUse use, bool bias) {
    files_.push_back(stored(numbers(out * in), dtype));
    Weight weight =
        device_.prepare(Tensor(files_.back().data(), {out, in}, dtype), use, owners_.emplace_back());
    if (bias) weight.bias = vector(out);
    return weight;
  }
  // In eight bits, without bias.
  Weight int8_weight(std::int64_t out, std::int64_t in) {
    std::vector<float> scales(out);
    for (float& scale : scales) scale = 0.01f * (1.5f + noise_.next());
    std::vector<std::byte>& values = files_.emplace_back(out * in);
    for (std::byte& value : values)
      value = static_cast<std::byte>(static_cast<std::int8_t>(127 * noise_.next()));
    return device_.prepare_int8(Tensor(values.data(), {out, in}, DType::i8),
                                Tensor(scales.data(), {out}, DType::f32), owners_.emplace_back());
  }
  // A store with numbers in every slot.
  KvStore& store(const KvSpec& spec) {
    store_ = device_.make_kv_store(spec);
    Ids slots(spec.pages * spec.page_size);
    std::iota(slots.begin(), slots.end(), 0);
    const std::int64_t count = std::ssize(slots);
    for (int layer = 0; layer < spec.layers; ++layer) {
      const Tensor k = activations({count, spec.kv_heads, spec.head_dim});
      ops().kv_write(k, activations(k.shape), *store_, layer, indices(slots, {count}));
    }
    return *store_;
  }
  Tensor picture(std::int64_t height, std::int64_t width) {
    std::vector<std::uint8_t> bytes(height * width * 3);
    for (std::uint8_t& byte : bytes) byte = 127.5f * (1 + noise_.next());
    return device_.upload_array(bytes.data(), {height, width, 3});
  }
  // Tables of n rows that are all zero or, for the parameters, `rows`.
  SamplingTables sampling(const std::vector<SamplingRow>& rows, std::int64_t vocab, const Ids& seen) {
    const std::int64_t n = std::ssize(rows), most = 4;
    SamplingTables tables;
    tables.params = device_.scratch({n, sizeof(SamplingRow) / 4}, DType::i32);
    device_.upload(rows.data(), tables.params);
    tables.seen = indices(seen, {n, divide_up<std::int64_t>(vocab, 32)});
    tables.ids = indices(Ids(n), {n});
    tables.logprobs = upload(std::vector<float>(n), {n}, DType::f32);
    tables.top_ids = indices(Ids(n * most), {n, most});
    tables.top_logprobs = upload(std::vector<float>(n * most), {n, most}, DType::f32);
    return tables;
  }

  // Appends the values of a contiguous tensor to the results.
  void result(const Tensor& t) {
    std::vector<std::byte> bytes(t.bytes());
    device_.download(t, bytes.data());
    const Tensor host(bytes.data(), {t.numel()}, t.dtype);
    for (std::int64_t i = 0; i < t.numel(); ++i) {
      results_.push_back(t.dtype == DType::i32   ? host.as<std::int32_t>()[i]
                         : t.dtype == DType::f32 ? host.as<float>()[i]
                                                 : to_float(host.as<bf16>()[i]));
    }
  }
  const std::vector<float>& results() const { return results_; }

 private:
  std::vector<float> numbers(std::int64_t count) {
    std::vector<float> values(count);
    for (float& value : values) value = noise_.next();
    return values;
  }
  static std::vector<std::byte> stored(const std::vector<float>& values, DType dtype) {
    std::vector<std::byte> bytes(std::ssize(values) * size_of(dtype));
    const Tensor host(bytes.data(), {std::ssize(values)}, dtype);
    for (std::int64_t i = 0; i < std::ssize(values); ++i) {
      if (dtype == DType::f32) host.as<float>()[i] = values[i];
      if (dtype == DType::bf16) host.as<bf16>()[i] = to_bf16(values[i]);
    }
    return bytes;
  }
  Tensor upload(const std::vector<float>& values, const Shape& shape, DType dtype) {
    const Tensor tensor = device_.scratch(shape, dtype);
    device_.upload(stored(values, dtype).data(), tensor);
    return tensor;
  }

  Device& device_;
  DType compute_;
  Noise noise_;
  std::deque<std::vector<std::byte>> files_;  // what prepare was given: a device may use it in place
  std::deque<Buffer> owners_;
  std::unique_ptr<KvStore> store_;
  std::vector<float> results_;
};

// How a result may differ from that of ref.
enum class Rounding {
  sums,   // sums of products, rounded to the compute type
  exact,  // values that are only moved, or computed the same way on every device
};

struct OpCheck {
  std::string name;
  Rounding rounding;
  double terms;  // products in the sum of one result: the rounding error grows with its square root
  std::function<void(Operands&)> run;
};

void run_linear(Operands& o, std::int64_t rows, std::int64_t in, std::int64_t out, DType weight) {
  LinearOptions options;
  options.activation = Activation::silu;
  options.rows = rows <= kFewRows ? RowClass::few : RowClass::many;
  const Tensor x = o.activations({rows, in});
  options.residual = o.activations({rows, out});
  o.result(o.ops().linear(x, o.weight(out, in, weight, WeightUse::linear, true), options));
}

// Two sequences and a row of padding: one decodes a row after 40 keys, one has 5 rows after 12.
void run_paged(Operands& o, std::int64_t heads, int kv_heads, int dim, RowClass row_class) {
  const KvSpec spec{
      .layers = 2, .kv_heads = kv_heads, .head_dim = dim, .pages = 6, .page_size = 16, .dtype = o.compute()};
  KvStore& store = o.store(spec);
  PagedBatch batch;
  batch.row_starts = o.indices({0, 1, 6}, {3});
  batch.context_lens = o.indices({41, 17}, {2});
  batch.page_table = o.indices({3, 0, 2, 1, 4, 5}, {2, 3});
  batch.max_rows = 5;
  batch.max_context = 41;
  batch.rows = row_class;
  const Tensor k = o.activations({7, kv_heads, dim}), v = o.activations({7, kv_heads, dim});
  o.ops().kv_write(k, v, store, 1, o.indices({40, 28, 29, 30, 31, 64, -1}, {7}));
  const Tensor q = o.activations({7, heads, dim});
  const float scale = 1 / std::sqrt(dim);
  for (const int layer : {0, 1}) o.result(o.ops().attention_paged(q, store, layer, batch, scale));
}

void run_rope(Operands& o, RopeStyle style) {
  const Tensor positions = o.indices({0, 5, 900, 3, 70, 1}, {2, 3});
  const Tensor axis = o.indices(Ids(24, 1), {24});
  const Tensor table = o.ops().rotary_table(positions, o.vector(24), axis, DType::f32);
  o.result(o.ops().rope(o.activations({3, 2, 48}), table, style));
}

void run_norm_rope(Operands& o) {
  const Tensor positions = o.indices({0, 5, 900, 3, 70, 1}, {2, 3});
  const Tensor axis = o.indices(Ids(32, 1), {32});
  const Tensor table = o.ops().rotary_table(positions, o.vector(32), axis, DType::f32);
  const Tensor x = o.activations({3, 2, 64});
  o.result(o.ops().norm_rope(x, o.vector(64), 1e-5f, table, RopeStyle::half_split));
}

// Rotated keys in the first two slots, a row without one, and what a query finds there.
void run_rope_kv_write(Operands& o) {
  const KvSpec spec{
      .layers = 1, .kv_heads = 2, .head_dim = 48, .pages = 1, .page_size = 16, .dtype = o.compute()};
  KvStore& store = o.store(spec);
  const Tensor table = o.ops().rotary_table(o.indices({0, 5, 900}, {1, 3}), o.vector(24),
                                            o.indices(Ids(24), {24}), DType::f32);
  const Tensor q = o.activations({3, 4, 48}), k = o.activations({3, 2, 48}), v = o.activations({3, 2, 48});
  const Tensor turned =
      o.ops().rope_kv_write(q, k, v, table, RopeStyle::interleaved, {store, 0, o.indices({1, 0, -1}, {3})});
  PagedBatch batch;
  batch.row_starts = o.indices({0, 3}, {2});
  batch.context_lens = o.indices({16}, {1});
  batch.page_table = o.indices({0}, {1, 1});
  batch.max_rows = 3;
  batch.max_context = 16;
  batch.rows = RowClass::few;
  o.result(turned);
  o.result(o.ops().attention_paged(turned, store, 0, batch, 0.1f));
}

void run_attention(Operands& o, std::int64_t dim) {
  const Ids segments{0, 1, 150};
  const Tensor q = o.activations({150, 2, dim}), k = o.activations(q.shape), v = o.activations(q.shape);
  AttentionOptions options;
  options.scale = 0.125f;
  options.segments = segments;
  o.result(o.ops().attention(q, k, v, options));
}

void run_moves(Operands& o) {
  const Weight table = o.weight(30, 40, DType::bf16, WeightUse::embedding, false);
  const Tensor rows = o.ops().embed(table, o.indices({3, 29, 0, 3}, {4}), o.compute());
  const Tensor picked = o.ops().gather_rows(rows, o.indices({2, 0, 1}, {3}));
  const Tensor out = o.activations({5, 40});
  o.ops().scatter_rows(picked, o.indices({4, -1, 1}, {3}), out);
  o.result(picked);
  o.result(out);
}

// Rows that are greedy, drawn, penalized, and drawn after all cuts.
void run_sample(Operands& o) {
  const std::int64_t vocab = 100;
  std::vector<SamplingRow> rows(4);
  rows[1].temperature = 0.8f;
  rows[1].seed_low = 11;
  rows[2].repetition_penalty = 1.5f;
  rows[2].top_logprobs = 4;
  rows[3].temperature = 1.2f;
  rows[3].top_k = 30;
  rows[3].top_p = 0.9f;
  rows[3].min_p = 0.05f;
  for (SamplingRow& row : rows) row.vocab_limit = 97;
  Ids seen(4 * 4);
  for (int word = 0; word < 4; ++word) seen[2 * 4 + word] = 0x55555555;
  const SamplingTables tables = o.sampling(rows, vocab, seen);
  o.ops().sample(o.activations({4, vocab}), tables);
  for (const Tensor& t : {tables.ids, tables.logprobs, tables.top_ids, tables.top_logprobs}) o.result(t);
}

// Rows inside a page, at its end, at the end of the table, and padding.
void run_advance(Operands& o) {
  const SamplingTables sampling = o.sampling(std::vector<SamplingRow>(4), 64, Ids(4 * 2));
  o.ops().sample(o.activations({4, 64}), sampling);
  DecodeTables tables;
  tables.ids = o.indices({1, 2, 3, 4}, {4});
  tables.positions = o.indices({5, 7, 15, 1, 5, 7, 15, 1, 5, 7, 15, 1}, {3, 4});
  tables.slots = o.indices({21, 31, 15, -1}, {4});
  tables.context_lens = o.indices({6, 8, 16, 2}, {4});
  tables.page_table = o.indices({2, 0, 3, 1, 0, 1, 0, 0}, {4, 2});
  tables.page_size = 8;
  o.ops().advance(tables, sampling);
  for (const Tensor& t : {tables.ids, tables.positions, tables.slots, tables.context_lens, sampling.seen}) {
    o.result(t);
  }
}

std::vector<OpCheck> op_checks(bool int8) {
  std::vector<OpCheck> checks;
  const auto add = [&](const std::string& name, Rounding rounding, double terms, auto run) {
    checks.push_back({name, rounding, terms, run});
  };
  using Size = std::array<std::int64_t, 3>;
  for (const Size& size : {Size{1, 320, 96}, Size{3, 77, 33}, Size{70, 256, 130}}) {
    for (const DType weight : {DType::f32, DType::bf16}) {
      add(cat("linear ", size[0], "x", size[1], "x", size[2], " weights ", to_string(weight)), Rounding::sums,
          size[1], [size, weight](Operands& o) { run_linear(o, size[0], size[1], size[2], weight); });
    }
  }
  for (const std::int64_t rows : {1, 14, 70}) {
    if (!int8) break;
    add(cat("linear of ", rows, " rows, weights I8"), Rounding::sums, 1, [rows](Operands& o) {
      const Tensor x = o.activations({rows, 257});
      o.result(o.ops().linear(x, o.int8_weight(70, 257)));
    });
  }
  add("rms_norm", Rounding::sums, 200, [](Operands& o) {
    const NormOptions options{.eps = 1e-5f, .residual = o.activations({9, 200}), .out = {}};
    const Tensor x = o.activations({9, 200});
    o.result(o.ops().rms_norm(x, o.vector(200), options));
  });
  add("add_norm", Rounding::sums, 1536, [](Operands& o) {
    const Tensor x = o.activations({3, 1536}), y = o.activations(x.shape), out = o.activations(x.shape);
    const Tensor weight = o.vector(1536);
    o.ops().add_norm(x, y, weight, o.vector(1536), 1e-5f, out);
    o.result(x);
    o.result(out);
  });
  for (const std::int64_t rows : {3, 70}) {
    add(cat("gated_linear of ", rows, " rows"), Rounding::sums, 1 << 14, [rows](Operands& o) {
      const Tensor x = o.activations({rows, 256});
      const Weight gate = o.weight(64, 256, DType::bf16, WeightUse::linear, false);
      const Weight up = o.weight(64, 256, DType::bf16, WeightUse::linear, false);
      o.result(o.ops().gated_linear(x, gate, up, rows <= kFewRows ? RowClass::few : RowClass::many));
    });
  }
  add("layer_norm", Rounding::sums, 200, [](Operands& o) {
    const NormOptions options{.eps = 1e-5f, .residual = o.activations({9, 200}), .out = {}};
    const Tensor x = o.activations({9, 200}), weight = o.vector(200);
    o.result(o.ops().layer_norm(x, weight, o.vector(200), options));
  });
  add("swiglu", Rounding::sums, 1, [](Operands& o) {
    const Tensor gate = o.activations({5, 130});
    o.result(o.ops().swiglu(gate, o.activations({5, 130})));
  });
  add("gelu", Rounding::sums, 1, [](Operands& o) {
    o.result(o.ops().activate(o.activations({5, 130}), Activation::gelu));
  });
  for (const RopeStyle style : {RopeStyle::half_split, RopeStyle::interleaved}) {
    add(style == RopeStyle::half_split ? "rope half_split" : "rope interleaved", Rounding::sums, 2,
        [style](Operands& o) { run_rope(o, style); });
  }
  add("norm_rope", Rounding::sums, 64, run_norm_rope);
  add("rope_kv_write", Rounding::sums, 48, run_rope_kv_write);
  for (const int dim : {48, 64}) {
    add(cat("attention head_dim ", dim), Rounding::sums, dim, [dim](Operands& o) { run_attention(o, dim); });
    for (const RowClass rows : {RowClass::few, RowClass::many}) {
      add(cat("attention_paged head_dim ", dim, rows == RowClass::few ? " few rows" : " many rows"),
          Rounding::sums, dim, [dim, rows](Operands& o) { run_paged(o, 6, 2, dim, rows); });
    }
  }
  add("embed, gather_rows, scatter_rows", Rounding::exact, 1, run_moves);
  add("patchify", Rounding::exact, 1, [](Operands& o) {
    const Tensor picture = o.picture(56, 84);
    o.result(o.ops().patchify(picture, o.matrix({3, 256}), {}, o.compute()));
  });
  add("sample", Rounding::exact, 100, run_sample);
  add("advance", Rounding::exact, 1, run_advance);
  return checks;
}

std::vector<float> run_on(Device& device, const OpCheck& check, DType compute) {
  Operands operands(device, compute);
  device.run_step([&] { check.run(operands); });
  return operands.results();
}

// The largest |a − b| / (1 + |b|); NaN anywhere counts as infinite.
double largest_difference(const std::vector<float>& a, const std::vector<float>& b) {
  double largest = 0;
  for (std::int64_t i = 0; i < std::ssize(a); ++i) {
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
  const bool coarse = compute == DType::bf16 && check.rounding == Rounding::sums;
  result.tolerance = coarse ? 3 * 0x1p-8 : 8 * 0x1p-24 * std::sqrt(check.terms) + 0x1p-20;
  const std::vector<float> expected = run_on(ref, check, compute);
  const std::vector<float> found = run_on(device, check, compute);
  result.error = found.size() == expected.size() ? largest_difference(found, expected)
                                                 : std::numeric_limits<double>::infinity();
  result.passed = result.error <= result.tolerance;
  return result;
}

void run_op_checks(const std::string& name, const DeviceOptions& options,
                   const std::function<void(const SelftestCheck&)>& done) {
  const auto device = open_device(name, options);
  const auto ref = open_device("ref", options);
  for (const DType compute : {DType::f32, DType::bf16}) {
    for (const OpCheck& check : op_checks(device->multiplies_int8()))
      done(run_check(*device, *ref, check, compute));
  }
}

// Called when the operations do not fit the limit: runs them without one, to name the smallest that would do.
[[noreturn]] void fail_with_least_memory(const LoadOptions& options, DeviceOptions unlimited) {
  unlimited.memory = std::make_shared<MemoryBudget>();
  run_op_checks(options.device, unlimited, [](const SelftestCheck&) {});
  fail_limit_too_small(options.memory_limit, unlimited.memory->peak(), "the self-test of the operations");
}

// A page of grey bars on white, with shades so that every patch differs.
Image drawn_picture() {
  Image image{140, 84, std::vector<std::uint8_t>(140 * 84 * 3, 255)};
  for (int y = 0; y < image.height; ++y) {
    for (int x = 0; x < image.width; ++x) {
      const bool ink = y % 28 > 8 && y % 28 < 20 && x % 11 < 2 + y / 28 + x / 70;
      for (int c = 0; c < 3; ++c) {
        image.rgb[(y * image.width + x) * 3 + c] = ink ? 20 + x / 3 : 255 - (x + 2 * y + 9 * c) % 40;
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
  here.quantization = Quantization::none;  // the reference has the weights as they are stored
  const Image images[] = {drawn_picture()};
  const Logits expected = Model::load(path, plain).forward(images, kTextPrompt);
  const Logits found = Model::load(path, here).forward(images, kTextPrompt);
  double dot = 0, a = 0, b = 0, largest = 0;
  for (std::int64_t i = 0; i < std::ssize(expected.values); ++i) {
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
  const DeviceOptions device_options{
      .threads = options.threads, .pool = {}, .memory = std::make_shared<MemoryBudget>(options.memory_limit)};
  bool passed = true;
  const auto done = [&](const SelftestCheck& check) {
    passed = passed && check.passed;
    if (report) report(check);
  };
  try {
    run_op_checks(options.device, device_options, done);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::memory || options.memory_limit == 0) throw;
    fail_with_least_memory(options, device_options);
  }
  for (const ComputeType dtype : {ComputeType::fp32, ComputeType::bf16}) {
    done(run_forward(model_path, options, dtype));
  }
  return passed;
}

}  // namespace glmocr
