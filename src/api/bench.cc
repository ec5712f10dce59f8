// SPDX-License-Identifier: Apache-2.0
#include "glmocr/bench.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <numeric>
#include <utility>

#include "api/compute_type.h"
#include "api/load_limits.h"
#include "base/error.h"
#include "base/numbers.h"
#include "base/seconds.h"
#include "kernels/kernels.h"
#include "models/glm_ocr/decoder.h"
#include "models/glm_ocr/preprocess.h"
#include "models/glm_ocr/synthetic.h"
#include "models/glm_ocr/vision.h"
#include "models/glm_ocr/weights.h"
#include "store/hub_cache.h"

namespace glmocr {
namespace {

constexpr int kPageSize = 32;

void check(const char* what, std::int64_t value, std::int64_t most) {
  if (value >= 1 && value <= most) return;
  fail(ErrorCode::usage, cat("bench: ", what, " is ", value, ", expected 1 to ", most));
}

void check(const BenchOptions& options) {
  for (const BenchPicture& picture : options.pictures) {
    check("the width of a picture", picture.width, 1 << 16);
    check("the height of a picture", picture.height, 1 << 16);
  }
  for (const int tokens : options.prompts) check("the length of a prompt", tokens, 1 << 20);
  for (const int count : options.sequences) check("the number of sequences", count, 1024);
  for (const int tokens : options.contexts) check("the context", tokens, 1 << 20);
  check("the number of tokens", options.tokens, 1 << 16);
  check("the number of runs", options.runs, 1 << 16);
  check_limits(options.load, "bench: ");
}

std::int64_t bytes_of(std::initializer_list<const Weight*> weights) {
  std::int64_t sum = 0;
  for (const Weight* weight : weights) sum += weight->bytes();
  return sum;
}

double values_of(std::initializer_list<const Weight*> weights) {
  double sum = 0;
  for (const Weight* w : weights)
    sum += static_cast<double>(w->out_features) * static_cast<double>(w->in_features);
  return sum;
}

// Of the products of one token in all layers: bytes and values of their weights.
struct LayerSizes {
  std::int64_t bytes = 0;
  double values = 0;
  explicit LayerSizes(const DecoderWeights& decoder) {
    for (const DecoderLayerWeights& w : decoder.layers) {
      const auto all = {&w.q_proj, &w.k_proj, &w.v_proj, &w.o_proj, &w.gate_proj, &w.up_proj, &w.down_proj};
      bytes += bytes_of(all);
      values += values_of(all);
    }
  }
};

std::int64_t vision_bytes(const VisionWeights& w) {
  std::int64_t sum =
      bytes_of({&w.patch_embed, &w.downsample, &w.merger_proj, &w.merger_gate, &w.merger_up, &w.merger_down});
  for (const VisionBlockWeights& b : w.blocks) {
    sum += bytes_of({&b.q, &b.k, &b.v, &b.proj, &b.gate, &b.up, &b.down});
  }
  return sum;
}

// Operations of products with weights and of attention, which may have different peaks.
struct Operations {
  double products = 0, attention = 0;
};

// A model on a device, without tokenizer and engine.
struct Network {
  std::unique_ptr<Device> device;
  GlmOcrConfig config;
  DType compute;
  Weights weights;
  std::unique_ptr<VisionEncoder> vision;
  std::unique_ptr<Decoder> decoder;
  Buffer normalized;  // [3, 256] f32

