// SPDX-License-Identifier: Apache-2.0
#include "kernels/ref/ref_device.h"

#include "kernels/host/host_device.h"
#include "kernels/ref/ref_ops.h"

namespace glmocr {
namespace {

class RefDevice final : public HostDevice {
 public:
  explicit RefDevice(const DeviceOptions& options) : HostDevice(options), ops_(*this) {}
  std::string name() const override { return "ref"; }
  std::string isa() const override { return ""; }
  Ops& ops() override { return ops_; }
  bool prefers_bf16() const override { return false; }

 private:
  ref::RefOps ops_;
};

}  // namespace

std::unique_ptr<Device> open_ref_device(const DeviceOptions& options) {
  return std::make_unique<RefDevice>(options);
}

}  // namespace glmocr
