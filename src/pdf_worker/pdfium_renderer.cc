// SPDX-License-Identifier: Apache-2.0
#include <dlfcn.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <utility>
#include <vector>

#include "pdf_worker/jail.h"
#include "pdf_worker/pdfium.h"
#include "pdf_worker/renderer.h"

namespace glmocr::pdf {
namespace {

namespace fs = std::filesystem;

constexpr const char* kLibrary = "libpdfium.so";
constexpr std::int64_t kPagesPerLoad = 100;
constexpr std::size_t kOpenPages = 2;

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
  find(library, "FPDF_DeviceToPage", pdfium.DeviceToPage);
  find(library, "FPDFText_LoadPage", pdfium.TextLoadPage);
  find(library, "FPDFText_ClosePage", pdfium.TextClosePage);
  find(library, "FPDFText_CountChars", pdfium.TextCountChars);
  find(library, "FPDFText_GetUnicode", pdfium.TextGetUnicode);
  find(library, "FPDFText_IsGenerated", pdfium.TextIsGenerated);
  find(library, "FPDFText_IsHyphen", pdfium.TextIsHyphen);
  find(library, "FPDFText_HasUnicodeMapError", pdfium.TextHasUnicodeMapError);
  find(library, "FPDFText_GetFontSize", pdfium.TextGetFontSize);
  find(library, "FPDFText_GetCharBox", pdfium.TextGetCharBox);
  find(library, "FPDFText_GetLooseCharBox", pdfium.TextGetLooseCharBox);
  find(library, "FPDFText_GetCharOrigin", pdfium.TextGetCharOrigin);
  find(library, "FPDFText_GetMatrix", pdfium.TextGetMatrix);
  find(library, "FPDFText_GetTextObject", pdfium.TextGetTextObject);
  find(library, "FPDFTextObj_GetTextRenderMode", pdfium.TextObjGetTextRenderMode);
  find(library, "FPDF_LoadMemDocument", pdfium.LoadMemDocument);
  find(library, "FPDF_NewXObjectFromPage", pdfium.NewXObjectFromPage);
  find(library, "FPDF_CloseXObject", pdfium.CloseXObject);
  find(library, "FPDF_NewFormObjectFromXObject", pdfium.NewFormObjectFromXObject);
  find(library, "FPDFPageObj_SetMatrix", pdfium.PageObjSetMatrix);
  find(library, "FPDFPage_InsertObject", pdfium.PageInsertObject);
  find(library, "FPDFPage_GenerateContent", pdfium.PageGenerateContent);
  find(library, "FPDF_SaveAsCopy", pdfium.SaveAsCopy);
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

struct Place {
  double x = 0, y = 0;
};

// Between a page's own coordinates and its pixels.
class PixelSpace {
 public:
  PixelSpace(const Pdfium& pdfium, FpdfPage* page, const PixelSize& size) {
    const auto page_place = [&](int x, int y) {
      Place place;
      pdfium.DeviceToPage(page, 0, 0, size.width, size.height, 0, x, y, &place.x, &place.y);
      return place;
    };
    corner_ = page_place(0, 0);
    const Place right = page_place(size.width, 0), down = page_place(0, size.height);
    a_ = (right.x - corner_.x) / size.width;
    b_ = (right.y - corner_.y) / size.width;
    c_ = (down.x - corner_.x) / size.height;
    d_ = (down.y - corner_.y) / size.height;
    determinant_ = a_ * d_ - b_ * c_;
  }
  // From pixels to the page.
  Place page_vector(double x, double y) const { return {a_ * x + c_ * y, b_ * x + d_ * y}; }
  Place page_point(double x, double y) const {
    const Place way = page_vector(x, y);
    return {corner_.x + way.x, corner_.y + way.y};
  }
  // From the page to pixels.
  Place vector(double x, double y) const {
    return {(d_ * x - c_ * y) / determinant_, (a_ * y - b_ * x) / determinant_};
  }
  Place point(double x, double y) const { return vector(x - corner_.x, y - corner_.y); }
  double scale() const { return 1 / std::sqrt(std::abs(determinant_)); }

 private:
  Place corner_;
  double a_ = 0, b_ = 0, c_ = 0, d_ = 0, determinant_ = 0;  // from pixels to the page
};

class CharacterReader {
 public:
  CharacterReader(const Pdfium& pdfium, FpdfTextPage* text, const PixelSpace& space)
      : pdfium_(pdfium), text_(text), space_(space) {}

