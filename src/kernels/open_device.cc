// SPDX-License-Identifier: Apache-2.0
#include <cstdlib>

#include "kernels/cpu/cpu_device.h"
#include "kernels/kernels.h"
#include "kernels/ref/ref_device.h"

namespace glmocr {

std::vector<std::string> available_devices() {
  std::vector<std::string> names{"cpu"};
  for (const std::string& isa : available_cpu_isas()) names.push_back("cpu:" + isa);
  names.push_back("ref");
  return names;
}

std::unique_ptr<Device> open_device(std::string_view name, const DeviceOptions& options) {
  if (name == "ref") return open_ref_device(options);
  if (name == "cpu" || name.starts_with("cpu:")) {
    const char* wanted = std::getenv("GLMOCR_CPU_ISA");
    const std::string isa = name != "cpu" ? std::string(name.substr(4)) : wanted ? wanted : "";
    return open_cpu_device(isa, options);
  }
  fail(ErrorCode::device,
       cat("device \"", name, "\" is not available here; available: ", join(available_devices(), ", ")));
}

}  // namespace glmocr
