// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <vector>

#include "glmocr/document.h"
#include "pdf/text_layer.h"

namespace glmocr {

// Gives regions the text of the page's own layer: each line to the smallest region that holds its middle. With
// TextLayerUse::automatic only regions of running text get it, and those only if their ink lies under the layer's words;
// with `only` all but pictures, and lines in no region become regions of their own. Regions that got text have
// TextSource::text_layer and a content.
void take_text_layer(std::vector<Region>& regions, const TextLayer& layer, const Image& image,
                     TextLayerUse use);

}  // namespace glmocr