  Character read(int index) {
    Character result;
    result.code_point = pdfium_.TextGetUnicode(text_, index);
    // At the end of a broken word PDFium puts a number of its own for the hyphen.
    if (pdfium_.TextIsHyphen(text_, index) == 1) result.code_point = '-';
    result.flags = flags(index);
    FpdfMatrix matrix{1, 0, 0, 1, 0, 0};  // from the font's units to the page
    pdfium_.TextGetMatrix(text_, index, &matrix);
    result.direction = direction(matrix);
    result.size = static_cast<float>(pdfium_.TextGetFontSize(text_, index) * std::hypot(matrix.c, matrix.d) *
                                     space_.scale());
    set_box(index, result);
    Place origin;
    pdfium_.TextGetCharOrigin(text_, index, &origin.x, &origin.y);
    origin = space_.point(origin.x, origin.y);
    result.origin_x = static_cast<float>(origin.x);
    result.origin_y = static_cast<float>(origin.y);
    return result;
  }

 private:
  std::uint16_t flags(int index) {
    std::uint32_t flags = 0;
    if (pdfium_.TextIsGenerated(text_, index) == 1) return Character::kGenerated;
    if (pdfium_.TextHasUnicodeMapError(text_, index) == 1) flags |= Character::kUnmapped;
    // All characters of an object are drawn alike.
    FpdfPageObject* object = pdfium_.TextGetTextObject(text_, index);
    if (object != object_) {
      object_ = object;
      const int mode = object != nullptr ? pdfium_.TextObjGetTextRenderMode(object) : 0;
      invisible_ = mode == kFpdfInvisible || mode == kFpdfClip;
    }
    if (invisible_) flags |= Character::kInvisible;
    return static_cast<std::uint16_t>(flags);
  }

  std::uint16_t direction(const FpdfMatrix& matrix) const {
    const Place way = space_.vector(matrix.a, matrix.b);
    if (std::abs(way.x) >= std::abs(way.y)) return way.x >= 0 ? 0 : 2;
    return way.y >= 0 ? 1 : 3;
  }

  void set_box(int index, Character& result) {
    double left = 0, right = 0, bottom = 0, top = 0;
    pdfium_.TextGetCharBox(text_, index, &left, &right, &bottom, &top);
    FpdfRect loose{};
    // Of fonts without outlines only the room of a letter is known.
    constexpr double kNothing = 1e-3;
    if (!(right - left > kNothing && top - bottom > kNothing) &&
        pdfium_.TextGetLooseCharBox(text_, index, &loose) != 0) {
      left = loose.left;
      right = loose.right;
      bottom = loose.bottom;
      top = loose.top;
    }
    const Place one = space_.point(left, bottom), other = space_.point(right, top);
    result.x0 = static_cast<float>(std::min(one.x, other.x));
    result.x1 = static_cast<float>(std::max(one.x, other.x));
    result.y0 = static_cast<float>(std::min(one.y, other.y));
    result.y1 = static_cast<float>(std::max(one.y, other.y));
  }

  const Pdfium& pdfium_;
  FpdfTextPage* text_;
  PixelSpace space_;
  FpdfPageObject* object_ = nullptr;
  bool invisible_ = false;
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
    const PixelSize size = measure(page, dpi, max_side);
    reply.width = size.width;
    reply.height = size.height;
    reply.stride = (size.width * 3 + 3) / 4 * 4;
    if (std::int64_t{reply.stride} * reply.height > pixels.bytes) {
      throw Failure{Status::bad_page, "the page does not fit the shared memory"};
    }
    FpdfPage* loaded = load_page(page);
    FpdfBitmap* bitmap =
        pdfium_.BitmapCreateEx(reply.width, reply.height, kFpdfBgr, pixels.data, reply.stride);
    if (bitmap == nullptr) throw Failure{Status::bad_page, "there is no memory for the page"};
    draw(loaded, bitmap, size);
  }

