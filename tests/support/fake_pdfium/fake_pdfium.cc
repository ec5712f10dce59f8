// SPDX-License-Identifier: Apache-2.0
// A library with the functions of PDFium that glm-ocr-pdf uses, loaded in its place (GLMOCR_PDFIUM). It does what a broken
// or subverted renderer might do, in the jail of the worker. After "%PDF" and a newline, each line of a "document" is a
// page:
//   WIDTH HEIGHT COMMAND [ARGUMENT]     in points
// It answers with text in the place of the page's first pixels. The text layer of a page with the command `letters` is its
// argument, a letter every ten points, of ten points each; of one with `count` it is as many x in places that cannot be.
// A document to which text is added is saved as "PAGE OBJECTS\n" for each page; a page with `save N` adds N bytes, which count
// from 0, one with `save-crash` or `save-fail` does that. Text cannot be put over pages with `add-crash` and `add-fail`.
#include <dirent.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <functional>
#include <sstream>
#include <string>
#include <vector>

#include "pdf_worker/pdfium.h"

using namespace glmocr::pdf;

namespace glmocr::pdf {
struct FpdfDocument {
  std::vector<std::string> pages;
  std::vector<int> added;  // objects, to each of the pages
};
struct FpdfPage {
  FpdfDocument* document;
  std::size_t number;
  std::string line;
};
struct FpdfXObject {};
struct FpdfPageObject {
  FpdfMatrix matrix;
};
struct FpdfTextPage {
  std::string command, argument;
};
struct FpdfBitmap {
  unsigned char* pixels;
  int height, stride;
};
}  // namespace glmocr::pdf

