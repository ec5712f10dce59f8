// SPDX-License-Identifier: Apache-2.0
// pdfinfo tells the number and sizes of pages, pdftoppm renders a page as PPM to its standard output. Both get the
// password as an argument, which other users of the machine can see: they have no other way.
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <sstream>
#include <string_view>
#include <utility>

#include "pdf_worker/child_program.h"
#include "pdf_worker/renderer.h"

namespace glmocr::pdf {
namespace {

constexpr const char* kDocument = "/proc/self/fd/4";
static_assert(kDocumentFd == 4);
constexpr std::int64_t kSizesAtOnce = 100;  // pages that pdfinfo is asked about
constexpr std::size_t kMostInfo = 1 << 20;

// An executable in a folder of PATH; "" where there is none.
std::string find_program(const std::string& name) {
  const char* path = std::getenv("PATH");
  std::istringstream folders(path != nullptr ? path : "/usr/local/bin:/usr/bin:/bin");
  for (std::string folder; std::getline(folders, folder, ':');) {
    if (!folder.starts_with('/')) continue;
    folder += '/';
    folder += name;
    if (::access(folder.c_str(), X_OK) == 0) return folder;
  }
  return "";
}

// The last complaint, which says why a program gave up.
std::string last_line(const std::string& text) {
  std::istringstream lines(text);
  std::string last;
  for (std::string line; std::getline(lines, line);) {
    if (!line.empty()) last = line;
  }
  return last;
}

// A PPM picture that comes in pieces: "P6", width, height, 255, each followed by white space, then the pixels.
class PpmReceiver {
 public:
  PpmReceiver(const Pixels& pixels, int max_side) : pixels_(pixels), max_side_(max_side) {}

  // False where it is no picture of a size that fits.
  bool add(std::span<const char> piece) {
    while (fields_ < 4 && !piece.empty()) {
      if (!add_header_byte(piece.front())) return false;
      piece = piece.subspan(1);
    }
    const std::int64_t room = std::int64_t{3} * width_ * height_ - received_;
    if (std::ssize(piece) > room) return false;
    if (!piece.empty()) std::memcpy(pixels_.data + received_, piece.data(), piece.size());
    received_ += std::ssize(piece);
    return true;
  }
  bool complete() const { return fields_ == 4 && received_ == std::int64_t{3} * width_ * height_; }
  int width() const { return width_; }
  int height() const { return height_; }

 private:
  bool add_header_byte(char byte) {
    if (byte != ' ' && byte != '\n') {
      field_ += byte;
      return field_.size() <= 8;
    }
    if (fields_ == 0) {
      ++fields_;
      return std::exchange(field_, "") == "P6";
    }
    int value = 0;
    const auto end = std::from_chars(field_.data(), field_.data() + field_.size(), value);
    if (end.ec != std::errc() || end.ptr != field_.data() + field_.size()) return false;
    field_.clear();
    ++fields_;
    if (fields_ == 4) return value == 255 && std::int64_t{3} * width_ * height_ <= pixels_.bytes;
    (fields_ == 2 ? width_ : height_) = value;
    return value > 0 && value <= max_side_;
  }

  Pixels pixels_;
  int max_side_;
  int fields_ = 0;
  std::string field_;
  int width_ = 0, height_ = 0;
  std::int64_t received_ = 0;
};

struct PointSize {
  double width = 0, height = 0;
};

class PopplerRenderer : public Renderer {
 public:
  PopplerRenderer(std::string pdfinfo, std::string pdftoppm)
      : pdfinfo_(std::move(pdfinfo)), pdftoppm_(std::move(pdftoppm)) {}

  const char* name() const override { return "poppler"; }

  std::int64_t open(const std::string& password) override {
    if (!password.empty()) password_ = {"-upw", password, "-opw", password};
    std::istringstream lines(info({}));
    std::int64_t pages = -1;
    for (std::string line; std::getline(lines, line);) {
      if (std::sscanf(line.c_str(), "Pages: %ld", &pages) == 1) break;
    }
    if (pages < 0) throw Failure{Status::broken, "it is broken, or no PDF file"};
    return pages;
  }

  PixelSize measure(std::int64_t page, double dpi, int max_side) override {
    if (!sizes_.contains(page)) load_sizes(page / kSizesAtOnce * kSizesAtOnce);
    const auto points = sizes_.find(page);
    // pdfinfo gives pages that it cannot load no size.
    if (points == sizes_.end() || (points->second.width == 0 && points->second.height == 0))
      throw Failure{Status::no_page, "the page cannot be loaded"};
    PixelSize size;
    if (!pixel_size(points->second.width, points->second.height, dpi, max_side, size)) {
      throw Failure{Status::bad_page, "the page has no size"};
    }
    return size;
  }