  void text(std::int64_t page, double dpi, int max_side, const Pixels& memory, Reply& reply) override {
    const PixelSize size = measure(page, dpi, max_side);
    reply.width = size.width;
    reply.height = size.height;
    const std::int64_t room =
        std::min<std::int64_t>(memory.bytes / std::int64_t{sizeof(Character)}, kMaxCharacters);
    FpdfPage* loaded = load_page(page);
    FpdfTextPage* text = pdfium_.TextLoadPage(loaded);
    if (text == nullptr) throw Failure{Status::bad_page, "its text cannot be read"};
    const int all = std::max(pdfium_.TextCountChars(text), 0);
    reply.count = static_cast<std::int32_t>(std::min<std::int64_t>(all, room));
    reply.complete = reply.count == all ? 1 : 0;
    CharacterReader reader(pdfium_, text, PixelSpace(pdfium_, loaded, size));
    for (int i = 0; i < reply.count; ++i) {
      const Character character = reader.read(i);
      std::memcpy(memory.data + std::size_t{sizeof character} * static_cast<std::size_t>(i), &character,
                  sizeof character);
    }
    pdfium_.TextClosePage(text);
  }

  // The page becomes a form, drawn over the other one. What was there is left as it is.
  void add_text(const Request& request, std::span<const std::uint8_t> file) override {
    changed_ = true;
    FpdfPage* page = load_page(request.page);
    const PixelSpace space(pdfium_, page, {request.width, request.height, 0});
    const std::span<const double, 6> m(request.matrix);
    const Place x = space.page_vector(m[0], m[1]), y = space.page_vector(m[2], m[3]),
                at = space.page_point(m[4], m[5]);
    const auto narrow = [](double value) { return static_cast<float>(value); };
    const FpdfMatrix matrix{narrow(x.x), narrow(x.y), narrow(y.x), narrow(y.y), narrow(at.x), narrow(at.y)};
    FpdfDocument* text = pdfium_.LoadMemDocument(file.data(), static_cast<int>(file.size()), nullptr);
    FpdfXObject* form = text != nullptr ? pdfium_.NewXObjectFromPage(document_, text, 0) : nullptr;
    FpdfPageObject* object = form != nullptr ? pdfium_.NewFormObjectFromXObject(form) : nullptr;
    bool done = false;
    if (object != nullptr) {
      pdfium_.PageObjSetMatrix(object, &matrix);
      pdfium_.PageInsertObject(page, object);
      done = pdfium_.PageGenerateContent(page) != 0;
    }
    if (form != nullptr) pdfium_.CloseXObject(form);
    if (text != nullptr) pdfium_.CloseDocument(text);
    close_pages();
    if (!done) throw Failure{Status::bad_page, "text cannot be put over the page"};
  }

  void save(const std::function<void(std::span<const std::uint8_t>)>& put) override {
    struct Writer : FpdfFileWrite {
      const std::function<void(std::span<const std::uint8_t>)>* put;
    };
    Writer writer{};
    writer.version = 1;
    writer.write_block = [](FpdfFileWrite* self, const void* data, unsigned long size) {
      (*static_cast<Writer*>(self)->put)({static_cast<const std::uint8_t*>(data), size});
      return 1;
    };
    writer.put = &put;
    if (pdfium_.SaveAsCopy(document_, &writer, kFpdfNoIncremental) == 0)
      throw Failure{Status::broken, "it cannot be written"};
  }

 private:
  void load() {
    document_ = pdfium_.LoadCustomDocument(&access_, password_.empty() ? nullptr : password_.c_str());
    if (document_ == nullptr) throw why_not_opened();
    if (pdfium_.GetFormType(document_) != 0) form_ = pdfium_.InitFormFillEnvironment(document_, &form_info_);
  }

  // The page. The last two stay open: the picture and the text of a page are wanted one after the other, by two threads.
  FpdfPage* load_page(std::int64_t page) {
    for (const auto& [number, loaded] : open_) {
      if (number == page) return loaded;
    }
    if (open_.size() == kOpenPages) {
      pdfium_.ClosePage(open_.front().second);
      open_.erase(open_.begin());
    }
    if (++loads_ % kPagesPerLoad == 0 && !changed_) reload();
    FpdfPage* loaded = pdfium_.LoadPage(document_, static_cast<int>(page));
    if (loaded == nullptr) throw Failure{Status::no_page, "the page cannot be loaded"};
    open_.emplace_back(page, loaded);
    return loaded;
  }

  void close_pages() {
    for (const auto& [number, loaded] : open_) pdfium_.ClosePage(loaded);
    open_.clear();
  }

  // PDFium keeps every object that a page needed until the document is closed.
  void reload() {
    close_pages();
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
  std::vector<std::pair<std::int64_t, FpdfPage*>> open_;
  std::int64_t loads_ = 0;
  bool changed_ = false;  // text was added: the document must not be loaded anew
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
