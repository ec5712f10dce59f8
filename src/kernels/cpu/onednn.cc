// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu/onednn.h"

#include <omp.h>
#include <dnnl.hpp>

#include <array>
#include <cstddef>
#include <cstring>
#include <deque>

#include "base/error.h"
#include "base/numbers.h"

#if DNNL_VERSION_MAJOR != 2 || DNNL_VERSION_MINOR < 6
#error "this file is written for oneDNN 2.6 or a later 2.x; use GLMOCR_ONEDNN=OFF, which does without"
#endif

namespace glmocr::cpu {
namespace {

using dnnl::memory;

const dnnl::engine& engine() {
  static const dnnl::engine cpu(dnnl::engine::kind::cpu, 0);
  return cpu;
}

// For the OpenMP regions of the calling thread: the threads are those of our pool. A primitive is prepared
// for as many.
void one_thread_each() { ::omp_set_num_threads(1); }

memory::desc matrix(std::int64_t rows, std::int64_t columns, std::int64_t row_stride,
                    std::int64_t column_stride) {
  return {{rows, columns}, memory::data_type::bf16, {row_stride, column_stride}};
}

// Scratch memory is ours: only then may several threads run one primitive at once.
dnnl::primitive_attr own_scratch() {
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  return attributes;
}

dnnl::matmul::primitive_desc describe(const Bf16Shape& s) {
  const memory::desc x = matrix(s.rows, s.k, s.k, 1), weight = matrix(s.k, s.n, 1, s.weight_stride);
  const memory::desc out = matrix(s.rows, s.n, s.n, 1);
  const memory::desc bias({1, s.n}, memory::data_type::f32, memory::format_tag::ab);
  const auto operation =
      s.bias ? dnnl::matmul::desc(x, weight, bias, out) : dnnl::matmul::desc(x, weight, out);
  return {operation, own_scratch(), engine()};
}

class Prepared final : public Bf16Product {
 public:
  explicit Prepared(const Bf16Shape& shape)
      : shape_(shape), description_(describe(shape)), primitive_(description_) {}

  const Bf16Shape& shape() const { return shape_; }
  std::int64_t scratch_bytes() const override { return primitive_bytes() + shape_.rows * shape_.k * 2; }
  void run(const Bf16Operands& operands) const override;

 private:
  struct Memories;
  Memories& memories() const;

  std::int64_t primitive_bytes() const {
    return round_up(static_cast<std::int64_t>(description_.scratchpad_desc().get_size()), std::int64_t{64});
  }

  Bf16Shape shape_;
  dnnl::matmul::primitive_desc description_;
  dnnl::matmul primitive_;
  // Tells prepared products apart, also where one lies at the address of another that is gone.
  std::shared_ptr<const int> id_ = std::make_shared<const int>(0);
};

// oneDNN's handles of one thread's operands: made when the thread takes up another product, then only pointed
// elsewhere.
struct Prepared::Memories {
  explicit Memories(const Prepared& p)
      : id(p.id_),
        stream(engine()),
        x(p.description_.src_desc(), engine(), nullptr),
        weight(p.description_.weights_desc(), engine(), nullptr),
        out(p.description_.dst_desc(), engine(), nullptr),
        scratch(p.description_.scratchpad_desc(), engine(), nullptr) {
    if (p.shape_.bias) bias = memory(p.description_.query_md(dnnl::query::weights_md, 1), engine(), nullptr);
  }

  std::shared_ptr<const int> id;
  dnnl::stream stream;
  memory x, weight, bias, out, scratch;
};

Prepared::Memories& Prepared::memories() const {
  thread_local std::array<std::unique_ptr<Memories>, 4> kept;  // an operation uses four products at most
  thread_local std::size_t next = 0;
  for (const auto& own : kept) {
    if (own && own->id == id_) return *own;
  }
  std::unique_ptr<Memories>& own = kept[next++ % kept.size()];
  own = std::make_unique<Memories>(*this);
  return *own;
}

void Prepared::run(const Bf16Operands& operands) const {
  one_thread_each();
  const std::byte* x = static_cast<const std::byte*>(operands.x);
  if (operands.rows < shape_.rows || operands.x_stride != shape_.k) {
    std::byte* copy = operands.scratch + primitive_bytes();
    const std::int64_t row_bytes = shape_.k * 2;
    for (std::int64_t r = 0; r < operands.rows; ++r) {
      std::memcpy(copy + r * row_bytes, x + r * operands.x_stride * 2, row_bytes);
    }
    std::memset(copy + operands.rows * row_bytes, 0, (shape_.rows - operands.rows) * row_bytes);
    x = copy;
  }
  Memories& m = memories();
  m.x.set_data_handle(const_cast<std::byte*>(x));
  m.weight.set_data_handle(const_cast<void*>(operands.weight));
  m.out.set_data_handle(operands.out);
  m.scratch.set_data_handle(operands.scratch);
  if (shape_.bias) m.bias.set_data_handle(const_cast<float*>(operands.bias));
  const dnnl_exec_arg_t arguments[] = {{DNNL_ARG_SRC, m.x.get()},
                                       {DNNL_ARG_WEIGHTS, m.weight.get()},
                                       {DNNL_ARG_DST, m.out.get()},
                                       {DNNL_ARG_SCRATCHPAD, m.scratch.get()},
                                       {DNNL_ARG_BIAS, m.bias.get(true)}};
  const int count = shape_.bias ? 5 : 4;
  GLMOCR_CHECK(dnnl_primitive_execute(primitive_.get(), m.stream.get(), count, arguments) == dnnl_success);
  m.stream.wait();
}

// Elsewhere oneDNN emulates bf16 at less than half the speed of fp32, or refuses. With AMX its sums depend on the
// number of rows, and it takes the best instructions of the processor whatever set our own kernels were asked for
// (its limit can be set once per process only).
bool multiplies_bf16() { return dnnl::get_effective_cpu_isa() == dnnl::cpu_isa::avx512_core_bf16; }

}  // namespace

bool has_bf16_product() {
  static const bool native = multiplies_bf16();
  return native;
}

struct Bf16Products::State {
  std::deque<std::shared_ptr<const Prepared>> prepared;  // oldest first
};

Bf16Products::Bf16Products() : state_(std::make_unique<State>()) {}
Bf16Products::~Bf16Products() = default;

std::shared_ptr<const Bf16Product> Bf16Products::prepare(const Bf16Shape& shape) {
  constexpr std::size_t kMost = 128;  // a model has a few dozen, times the sizes of last blocks
  auto& list = state_->prepared;
  for (const auto& product : list) {
    if (product->shape() == shape) return product;
  }
  if (list.size() == kMost) list.pop_front();
  one_thread_each();
  list.push_back(std::make_shared<const Prepared>(shape));
  return list.back();
}

}  // namespace glmocr::cpu
