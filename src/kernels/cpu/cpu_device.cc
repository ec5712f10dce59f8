// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu/cpu_device.h"

#include "kernels/cpu/cpu_ops.h"

namespace glmocr {
namespace {

class CpuDevice final : public HostDevice {
 public:
  CpuDevice(const cpu::Isa& isa, const DeviceOptions& options)
      : HostDevice(options), isa_(isa), ops_(*this, isa) {}
  std::string name() const override { return "cpu"; }
  std::string isa() const override { return std::string(isa_.name); }
  Ops& ops() override { return ops_; }
  bool prefers_bf16() const override { return isa_.table().pairs != nullptr; }

 private:
  const cpu::Isa& isa_;
  cpu::CpuOps ops_;
};

}  // namespace

std::vector<std::string> available_cpu_isas() {
  std::vector<std::string> names;
  for (const cpu::Isa& isa : cpu::compiled_isas()) {
    if (isa.available()) names.emplace_back(isa.name);
  }
  return names;
}

std::unique_ptr<Device> open_cpu_device(const std::string& name, const DeviceOptions& options) {
  for (const cpu::Isa& isa : cpu::compiled_isas()) {
    if (isa.available() && (name.empty() || name == isa.name))
      return std::make_unique<CpuDevice>(isa, options);
  }
  fail(ErrorCode::device,
       cat("instruction set \"", name,
           "\" is not available on this processor; available: ", join(available_cpu_isas(), ", ")));
}

}  // namespace glmocr