  void render(std::int64_t page, double dpi, int max_side, const Pixels& pixels, Reply& reply) override {
    const PixelSize size = measure(page, dpi, max_side);
    const std::string number = std::to_string(page + 1);
    char resolution[32];  // a trifle less: pdftoppm rounds sizes up
    std::snprintf(resolution, sizeof resolution, "%.6f", std::max(size.dpi - 1e-5, 1e-5));
    std::vector<std::string> arguments = {"-f", number, "-l", number, "-r", resolution, "-cropbox"};
    arguments.insert(arguments.end(), password_.begin(), password_.end());
    arguments.emplace_back(kDocument);
    PpmReceiver picture(pixels, max_side);
    const ProgramEnd end =
        run_program(pdftoppm_, arguments, [&](std::span<const char> piece) { return picture.add(piece); });
    if (!picture.complete()) throw Failure{Status::bad_page, why(end)};
    reply.width = picture.width();
    reply.height = picture.height();
    reply.stride = 3 * picture.width();
  }

  // pdftotext tells neither what is invisible nor what has no meaning: its text could not be judged.
  void text(std::int64_t page, double dpi, int max_side, const Pixels&, Reply& reply) override {
    const PixelSize size = measure(page, dpi, max_side);
    reply.width = size.width;
    reply.height = size.height;
    reply.count = -1;
  }

  void add_text(const Request&, std::span<const std::uint8_t>) override { cannot_write(); }
  void save(const std::function<void(std::span<const std::uint8_t>)>&) override { cannot_write(); }

 private:
  [[noreturn]] static void cannot_write() {
    throw Failure{Status::no_renderer, "poppler cannot write PDF files"};
  }

  std::string info(const std::vector<std::string>& options) const {
    std::vector<std::string> arguments = options;
    arguments.insert(arguments.end(), password_.begin(), password_.end());
    arguments.emplace_back(kDocument);
    std::string text;
    const ProgramEnd end = run_program(pdfinfo_, arguments, [&](std::span<const char> piece) {
      text.append(piece.data(), piece.size());
      return text.size() <= kMostInfo;
    });
    if (end.exit_code == 0) return text;
    if (end.errors.find("Wrong page range") != std::string::npos) return "Pages: 0";
    if (end.errors.find("ncorrect password") != std::string::npos) {
      throw Failure{Status::password,
                    password_.empty() ? "it is encrypted and needs a password" : "the password is wrong"};
    }
    throw Failure{Status::broken, "it is broken, or no PDF file: " + why(end)};
  }

  void load_sizes(std::int64_t first) {
    sizes_.clear();
    std::istringstream lines(
        info({"-f", std::to_string(first + 1), "-l", std::to_string(first + kSizesAtOnce)}));
    for (std::string line; std::getline(lines, line);) {
      long number = 0;
      int rotation = 0;
      PointSize size;
      if (std::sscanf(line.c_str(), "Page %ld size: %lf x %lf pts", &number, &size.width, &size.height) ==
          3) {
        sizes_[number - 1] = size;
      } else if (std::sscanf(line.c_str(), "Page %ld rot: %d", &number, &rotation) == 2 &&
                 rotation % 180 != 0) {
        std::swap(sizes_[number - 1].width, sizes_[number - 1].height);
      }
    }
  }

  // Why a program of poppler gave no result.
  static std::string why(const ProgramEnd& end) {
    if (end.signal != 0)
      return std::string("poppler ended by signal ") + std::to_string(end.signal) + " (" +
             ::strsignal(end.signal) + ")";
    const std::string line = last_line(end.errors);
    return line.empty() ? "poppler renders nothing, exit code " + std::to_string(end.exit_code)
                        : "poppler: " + line;
  }

  std::string pdfinfo_, pdftoppm_;
  std::vector<std::string> password_;        // as options
  std::map<std::int64_t, PointSize> sizes_;  // of the pages asked about last
};

}  // namespace

std::unique_ptr<Renderer> open_poppler() {
  std::string pdfinfo = find_program("pdfinfo"), pdftoppm = find_program("pdftoppm");
  if (pdfinfo.empty() || pdftoppm.empty()) return nullptr;
  return std::make_unique<PopplerRenderer>(std::move(pdfinfo), std::move(pdftoppm));
}

}  // namespace glmocr::pdf
