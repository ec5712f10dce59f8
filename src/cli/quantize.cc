// SPDX-License-Identifier: Apache-2.0
#include "glmocr/quantize.h"

#include <atomic>
#include <cstdlib>

#include "base/error.h"
#include "base/memory.h"
#include "cli/arguments.h"
#include "cli/exit_code.h"
#include "cli/signals.h"
#include "cli/standard_streams.h"

namespace glmocr::cli {

int run_quantize(const QuantizeArguments& arguments, Console& console) {
  std::atomic<bool> interrupted = false;
  const InterruptWatcher watcher([&] { interrupted = true; },
                                 [&](const std::string& file) {
                                   console.error(lost_file_message(file.empty() ? arguments.from : file));
                                   std::_Exit(kModelUnusable);
                                 });
  QuantizedSnapshot result;
  try {
    result = quantize_snapshot(arguments.from, arguments.to, [&] { return interrupted.load(); });
  } catch (const Error& error) {
    if (error.code() == ErrorCode::input) {  // a file that cannot be written
      console.error(error.what());
      return kSomeFailed;
    }
    if (error.code() != ErrorCode::cancelled) throw;
    console.error(cat(arguments.to, ": not written: interrupted"));
    return 128 + watcher.signal();
  }
  write_standard_output(cat(arguments.to, ": ", result.matrices, " matrices in eight bits, ",
                            size_text(result.bytes_after), " of tensors, before ",
                            size_text(result.bytes_before), "\n"));
  return kOk;
}

}  // namespace glmocr::cli
