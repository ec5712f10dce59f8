// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "models/glm_ocr/weights.h"

namespace glmocr {

// Takes tensors out of a snapshot one by one, checks their shapes and puts them on the device. What is
// missing, misshapen or left over is collected, so that one error can name it all.
class WeightLoader {
 public:
  WeightLoader(Weights& weights, Device& device, DType compute)
      : weights_(weights), device_(device), compute_(compute) {}

  // A group of `glm-ocr info` that the tensors taken from now on count in.
  void begin_group(const std::string& name) { weights_.groups.push_back({name}); }

  Tensor matrix(const std::string& name, std::int64_t rows, std::int64_t columns);
  Tensor vector(const std::string& name, std::int64_t size);  // as f32
  LinearWeights linear(const std::string& prefix, std::int64_t out, std::int64_t in, bool bias);

  // A convolution kernel [out, in, …] as a matrix [out, in · …], columns in the kernel's own order;
  // channels-last kernels are recognised by their shape and turned.
  Tensor convolution(const std::string& name, const Shape& kernel);

  // The same, columns with the input channel fastest: [out, … · in].
  Tensor convolution_channels_last(const std::string& name, const Shape& kernel);

  // Counts a tensor whose shape is checked but which is not loaded. False if it is missing.
  bool set_aside(const std::string& name, const Shape& shape);

  // Throws Error{model} if anything was wrong or is left over.
  void finish();

 private:
  const StoredTensor* find(const std::string& name, const std::vector<Shape>& shapes, bool required = true);
  Tensor as_stored(const StoredTensor& stored, const Shape& shape);
  Tensor permuted(const StoredTensor& stored, const Shape& from, const std::vector<int>& order);
  Tensor own(const void* host, const Shape& shape, DType dtype);

  Weights& weights_;
  Device& device_;
  DType compute_;
  std::set<std::string> taken_;
  std::vector<std::string> missing_, misshapen_;
  std::int64_t converted_ = 0;  // tensors whose type changed
  Buffer* pool() { return pool_index_ < weights_.buffers.size() ? &weights_.buffers[pool_index_] : nullptr; }
  std::size_t pool_index_ = SIZE_MAX;  // the buffer that small tensors share
  std::int64_t pool_used_ = 0;
};

}  // namespace glmocr
