// SPDX-License-Identifier: Apache-2.0
#include "regions/orientation.h"

namespace glmocr {

// Until angles are measured, every page is taken as it is.
PageAngle find_angle(const Image&) { return {}; }

Image turn_back(Image page, const PageAngle&) { return page; }

}  // namespace glmocr
