// SPDX-License-Identifier: Apache-2.0
#include <dlfcn.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <vector>

#include "pdf_worker/jail.h"
#include "pdf_worker/pdfium.h"
#include "pdf_worker/renderer.h"

namespace glmocr::pdf {
namespace {

namespace fs = std::filesystem;

constexpr const char* kLibrary = "libpdfium.so";
constexpr std::int64_t kPagesPerLoad = 100;

void* open_library() {
  constexpr int kMode = RTLD_NOW | RTLD_LOCAL;
  if (const char* named = std::getenv("GLMOCR_PDFIUM")) {
    if (*named == '\0') return nullptr;
    void* library = ::dlopen(named, kMode);
    if (library == nullptr) throw Failure{Status::no_renderer, std::string("GLMOCR_PDFIUM: ") + ::dlerror()};
    return library;
  }
  std::error_code error;
  const fs::path folder = fs::read_symlink("/proc/self/exe", error).parent_path();
  for (const fs::path& place : {folder / kLibrary, folder.parent_path() / "lib" / "glm-ocr" / kLibrary}) {
    if (!fs::exists(place, error)) continue;
    if (void* library = ::dlopen(place.c_str(), kMode)) return library;
  }
  return ::dlopen(kLibrary, kMode);
}

template <class Function>
void find(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(::dlsym(library, name));
  if (function == nullptr) throw Failure{Status::no_renderer, std::string("PDFium has no function ") + name};
}

Pdfium functions_of(void* library) {
  Pdfium pdfium{};
  find(library, "FPDF_InitLibraryWithConfig", pdfium.InitLibraryWithConfig);
  find(library, "FPDF_LoadCustomDocument", pdfium.LoadCustomDocument);
  find(library, "FPDF_GetLastError", pdfium.GetLastError);
  find(library, "FPDF_GetPageCount", pdfium.GetPageCount);
  find(library, "FPDF_GetPageSizeByIndexF", pdfium.GetPageSizeByIndexF);
  find(library, "FPDF_LoadPage", pdfium.LoadPage);
  find(library, "FPDF_ClosePage", pdfium.ClosePage);
  find(library, "FPDF_RenderPageBitmap", pdfium.RenderPageBitmap);
  find(library, "FPDFBitmap_CreateEx", pdfium.BitmapCreateEx);
  find(library, "FPDFBitmap_FillRect", pdfium.BitmapFillRect);
  find(library, "FPDFBitmap_Destroy", pdfium.BitmapDestroy);
  find(library, "FPDF_GetFormType", pdfium.GetFormType);
  find(library, "FPDFDOC_InitFormFillEnvironment", pdfium.InitFormFillEnvironment);
  find(library, "FPDFDOC_ExitFormFillEnvironment", pdfium.ExitFormFillEnvironment);
  find(library, "FPDF_CloseDocument", pdfium.CloseDocument);
  find(library, "FORM_OnAfterLoadPage", pdfium.OnAfterLoadPage);
  find(library, "FORM_OnBeforeClosePage", pdfium.OnBeforeClosePage);
  find(library, "FPDF_FFLDraw", pdfium.FFLDraw);
  return pdfium;
}

// The document behind kDocumentFd in blocks: PDFium asks for a few hundred bytes at a time. The file is read, not
// mapped: it may be larger than the memory, and may shrink.
class DocumentReader {
 public:
  DocumentReader() {
    struct stat info {};
    if (::fstat(kDocumentFd, &info) == 0) size_ = static_cast<unsigned long>(info.st_size);
  }
  unsigned long size() const { return size_; }

  bool read(unsigned long position, unsigned char* out, unsigned long size) {
    while (size > 0) {
      if (position < begin_ || position >= begin_ + block_.size()) load(position);
      if (block_.empty()) return false;
      const unsigned long offset = position - begin_;
      const unsigned long count = std::min<unsigned long>(size, block_.size() - offset);
      std::memcpy(out, block_.data() + offset, count);
      position += count, out += count, size -= count;
    }
    return true;
  }

 private:
  static constexpr unsigned long kBlock = 1 << 16;

  void load(unsigned long position) {
    begin_ = position / kBlock * kBlock;
    block_.resize(kBlock);
    std::size_t got = 0;
    while (got < kBlock) {
      const ssize_t count =
          ::pread(kDocumentFd, block_.data() + got, kBlock - got, static_cast<off_t>(begin_ + got));
      if (count < 0 && errno == EINTR) continue;
      if (count <= 0) break;
      got += static_cast<std::size_t>(count);
    }
    block_.resize(begin_ + got > position ? got : 0);
  }

  unsigned long size_ = 0, begin_ = 0;
  std::vector<unsigned char> block_;
};

class PdfiumRenderer : public Renderer {
 public:
  explicit PdfiumRenderer(const Pdfium& pdfium) : pdfium_(pdfium) {
    access_ = {reader_.size(),
               [](void* user, unsigned long position, unsigned char* out, unsigned long size) {
                 return static_cast<DocumentReader*>(user)->read(position, out, size) ? 1 : 0;
               },
               &reader_};
  }

