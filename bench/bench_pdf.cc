// SPDX-License-Identifier: Apache-2.0
// Pages that the renderers of PDF files make per second of processor time, and the memory (PSS) of this process and its
// worker on the way:
//   bench_pdf FILE [PAGES]
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <optional>
#include <string>

#include "pdf/pdf_file.h"

namespace {

using namespace glmocr;
using Clock = std::chrono::steady_clock;

// The processor time of this process and of those that it has waited for.
double cpu_seconds() {
  double seconds = 0;
  for (const int who : {RUSAGE_SELF, RUSAGE_CHILDREN}) {
    rusage usage{};
    ::getrusage(who, &usage);
    for (const timeval& time : {usage.ru_utime, usage.ru_stime})
      seconds += double(time.tv_sec) + 1e-6 * double(time.tv_usec);
  }
  return seconds;
}

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// The memory of a process in MiB, shared pages by their share; 0 where the system does not tell.
double pss(const std::string& pid) {
  std::ifstream rollup("/proc/" + pid + "/smaps_rollup");
  std::string word;
  double kib = 0;
  while (rollup >> word) {
    if (word == "Pss:") return rollup >> kib ? kib / 1024 : 0;
  }
  return 0;
}

void print_memory(const PdfFile& file, std::int64_t page) {
  std::printf("  after page %4lld: %6.1f MiB here, %6.1f MiB in the worker\n", static_cast<long long>(page),
              pss("self"), pss(std::to_string(file.worker_pid())));
}

void measure(const char* path, PdfRenderer renderer, double dpi, std::int64_t most) {
  PdfOptions options;
  options.renderer = renderer;
  options.dpi = dpi;
  const double cpu_before = cpu_seconds();
  const Clock::time_point opening = Clock::now();
  std::optional<PdfFile> file = PdfFile::open(path, options);
  const double open_ms = 1000 * seconds_since(opening);
  const std::int64_t pages = std::min(file->page_count(), most);
  double pixels = 0;
  const Clock::time_point start = Clock::now();
  for (std::int64_t page = 0; page < pages; ++page) {
    const Image image = file->render(page);
    pixels += double(image.width) * image.height;
    if ((page + 1) % 100 == 0 || page == 0) print_memory(*file, page + 1);
  }
  const double seconds = seconds_since(start);
  const std::string name = file->renderer_name();
  file.reset();  // the worker is waited for
  const double cpu = cpu_seconds() - cpu_before;
  std::printf(
      "%s, %.0f dpi: opened in %.1f ms; %lld pages, %.1f per second of processor time (%.2f s; wall clock "
      "%.2f s), %.0f MB of pixels\n",
      name.c_str(), dpi, open_ms, static_cast<long long>(pages), double(pages) / cpu, cpu, seconds,
      3 * pixels / 1e6);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fputs("usage: bench_pdf FILE [PAGES]\n", stderr);
    return 2;
  }
  const std::int64_t pages = argc > 2 ? std::atoll(argv[2]) : 300;
  for (const PdfRenderer renderer : {PdfRenderer::pdfium, PdfRenderer::poppler}) {
    for (const double dpi : {150.0, 200.0}) {
      try {
        measure(argv[1], renderer, dpi, pages);
      } catch (const Error& error) {
        std::fprintf(stderr, "%s\n", error.what());
      }
    }
  }
}
