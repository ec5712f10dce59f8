// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "tensor/buffer.h"
#include "tensor/tensor.h"

namespace glmocr {

class Ops;

// One processor with its memory: where tensors live and where Ops run. Owned and used by one thread at a
// time.
//
// Memory comes in two kinds. `allocate` gives a Buffer that lives as long as its owner (weights, KV pages).
// `scratch` gives memory of the current step's arena, which the next reset, or the end of an ArenaScope,
// takes back.
class Device {
 public:
  virtual ~Device() = default;

  virtual std::string name() const = 0;  // "cpu", "cuda:0", "ref"
  virtual std::string isa() const = 0;   // "avx512_bf16", "sm_90"; "" where it means nothing
  virtual int threads() const = 0;       // host threads the kernels use
  virtual Ops& ops() = 0;

  // True where bf16 activations are faster than fp32: what --dtype auto asks.
  virtual bool prefers_bf16() const = 0;

  // Throws Error{memory} with the bytes asked for and the bytes that may be had.
  virtual Buffer allocate(std::int64_t bytes) = 0;
  virtual Tensor scratch(const Shape& shape, DType dtype) = 0;

  virtual std::size_t arena_mark() const = 0;
  virtual void arena_rewind(std::size_t mark) = 0;
  virtual std::int64_t arena_peak_bytes()
      const = 0;  // the most that scratch has held since the device was opened

  // Copies between host and device. Shapes and dtypes of both sides are equal and contiguous.
  virtual void upload(const void* host, const Tensor& to) = 0;
  virtual void download(const Tensor& from, void* host) = 0;

  // A weight as the kernels read it. A host tensor may be used where it lies (the CPU maps the file and
  // copies nothing); elsewhere it is copied into `owner`.
  virtual Tensor place(const Tensor& host, Buffer& owner) = 0;

  // Runs one step. Steps with the same key run the same operations on the same shapes, so a device may record
  // the first and replay it (CUDA graphs). The arena is empty when fn begins.
  virtual void run_step(std::uint64_t key, const std::function<void()>& fn) = 0;

  // A host array as an arena tensor: upload_array(ids.data(), {n}).
  template <class T>
  Tensor upload_array(const T* host, const Shape& shape) {
    const Tensor tensor = scratch(shape, dtype_of<T>);
    upload(host, tensor);
    return tensor;
  }
};

// Gives back, at its end, what was taken from the arena since its beginning.
class ArenaScope {
 public:
  explicit ArenaScope(Device& device) : device_(device), mark_(device.arena_mark()) {}
  ~ArenaScope() { device_.arena_rewind(mark_); }
  ArenaScope(const ArenaScope&) = delete;
  ArenaScope& operator=(const ArenaScope&) = delete;

 private:
  Device& device_;
  std::size_t mark_;
};

}  // namespace glmocr