  explicit Network(const BenchOptions& options);
  bool in_eight_bits() const { return static_cast<bool>(weights.decoder.layers.at(0).q_proj.scale); }
  const TextConfig& text() const { return config.text; }
};

Network::Network(const BenchOptions& options)
    : device(open_device(options.load.device,
                         {.threads = options.load.threads,
                          .memory = std::make_shared<MemoryBudget>(options.load.memory_limit)})),
      compute(compute_type(options.load.dtype, *device)) {
  if (options.weights == BenchWeights::snapshot) {
    const auto snapshot = resolve_snapshot(options.model);
    config = load_config(snapshot);
    weights =
        load_weights(SafetensorsFiles::open(snapshot), config, *device, compute, options.load.quantization);
  } else {
    const bool published = options.weights == BenchWeights::published;
    config = synthetic_config(published ? SyntheticSize::published : SyntheticSize::small);
    weights = make_weights(random_tensors(), config, *device, compute, options.load.quantization);
  }
  vision = std::make_unique<VisionEncoder>(config, weights.vision, *device, compute);
  decoder = std::make_unique<Decoder>(config, weights.decoder, *device, compute);
  const NormalizedBytes values = normalized_bytes(config.preprocess);
  normalized = device->allocate(sizeof values);
  device->upload(values.data(), normalized.view({3, 256}, DType::f32));
}

class Bench {
 public:
  Bench(const BenchOptions& options, const std::function<void(const BenchReport&)>& report)
      : options_(options),
        report_function_(report),
        network_(options),
        device_(*network_.device),
        clock_(options.processor_time ? Clock::processor : Clock::wall) {
    if (options.processor_time && !device_.name().starts_with("cpu") && device_.name() != "ref") {
      fail(ErrorCode::usage, cat("bench: processor time says nothing about ", device_.name()));
    }
    describe();
  }

  BenchReport run() {
    if (report_function_) report_function_(report_);
    for (const BenchPicture& picture : options_.pictures) vision(picture);
    for (const int tokens : options_.prompts) prefill(tokens);
    for (const int context : options_.contexts) {
      for (const int sequences : options_.sequences) decode(sequences, context);
    }
    return report_;
  }

 private:
  void describe();
  void vision(const BenchPicture& picture);
  void prefill(int tokens);
  void decode(int sequences, int context);

  void measure(BenchCase result, double units, const Operations& operations, const std::function<void()>& run,
               int steps = 1);
  double share_of_arithmetic(const Operations& operations, double time) const;