namespace {

std::string at_start;  // what the process had before its jail was closed
unsigned long last_error = 0;

// "0" for success, else the number of the error.
std::string outcome(long result) { return std::to_string(result < 0 ? errno : 0); }

// Tries what a jailed process must not do; "NAME=OUTCOME ..."
std::string attempts() {
  void* page = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  const rlimit unlimited{RLIM_INFINITY, RLIM_INFINITY};
  char program[] = "/bin/true";
  char* const arguments[] = {program, nullptr};
  char byte = 0;
  struct Attempt {
    const char* name;
    std::function<long()> run;
  };
  const std::vector<Attempt> list = {
      {"open", [] { return ::open("/etc/passwd", O_RDONLY); }},
      {"openat", [] { return ::syscall(SYS_openat, AT_FDCWD, "/proc/self/maps", O_RDONLY, 0); }},
      {"openat2", [] { return ::syscall(SYS_openat2, AT_FDCWD, "/etc/passwd", nullptr, 0); }},
      {"create", [] { return ::open("/tmp/glm-ocr-pdf-escaped", O_WRONLY | O_CREAT, 0600); }},
      {"inet", [] { return ::socket(AF_INET, SOCK_STREAM, 0); }},
      {"unix", [] { return ::socket(AF_UNIX, SOCK_STREAM, 0); }},
      {"fork",
       [] {
         const long child = ::syscall(SYS_clone, SIGCHLD, nullptr, nullptr, nullptr, 0);
         if (child == 0) ::_exit(0);
         return child;
       }},
      {"kill", [] { return ::kill(::getpid(), 0); }},
      {"ptrace", [] { return ::ptrace(PTRACE_ATTACH, 1, nullptr, nullptr); }},
      {"io_uring",
       [] {
         io_uring_params parameters{};
         return ::syscall(SYS_io_uring_setup, 1, &parameters);
       }},
      {"limit", [&] { return ::setrlimit(RLIMIT_AS, &unlimited); }},
      {"prctl", [] { return ::prctl(PR_SET_NAME, "escaped"); }},
      {"code", [&] { return ::mprotect(page, 4096, PROT_READ | PROT_EXEC); }},
      {"mapcode",
       [] {
         return ::mmap(nullptr, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED
                    ? -1
                    : 0;
       }},
      {"mapfile", [] { return ::mmap(nullptr, 4096, PROT_READ, MAP_PRIVATE, 4, 0) == MAP_FAILED ? -1 : 0; }},
      {"writedocument", [&] { return ::write(4, &byte, 1); }},
      {"memfd", [] { return ::syscall(SYS_memfd_create, "x", 0); }},
      {"duplicate", [] { return ::dup(4); }},
  };
  std::string text;
  for (const Attempt& attempt : list) text += std::string(attempt.name) + "=" + outcome(attempt.run()) + " ";
  text += "exec=" + (::execv(program, arguments), std::to_string(errno));
  return text;
}

std::string descriptors_and_environment() {
  std::vector<int> open;
  DIR* folder = ::opendir("/proc/self/fd");
  while (const dirent* entry = ::readdir(folder)) {
    if (entry->d_name[0] != '.' && std::atoi(entry->d_name) != ::dirfd(folder))
      open.push_back(std::atoi(entry->d_name));
  }
  ::closedir(folder);
  std::sort(open.begin(), open.end());
  std::string text = "fds";
  for (const int fd : open) text += " " + std::to_string(fd);
  text += "; env";
  for (char** variable = environ; *variable != nullptr; ++variable) {
    text += " " + std::string(*variable, std::strcspn(*variable, "="));
  }
  return text;
}

[[noreturn]] void use_up_memory(std::size_t block) {
  std::size_t used = 0;
  for (;;) {
    void* more = std::malloc(block);
    if (more == nullptr) std::abort();
    std::memset(more, 1, block);
    used += block;
    if (used > std::size_t{3} << 30) ::raise(SIGUSR1);  // beyond any limit
  }
}

int overflow(int depth) {
  volatile char frame[1024] = {};
  return depth < 0 ? 0 : overflow(depth + 1) + frame[depth % 1024];
}

[[noreturn]] void hang() {
  volatile bool forever = true;
  while (forever) {
  }
  ::_exit(1);
}

long milliseconds() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000 + now.tv_nsec / 1'000'000;
}

std::string carry_out(const std::string& command, const std::string& argument) {
  if (command == "say") return argument;
  if (command == "start") return at_start;
  if (command == "attempt") return attempts();
  if (command == "crash") *static_cast<volatile int*>(nullptr) = 1;
  if (command == "abort") std::abort();
  if (command == "exit") ::_exit(7);
  if (command == "overflow") return std::to_string(overflow(0));
  if (command == "memory") use_up_memory(std::size_t{1} << 24);
  if (command == "hang") hang();
  if (command == "work") {  // for so many milliseconds: says from when to when
    const long begin = milliseconds(), end = begin + std::atoi(argument.c_str());
    while (milliseconds() < end) {
    }
    return std::to_string(begin) + " " + std::to_string(end);
  }
  if (command == "forge") {  // an answer of its own before the worker's
    std::string reply(static_cast<std::size_t>(std::atoi(argument.c_str())), '\xff');
    return std::to_string(::write(3, reply.data(), reply.size()));
  }
  return "?";
}

// "WIDTH HEIGHT COMMAND ARGUMENT"
FpdfTextPage parsed(const std::string& line) {
  std::istringstream words(line);
  std::string width, height;
  FpdfTextPage page;
  words >> width >> height >> page.command;
  std::getline(words >> std::ws, page.argument);
  return page;
}

}  // namespace

#define EXPORT extern "C" __attribute__((visibility("default")))

EXPORT void FPDF_InitLibraryWithConfig(const FpdfLibraryConfig* config) {
  at_start = descriptors_and_environment() + (config->user_font_paths[0] == nullptr ? "; no fonts" : "");
}

