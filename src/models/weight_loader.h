// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "tensor/device.h"
#include "tensor/safetensors.h"

namespace glmocr {

// How many tensors make up one part of a model, as `glm-ocr info` shows it.
struct TensorGroup {
  std::string name;
  std::int64_t tensors = 0, parameters = 0, bytes = 0;  // as stored
};

// values.size() values of a tensor from the given one on, as fp32. Its type is F32, F16, BF16.
void widen_values(const StoredTensor& stored, std::int64_t first, std::vector<float>& values);

// A tensor that no file holds, and its memory.
struct MadeTensor {
  StoredTensor stored;
  std::unique_ptr<std::byte[]> memory;
};

// The result of loading: the owners of the memory that weights refer to, and a summary for the user.
struct LoadedTensors {
  SafetensorsFiles files;
  std::map<std::string, MadeTensor> made;  // in place of the files'
  std::vector<Buffer> buffers;
  std::vector<TensorGroup> groups;
  std::vector<std::string> notes;  // what a user may want to know, such as conversions
  std::int64_t mapped_bytes = 0;   // tensors used where their file is mapped
  std::int64_t copied_bytes = 0;   // tensors that had to be converted, reordered or copied to the device
};

// Takes tensors out of a snapshot one by one, checks their shapes and prepares them on the device. Missing,
// misshapen and unexpected tensors are collected, so that finish() lists them all in one error; until then a
// tensor that is missing or misshapen is returned empty.
//
// Matrices keep their stored type, except that F16 and F32 become bf16 where `compute` is bf16. Vectors
// become f32, rounded to bf16 first where `compute` is bf16. Matrices of linear() and linear_parts() may be stored in
// eight bits, with `prefix`.weight_scale [out_features, 1] or [out_features], or become that (quantize_linear).
class WeightLoader {
 public:
  // Another name under which a snapshot may store a tensor. Empty: there is none.
  using Spelling = std::function<std::string(const std::string& name)>;

  // Makes a tensor of this name and shape.
  using Maker = std::function<MadeTensor(const std::string& name, const Shape& shape)>;

  WeightLoader(SafetensorsFiles files, Device& device, DType compute, Spelling spelling = {});
  // Without a snapshot: every tensor is made when it is asked for.
  WeightLoader(Maker maker, Device& device, DType compute);

  // linear() and linear_parts() make matrices of eight bits of those that are not stored so.
  void quantize_linear() { quantizes_ = true; }

  // Tensors taken from now on are counted in this group.
  void begin_group(const std::string& name) { loaded_.groups.push_back({name}); }

  Weight matrix(const std::string& name, std::int64_t out_features, std::int64_t in_features,
                WeightUse use = WeightUse::linear);
  Tensor vector(const std::string& name, std::int64_t size);

  // `prefix`.weight [out_features, in_features] and, with `bias`, `prefix`.bias [out_features].
  Weight linear(const std::string& prefix, std::int64_t out_features, std::int64_t in_features, bool bias);

  // The same in parts of equal size, so that each part is a weight of its own: `prefix`.weight [parts · out_features,
  // in_features].
  std::vector<Weight> linear_parts(const std::string& prefix, int parts, std::int64_t out_features,
                                   std::int64_t in_features, bool bias);

  // The columns of a convolution that is computed as a product.
  enum class Columns {
    channel_first,  // [out, in · …]: the order of the kernel
    channel_last,   // [out, … · in]
  };
  // `prefix`.weight, a kernel [out, in, …] stored in this order or as [out, …, in], and `prefix`.bias [out].
  Weight convolution(const std::string& prefix, const Shape& kernel, Columns columns);

  // The values of a tensor of this shape, for matrices that are made of several tensors; empty: missing.
  std::vector<double> values(const std::string& name, const Shape& shape);
  // Keeps what was made of them on the device: a matrix [out_features, in_features], as f32 or bf16, and values of any
  // shape, as f32.
  Weight keep_matrix(const std::vector<float>& values, std::int64_t out_features, std::int64_t in_features,
                     WeightUse use, DType dtype);
  Tensor keep_vector(const std::vector<float>& values, const Shape& shape);

  bool contains(const std::string& name) const { return find_name(name) != nullptr; }
  // Counts a tensor that is not loaded. False if it is missing.
  bool set_aside(const std::string& name, const Shape& shape);
  // The same, where a tensor that is missing is an error.
  void require(const std::string& name, const Shape& shape) { find(name, {shape}); }
  // Tensors whose names end so are neither used nor unexpected.
  void ignore_ending_in(const std::string& suffix) { ignored_suffix_ = suffix; }

  void note(const std::string& text) { loaded_.notes.push_back(text); }

  // Ends loading. Throws Error{model} that lists missing, misshapen and unexpected tensors.
  LoadedTensors finish();

 private:
  using Named = std::map<std::string, StoredTensor>::value_type;
  const Named* find_name(const std::string& name) const;
  const StoredTensor* find(const std::string& name, const std::vector<Shape>& shapes, bool required = true);
  const StoredTensor* find_matrix(const std::string& name, std::int64_t out_features,
                                  std::int64_t in_features);
  void check_type(const std::string& name, const StoredTensor& stored) const;
  const StoredTensor* make(const std::string& name, const Shape& shape);
  void count(const StoredTensor& stored);

  // The tensor as a matrix: one row per index of the first dimension, its values in the given order of the
  // other dimensions.
  Weight prepare(const StoredTensor& stored, const std::vector<int>& order, WeightUse use);
  // Its rows in parts of equal size.
  std::vector<Weight> prepare_parts(const StoredTensor& stored, const std::vector<int>& order, WeightUse use,
                                    int parts);
  std::vector<Weight> prepare_int8(const StoredTensor& stored, const StoredTensor* scales, int parts);
  void release(const StoredTensor& stored);
  Tensor convert(const StoredTensor& stored, const std::vector<int>& order, DType target, Buffer& owner);
  Tensor small_memory(const Shape& shape, DType dtype);
  void keep(Buffer buffer);

  LoadedTensors loaded_;
  Device& device_;
  DType compute_;
  Spelling spelling_;
  Maker maker_;
  std::set<std::string> taken_;
  std::vector<std::string> missing_, misshapen_;
  std::string ignored_suffix_;
  bool quantizes_ = false;
  std::int64_t converted_ = 0;     // matrices whose type changed
  std::int64_t without_room_ = 0;  // matrices that the memory budget has no room to prepare
  std::int64_t quantized_ = 0;     // matrices that became eight bits
  Tensor pool_;                    // [bytes] u8: what is left of the buffer that vectors share
};

}  // namespace glmocr
