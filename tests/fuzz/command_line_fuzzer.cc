// SPDX-License-Identifier: Apache-2.0
// A command line, whose words NUL bytes separate: arguments, or Error{usage} or Error{input}. Files that it names are
// read where they are in the current folder.
#include <fcntl.h>

#include "cli/arguments.h"
#include "fuzz/fuzz.h"

namespace glmocr {
std::string_view version() { return "fuzz"; }  // of the room api, which the parser needs nothing else of
}  // namespace glmocr

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  ::dup2(::open("/dev/null", O_RDWR | O_CLOEXEC), STDIN_FILENO);
  ::dup2(::open("/dev/null", O_RDWR | O_CLOEXEC), STDOUT_FILENO);  // for --help
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace glmocr;
  using fuzz::expect;
  std::vector<std::string> words = fuzz::parts(fuzz::as_text(data, size), 64);
  std::vector<const char*> argv = {"glm-ocr"};
  for (std::string& word : words) {
    std::replace(word.begin(), word.end(), '/', '_');  // no device that never ends is read
    argv.push_back(word.c_str());
  }
  fuzz::attempt({ErrorCode::usage, ErrorCode::input}, "", [&] {
    const std::optional<cli::Arguments> arguments =
        cli::parse_arguments(static_cast<int>(argv.size()), argv.data());
    if (!arguments) return;
    if (const auto* read = std::get_if<cli::ReadArguments>(&arguments->command)) {
      const SamplingParams& sampling = read->options.sampling;
      expect(!read->files.empty(), "nothing to read");
      expect(read->options.max_tokens > 0, "max_tokens");
      expect(read->image.max_pixels > 0, "max_pixels");
      expect(sampling.temperature >= 0 && sampling.temperature <= 100, "temperature");
      expect(sampling.top_p >= 0 && sampling.top_p <= 1, "top_p");
      expect(sampling.top_k >= 0, "top_k");
      expect(sampling.repetition_penalty > 0, "repetition_penalty");
      expect(read->engine.max_sequences >= 1 && read->engine.max_sequences <= 1024, "batch");
      expect(read->model.load.threads >= 0 && read->model.load.threads <= 1024, "threads");
      expect(read->model.load.memory_limit >= 0, "memory");
    }
  });
  return 0;
}
