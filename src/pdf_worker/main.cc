// SPDX-License-Identifier: Apache-2.0
// glm-ocr-pdf: renders pages of a PDF file for glm-ocr, tells their text and puts text over them. glm-ocr starts it (pdf/protocol.h). A hostile file can end it, and
// nothing else.
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <exception>
#include <new>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "pdf_worker/renderer.h"

namespace glmocr::pdf {
namespace {

std::optional<Pixels> map_pixels() {
  struct stat info {};
  if (::fstat(kPixelsFd, &info) != 0) return std::nullopt;
  void* data = ::mmap(nullptr, static_cast<std::size_t>(info.st_size), PROT_READ | PROT_WRITE, MAP_SHARED,
                      kPixelsFd, 0);
  if (data == MAP_FAILED) return std::nullopt;
  return Pixels{static_cast<std::uint8_t*>(data), info.st_size};
}

std::unique_ptr<Renderer> open_renderer(std::string_view choice) {
  std::unique_ptr<Renderer> renderer;
  if (choice != "poppler") renderer = open_pdfium();
  if (renderer == nullptr && choice != "pdfium") renderer = open_poppler();
  if (renderer == nullptr) {
    throw Failure{
        Status::no_renderer,
        choice == "poppler"
            ? "pdfinfo and pdftoppm are not installed (Debian: poppler-utils)"
            : "PDF files need PDFium (libpdfium.so: GLMOCR_PDFIUM) or poppler's pdftoppm and pdfinfo"};
  }
  return renderer;
}

// Ends this process if it is still at work after so many seconds, should the parent not have ended it; 0: no longer.
void set_alarm(int seconds) {
  const itimerval time{{0, 0}, {seconds, 0}};
  ::setitimer(ITIMER_REAL, &time, nullptr);
}

// SIGIO comes with every event of the socket. Ends this process where the event is that the parent has gone.
void on_socket_event(int) {
  const int saved = errno;
  char byte = 0;
  if (::recv(kSocketFd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0) ::_exit(0);
  errno = saved;
}

void end_with_parent() {
  struct sigaction action {};
  action.sa_handler = on_socket_event;
  action.sa_flags = SA_RESTART;
  ::sigaction(SIGIO, &action, nullptr);
  ::fcntl(kSocketFd, F_SETOWN, ::getpid());
  ::fcntl(kSocketFd, F_SETFL, O_ASYNC);
}

template <std::size_t kSize>
void copy_text(const char* text, char (&out)[kSize]) {
  std::snprintf(out, kSize, "%s", text);
}

// The bytes of a file on their way to the parent, as many at a time as the shared memory holds.
class Outbox {
 public:
  explicit Outbox(const Pixels& memory) : memory_(memory) {}

  void put(std::span<const std::uint8_t> data) {
    while (!data.empty()) {
      if (used_ == memory_.bytes) hand_over();
      const auto count = std::min<std::int64_t>(std::ssize(data), memory_.bytes - used_);
      std::memcpy(memory_.data + used_, data.data(), static_cast<std::size_t>(count));
      used_ += count;
      data = data.subspan(static_cast<std::size_t>(count));
    }
  }
  std::int64_t used() const { return used_; }

 private:
  // Ends the process where the parent wants no more.
  void hand_over() {
    Reply reply;
    reply.bytes = used_;
    reply.more = 1;
    Request request;
    if (::write(kSocketFd, &reply, sizeof reply) != ssize_t{sizeof reply} ||
        ::read(kSocketFd, &request, sizeof request) != ssize_t{sizeof request} ||
        request.command != Command::more) {
      ::_exit(1);
    }
    set_alarm(std::max(request.time_limit_s, 1));
    used_ = 0;
  }

  Pixels memory_;
  std::int64_t used_ = 0;
};

// Holds a renderer and a document, and answers requests.
class Session {
 public:
  explicit Session(std::string_view choice) {
    try {
      pixels_ = map_pixels();
      if (!pixels_) throw Failure{Status::no_renderer, "there is no shared memory"};
      renderer_ = open_renderer(choice);
    } catch (const Failure& failure) {
      why_none_ = failure;
    }
  }

  Reply answer(const Request& request) {
    Reply reply;
    try {
      if (request.version != kProtocolVersion)
        throw Failure{Status::no_renderer, "glm-ocr-pdf is of another version"};
      if (!renderer_) throw why_none_;
      copy_text(renderer_->name(), reply.renderer);
      carry_out(request, reply);
    } catch (const Failure& failure) {
      reply.status = failure.status;
      copy_text(failure.message.c_str(), reply.message);
    } catch (const std::bad_alloc&) {
      reply.status = Status::bad_page;
      copy_text("the memory of the renderer is used up", reply.message);
    }
    return reply;
  }

 private:
  void carry_out(const Request& request, Reply& reply) {
    if (request.command == Command::open) {
      if (pages_ >= 0) throw Failure{Status::broken, "a document is open already"};
      pages_ = renderer_->open({request.password, ::strnlen(request.password, kMaxPassword)});
      reply.page_count = pages_;
      return;
    }
    if (request.command == Command::save) {
      Outbox outbox(*pixels_);
      renderer_->save([&](std::span<const std::uint8_t> data) { outbox.put(data); });
      reply.bytes = outbox.used();
      return;
    }
    if (request.page < 0 || request.page >= pages_) throw Failure{Status::no_page, "the page does not exist"};
    if (request.command == Command::add_text) {
      const bool fits =
          request.bytes > 0 && request.bytes <= std::min<std::int64_t>(pixels_->bytes, INT32_MAX);
      if (!fits || request.width < 1 || request.height < 1)
        throw Failure{Status::bad_page, "the text does not fit"};
      // A copy: nothing of PDFium is to change with the shared memory.
      const std::vector<std::uint8_t> file(pixels_->data, pixels_->data + request.bytes);
      renderer_->add_text(request, file);
      return;
    }
    if (!(request.dpi > 0) || request.max_side < 1)
      throw Failure{Status::bad_page, "the size is not positive"};
    if (request.command == Command::measure) {
      const PixelSize size = renderer_->measure(request.page, request.dpi, request.max_side);
      reply.width = size.width;
      reply.height = size.height;
    } else if (request.command == Command::text) {
      renderer_->text(request.page, request.dpi, request.max_side, *pixels_, reply);
    } else {
      renderer_->render(request.page, request.dpi, request.max_side, *pixels_, reply);
    }
  }

  std::optional<Pixels> pixels_;
  std::unique_ptr<Renderer> renderer_;
  Failure why_none_{Status::no_renderer, ""};
  std::int64_t pages_ = -1;  // -1: no document is open
};

int serve(std::string_view choice) {
  Session session(choice);
  for (;;) {
    Request request;
    const ssize_t got = ::read(kSocketFd, &request, sizeof request);
    if (got == 0) return 0;
    if (got != ssize_t{sizeof request}) return 1;
    set_alarm(std::max(request.time_limit_s, 1));
    const Reply reply = session.answer(request);
    set_alarm(0);
    if (::write(kSocketFd, &reply, sizeof reply) != ssize_t{sizeof reply}) return 1;
  }
}

}  // namespace
}  // namespace glmocr::pdf

int main(int argc, char** argv) {
  using namespace glmocr::pdf;
  struct stat info {};
  if (::fstat(kSocketFd, &info) != 0 || !S_ISSOCK(info.st_mode)) {
    std::fputs("glm-ocr-pdf renders pages of PDF files for glm-ocr, which starts it.\n", stderr);
    return 2;
  }
  ::syscall(SYS_close_range, kPixelsFd + 1, ~0U, 0);  // whatever else the parent left open
  end_with_parent();
  ::fcntl(kSocketFd, F_SETFD, FD_CLOEXEC);
  ::fcntl(kPixelsFd, F_SETFD, FD_CLOEXEC);
  ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  const int code = serve(argc > 1 ? argv[1] : "auto");
  ::_exit(code);  // nothing of PDFium is torn down
}
