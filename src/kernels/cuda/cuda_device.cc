// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda/cuda_device.h"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cstring>
#include <optional>
#include <string_view>

#include "base/log.h"
#include "kernels/cuda/cuda_kv_store.h"
#include "kernels/cuda/cuda_ops.h"
#include "kernels/cuda/decoder_check.h"
#include "kernels/cuda/halves.h"
#include "kernels/cuda/hopper_check.h"
#include "kernels/cuda/recorded_steps.h"
#include "kernels/cuda/transfers.h"

namespace glmocr {
namespace cuda {
namespace {

// The end of a device's name that leaves out the kernels for single cards, so that one card can test all kernels.
constexpr std::string_view kOnlySm80 = ":sm80";
constexpr int kLeastCapability = 80;  // the first cards that multiply bf16

struct Card {
  int index = 0;
  int capability = 0;
  int processors = 0;
  int shared_memory = 0;  // bytes that a block may have
};

int attribute(int index, cudaDeviceAttr which) {
  int value = 0;
  return cudaDeviceGetAttribute(&value, which, index) == cudaSuccess ? value : 0;
}

Card card(int index) {
  return {index,
          10 * attribute(index, cudaDevAttrComputeCapabilityMajor) +
              attribute(index, cudaDevAttrComputeCapabilityMinor),
          attribute(index, cudaDevAttrMultiProcessorCount),
          attribute(index, cudaDevAttrMaxSharedMemoryPerBlockOptin)};
}

// The number of cards, or why there is none.
int card_count(std::string* reason = nullptr) {
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  if (status == cudaSuccess) return count;
  cudaGetLastError();
  if (reason) {
    *reason = status == cudaErrorInsufficientDriver
                  ? "NVIDIA's driver was not found, or is too old for this build"
                  : cudaGetErrorString(status);
  }
  return 0;
}

class CudaDevice final : public Device {
 public:
  CudaDevice(const Card& card, bool only_sm80, const DeviceOptions& options)
      : name_(cat("cuda:", card.index, only_sm80 ? kOnlySm80 : std::string_view())),
        memory_(options.memory ? options.memory : std::make_shared<MemoryBudget>()),
        context_{.device = cat("cuda:", card.index),
                 .index = card.index,
                 .processors = card.processors,
                 .capability = card.capability,
                 .shared_memory = static_cast<std::size_t>(card.shared_memory),
                 .short_products = options.short_products,
                 .programmatic = card.capability >= 90},
        arena_(memory_),
        ops_(*this, context_),
        steps_(context_),
        copies_(context_) {
    activate();
    stream_.emplace(context_.device);
    copy_stream_.emplace(context_.device);
    context_.stream = *stream_;
    pinned_.emplace(kFetch + 64, context_.device);
    context_.step_fault = reinterpret_cast<std::int32_t*>(pinned_->data() + kFetch);
    *context_.step_fault = kNoFault;
    counters_.emplace(nullptr, kCounterWords * 4, "counters");
    context_.counters = reinterpret_cast<std::int32_t*>(counters_->data());
    reset_counters();
    uploads_.emplace(context_);
    if (!only_sm80 && has_sm90_code(context_)) use_hopper_kernels();
    if (context_.hopper) use_layers_at_once();
  }
  ~CudaDevice() override {
    cudaSetDevice(context_.index);
    cudaStreamSynchronize(context_.stream);
  }

  std::string name() const override { return name_; }
  // "sm_90a" where the kernels for Hopper are in use.
  std::string isa() const override { return cat("sm_", context_.capability, context_.hopper ? "a" : ""); }
  int threads() const override { return 1; }
  Ops& ops() override { return ops_; }
  bool prefers_bf16() const override { return true; }

  StepSizes step_sizes() const override {
    return {
        .prefill_rows = 2048, .vision_patches = 16384, .vision_flop = 4e12, .vision_rows = 10240, .depth = 2};
  }
  // Powers of two up to 8, then four sizes an octave: at most a quarter is padding.
  int bucket(int count) const override {
    if (count <= 0) return 0;
    const auto last = static_cast<unsigned>(count - 1);
    if (count <= 8) return static_cast<int>(std::bit_ceil(static_cast<unsigned>(count)));
    const int step = 1 << (std::bit_width(last) - 3);
    return round_up(count, step);
  }

