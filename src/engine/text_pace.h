// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <optional>
#include <utility>

namespace glmocr::engine {

// How often texts grow while pictures are encoded. A decoding step reads all weights of the decoder, however few texts
// it serves. Beside every slice of a picture it would take a third of the time of a fast machine, and many pictures
// would be read more slowly than one after the other. So pictures get kPictureShare times as long as texts, but texts
// wait for kMostSlices slices at most. Results do not depend on it.
class TextPace {
 public:
  static constexpr double kPictureShare = 7;
  static constexpr int kMostSlices = 8;

  bool texts_wait() const {
    return slices_ < kMostSlices && picture_seconds_ < kPictureShare * text_seconds_;
  }
  // Before texts_ran, where both ran in a step.
  void slice_ran(double seconds) {
    ++slices_;
    picture_seconds_ += seconds;
    last_slice_seconds_ = seconds;
  }
  // Texts grew in a step; `seconds`: what it took, where nothing else ran in it.
  void texts_ran(std::optional<double> seconds) {
    slices_ = last_slice_seconds_ > 0 ? 1 : 0;
    picture_seconds_ = std::exchange(last_slice_seconds_, 0);
    if (seconds) text_seconds_ = *seconds;
  }

 private:
  double text_seconds_ = 0;  // of the last step with texts
  // Of the slices since, that of the same step included.
  double picture_seconds_ = 0, last_slice_seconds_ = 0;
  int slices_ = 0;
};

}  // namespace glmocr::engine
