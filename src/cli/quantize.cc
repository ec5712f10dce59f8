// SPDX-License-Identifier: Apache-2.0
#include "glmocr/quantize.h"

#include "base/error.h"
#include "base/memory.h"
#include "cli/arguments.h"
#include "cli/exit_code.h"
#include "cli/standard_streams.h"

namespace glmocr::cli {

int run_quantize(const QuantizeArguments& arguments, Console&) {
  const QuantizedSnapshot result = quantize_snapshot(arguments.from, arguments.to);
  write_standard_output(cat(arguments.to, ": ", result.matrices, " matrices in eight bits, ",
                            size_text(result.bytes_after), " of tensors, before ",
                            size_text(result.bytes_before), "\n"));
  return kOk;
}

}  // namespace glmocr::cli