  const std::shared_ptr<MemoryBudget>& memory() const override { return memory_; }
  Buffer allocate(std::int64_t bytes) override { return take(memory_, bytes); }
  Buffer allocate_paid(std::int64_t bytes) override { return take(nullptr, bytes); }
  Tensor scratch(const Shape& shape, DType dtype) override {
    activate();
    return Tensor(arena_.take(shape.numel() * size_of(dtype)), shape, dtype, this);
  }
  std::int64_t arena_mark() const override { return arena_.mark(); }
  void arena_rewind(std::int64_t mark) override { arena_.rewind(mark); }
  void reserve_arena(std::int64_t bytes) override {
    activate();
    finish();  // what the device still runs uses the arena
    arena_.reserve(bytes);
  }
  std::int64_t arena_peak_bytes() const override { return arena_.peak(); }

  void upload(const void* host, const Tensor& to) override {
    GLMOCR_CHECK(to.is_contiguous() && to.device == this && !context_.recording);
    if (to.bytes() == 0) return;
    activate();
    copies_.drop(range_of(to));
    uploads_->upload(host, to.data, to.bytes());
  }
  void download(const Tensor& from, void* host) override;
  void copy(const Tensor& from, const Tensor& to) override;
  void wait() override {
    activate();
    finish();
  }
  Tensor borrow(const Tensor& host) override {
    GLMOCR_CHECK(host.is_contiguous());
    const Tensor tensor = scratch(host.shape, host.dtype);
    upload(host.data, tensor);
    return tensor;
  }
  Weight prepare(const Tensor& matrix, WeightUse use, Buffer& owner) override;

  std::int64_t kv_page_bytes(const KvSpec& spec) const override {
    KvSpec page = spec;
    page.pages = 1;
    return CudaKvStore::bytes(page);
  }
  std::unique_ptr<KvStore> make_kv_store(const KvSpec& spec) override {
    activate();
    return std::make_unique<CudaKvStore>(spec, *this,
                                         DeviceMemory(memory_, CudaKvStore::bytes(spec), "keys and values"));
  }

  void run_step(const std::function<void()>& body) override {
    activate();
    const ArenaScope scope(*this);
    const InStep in_step(*this);
    body();
  }
  void run_step(const StepKey& key, const std::function<void()>& body) override;
  void forget_steps() override {
    activate();
    steps_.clear();
  }

 private:
  static constexpr std::int64_t kFetch = 1 << 16;  // results up to this size come through page-locked memory

  struct InStep {
    explicit InStep(CudaDevice& device) : device(device) { device.in_step_ = true; }
    ~InStep() { device.in_step_ = false; }
    CudaDevice& device;
  };

  // What is being recorded has addresses of the arena, which must not move, not even when it is empty in between.
  struct HeldArena {
    explicit HeldArena(BlockArena<DeviceMemory>& arena) : arena(arena) { arena.hold(true); }
    ~HeldArena() { arena.hold(false); }
    BlockArena<DeviceMemory>& arena;
  };

  // Without them the device is slower, so that they do not work, or do not fit, is no error.
  void use_hopper_kernels() {
    context_.hopper = true;
    try {
      if (hopper_kernels_work(*this)) return arena_.reserve(0);
      log(LogLevel::warning,
          cat(context_.device, ": the kernels for Hopper give wrong results and are not used"));
    } catch (const Error& error) {
      if (error.code() != ErrorCode::memory) throw;
    }
    context_.hopper = false;
    arena_.reserve(0);
  }

  // The same for all layers of a decoder for one row in one launch.
  void use_layers_at_once() {
    context_.layers_at_once = true;
    try {
      if (decoder_layers_work(*this)) return arena_.reserve(0);
      log(LogLevel::warning,
          cat(context_.device,
              ": all layers of a decoder at once give other results and are not computed so"));
    } catch (const Error& error) {
      if (error.code() != ErrorCode::memory && error.code() != ErrorCode::internal) throw;
      log(LogLevel::warning, error.what());
    }
    leave_layers_at_once();
    arena_.reserve(0);
  }