  const BenchOptions& options_;
  const std::function<void(const BenchReport&)>& report_function_;
  Network network_;
  Device& device_;
  Clock clock_;
  BenchReport report_;
};

void Bench::describe() {
  report_.model = options_.weights == BenchWeights::snapshot    ? options_.model
                  : options_.weights == BenchWeights::published ? "random weights, published sizes"
                                                                : "random weights, small";
  report_.device = device_.name();
  report_.isa = device_.isa();
  report_.dtype = network_.compute == DType::bf16 ? "bf16" : "fp32";
  report_.threads = device_.threads();
  const DecoderWeights& decoder = network_.weights.decoder;
  report_.weight_bytes = vision_bytes(network_.weights.vision) + LayerSizes(decoder).bytes +
                         bytes_of({&decoder.embed_tokens, &decoder.lm_head});
  if (!options_.peaks) return;
  const Peaks peaks = device_.measure_peaks(clock_);
  report_.peaks = {.fp32 = peaks.fp32, .bf16 = peaks.bf16(), .int8 = peaks.int8, .bytes = peaks.bytes};
}

double Bench::share_of_arithmetic(const Operations& operations, double time) const {
  const BenchPeaks& peaks = report_.peaks;
  const double activations = network_.compute == DType::bf16 && peaks.bf16 > 0 ? peaks.bf16 : peaks.fp32;
  const double products = network_.in_eight_bits() ? peaks.int8 : activations;
  if (activations == 0 || products == 0) return 0;
  return (operations.products / products + operations.attention / activations) / time;
}

// units: what a run does, as BenchCase::rate counts it; of result.bytes and operations a run takes `steps` times as
// many.
void Bench::measure(BenchCase result, double units, const Operations& operations,
                    const std::function<void()>& run, int steps) {
  const double threads = clock_ == Clock::processor ? device_.threads() : 1;
  std::vector<double> times;
  run();
  for (int i = 0; i < options_.runs; ++i) {
    const double start = seconds_now(clock_);
    run();
    times.push_back((seconds_now(clock_) - start) / threads / steps);
  }
  std::sort(times.begin(), times.end());
  result.seconds = (times[(times.size() - 1) / 2] + times[times.size() / 2]) / 2;
  result.least_seconds = times.front();
  result.rate = units / result.seconds;
  result.operations = operations.products + operations.attention;
  result.share_of_arithmetic = share_of_arithmetic(operations, result.seconds);
  if (report_.peaks.bytes > 0) result.share_of_memory = result.bytes / report_.peaks.bytes / result.seconds;
  report_.cases.push_back(result);
  if (report_function_) report_function_(report_);
}

// From pixels on the device to features.
void Bench::vision(const BenchPicture& picture) {
  const PreprocessConfig& c = network_.config.preprocess;
  const ImageSize size = smart_resize(picture.height, picture.width, c);
  const GridTHW grid{.t = 1, .h = size.height / c.patch_size, .w = size.width / c.patch_size};
  std::vector<std::uint8_t> bytes(std::int64_t{3} * size.height * size.width);
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::uint8_t>(i * 7919 % 251);
  const Buffer memory = device_.allocate(std::ssize(bytes));
  const Tensor pixels = memory.view({size.height, size.width, 3}, DType::u8);
  device_.upload(bytes.data(), pixels);
  const auto patches = [&](std::int64_t begin, std::int64_t end) {
    return device_.ops().patchify(pixels, network_.normalized.view({3, 256}, DType::f32),
                                  {.patch_size = c.patch_size,
                                   .frames = c.temporal_patch_size,
                                   .merge_size = c.merge_size,
                                   .first = begin,
                                   .count = end - begin,
                                   .out = {}},
                                  network_.compute);
  };
  const auto encode = [&] {
    VisionPass pass = network_.vision->begin({&grid, 1});
    device_.run_step([&] { network_.vision->run(pass, patches, std::numeric_limits<double>::infinity()); });
    device_.wait();
  };
  const VisionConfig& v = network_.config.vision;
  const double n = static_cast<double>(grid.patches()), attention = 4.0 * v.hidden_size * n * n * v.depth;
  BenchCase result;
  result.phase = BenchCase::Phase::vision;
  result.width = size.width;
  result.height = size.height;
  result.patches = grid.patches();
  result.bytes = static_cast<double>(vision_bytes(network_.weights.vision));
  measure(result, n, {network_.vision->flop({&grid, 1}) - attention, attention}, encode);
}

// Tables, keys and values of sequences of the same length, as the engine keeps them: at the same addresses for every
// step.
class Sequences {
 public:
  Sequences(const Network& network, std::int64_t rows, std::int64_t sequences, std::int64_t tokens);
  ~Sequences() { device_.forget_steps(); }
  Sequences(const Sequences&) = delete;
  Sequences& operator=(const Sequences&) = delete;

  // Fills every slot, as prompts would.
  void fill_cache();
  // The rows of the next step: of each sequence those from `begin` to `end`.
  void stage(std::int64_t begin, std::int64_t end);
  // Runs them. `samples`: the last row of each sequence gets a token. `advances`: then come the next ones.
  void run(bool samples, bool advances);
  // Throws Error{model} where the logits of a token were not finite.
  void check_tokens() const;

 private:
  template <class T>
  void upload(const std::vector<T>& values, const Tensor& table) {
    device_.upload(values.data(), table.slice(0, 0, std::ssize(values)));
  }
  Tensor take(const Shape& shape, DType dtype);
  SamplingTables sampling() const;

