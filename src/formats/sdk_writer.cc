// SPDX-License-Identifier: Apache-2.0
#include "formats/sdk_format.h"
#include "formats/writer.h"

namespace glmocr::formats {
namespace {

// The lists of pages that the SDK writes with json.dump(…, indent=2).
class SdkJsonWriter final : public DocumentWriter {
 public:
  SdkJsonWriter(bool model, bool pictures) : formatter_(pictures), model_(model) {}

  std::string page(const DocumentPage& page) override {
    if (page.error) return "";
    const SdkPage out = formatter_.page(page);
    const std::string before = first_ ? "[\n" : ",\n";
    first_ = false;
    return before + (model_ ? out.model_json : out.json);
  }
  std::string end() override { return first_ ? "[]" : "\n]"; }

 private:
  SdkFormatter formatter_;
  bool model_, first_ = true;
};

class SdkMarkdownWriter final : public DocumentWriter {
 public:
  explicit SdkMarkdownWriter(bool pictures) : formatter_(pictures) {}

  std::string page(const DocumentPage& page) override {
    if (page.error) return "";
    const std::string before = first_ ? "" : "\n\n";
    first_ = false;
    return before + formatter_.page(page).markdown;
  }
  std::string end() override { return ""; }

 private:
  SdkFormatter formatter_;
  bool first_ = true;
};

}  // namespace

std::unique_ptr<DocumentWriter> sdk_writer(SdkOutput output, bool pictures) {
  if (output == SdkOutput::markdown) return std::make_unique<SdkMarkdownWriter>(pictures);
  return std::make_unique<SdkJsonWriter>(output == SdkOutput::model_json, pictures);
}

}  // namespace glmocr::formats