  // Recorded steps hold the launch.
  void leave_layers_at_once() {
    context_.layers_at_once = false;
    steps_.clear();
    reset_counters();
  }
  // As kernels expect them.
  void reset_counters() const {
    const auto fill = [&](std::int64_t begin, std::int64_t end, int value) {
      check(cudaMemsetAsync(context_.counters + begin, value, (end - begin) * 4, context_.stream),
            context_.device, "cudaMemset");
    };
    fill(0, kPlaces, 0);
    fill(kPlaces, kCounterWords, 0xFF);
  }

  // The card is a property of the calling thread.
  void activate() const { check(cudaSetDevice(context_.index), context_.device, "cudaSetDevice"); }
  void finish() const {
    check(cudaStreamSynchronize(context_.stream), context_.device, "waiting for kernels");
  }

  Buffer take(std::shared_ptr<MemoryBudget> budget, std::int64_t bytes) {
    activate();
    const auto memory = std::make_shared<DeviceMemory>(std::move(budget), bytes, "weights and tables");
    return Buffer(std::shared_ptr<void>(memory, memory->data()), bytes, this);
  }
  void forget_copies_after_kernels() {
    if (launches_seen_ == context_.launches) return;
    copies_.drop_all();
    launches_seen_ = context_.launches;
  }