  const Network& network_;
  Device& device_;
  std::int64_t sequences_, pages_;
  std::int64_t rows_ = 0, end_ = 0;  // of the step that is staged: all rows, tokens of a sequence
  Buffer memory_;
  std::int64_t taken_ = 0;
  Tensor ids_, slots_, positions_, row_starts_, context_lens_, page_table_, last_rows_;
  Tensor params_, sampled_, logprobs_, top_ids_, top_logprobs_;
  std::unique_ptr<KvStore> cache_;
};

Sequences::Sequences(const Network& network, std::int64_t rows, std::int64_t sequences, std::int64_t tokens)
    : network_(network),
      device_(*network.device),
      sequences_(sequences),
      pages_(divide_up(tokens, std::int64_t{kPageSize})),
      memory_(device_.allocate(4 * (5 * rows + 20 * sequences + sequences * pages_) + 16 * 64)) {
  for (Tensor* table : {&ids_, &slots_}) *table = take({rows}, DType::i32);
  positions_ = take({3, rows}, DType::i32);
  row_starts_ = take({sequences + 1}, DType::i32);
  for (Tensor* table : {&context_lens_, &last_rows_, &sampled_}) *table = take({sequences}, DType::i32);
  logprobs_ = take({sequences}, DType::f32);
  params_ = take({sequences, sizeof(SamplingRow) / 4}, DType::i32);
  top_ids_ = take({sequences, 1}, DType::i32);
  top_logprobs_ = take({sequences, 1}, DType::f32);
  page_table_ = take({sequences, pages_}, DType::i32);
  std::vector<std::int32_t> pages(sequences * pages_);
  std::iota(pages.begin(), pages.end(), 0);
  device_.upload(pages.data(), page_table_);
  upload(std::vector<SamplingRow>(sequences), params_);
  cache_ = device_.make_kv_store(network.decoder->kv_spec(sequences * pages_, kPageSize));
}

Tensor Sequences::take(const Shape& shape, DType dtype) {
  const Tensor tensor = memory_.view(shape, dtype, taken_);
  taken_ += round_up<std::int64_t>(tensor.bytes(), 64);
  return tensor;
}

void Sequences::fill_cache() {
  const KvSpec& spec = cache_->spec();
  const std::int64_t width = std::int64_t{spec.kv_heads} * spec.head_dim;
  std::vector<float> values(kPageSize * width);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i * 7919 % 251) / 125 - 1;
  std::vector<bf16> rounded(values.size());
  std::transform(values.begin(), values.end(), rounded.begin(), to_bf16);
  const void* data = spec.dtype == DType::bf16 ? static_cast<const void*>(rounded.data()) : values.data();
  for (std::int64_t page = 0; page < spec.pages; ++page) {
    std::vector<std::int32_t> slots(kPageSize);
    std::iota(slots.begin(), slots.end(), static_cast<std::int32_t>(page * kPageSize));
    device_.run_step([&] {
      const Tensor kv = device_.scratch({kPageSize, spec.kv_heads, spec.head_dim}, spec.dtype);
      device_.upload(data, kv);
      const Tensor to = device_.upload_array(slots.data(), {kPageSize});
      for (int layer = 0; layer < spec.layers; ++layer) device_.ops().kv_write(kv, kv, *cache_, layer, to);
    });
  }
}

void Sequences::stage(std::int64_t begin, std::int64_t end) {
  const std::int64_t count = end - begin;
  std::vector<std::int32_t> ids, slots, positions, starts{0}, last;
  for (std::int64_t s = 0; s < sequences_; ++s) {
    for (std::int64_t i = begin; i < end; ++i) {
      ids.push_back(static_cast<std::int32_t>((s * 131 + i * 7919) % network_.text().vocab_size));
      slots.push_back(static_cast<std::int32_t>(s * pages_ * kPageSize + i));
      positions.push_back(static_cast<std::int32_t>(i));
    }
    starts.push_back(starts.back() + static_cast<std::int32_t>(count));
    last.push_back(starts.back() - 1);
  }
  rows_ = sequences_ * count;
  end_ = end;
  upload(ids, ids_);
  upload(slots, slots_);
  for (std::int64_t axis = 0; axis < 3; ++axis) {
    device_.upload(positions.data(), positions_.slice(0, axis, axis + 1).slice(1, 0, rows_));
  }
  upload(starts, row_starts_);
  upload(last, last_rows_);
  upload(std::vector<std::int32_t>(sequences_, static_cast<std::int32_t>(end)), context_lens_);
}

SamplingTables Sequences::sampling() const {
  return {.params = params_,
          .seen = {},
          .ids = sampled_,
          .logprobs = logprobs_,
          .top_ids = top_ids_,
          .top_logprobs = top_logprobs_};
}

void Sequences::run(bool samples, bool advances) {
  const std::int64_t count = rows_ / sequences_;
  StepKey key{.row_class = count <= kFewRows ? RowClass::few : RowClass::many};
  key.rows = static_cast<int>(rows_);
  key.sequences = static_cast<int>(sequences_);
  key.pages = static_cast<int>(pages_);
  key.logit_rows = samples ? key.sequences : 0;
  key.advance = advances;
  DecoderInput input;
  input.positions = positions_.slice(1, 0, rows_);
  input.slots = slots_.slice(0, 0, rows_);
  input.batch = {.row_starts = row_starts_,
                 .context_lens = context_lens_,
                 .page_table = page_table_,
                 .max_rows = static_cast<int>(count),
                 .max_context = static_cast<int>(pages_ * kPageSize),
                 .rows = key.row_class};
  input.cache = cache_.get();
  device_.run_step(key, [&] {
    Ops& ops = device_.ops();
    input.hidden = network_.decoder->embed(ids_.slice(0, 0, rows_));
    const Tensor rows = network_.decoder->forward(input);
    if (!samples) return;
    const Tensor logits = network_.decoder->logits(advances ? rows : ops.gather_rows(rows, last_rows_));
    DecodeTables next;
    if (advances) {
      next = {.ids = ids_,
              .positions = positions_,
              .slots = slots_,
              .context_lens = context_lens_,
              .page_table = page_table_,
              .page_size = kPageSize};
    }
    ops.sample(logits, sampling(), next);
  });
}

void Sequences::check_tokens() const {
  std::vector<std::int32_t> ids(sequences_);
  device_.download(sampled_, ids.data());
  if (std::find(ids.begin(), ids.end(), kNotFinite) != ids.end()) {
    fail(ErrorCode::model, "bench: the logits are not finite");
  }
}

// A whole prompt in chunks that suit the device, and its first token.
void Bench::prefill(int tokens) {
  const std::int64_t chunk = device_.step_sizes().prefill_rows;
  Sequences sequence(network_, std::min<std::int64_t>(tokens, chunk), 1, tokens);
  const auto run = [&] {
    for (std::int64_t begin = 0; begin < tokens; begin += chunk) {
      const std::int64_t end = std::min<std::int64_t>(begin + chunk, tokens);
      sequence.stage(begin, end);
      sequence.run(end == tokens, false);
    }
    sequence.check_tokens();
  };
  const TextConfig& c = network_.text();
  const DecoderWeights& w = network_.weights.decoder;
  const LayerSizes layers(w);
  const double pairs = 0.5 * tokens * (tokens + 1.0);
  BenchCase result;
  result.phase = BenchCase::Phase::prefill;
  result.tokens = tokens;
  result.bytes =
      static_cast<double>(layers.bytes * divide_up<std::int64_t>(tokens, chunk) + w.lm_head.bytes());
  measure(result, tokens,
          {2 * (layers.values * tokens + values_of({&w.lm_head})),
           4 * pairs * c.num_attention_heads * c.head_dim * c.num_hidden_layers},
          run);
}

// Steps that decode a token of every sequence.
void Bench::decode(int sequences, int context) {
  const int steps = options_.tokens;
  Sequences all(network_, sequences, sequences, std::int64_t{context} + steps + 1);
  all.fill_cache();
  const auto run = [&] {
    all.stage(context, context + 1);
    for (int i = 0; i < steps; ++i) all.run(true, true);
    device_.wait();
    all.check_tokens();
  };
  const TextConfig& c = network_.text();
  const DecoderWeights& w = network_.weights.decoder;
  const LayerSizes layers(w);
  const double seen = context + (steps + 1) / 2.0, heads = c.num_attention_heads;
  const double cached = static_cast<double>(device_.kv_page_bytes(network_.decoder->kv_spec(1, kPageSize))) /
                        kPageSize;  // of one token
  BenchCase result;
  result.phase = BenchCase::Phase::decode;
  result.tokens = context;
  result.sequences = sequences;
  result.bytes = static_cast<double>(layers.bytes + w.lm_head.bytes()) + sequences * seen * cached;
  measure(result, sequences,
          {2 * sequences * (layers.values + values_of({&w.lm_head})),
           4 * sequences * seen * heads * c.head_dim * c.num_hidden_layers},
          run, steps);
}

}  // namespace

BenchReport bench(const BenchOptions& options, const std::function<void(const BenchReport&)>& report) {
  check(options);
  return Bench(options, report).run();
}

}  // namespace glmocr