EXPORT FpdfDocument* FPDF_LoadCustomDocument(FpdfFileAccess* access, const char* password) {
  std::string content(access->file_length, '\0');
  if (access->get_block(access->user, 0, reinterpret_cast<unsigned char*>(content.data()), content.size()) ==
      0) {
    last_error = kFpdfErrorFile;
    return nullptr;
  }
  std::istringstream lines(content);
  auto* document = new FpdfDocument;
  std::string line;
  std::getline(lines, line);
  while (std::getline(lines, line)) {
    if (line == "open-crash") std::abort();
    if (line == "open-hang") hang();
    if (line.starts_with("password ") && line.substr(9) != (password != nullptr ? password : "")) {
      last_error = kFpdfErrorPassword;
      return nullptr;
    }
    if (!line.starts_with("password ")) document->pages.push_back(line);
  }
  return document;
}

EXPORT unsigned long FPDF_GetLastError() { return last_error; }
EXPORT int FPDF_GetPageCount(FpdfDocument* document) { return static_cast<int>(document->pages.size()); }

EXPORT int FPDF_GetPageSizeByIndexF(FpdfDocument* document, int page, FpdfSize* size) {
  return std::sscanf(document->pages[static_cast<std::size_t>(page)].c_str(), "%f %f", &size->width,
                     &size->height) == 2;
}

EXPORT FpdfPage* FPDF_LoadPage(FpdfDocument* document, int page) {
  const auto number = static_cast<std::size_t>(page);
  return new FpdfPage{document, number, document->pages[number]};
}
EXPORT void FPDF_ClosePage(FpdfPage* page) { delete page; }

EXPORT FpdfBitmap* FPDFBitmap_CreateEx(int, int height, int, void* pixels, int stride) {
  return new FpdfBitmap{static_cast<unsigned char*>(pixels), height, stride};
}
EXPORT int FPDFBitmap_FillRect(FpdfBitmap* bitmap, int, int, int, int height, unsigned long) {
  std::memset(bitmap->pixels, 0xff,
              static_cast<std::size_t>(bitmap->stride) * static_cast<std::size_t>(height));
  return 1;
}
EXPORT void FPDFBitmap_Destroy(FpdfBitmap* bitmap) { delete bitmap; }

EXPORT void FPDF_RenderPageBitmap(FpdfBitmap* bitmap, FpdfPage* page, int, int, int, int, int, int) {
  const FpdfTextPage line = parsed(page->line);
  const std::string text = carry_out(line.command, line.argument);
  const auto room = static_cast<std::size_t>(bitmap->stride) * static_cast<std::size_t>(bitmap->height);
  std::memcpy(bitmap->pixels, text.c_str(), std::min(text.size() + 1, room));
}

EXPORT int FPDF_GetFormType(FpdfDocument*) { return 0; }
EXPORT FpdfForm* FPDFDOC_InitFormFillEnvironment(FpdfDocument*, FpdfFormFillInfo*) { return nullptr; }
EXPORT void FPDFDOC_ExitFormFillEnvironment(FpdfForm*) {}
EXPORT void FPDF_CloseDocument(FpdfDocument* document) { delete document; }
EXPORT void FORM_OnAfterLoadPage(FpdfPage*, FpdfForm*) {}
EXPORT void FORM_OnBeforeClosePage(FpdfPage*, FpdfForm*) {}
EXPORT void FPDF_FFLDraw(FpdfForm*, FpdfBitmap*, FpdfPage*, int, int, int, int, int, int) {}

EXPORT int FPDF_DeviceToPage(FpdfPage* page, int, int, int, int height, int, int x, int y, double* page_x,
                             double* page_y) {
  float width_pt = 0, height_pt = 0;
  std::sscanf(page->line.c_str(), "%f %f", &width_pt, &height_pt);
  const double scale = height_pt / height;
  *page_x = x * scale;
  *page_y = (height - y) * scale;
  return 1;
}

