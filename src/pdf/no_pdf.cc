// SPDX-License-Identifier: Apache-2.0
// In place of pdf_file.cc where there is no jail for the renderer.
#include "base/error.h"
#include "pdf/pdf_file.h"

namespace glmocr {

struct PdfFile::State {};

PdfFile::PdfFile(std::unique_ptr<State> state) : state_(std::move(state)) {}
PdfFile::~PdfFile() = default;
PdfFile::PdfFile(PdfFile&& other) noexcept = default;
PdfFile& PdfFile::operator=(PdfFile&& other) noexcept = default;

PdfFile PdfFile::open(const std::string& path, const PdfOptions&) { return open_bytes("", path, {}); }
// NOLINTNEXTLINE(performance-unnecessary-value-param): as the other implementation
PdfFile PdfFile::open_bytes(std::string, const std::string& name, const PdfOptions&) {
  fail(ErrorCode::device,
       cat(name, ": is a PDF file; PDF files can be read on Linux only (x86-64, AArch64)"));
}
std::int64_t PdfFile::page_count() const { return 0; }
Image PdfFile::render(std::int64_t, const std::function<void(std::int64_t pixels)>&) { return {}; }
std::optional<TextLayer> PdfFile::text_layer(std::int64_t) { return std::nullopt; }
// NOLINTNEXTLINE(performance-unnecessary-value-param): as the other implementation
std::unique_ptr<SearchableWriter> PdfFile::searchable(ByteSink) const { return nullptr; }
std::string PdfFile::renderer_name() const { return ""; }
int PdfFile::worker_pid() const { return -1; }

}  // namespace glmocr
