// SPDX-License-Identifier: Apache-2.0
#include "glmocr/selftest.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <memory>

#include "api/selftest_checks.h"
#include "base/error.h"
#include "base/memory.h"
#include "base/memory_budget.h"
#include "kernels/kernels.h"
#include "models/glm_ocr/prompt.h"

namespace glmocr {
namespace {

using checks::OpCheck;

std::vector<float> run_on(Device& device, const OpCheck& check, DType compute) {
  checks::Operands operands(device, compute);
  device.run_step([&] { check.run(operands); });
  return operands.results();
}

// The largest |a − b| / (1 + |b|); NaN anywhere counts as infinite.
double largest_difference(const std::vector<float>& a, const std::vector<float>& b) {
  double largest = 0;
  for (std::int64_t i = 0; i < std::ssize(a); ++i) {
    const double difference = std::abs(double{a[i]} - b[i]) / (1 + std::abs(double{b[i]}));
    if (!(difference <= largest))
      largest = std::isnan(difference) ? std::numeric_limits<double>::infinity() : difference;
  }
  return largest;
}

SelftestCheck run_check(Device& device, Device& ref, const OpCheck& check, DType compute) {
  SelftestCheck result;
  result.name = cat(check.name, compute == DType::bf16 ? ", bf16" : ", fp32");
  // fp32: a random walk of rounding errors. bf16: the results round to 8 bits, after at most two earlier
  // roundings.
  const bool coarse = compute == DType::bf16 && check.rounding == checks::Rounding::sums;
  result.tolerance = coarse ? 3 * 0x1p-8 : 8 * 0x1p-24 * std::sqrt(check.terms) + 0x1p-20;
  const std::vector<float> expected = run_on(ref, check, compute);
  const std::vector<float> found = run_on(device, check, compute);
  result.error = found.size() == expected.size() ? largest_difference(found, expected)
                                                 : std::numeric_limits<double>::infinity();
  result.passed = result.error <= result.tolerance;
  return result;
}

void run_op_checks(const std::string& name, const DeviceOptions& options,
                   const std::function<void(const SelftestCheck&)>& done) {
  const auto device = open_device(name, options);
  const auto ref = open_device("ref", options);
  checks::Checks all;
  checks::add_reader_checks(all, device->multiplies_int8());
  checks::add_layout_checks(all);
  for (const DType compute : {DType::f32, DType::bf16}) {
    for (const OpCheck& check : all) done(run_check(*device, *ref, check, compute));
  }
}

// Called when the operations do not fit the limit: runs them without one, to name the smallest that would do.
[[noreturn]] void fail_with_least_memory(const LoadOptions& options, DeviceOptions unlimited) {
  unlimited.memory = std::make_shared<MemoryBudget>();
  run_op_checks(options.device, unlimited, [](const SelftestCheck&) {});
  fail_limit_too_small(options.memory_limit, unlimited.memory->peak(), "the self-test of the operations");
}

// A page of grey bars on white, with shades so that every patch differs.
Image drawn_picture() {
  Image image{140, 84, std::vector<std::uint8_t>(140 * 84 * 3, 255)};
  for (int y = 0; y < image.height; ++y) {
    for (int x = 0; x < image.width; ++x) {
      const bool ink = y % 28 > 8 && y % 28 < 20 && x % 11 < 2 + y / 28 + x / 70;
      for (int c = 0; c < 3; ++c) {
        image.rgb[(y * image.width + x) * 3 + c] = ink ? 20 + x / 3 : 255 - (x + 2 * y + 9 * c) % 40;
      }
    }
  }
  return image;
}

SelftestCheck run_forward(const std::string& path, const LoadOptions& options, ComputeType dtype) {
  LoadOptions plain;
  plain.device = "ref";
  plain.dtype = ComputeType::fp32;
  LoadOptions here = options;
  here.dtype = dtype;
  here.quantization = Quantization::none;  // the reference has the weights as they are stored
  const Image images[] = {drawn_picture()};
  const Logits expected = Model::load(path, plain).forward(images, kTextPrompt);
  const Logits found = Model::load(path, here).forward(images, kTextPrompt);
  double dot = 0, a = 0, b = 0, largest = 0;
  for (std::int64_t i = 0; i < std::ssize(expected.values); ++i) {
    dot += double{expected.values[i]} * found.values[i];
    a += double{expected.values[i]} * expected.values[i];
    b += double{found.values[i]} * found.values[i];
    largest = std::max(largest, std::abs(double{expected.values[i]} - found.values[i]));
  }
  SelftestCheck check;
  const bool fp32 = dtype == ComputeType::fp32;
  check.name = fp32 ? "forward pass, fp32, largest difference of a logit"
                    : "forward pass, bf16, 1 - cosine of the logits";
  check.error = fp32 ? largest : 1 - dot / std::sqrt(a * b);
  check.tolerance = fp32 ? 2e-3 : 5e-4;
  check.passed = check.error <= check.tolerance;
  check.detail = cat("best token ", found.top(1)[0].first, ", on ref ", expected.top(1)[0].first);
  return check;
}

}  // namespace

bool selftest(const std::string& model_path, const LoadOptions& options,
              const std::function<void(const SelftestCheck&)>& report) {
  const DeviceOptions device_options{
      .threads = options.threads, .pool = {}, .memory = std::make_shared<MemoryBudget>(options.memory_limit)};
  bool passed = true;
  const auto done = [&](const SelftestCheck& check) {
    passed = passed && check.passed;
    if (report) report(check);
  };
  try {
    run_op_checks(options.device, device_options, done);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::memory || options.memory_limit == 0) throw;
    fail_with_least_memory(options, device_options);
  }
  for (const ComputeType dtype : {ComputeType::fp32, ComputeType::bf16}) {
    done(run_forward(model_path, options, dtype));
  }
  return passed;
}

}  // namespace glmocr
