// SPDX-License-Identifier: Apache-2.0
#include "pdf/pdf_output.h"

#include <zlib.h>

#include <array>
#include <cmath>
#include <cstdio>
#include <utility>

#include "base/error.h"

namespace glmocr::pdf {

std::string reference(int object) { return cat(object, " 0 R"); }

std::string number(double value) {
  std::array<char, 64> text;
  std::snprintf(text.data(), text.size(), "%.6f", std::isfinite(value) ? value : 0);
  std::string result = text.data();
  result.erase(result.find_last_not_of('0') + 1);
  if (result.back() == '.') result.pop_back();
  return result == "-0" ? "0" : result;
}

std::string deflated(std::string_view data) {
  uLongf size = ::compressBound(data.size());
  std::string packed(size, '\0');
  if (::compress(reinterpret_cast<Bytef*>(packed.data()), &size, reinterpret_cast<const Bytef*>(data.data()),
                 data.size()) != Z_OK) {
    fail(ErrorCode::memory, cat("not enough memory to pack ", data.size(), " bytes"));
  }
  packed.resize(size);
  return packed;
}

// The comment says that the file is not text.
PdfOutput::PdfOutput(ByteSink sink) : sink_(std::move(sink)) { put("%PDF-1.7\n%\xE2\xE3\xCF\xD3\n"); }

void PdfOutput::put(std::string_view bytes) {
  sink_(bytes);
  size_ += std::ssize(bytes);
}

int PdfOutput::reserve() {
  places_.push_back(0);
  return static_cast<int>(places_.size());
}

void PdfOutput::write(int object, std::string_view body) {
  places_[static_cast<std::size_t>(object) - 1] = size_;
  put(cat(object, " 0 obj\n"));
  put(body);
  put("\nendobj\n");
}

int PdfOutput::add(std::string_view body) {
  const int object = reserve();
  write(object, body);
  return object;
}

int PdfOutput::add_stream(std::string_view keys, std::string_view data) {
  return add(cat("<<", keys, "/Length ", data.size(), ">>\nstream\n", data, "\nendstream"));
}

int PdfOutput::add_packed(std::string_view keys, std::string_view data) {
  return add_stream(cat(keys, "/Filter/FlateDecode"), deflated(data));
}

void PdfOutput::finish(int root) {
  const std::int64_t table = size_;
  put(cat("xref\n0 ", places_.size() + 1, "\n0000000000 65535 f \n"));
  for (const std::int64_t place : places_) {
    std::array<char, 32> entry;
    std::snprintf(entry.data(), entry.size(), "%010lld %05d %c \n", static_cast<long long>(place),
                  place == 0 ? 65535 : 0, place == 0 ? 'f' : 'n');
    put(entry.data());
  }
  put(cat("trailer\n<</Size ", places_.size() + 1, "/Root ", reference(root), ">>\nstartxref\n", table,
          "\n%%EOF\n"));
}

}  // namespace glmocr::pdf
