// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "kernels/cuda/convolution.cuh"

namespace glmocr::cuda {

inline bool is_map(const Tensor& t) { return t.rank() == 4 && t.strides[3] == 1; }

inline Pixels pixels_of(const Tensor& map) {
  return {.page = map.strides[0],
          .row = map.strides[1],
          .pixel = map.strides[2],
          .even = map.strides[1] == map.size(2) * map.strides[2] &&
                  (map.size(0) == 1 || map.strides[0] == map.size(1) * map.strides[1])};
}

// Whether the values of pixels (or of rows of any tensor) can be read `values` at a time; 0: 16 bytes.
inline bool pixels_are_aligned(const Tensor& t, std::int64_t values = 0) {
  if (values == 0) values = 16 / size_of(t.dtype);
  bool aligned = is_aligned(t, values * size_of(t.dtype)) && t.shape[-1] % values == 0;
  for (int i = 0; i + 1 < t.rank(); ++i) aligned = aligned && t.strides[i] % values == 0;
  return aligned;
}

}  // namespace glmocr::cuda
