// SPDX-License-Identifier: Apache-2.0
#include "document/document.h"

#include <array>
#include <filesystem>
#include <fstream>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "document/page.h"
#include "document/page_turns.h"
#include "image/exif.h"
#include "pdf/picture_pdf.h"

namespace glmocr {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kHead = 1024;  // a PDF file's header may come this late

// Pictures, which know no text.
class PictureDocument : public Document {
 public:
  PictureDocument(std::string name, const ImageOptions& options, double dpi)
      : name_(std::move(name)), options_(options), dpi_(dpi) {}
  std::optional<TextLayer> text_layer(std::int64_t) override { return std::nullopt; }
  std::unique_ptr<SearchableWriter> searchable(ByteSink sink) override;

  const std::string& name() const { return name_; }
  double dpi() const { return dpi_; }
  // Calls `use` with the content of the only page's file.
  virtual void with_content(const std::function<void(std::string_view)>& use) const = 0;

 protected:
  const ImageOptions& options() const { return options_; }

 private:
  std::string name_;
  ImageOptions options_;
  double dpi_;
};

// The pages are decoded again, but for JPEG files, which become part of the PDF file as they are.
class SearchablePictures : public SearchableWriter {
 public:
  SearchablePictures(std::shared_ptr<PictureDocument> document, ByteSink sink)
      : document_(std::move(document)),
        pdf_(std::move(sink), document_->dpi(), display_name(document_->name())) {}

  void add(const SearchablePage& page) override {
    if (!document_->numbered() && add_jpeg(page)) return;
    pdf_.add(document_->decode(page.number, {}).image, page);
  }
  std::vector<std::string> finish() override {
    pdf_.finish();
    return {};
  }

 private:
  bool add_jpeg(const SearchablePage& page) {
    bool added = false;
    document_->with_content([&](std::string_view content) {
      constexpr std::string_view kExif("Exif\0\0", 6);
      const std::size_t exif = content.find(kExif);
      const bool turned = exif != std::string_view::npos &&
                          exif_orientation({reinterpret_cast<const std::uint8_t*>(content.data()) + exif,
                                            content.size() - exif}) != 1;
      if (turned || !PicturePdf::takes_jpeg(content)) return;
      pdf_.add_jpeg(content, page);
      added = true;
    });
    return added;
  }

  std::shared_ptr<PictureDocument> document_;
  PicturePdf pdf_;
};

std::unique_ptr<SearchableWriter> PictureDocument::searchable(ByteSink sink) {
  return std::make_unique<SearchablePictures>(std::static_pointer_cast<PictureDocument>(shared_from_this()),
                                              std::move(sink));
}

// A picture that is read when its only page is decoded.
class PictureFile : public PictureDocument {
 public:
  using PictureDocument::PictureDocument;
  std::int64_t page_count() const override { return 1; }
  bool numbered() const override { return false; }
  DecodedImage decode(std::int64_t, const SizeCallback& on_size) override {
    return decode_file(name(), options(), on_size);
  }
  void with_content(const std::function<void(std::string_view)>& use) const override {
    use(read_picture(name(), options().picture_memory));
  }
};

// A picture or a TIFF file, in memory.
class PictureBytes : public PictureDocument {
 public:
  PictureBytes(std::string content, std::string name, const ImageOptions& options, double dpi)
      : PictureDocument(std::move(name), options, dpi),
        content_(std::move(content)),
        pages_(tiff_pages(bytes(), this->name())) {}

  std::int64_t page_count() const override { return std::max<std::int64_t>(std::ssize(pages_.places), 1); }
  bool numbered() const override { return page_count() > 1; }
  DecodedImage decode(std::int64_t page, const SizeCallback& on_size) override {
    if (!numbered()) return decode_image(bytes(), name(), options(), on_size);
    DecodedImage decoded = decode_tiff_page(bytes(), pages_.places.at(page - 1), cat(name(), ": page ", page),
                                            options(), on_size);
    if (page == page_count() && !pages_.warning.empty()) decoded.warnings.push_back(pages_.warning);
    return decoded;
  }
  void with_content(const std::function<void(std::string_view)>& use) const override { use(content_); }

 private:
  std::span<const std::byte> bytes() const { return std::as_bytes(std::span(content_)); }

  std::string content_;
  TiffPages pages_;
};

class PdfDocument : public Document {
 public:
  explicit PdfDocument(PdfFile file) : page_count_(file.page_count()), file_(std::move(file)) {}
  std::int64_t page_count() const override { return page_count_; }
  bool numbered() const override { return true; }
  DecodedImage decode(std::int64_t page, const SizeCallback& on_size) override {
    const PageTurns::Turn turn(turns_, page);
    return {file_.render(page - 1, on_size), "PDF", {}};
  }
  std::optional<TextLayer> text_layer(std::int64_t page) override {
    const PageTurns::Turn turn(turns_, page);
    return file_.text_layer(page - 1);
  }
  std::shared_ptr<void> claim(std::int64_t page) override { return turns_.claim(page); }
  std::unique_ptr<SearchableWriter> searchable(ByteSink sink) override {
    const PageTurns::Turn turn(turns_, 0);
    return file_.searchable(std::move(sink));
  }

 private:
  const std::int64_t page_count_;
  PageTurns turns_;
  PdfFile file_;  // guarded by turns_
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
  return std::make_shared<PictureBytes>(std::move(content), name, options.image, options.pdf.dpi);
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
  return std::make_shared<PictureFile>(file, options.image, options.pdf.dpi);
}

}  // namespace glmocr
