// SPDX-License-Identifier: Apache-2.0
// The formatter of the official SDK (glmocr 0.1.5, result_formatter.py), byte for byte, quirks included: --compat sdk.
// tools/compare_formatter.py runs both.
//
// Regions that the SDK drops (RegionTask::none by their label) and pages that could not be read (with an error) are left
// out; as there, the pages after them move up. All rules stay within a page; only pages and pictures are counted over the
// document.
#pragma once
#include <string>
#include <vector>

#include "formats/options.h"
#include "glmocr/region.h"

namespace glmocr::formats {

// A page in the SDK's outputs.
struct SdkPage {
  std::string json;        // its list of regions, indented by 2 as an element of the document's list
  std::string model_json;  // the same before formatting: _model.json
  std::string markdown;    // its blocks, separated by blank lines
  std::vector<PictureFile> pictures;  // "cropped_page0_idx3.jpg", in the folder imgs
};

class SdkFormatter {
 public:
  // pictures: whether crops are written; without them no output refers to any.
  explicit SdkFormatter(bool pictures = true) : pictures_(pictures) {}

  // Pages come in the order of the document. A page with an error gives nothing and is not counted: check first.
  SdkPage page(const DocumentPage& page);

 private:
  bool pictures_;
  int pages_ = 0;
  int crops_ = 0;
};

// A box edge in thousandths of the page, truncated twice as in the SDK: pixels first.
int sdk_thousandths(double edge, int size);

// The name that the SDK gives to folder and files: `stem` without characters that Windows refuses.
std::string sdk_file_name(const std::string& stem);

}  // namespace glmocr::formats