  const char* name() const override { return "PDFium"; }

  std::int64_t open(const std::string& password) override {
    password_ = password;
    load();
    return pdfium_.GetPageCount(document_);
  }

  PixelSize measure(std::int64_t page, double dpi, int max_side) override {
    FpdfSize points{};
    if (pdfium_.GetPageSizeByIndexF(document_, static_cast<int>(page), &points) == 0) {
      throw Failure{Status::no_page, "the page cannot be loaded"};
    }
    PixelSize size;
    if (!pixel_size(points.width, points.height, dpi, max_side, size)) {
      throw Failure{Status::bad_page, "the page has no size"};
    }
    return size;
  }

  void render(std::int64_t page, double dpi, int max_side, const Pixels& pixels, Reply& reply) override {
    if (++rendered_ % kPagesPerLoad == 0) reload();
    const PixelSize size = measure(page, dpi, max_side);
    reply.width = size.width;
    reply.height = size.height;
    reply.stride = (size.width * 3 + 3) / 4 * 4;
    if (std::int64_t{reply.stride} * reply.height > pixels.bytes) {
      throw Failure{Status::bad_page, "the page does not fit the shared memory"};
    }
    FpdfPage* loaded = pdfium_.LoadPage(document_, static_cast<int>(page));
    if (loaded == nullptr) throw Failure{Status::no_page, "the page cannot be loaded"};
    FpdfBitmap* bitmap =
        pdfium_.BitmapCreateEx(reply.width, reply.height, kFpdfBgr, pixels.data, reply.stride);
    if (bitmap != nullptr) draw(loaded, bitmap, size);
    pdfium_.ClosePage(loaded);
    if (bitmap == nullptr) throw Failure{Status::bad_page, "there is no memory for the page"};
  }

 private:
  void load() {
    document_ = pdfium_.LoadCustomDocument(&access_, password_.empty() ? nullptr : password_.c_str());
    if (document_ == nullptr) throw why_not_opened();
    if (pdfium_.GetFormType(document_) != 0) form_ = pdfium_.InitFormFillEnvironment(document_, &form_info_);
  }

  // PDFium keeps every object that a page needed until the document is closed.
  void reload() {
    if (form_ != nullptr) pdfium_.ExitFormFillEnvironment(form_);
    form_ = nullptr;
    pdfium_.CloseDocument(document_);
    load();
  }

  void draw(FpdfPage* page, FpdfBitmap* bitmap, const PixelSize& size) {
    constexpr int kFlags = kFpdfAnnotations | kFpdfRgbOrder | kFpdfLimitedImageCache;
    pdfium_.BitmapFillRect(bitmap, 0, 0, size.width, size.height, 0xffffffff);
    pdfium_.RenderPageBitmap(bitmap, page, 0, 0, size.width, size.height, 0, kFlags);
    if (form_ != nullptr) {  // the fields, which are not drawn as annotations
      pdfium_.OnAfterLoadPage(page, form_);
      pdfium_.FFLDraw(form_, bitmap, page, 0, 0, size.width, size.height, 0, kFlags);
      pdfium_.OnBeforeClosePage(page, form_);
    }
    pdfium_.BitmapDestroy(bitmap);
  }

  Failure why_not_opened() const {
    switch (pdfium_.GetLastError()) {
      case kFpdfErrorPassword:
        return {Status::password,
                !password_.empty() ? "the password is wrong" : "it is encrypted and needs a password"};
      case kFpdfErrorSecurity:
        return {Status::broken, "it is encrypted in a way that is not supported"};
      case kFpdfErrorFile:
        return {Status::broken, "it cannot be read"};
      default:
        return {Status::broken, "it is broken, or no PDF file"};
    }
  }

  Pdfium pdfium_;
  DocumentReader reader_;
  FpdfFileAccess access_{};
  FpdfDocument* document_ = nullptr;
  FpdfFormFillInfo form_info_{1, {}};
  FpdfForm* form_ = nullptr;
  std::string password_;
  std::int64_t rendered_ = 0;
};

}  // namespace

std::unique_ptr<Renderer> open_pdfium() {
  void* library = open_library();
  if (library == nullptr) return nullptr;
  const Pdfium pdfium = functions_of(library);
  // No folder of fonts: PDFium would look for them when a page names one, and open them in the jail. It has the
  // standard fonts of PDF and two more for all others built in; fonts that a file embeds are used anyway.
  const char* no_folders[] = {nullptr};
  const FpdfLibraryConfig config{2, no_folders, nullptr, 0};
  pdfium.InitLibraryWithConfig(&config);
  auto renderer = std::make_unique<PdfiumRenderer>(pdfium);  // asks for the size of the file
  if (!enter_jail())
    throw Failure{Status::no_renderer, "this system has no seccomp filters to render PDF files in"};
  return renderer;
}

}  // namespace glmocr::pdf
