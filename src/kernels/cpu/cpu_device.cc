// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu/cpu_device.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

#include "base/memory_budget.h"
#include "base/numbers.h"
#include "kernels/cpu/cpu_ops.h"
#include "kernels/cpu/peaks.h"
#include "kernels/host/huge_memory.h"

namespace glmocr {
namespace {

class CpuDevice final : public HostDevice {
 public:
  CpuDevice(std::string name, const cpu::Isa& isa, const DeviceOptions& options)
      : HostDevice(options), name_(std::move(name)), isa_(isa), ops_(*this, isa) {}
  std::string name() const override { return name_; }
  std::string isa() const override { return std::string(isa_.name); }
  Ops& ops() override { return ops_; }
  bool prefers_bf16() const override { return isa_.table().pairs != nullptr; }
  Peaks measure_peaks(Clock clock) override { return cpu::measure_peaks(pool(), isa_.name, clock); }
  Weight prepare(const Tensor& matrix, WeightUse use, Buffer& owner) override;
  Weight prepare_int8(const Tensor& values, const Tensor& scales, Buffer& owner) override;

 private:
  Buffer allocate_prepared(std::int64_t bytes);
  bool packs(const Tensor& matrix) const;
  Weight prepare_panels(const Tensor& matrix, Buffer& owner);

  std::string name_;
  const cpu::Isa& isa_;
  cpu::CpuOps ops_;
};

// Memory of weights in a layout of this device.
Buffer CpuDevice::allocate_prepared(std::int64_t bytes) {
  const auto memory = std::make_shared<HugeMemory>(this->memory(), bytes, "weights and tables");
  return Buffer(std::shared_ptr<void>(memory, memory->data()), bytes, this);
}

// Half of what a budget allows is left to what runs on the weights, and some of the other half to what a model must
// convert: without that it could not be loaded at all.
bool CpuDevice::packs(const Tensor& matrix) const {
  if (matrix.dtype != DType::bf16 || matrix.numel() == 0) return false;
  constexpr std::int64_t kConverted = std::int64_t{16} << 20;
  const MemoryBudget& budget = *memory();
  return budget.limit() == 0 || budget.used() + matrix.bytes() + kConverted <= budget.limit() / 2;
}

Weight CpuDevice::prepare_panels(const Tensor& matrix, Buffer& owner) {
  const cpu::KernelTable& kernels = isa_.table();
  const std::int64_t out = matrix.size(0), in = matrix.size(1), width = kernels.pair_columns;
  const Shape shape{divide_up(out, width), round_up(in, kernels.pair_depth), width};
  owner = allocate_prepared(shape.numel() * size_of(DType::bf16));
  Weight weight;
  weight.data = owner.view(shape, DType::bf16);
  pool().parallel_for(shape[0], 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t panel = begin; panel < end; ++panel) {
      const auto* rows = static_cast<const std::uint16_t*>(matrix.data) + panel * width * in;
      kernels.pack_columns({rows, in, cpu::Type::bf16}, std::min(width, out - panel * width), in,
                           static_cast<std::uint16_t*>(weight.data.data) + panel * width * shape[1]);
    }
  });
  weight.out_features = out;
  weight.in_features = in;
  weight.layout = WeightLayout::pairs;
  return weight;
}

// Products take weights of bf16 in panels of pairs. Convolutions take theirs in panels; those of bf16 in pairs, where the
// processor multiplies such.
Weight CpuDevice::prepare(const Tensor& matrix, WeightUse use, Buffer& owner) {
  GLMOCR_CHECK(matrix.rank() == 2 && matrix.is_contiguous());
  if (use == WeightUse::linear && packs(matrix)) return prepare_panels(matrix, owner);
  if (use != WeightUse::convolution) return HostDevice::prepare(matrix, use, owner);
  const cpu::KernelTable& kernels = isa_.table();
  const bool pairs = matrix.dtype == DType::bf16 && prefers_bf16();
  const std::int64_t out = matrix.size(0), in = matrix.size(1);
  const std::int64_t width = pairs ? kernels.pair_columns : kernels.gemm_columns;
  const Shape shape{divide_up(out, width), pairs ? round_up(in, kernels.pair_depth) : in, width};
  const DType dtype = pairs ? DType::bf16 : DType::f32;
  owner = allocate(shape.numel() * size_of(dtype));
  Weight weight;
  weight.data = owner.view(shape, dtype);
  pairs ? cpu::pack_pairs(kernels, matrix, weight.data) : cpu::pack_panels(matrix, weight.data);
  weight.out_features = out;
  weight.in_features = in;
  weight.use = use;
  weight.layout = pairs ? WeightLayout::pairs : WeightLayout::panels;
  return weight;
}

Weight CpuDevice::prepare_int8(const Tensor& values, const Tensor& scales, Buffer& owner) {
  GLMOCR_CHECK(values.rank() == 2 && values.is_contiguous() && scales.numel() == values.size(0));
  const std::int64_t out = values.size(0), in = values.size(1);
  const std::int64_t packed = round_up<std::int64_t>(cpu::packed_bytes(isa_, out, in), 64);
  const bool in_place = !memory()->has_room_to_prepare(packed);
  const std::int64_t panels = in_place ? 0 : packed;
  owner = allocate_prepared(panels + scales.bytes());
  Weight weight;
  if (in_place) {
    weight.data = borrow(values);
  } else {
    weight.data = owner.view({panels}, DType::i8);
    cpu::pack_bytes(isa_, pool(), values, weight.data);
    weight.layout = WeightLayout::bytes;
  }
  weight.scale = owner.view({out}, DType::f32, panels);
  upload(scales.data, weight.scale);
  weight.out_features = out;
  weight.in_features = in;
  return weight;
}

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
      return std::make_unique<CpuDevice>(name.empty() ? "cpu" : "cpu:" + name, isa, options);
  }
  fail(ErrorCode::device,
       cat("instruction set \"", name,
           "\" is not available on this processor; available: ", join(available_cpu_isas(), ", ")));
}

}  // namespace glmocr
