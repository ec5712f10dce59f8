// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "models/glm_ocr/config.h"
#include "models/weight_loader.h"

namespace glmocr {

// Sizes of a model whose weights are made up: those of the published snapshot, or some that compute in no time.
enum class SyntheticSize { published, small };

// A configuration of this size, with the published size rule of pictures.
GlmOcrConfig synthetic_config(SyntheticSize size);

// Makes tensors of bf16 in memory: random numbers, a function of the tensor's name, so scaled that activations stay
// near 1.
WeightLoader::Maker random_tensors();

}  // namespace glmocr