  std::string name_;
  std::shared_ptr<MemoryBudget> memory_;
  Context context_;
  std::optional<Stream> stream_, copy_stream_;
  std::optional<PinnedMemory> pinned_;
  std::optional<DeviceMemory> counters_;
  std::optional<Uploads> uploads_;
  BlockArena<DeviceMemory> arena_;
  CudaOps ops_;
  RecordedSteps steps_;
  FinishedCopies copies_;
  std::int64_t recorded_version_ = 0;  // of the arena that steps_ were recorded with
  std::int64_t launches_seen_ = 0;
  bool in_step_ = false;
};

// Waits for all that was asked for before, or only for the copy that wrote these bytes.
void CudaDevice::download(const Tensor& from, void* host) {
  GLMOCR_CHECK(from.is_contiguous() && !context_.recording);
  if (from.bytes() == 0) return;
  activate();
  forget_copies_after_kernels();
  cudaStream_t stream = context_.stream;
  if (const cudaEvent_t written = copies_.find(range_of(from))) {
    check(cudaEventSynchronize(written), context_.device, "waiting for kernels");
    stream = *copy_stream_;
  }
  const bool small = from.bytes() <= kFetch;
  void* to = small ? pinned_->data() : host;
  check(cudaMemcpyAsync(to, from.data, from.bytes(), cudaMemcpyDeviceToHost, stream), context_.device,
        "download");
  check(cudaStreamSynchronize(stream), context_.device, "waiting for kernels");
  if (small) std::memcpy(host, to, from.bytes());
  if (const int fault = std::exchange(*context_.step_fault, kNoFault); fault != kNoFault) {
    if (fault == kWaitedInVain) {
      finish();
      leave_layers_at_once();
      fail(ErrorCode::internal, cat(context_.device, ": decoder_layers: blocks waited in vain"));
    }
    reset_counters();  // this fault may have taken the place of kWaitedInVain
    if (fault == kRowsWithoutKeys) {
      fail(ErrorCode::internal,
           cat(context_.device, ": attention_paged: a sequence has more rows than its context"));
    }
    fail(ErrorCode::internal, cat(context_.device, ": a step used an index outside of its tensor"));
  }
}

void CudaDevice::copy(const Tensor& from, const Tensor& to) {
  GLMOCR_CHECK(from.shape == to.shape && from.dtype == to.dtype);
  GLMOCR_CHECK(from.is_contiguous() && to.is_contiguous());
  if (from.bytes() == 0) return;
  activate();
  context_.run_delayed();
  forget_copies_after_kernels();
  check(cudaMemcpyAsync(to.data, from.data, from.bytes(), cudaMemcpyDeviceToDevice, context_.stream),
        context_.device, "copy");
  if (context_.recording) {
    context_.written.push_back(range_of(to));
  } else if (in_step_) {
    copies_.drop(range_of(to));
  } else {
    copies_.add(range_of(to));
  }
}

// A matrix of this device stays where it is; one in host memory is copied.
Weight CudaDevice::prepare(const Tensor& matrix, WeightUse use, Buffer& owner) {
  GLMOCR_CHECK(matrix.rank() == 2 && matrix.is_contiguous());
  Weight weight;
  weight.data = matrix;
  // Not those of the three channels of a picture, which do not take tensor cores.
  if (context_.short_products && use != WeightUse::embedding && matrix.size(1) % 4 == 0) {
    const Buffer copy = matrix.device == this ? Buffer() : allocate(matrix.bytes());
    const Tensor from = copy ? copy.view(matrix.shape, matrix.dtype) : matrix;
    if (copy) upload(matrix.data, from);
    const Shape shape{matrix.size(0), row_of_halves(matrix.size(1))};
    owner = allocate(shape.numel() * size_of(DType::bf16));
    weight.data = owner.view(shape, DType::bf16);
    split_into_halves(context_, from, weight.data.data);
    weight.layout = WeightLayout::halves;
    finish();  // before the copy is freed
  } else if (matrix.device != this) {
    owner = allocate(matrix.bytes());
    weight.data = owner.view(matrix.shape, matrix.dtype);
    upload(matrix.data, weight.data);
  }
  weight.out_features = matrix.size(0);
  weight.in_features = matrix.size(1);
  weight.use = use;
  return weight;
}

void CudaDevice::run_step(const StepKey& key, const std::function<void()>& body) {
  activate();
  GLMOCR_CHECK(arena_.mark() == 0);
  arena_.join_blocks();
  if (arena_.version() != recorded_version_) steps_.clear();
  recorded_version_ = arena_.version();
  RecordedSteps::Step* step = steps_.find(key);
  if (!step) {
    const ArenaScope scope(*this);
    const HeldArena held(arena_);
    step = &steps_.record(key, body);
  }
  forget_copies_after_kernels();
  for (const Range& range : step->written) copies_.drop(range);
  steps_.launch(*step);
}

}  // namespace
}  // namespace cuda

std::vector<std::string> available_cuda_devices() {
  std::vector<std::string> names;
  for (int i = 0; i < cuda::card_count(); ++i) {
    const int capability = cuda::card(i).capability;
    if (capability >= cuda::kLeastCapability) names.push_back(cat("cuda:", i));
    if (capability == 90) names.push_back(cat("cuda:", i, cuda::kOnlySm80));
  }
  return names;
}

std::unique_ptr<Device> open_cuda_device(const std::string& name, const DeviceOptions& options) {
  std::string reason;
  const int count = cuda::card_count(&reason);
  int index = -1;
  const bool only_sm80 = name.ends_with(cuda::kOnlySm80);
  const char* digits = name.data() + std::min(name.size(), std::strlen("cuda:"));
  const char* last = name.data() + name.size() - (only_sm80 ? cuda::kOnlySm80.size() : 0);
  const auto [end, error] = std::from_chars(digits, std::max(digits, last), index);
  if (error != std::errc() || end != last || index < 0 || index >= count) {
    if (reason.empty()) reason = count == 0 ? "this machine has no card" : "there is no such card";
    fail(ErrorCode::device,
         cat("device \"", name, "\": ", reason, "; available: ", join(available_devices(), ", ")));
  }
  const cuda::Card card = cuda::card(index);
  if (card.capability < cuda::kLeastCapability) {
    fail(ErrorCode::device, cat("device \"", name, "\": the card has compute capability ",
                                card.capability / 10.0, ", 8.0 or later is needed"));
  }
  return std::make_unique<cuda::CudaDevice>(card, only_sm80, options);
}

}  // namespace glmocr
