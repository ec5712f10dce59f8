// SPDX-License-Identifier: Apache-2.0
#include "pdf/pdf_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "pdf/pdf_session.h"
#include "pdf/searchable_file.h"
#include "pdf/text_lines.h"

namespace glmocr {

using pdf::Command;
using pdf::Descriptor;
using pdf::Reply;
using pdf::WorkerLost;

namespace {

constexpr int kMaxDpi = 2400;

void check(const PdfOptions& options) {
  if (!(options.dpi >= 1 && options.dpi <= kMaxDpi)) {
    fail(ErrorCode::usage, cat("dpi is ", options.dpi, ", expected 1 to ", kMaxDpi));
  }
  if (options.max_side < 1 || options.max_side > kMaxPdfSide) {
    fail(ErrorCode::usage, cat("max_side is ", options.max_side, ", expected 1 to ", kMaxPdfSide));
  }
  if (options.password.size() > pdf::kMaxPassword || options.password.find('\0') != std::string::npos) {
    fail(ErrorCode::usage, cat("a password has at most ", pdf::kMaxPassword, " bytes, none of them zero"));
  }
}

}  // namespace

struct PdfFile::State : pdf::PdfSession {
  Image render(std::int64_t page, const std::function<void(std::int64_t bytes)>& on_size) {
    const Reply expected = ask_page(Command::measure, page);
    if (on_size) on_size(std::int64_t{3} * expected.width * expected.height);
    const Reply reply = ask_page(Command::render, page);
    Image image;
    image.width = reply.width;
    image.height = reply.height;
    const std::size_t row = std::size_t{3} * static_cast<std::size_t>(image.width);
    image.rgb.resize(row * static_cast<std::size_t>(image.height));
    for (int y = 0; y < image.height; ++y) {
      const std::size_t line = static_cast<std::size_t>(y);
      std::memcpy(&image.rgb[line * row], &worker->memory()[line * static_cast<std::size_t>(reply.stride)],
                  row);
    }
    return image;
  }

  std::optional<TextLayer> text_layer(std::int64_t page) {
    const Reply reply = ask_page(Command::text, page);
    if (reply.count < 0) return std::nullopt;
    // Copied first: the worker can write the memory while it is looked at.
    std::vector<pdf::Character> characters(static_cast<std::size_t>(reply.count));
    if (!characters.empty()) {
      std::memcpy(characters.data(), worker->memory().data(), characters.size() * sizeof characters.front());
    }
    TextLayer layer = pdf::group_characters(characters, reply.width, reply.height);
    layer.quality.complete = reply.complete != 0;
    return layer;
  }
};

PdfFile::PdfFile(std::unique_ptr<State> state) : state_(std::move(state)) {
  try {
    state_->begin();
    if (state_->page_count == 0) fail(ErrorCode::input, cat(state_->name, ": is a PDF file without pages"));
  } catch (const WorkerLost& lost) {
    fail(ErrorCode::input, cat(state_->name, ": is a PDF file that cannot be opened: ", lost.what));
  }
}
PdfFile::~PdfFile() = default;
PdfFile::PdfFile(PdfFile&& other) noexcept = default;
PdfFile& PdfFile::operator=(PdfFile&& other) noexcept = default;

PdfFile PdfFile::open(const std::string& path, const PdfOptions& options) {
  check(options);
  auto state = std::make_unique<State>();
  state->name = path;
  state->options = options;
  state->document = Descriptor(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  struct stat info {};
  if (state->document.get() < 0 || ::fstat(state->document.get(), &info) != 0) {
    fail(ErrorCode::input, cat(path, ": cannot be opened: ", std::strerror(errno)));
  }
  if (!S_ISREG(info.st_mode)) fail(ErrorCode::input, cat(path, ": is not a regular file"));
  state->program = pdf::find_worker(options.worker);
  return PdfFile(std::move(state));
}

PdfFile PdfFile::open_bytes(std::string content, const std::string& name, const PdfOptions& options) {
  check(options);
  auto state = std::make_unique<State>();
  state->name = name;
  state->options = options;
  state->document = Descriptor(::memfd_create("glm-ocr document", MFD_CLOEXEC));
  const int fd = state->document.get();
  std::string_view left = content;
  while (fd >= 0 && !left.empty()) {
    const ssize_t put = ::write(fd, left.data(), left.size());
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0) break;
    left.remove_prefix(static_cast<std::size_t>(put));
  }
  if (fd < 0 || !left.empty())
    fail(ErrorCode::memory, cat(name, ": not enough memory for a PDF file of ", content.size(), " bytes"));
  content.clear();
  content.shrink_to_fit();
  state->program = pdf::find_worker(options.worker);
  return PdfFile(std::move(state));
}

std::int64_t PdfFile::page_count() const { return state_->page_count; }
std::string PdfFile::renderer_name() const { return state_->renderer; }
int PdfFile::worker_pid() const { return state_->worker ? state_->worker->pid() : -1; }

Image PdfFile::render(std::int64_t page, const std::function<void(std::int64_t bytes)>& on_size) {
  return state_->with_worker(page, [&] { return state_->render(page, on_size); });
}

std::optional<TextLayer> PdfFile::text_layer(std::int64_t page) {
  return state_->with_worker(page, [&] { return state_->text_layer(page); });
}

std::unique_ptr<SearchableWriter> PdfFile::searchable(ByteSink sink) const {
  return pdf::searchable_file(state_->fresh(), state_->renderer, state_->page_count, std::move(sink));
}

}  // namespace glmocr
