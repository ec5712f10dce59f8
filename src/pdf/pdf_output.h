// SPDX-License-Identifier: Apache-2.0
// A small writer of PDF files; internal to this room.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "pdf/searchable_pdf.h"

namespace glmocr::pdf {

// "12 0 R"
std::string reference(int object);

// A number as PDF has it: no exponent, six decimals at most.
std::string number(double value);

// The data packed for /FlateDecode. Throws Error{memory}.
std::string deflated(std::string_view data);

// Objects go to the sink as they are added; only their places are kept.
class PdfOutput {
 public:
  explicit PdfOutput(ByteSink sink);
  // A number for an object that is written later.
  int reserve();
  // Writes an object and returns its number.
  int add(std::string_view body);
  // A stream; `keys` are those of its dictionary besides Length. `add_packed` packs it.
  int add_stream(std::string_view keys, std::string_view data);
  int add_packed(std::string_view keys, std::string_view data);
  // Writes an object whose number was reserved.
  void write(int object, std::string_view body);
  // Writes the table and the trailer. `root` is the catalogue.
  void finish(int root);

 private:
  void put(std::string_view bytes);

  ByteSink sink_;
  std::int64_t size_ = 0;
  std::vector<std::int64_t> places_;  // of object i + 1; 0: not written yet
};

}  // namespace glmocr::pdf
