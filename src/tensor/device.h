// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/seconds.h"
#include "tensor/buffer.h"
#include "tensor/kv_store.h"
#include "tensor/ops.h"
#include "tensor/peaks.h"
#include "tensor/tensor.h"
#include "tensor/weight.h"

namespace glmocr {

class MemoryBudget;

// Identifies recorded steps: steps with equal keys run the same operations on the same tensors.
struct StepKey {
  RowClass row_class = RowClass::few;
  int rows = 0;
  int sequences = 0;
  int pages = 0;          // columns of the page table that are read
  int logit_rows = 0;     // rows that get logits
  bool features = false;  // some rows are picture features
  bool advance = false;   // the tables are moved on at the end

  bool operator==(const StepKey&) const = default;
};

// Sizes of steps that suit a device.
struct StepSizes {
  int prefill_rows = 512;              // rows of one chunk of a prompt
  std::int64_t vision_patches = 2048;  // patches encoded together
  double vision_flop = 1e11;           // floating-point operations of vision in one step
  // Rows of vision that run at once, at most, outside of attention: enough for the products to be efficient, few enough that
  // the workspace of the largest picture stays small. A multiple of 16.
  std::int64_t vision_rows = 4096;
  int depth = 1;  // steps in flight at once; 1: results are fetched after each step
};

// One processor with its memory: where tensors live and where Ops run. Used by one thread at a time.
//
// Memory comes in two kinds. `allocate` returns a Buffer that lives as long as its owner (weights, tables of
// a step). `scratch` returns memory of the current step's arena, which is freed at the end of the step or of
// an ArenaScope.
class Device {
 public:
  virtual ~Device() = default;

  virtual std::string name() const = 0;  // "cpu", "cpu:avx2" where the set was named, "cuda:0", "ref"
  virtual std::string isa() const = 0;   // "avx512_bf16", "sm_90"; "" where there is none
  virtual int threads() const = 0;       // host threads the kernels use
  virtual Ops& ops() = 0;

  // True where bf16 activations are faster than fp32: what --dtype auto asks.
  virtual bool prefers_bf16() const = 0;

  virtual StepSizes step_sizes() const = 0;
  // The size to which a step pads `count` rows (sequences, pages, rows of logits): the count itself where
  // nothing is recorded, else one of a few sizes, so that few steps are recorded.
  virtual int bucket(int count) const = 0;

  // What the device can do at most, measured now, in a few seconds, with nothing else running. The default knows
  // nothing.
  virtual Peaks measure_peaks(Clock) { return {}; }

  // The budget of allocate, scratch and make_kv_store. The device's owner and others may take from it too.
  virtual const std::shared_ptr<MemoryBudget>& memory() const = 0;

  // Throws Error{memory} naming the bytes asked for, in use and allowed.
  virtual Buffer allocate(std::int64_t bytes) = 0;
  // The same for bytes that the caller has already taken from memory().
  virtual Buffer allocate_paid(std::int64_t bytes) = 0;
  // An uninitialised contiguous tensor in the arena. Throws Error{memory}.
  virtual Tensor scratch(const Shape& shape, DType dtype) = 0;

  // For ArenaScope.
  virtual std::int64_t arena_mark() const = 0;
  virtual void arena_rewind(std::int64_t mark) = 0;
  // Room for a step that takes so many bytes of the arena; between steps only. 0 gives all of it back. Throws
  // Error{memory}.
  virtual void reserve_arena(std::int64_t bytes) = 0;
  // The most bytes of the arena in use at once since the device was opened.
  virtual std::int64_t arena_peak_bytes() const = 0;

  // Copies between host and device, and within the device. Both sides are contiguous and of the same shape
  // and type. download waits for the device.
  virtual void upload(const void* host, const Tensor& to) = 0;
  virtual void download(const Tensor& from, void* host) = 0;
  virtual void copy(const Tensor& from, const Tensor& to) = 0;

  // Waits until the device has done what it was asked for, so that it can be timed. Throws Error{device} where it does not
  // work any more: so it is also how the engine learns that a device is lost.
  virtual void wait() {}

  // A contiguous host tensor for the operations of the current step: the same memory where the device can
  // read it, otherwise a copy in the arena. The memory must not change until the step has ended.
  virtual Tensor borrow(const Tensor& host) = 0;

  // A stored matrix [out, in] in this device's layout, without bias. `matrix` is in host memory (a mapped
  // file, maybe misaligned) or in a buffer of this device. It is used in place where possible; otherwise it
  // is copied into `owner`.
  virtual Weight prepare(const Tensor& matrix, WeightUse use, Buffer& owner) = 0;

  // Whether Ops::linear takes weights in eight bits.
  virtual bool multiplies_int8() const { return false; }
  // A matrix in eight bits for Ops::linear, without bias: values [out, in] i8 and scales [out] f32 in host memory. It is
  // copied into `owner`; only where the memory budget has no room to prepare it, `owner` may get the scales alone, and
  // the values are used in place, for as long as the weight is. Throws Error{memory}, and Error{device} where
  // multiplies_int8() is false, as the default does.
  virtual Weight prepare_int8(const Tensor& values, const Tensor& scales, Buffer& owner);

  // Bytes of one page in all layers (spec.pages is ignored).
  virtual std::int64_t kv_page_bytes(const KvSpec& spec) const = 0;
  // Throws Error{memory}.
  virtual std::unique_ptr<KvStore> make_kv_store(const KvSpec& spec) = 0;

  // Runs one step. The arena is empty when the body begins.
  virtual void run_step(const std::function<void()>& body) = 0;
  // Runs one step that a device may record the first time it sees the key and replay from then on, without
  // calling the body. So the body consists of operations on tensors that are the same for every step with
  // this key (weights, tables allocated once, results of operations). It uploads and downloads nothing and
  // branches on nothing but the key.
  virtual void run_step(const StepKey& key, const std::function<void()>& body) = 0;
  // Forgets what was recorded. Called before tensors that recorded steps use are freed.
  virtual void forget_steps() = 0;

  // A host array as an arena tensor: upload_array(ids.data(), {n}).
  template <class T>
  Tensor upload_array(const T* host, const Shape& shape) {
    const Tensor tensor = scratch(shape, dtype_of<T>);
    upload(host, tensor);
    return tensor;
  }
};

// Its destructor frees what was taken from the arena since its constructor.
class ArenaScope {
 public:
  explicit ArenaScope(Device& device) : device_(device), mark_(device.arena_mark()) {}
  ~ArenaScope() { device_.arena_rewind(mark_); }
  ArenaScope(const ArenaScope&) = delete;
  ArenaScope& operator=(const ArenaScope&) = delete;

 private:
  Device& device_;
  std::int64_t mark_;
};

}  // namespace glmocr
