// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "glmocr/image.h"

namespace glmocr {

// How a picture has to be turned so that its lines of text run from left to right.
struct PageAngle {
  int rotation = 0;  // 0, 90, 180 or 270 degrees clockwise: to be turned by that much first
  double skew = 0;  // degrees, -15 … 15: after that, lines fall to the right by that much (rise, if negative)
  double confidence = 0;  // 0: nothing is known, and nothing has to be turned; 1: certain
};

// The angle of a page of print. {0, 0} with what confidence there is, where it is not sure: pictures without text, a few
// words. Whether a page stands on its head is told for Latin print alone, by what rises above and hangs below the lines.
PageAngle find_angle(const Image& page);

// The picture turned back by an angle: quarters are exact; a skew of more than 0.3 degrees is interpolated, on white, and
// the picture grows so that no corner is lost.
Image turn_back(Image page, const PageAngle& angle);

}  // namespace glmocr
