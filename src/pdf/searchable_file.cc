// SPDX-License-Identifier: Apache-2.0
#include "pdf/searchable_file.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "pdf/glyphless_font.h"
#include "pdf/invisible_text.h"
#include "pdf/pdf_output.h"

namespace glmocr::pdf {
namespace {

constexpr std::size_t kMostLost = 10;  // pages that end a worker, before a document is given up

// A file of one page with the page's text, in pixels.
std::string text_file(const SearchablePage& page) {
  std::string file;
  PdfOutput output([&](std::string_view bytes) { file += bytes; });
  const InvisibleText text = invisible_text(page);
  const int font = write_glyphless_font(output, text.letters);
  const int content = output.add_packed("", text.content);
  const int tree = output.reserve();
  const int only =
      output.add(cat("<</Type/Page/Parent ", reference(tree), "/MediaBox[0 0 ", page.width, " ", page.height,
                     "]/Resources<</Font<</F ", reference(font), ">>>>/Contents ", reference(content), ">>"));
  output.write(tree, cat("<</Type/Pages/Kids[", reference(only), "]/Count 1>>"));
  output.finish(output.add(cat("<</Type/Catalog/Pages ", reference(tree), ">>")));
  return file;
}

// Bytes that wait on the disk.
class Store {
 public:
  explicit Store(const std::string& name) : name_(name), file_(std::tmpfile()) {
    if (file_ == nullptr) fail_here();
  }
  ~Store() {
    if (file_ != nullptr) std::fclose(file_);
  }
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  std::int64_t size() const { return size_; }
  void append(std::string_view bytes) {
    if (std::fseek(file_, 0, SEEK_END) != 0 ||
        std::fwrite(bytes.data(), 1, bytes.size(), file_) != bytes.size())
      fail_here();
    size_ += std::ssize(bytes);
  }
  void read(std::int64_t place, std::span<std::uint8_t> out) {
    if (std::fseek(file_, place, SEEK_SET) != 0 || std::fread(out.data(), 1, out.size(), file_) != out.size())
      fail_here();
  }

 private:
  [[noreturn]] void fail_here() const {
    const int number = errno;
    fail(ErrorCode::device,
         cat(name_, ": no temporary file for the text of its pages: ", std::strerror(number)));
  }

  std::string name_;
  std::FILE* file_;
  std::int64_t size_ = 0;
};

class SearchableFile : public SearchableWriter {
 public:
  SearchableFile(PdfSession session, std::int64_t page_count, ByteSink sink)
      : session_(std::move(session)),
        page_count_(page_count),
        sink_(std::move(sink)),
        store_(session_.name) {}

  void add(const SearchablePage& page) override {
    check(page);
    if (page.number > page_count_) {
      fail(ErrorCode::input, cat(session_.page_name(page.number - 1), ": the page does not exist"));
    }
    if (page.lines.empty()) return;
    const std::string file = text_file(page);
    const PictureSize size = unturned_size(page);
    pages_.push_back({page.number - 1, size.width, size.height, to_unturned_picture(page), store_.size(),
                      std::ssize(file)});
    store_.append(file);
  }

  std::vector<std::string> finish() override {
    if (pages_.empty()) {
      copy_original();
      return {};
    }
    while (!add_pages()) {
      if (problems_.size() > kMostLost)
        fail(ErrorCode::input, cat(session_.name, ": cannot be made searchable: ", problems_.back()));
    }
    try {
      save();
    } catch (const WorkerLost& lost) {
      fail(ErrorCode::input, cat(session_.name, ": cannot be written: ", lost.what));
    }
    return std::move(problems_);
  }

 private:
  struct Waiting {
    std::int64_t page = 0;  // from 0
    int width = 0, height = 0;
    Matrix matrix{};
    std::int64_t place = 0, bytes = 0;  // in store_
  };

  // Gives a new worker all pages. False where it was lost with one of them, which is left out from then on.
  bool add_pages() {
    session_.worker.reset();
    try {
      session_.begin();
    } catch (const WorkerLost& lost) {
      fail(ErrorCode::input, cat(session_.name, ": is a PDF file that cannot be opened: ", lost.what));
    }
    std::size_t next = 0;
    try {
      for (; next < pages_.size(); ++next) add_to_worker(pages_[next]);
      return true;
    } catch (const WorkerLost& lost) {
      leave_out(next, cat(session_.page_name(pages_[next].page), ": ", lost.what));
      return false;
    }
  }

  void add_to_worker(const Waiting& page) {
    const std::span<std::uint8_t> memory = session_.worker->memory();
    if (page.bytes > std::ssize(memory))
      fail(ErrorCode::input, cat(session_.page_name(page.page), ": has more text than is possible"));
    store_.read(page.place, memory.first(static_cast<std::size_t>(page.bytes)));
    Request request;
    request.command = Command::add_text;
    request.page = page.page;
    request.width = page.width;
    request.height = page.height;
    request.bytes = page.bytes;
    std::copy(page.matrix.begin(), page.matrix.end(), request.matrix);
    const Reply reply = session_.ask(request);
    if (reply.status == Status::ok) return;
    problems_.push_back(cat(session_.page_name(page.page), ": ", reply.message));
  }

  void leave_out(std::size_t index, const std::string& why) {
    lost_.push_back(why);
    problems_ = lost_;  // the others are told again in the next round
    pages_.erase(pages_.begin() + static_cast<std::ptrdiff_t>(index));
  }

  void save() {
    Request request;
    request.command = Command::save;
    for (;;) {
      const Reply reply = session_.ask(request);
      if (reply.status != Status::ok) fail(ErrorCode::input, cat(session_.name, ": ", reply.message));
      const auto piece = session_.worker->memory().first(static_cast<std::size_t>(reply.bytes));
      sink_({reinterpret_cast<const char*>(piece.data()), piece.size()});
      if (reply.more == 0) break;
      request.command = Command::more;
    }
    session_.worker.reset();
  }

  void copy_original() {
    std::array<char, 1 << 16> block;
    for (std::int64_t at = 0;;) {
      const ssize_t got = ::pread(session_.document.get(), block.data(), block.size(), at);
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) fail(ErrorCode::input, cat(session_.name, ": cannot be read: ", std::strerror(errno)));
      if (got == 0) return;
      sink_({block.data(), static_cast<std::size_t>(got)});
      at += got;
    }
  }

  PdfSession session_;
  std::int64_t page_count_;
  ByteSink sink_;
  Store store_;
  std::vector<Waiting> pages_;
  std::vector<std::string> problems_, lost_;
};

}  // namespace

std::unique_ptr<SearchableWriter> searchable_file(PdfSession session, const std::string& renderer,
                                                  std::int64_t page_count, ByteSink sink) {
  if (renderer != "PDFium") {
    fail(ErrorCode::device,
         cat(session.name, ": searchable PDF files need PDFium (libpdfium.so: GLMOCR_PDFIUM); ", renderer,
             " cannot write them"));
  }
  return std::make_unique<SearchableFile>(std::move(session), page_count, std::move(sink));
}

}  // namespace glmocr::pdf
