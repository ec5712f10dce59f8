// SPDX-License-Identifier: Apache-2.0
#include "image/codec.h"

namespace glmocr {

Raster decode_heif(const Source& source) {
  source.reject(
      "this program was built without libheif; configure with -DGLMOCR_HEIF=ON (Debian: libheif-dev)");
}

}  // namespace glmocr
