// SPDX-License-Identifier: Apache-2.0
#include <cstdlib>

#include "kernels/cpu/cpu_device.h"
#include "kernels/cuda/cuda_device.h"
#include "kernels/kernels.h"
#include "kernels/ref/ref_device.h"

namespace glmocr {

std::vector<std::string> available_devices() {
  std::vector<std::string> names = available_cuda_devices();
  names.push_back("cpu");
  for (const std::string& isa : available_cpu_isas()) names.push_back("cpu:" + isa);
  names.push_back("ref");
  return names;
}

std::unique_ptr<Device> open_device(std::string_view name, const DeviceOptions& options) {
  if (name.find(',') != std::string_view::npos) {
    fail(ErrorCode::usage, cat("devices \"", name, "\": one device is expected here"));
  }
  if (name == "auto") return open_device(available_devices().front(), options);
  if (name == "ref") return open_ref_device(options);
  if (name.starts_with("cuda:")) return open_cuda_device(std::string(name), options);
  if (name == "cpu:") {
    fail(ErrorCode::device, cat("device \"cpu:\" names no instruction set; available: ",
                                join(available_cpu_isas(), ", "), "; \"cpu\" takes the first"));
  }
  if (name == "cpu" || name.starts_with("cpu:")) {
    const char* wanted = std::getenv("GLMOCR_CPU_ISA");
    const std::string isa = name != "cpu" ? std::string(name.substr(4)) : wanted ? wanted : "";
    return open_cpu_device(isa, options);
  }
  fail(ErrorCode::device,
       cat("device \"", name, "\" is not available here; available: ", join(available_devices(), ", ")));
}

}  // namespace glmocr