EXPORT FpdfTextPage* FPDFText_LoadPage(FpdfPage* page) {
  auto* text = new FpdfTextPage(parsed(page->line));
  if (text->command != "letters" && text->command != "count") carry_out(text->command, text->argument);
  return text;
}
EXPORT void FPDFText_ClosePage(FpdfTextPage* text) { delete text; }
EXPORT int FPDFText_CountChars(FpdfTextPage* text) {
  if (text->command == "count") return std::atoi(text->argument.c_str());
  return text->command == "letters" ? static_cast<int>(text->argument.size()) : 0;
}
EXPORT unsigned int FPDFText_GetUnicode(FpdfTextPage* text, int index) {
  return text->command == "count"
             ? 'x'
             : static_cast<unsigned char>(text->argument[static_cast<std::size_t>(index)]);
}
EXPORT int FPDFText_IsGenerated(FpdfTextPage*, int) { return 0; }
EXPORT int FPDFText_IsHyphen(FpdfTextPage*, int) { return 0; }
EXPORT int FPDFText_HasUnicodeMapError(FpdfTextPage*, int) { return 0; }
EXPORT double FPDFText_GetFontSize(FpdfTextPage*, int) { return 10; }
EXPORT int FPDFText_GetCharBox(FpdfTextPage* text, int index, double* left, double* right, double* bottom,
                               double* top) {
  *left = text->command == "count" ? std::nan("") : 10.0 * index;
  *right = text->command == "count" ? 1e300 : 10.0 * index + 10;
  *bottom = 0;
  *top = 10;
  return 1;
}
EXPORT int FPDFText_GetLooseCharBox(FpdfTextPage*, int, FpdfRect*) { return 0; }
EXPORT int FPDFText_GetCharOrigin(FpdfTextPage*, int index, double* x, double* y) {
  *x = 10.0 * index;
  *y = 0;
  return 1;
}
EXPORT int FPDFText_GetMatrix(FpdfTextPage*, int, FpdfMatrix* matrix) {
  *matrix = {1, 0, 0, 1, 0, 0};
  return 1;
}
EXPORT FpdfPageObject* FPDFText_GetTextObject(FpdfTextPage*, int) { return nullptr; }
EXPORT int FPDFTextObj_GetTextRenderMode(FpdfPageObject*) { return 0; }

EXPORT FpdfDocument* FPDF_LoadMemDocument(const void* data, int size, const char*) {
  const bool is_pdf = size > 9 && std::memcmp(data, "%PDF-1.7\n", 9) == 0;
  return is_pdf ? new FpdfDocument : nullptr;
}
EXPORT FpdfXObject* FPDF_NewXObjectFromPage(FpdfDocument*, FpdfDocument*, int) { return new FpdfXObject; }
EXPORT void FPDF_CloseXObject(FpdfXObject* object) { delete object; }
EXPORT FpdfPageObject* FPDF_NewFormObjectFromXObject(FpdfXObject*) { return new FpdfPageObject{}; }
EXPORT int FPDFPageObj_SetMatrix(FpdfPageObject* object, const FpdfMatrix* matrix) {
  object->matrix = *matrix;
  return 1;
}
EXPORT void FPDFPage_InsertObject(FpdfPage* page, FpdfPageObject* object) {
  page->document->added.resize(page->document->pages.size());
  ++page->document->added[page->number];
  delete object;
}
EXPORT int FPDFPage_GenerateContent(FpdfPage* page) {
  const FpdfTextPage line = parsed(page->line);
  if (line.command == "add-crash") std::abort();
  return line.command != "add-fail";
}
EXPORT int FPDF_SaveAsCopy(FpdfDocument* document, FpdfFileWrite* writer, unsigned long) {
  document->added.resize(document->pages.size());
  for (std::size_t i = 0; i < document->pages.size(); ++i) {
    const FpdfTextPage line = parsed(document->pages[i]);
    if (line.command == "save-crash") std::abort();
    if (line.command == "save-fail") return 0;
    const std::string text = std::to_string(i) + " " + std::to_string(document->added[i]) + "\n";
    writer->write_block(writer, text.data(), text.size());
    if (line.command != "save") continue;
    std::vector<unsigned char> bytes(static_cast<std::size_t>(std::atoi(line.argument.c_str())));
    for (std::size_t at = 0; at < bytes.size(); ++at) bytes[at] = static_cast<unsigned char>(at);
    writer->write_block(writer, bytes.data(), bytes.size());
  }
  return 1;
}
