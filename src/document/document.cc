// SPDX-License-Identifier: Apache-2.0
#include "document/document.h"

#include <array>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "document/page.h"

namespace glmocr {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kHead = 1024;  // a PDF file's header may come this late

// A picture that is read when its only page is decoded.
class PictureFile : public Document {
 public:
  PictureFile(std::string file, ImageOptions options) : file_(std::move(file)), options_(options) {}
  std::int64_t page_count() const override { return 1; }
  bool numbered() const override { return false; }
  DecodedImage decode(std::int64_t, const SizeCallback& on_size) override {
    return decode_file(file_, options_, on_size);
  }
  std::optional<TextLayer> text_layer(std::int64_t) override { return std::nullopt; }

 private:
  std::string file_;
  ImageOptions options_;
};

// A picture or a TIFF file, in memory.
class PictureBytes : public Document {
 public:
  PictureBytes(std::string content, std::string name, const ImageOptions& options)
      : content_(std::move(content)),
        name_(std::move(name)),
        options_(options),
        pages_(tiff_pages(bytes(), name_)) {}

  std::int64_t page_count() const override { return std::max<std::int64_t>(std::ssize(pages_.places), 1); }
  bool numbered() const override { return page_count() > 1; }
  DecodedImage decode(std::int64_t page, const SizeCallback& on_size) override {
    if (!numbered()) return decode_image(bytes(), name_, options_, on_size);
    DecodedImage decoded =
        decode_tiff_page(bytes(), pages_.places.at(page - 1), cat(name_, ": page ", page), options_, on_size);
    if (page == page_count() && !pages_.warning.empty()) decoded.warnings.push_back(pages_.warning);
    return decoded;
  }
  std::optional<TextLayer> text_layer(std::int64_t) override { return std::nullopt; }

 private:
  std::span<const std::byte> bytes() const { return std::as_bytes(std::span(content_)); }

  std::string content_, name_;
  ImageOptions options_;
  TiffPages pages_;
};

class PdfDocument : public Document {
 public:
  explicit PdfDocument(PdfFile file) : page_count_(file.page_count()), file_(std::move(file)) {}
  std::int64_t page_count() const override { return page_count_; }
  bool numbered() const override { return true; }
  DecodedImage decode(std::int64_t page, const SizeCallback& on_size) override {
    const std::lock_guard lock(mutex_);
    return {file_.render(page - 1, on_size), "PDF", {}};
  }
  std::optional<TextLayer> text_layer(std::int64_t page) override {
    const std::lock_guard lock(mutex_);
    return file_.text_layer(page - 1);
  }

 private:
  const std::int64_t page_count_;
  std::mutex mutex_;
  PdfFile file_;  // guarded by mutex_
};

bool is_pdf(std::string_view content) {
  const std::string_view head = content.substr(0, kHead);
  const char* format = sniff_format(std::as_bytes(std::span(head)));
  return format == nullptr ? head.find("%PDF-") != std::string_view::npos : std::string_view(format) == "PDF";
}

std::shared_ptr<Document> open_content(std::string content, const std::string& name,
                                       const DocumentOptions& options) {
  if (is_pdf(content))
    return std::make_shared<PdfDocument>(PdfFile::open_bytes(std::move(content), name, options.pdf));
  return std::make_shared<PictureBytes>(std::move(content), name, options.image);
}

std::string head_of(const std::string& file) {
  std::array<char, kHead> head;
  std::ifstream stream(file, std::ios::binary);
  stream.read(head.data(), head.size());
  return {head.data(), static_cast<std::size_t>(stream.gcount())};
}

}  // namespace

std::shared_ptr<Document> open_document(const std::string& file, const DocumentOptions& options) {
  if (file == "-") {
    return open_content(read_picture(file, options.image.picture_memory), display_name(file), options);
  }
  std::error_code error;
  if (fs::is_directory(file, error)) {
    fail(ErrorCode::input, cat(file, ": is a folder; folders cannot be read yet: name the pictures in it"));
  }
  // A pipe can be read only once; what does not exist is an error of its page.
  if (fs::exists(file, error) && !fs::is_regular_file(file, error))
    return open_content(read_picture(file, options.image.picture_memory), file, options);
  const std::string head = head_of(file);
  if (is_pdf(head)) return std::make_shared<PdfDocument>(PdfFile::open(file, options.pdf));
  const char* format = sniff_format(std::as_bytes(std::span(head)));
  if (format != nullptr && std::string_view(format) == "TIFF")
    return open_content(read_picture(file, options.image.picture_memory), file, options);
  return std::make_shared<PictureFile>(file, options.image);
}

}  // namespace glmocr
