// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu/onednn.h"

#include <dnnl_version.h>
#include <omp.h>
#include <dnnl.hpp>

#include <cstddef>
#include <cstring>
#include <deque>
#include <utility>

#include "base/error.h"
#include "base/numbers.h"
#include "kernels/cpu/thread_scratch.h"

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
  const memory::desc x = matrix(kBf16Rows, s.k, s.x_stride, 1), out = matrix(kBf16Rows, s.n, s.out_stride, 1);
  const memory::desc weight({s.k, s.n}, memory::data_type::bf16, memory::format_tag::any);
  const memory::desc bias({1, s.n}, memory::data_type::f32, memory::format_tag::ab);
  const auto operation =
      s.bias ? dnnl::matmul::desc(x, weight, bias, out) : dnnl::matmul::desc(x, weight, out);
  return {operation, own_scratch(), engine()};
}

void execute(const dnnl::primitive& primitive, const dnnl::stream& stream, const dnnl_exec_arg_t* arguments,
             int count) {
  const dnnl_status_t status = dnnl_primitive_execute(primitive.get(), stream.get(), count, arguments);
  GLMOCR_CHECK(status == dnnl_success);
}

// The weights are put into oneDNN's own layout once per run (the fastest for calls of few rows), then each call
// multiplies kBf16Rows rows.
class Prepared final : public Bf16Product {
 public:
  explicit Prepared(const Bf16Shape& shape)
      : shape_(shape),
        multiply_(describe(shape)),
        pack_(engine(), matrix(shape.k, shape.n, 1, shape.weight_stride), engine(), multiply_.weights_desc(),
              own_scratch()),
        multiply_primitive_(multiply_),
        pack_primitive_(pack_) {}

  const Bf16Shape& shape() const { return shape_; }
  void run(const Bf16Operands& operands) const override;

 private:
  struct Memories;
  Memories& memories() const;

  Bf16Shape shape_;
  dnnl::matmul::primitive_desc multiply_;
  dnnl::reorder::primitive_desc pack_;
  dnnl::matmul multiply_primitive_;
  dnnl::reorder pack_primitive_;
  // Tells prepared products apart: an address may come again.
  std::shared_ptr<const Bf16Shape> id_ = std::make_shared<const Bf16Shape>(shape_);
};

// oneDNN's handles of one thread's operands: made when the thread goes over to another product, then only pointed
// elsewhere.
struct Prepared::Memories {
  explicit Memories(const Prepared& p)
      : id(p.id_),
        stream(engine()),
        x(p.multiply_.src_desc(), engine(), nullptr),
        weight(p.pack_.src_desc(), engine(), nullptr),
        packed(p.multiply_.weights_desc(), engine(), nullptr),
        bias(p.shape_.bias ? memory(p.multiply_.query_md(dnnl::query::weights_md, 1), engine(), nullptr)
                           : memory()),
        out(p.multiply_.dst_desc(), engine(), nullptr),
        multiply_scratch(p.multiply_.scratchpad_desc(), engine(), nullptr),
        pack_scratch(p.pack_.scratchpad_desc(), engine(), nullptr) {}

  std::shared_ptr<const Bf16Shape> id;
  dnnl::stream stream;
  memory x, weight, packed, bias, out, multiply_scratch, pack_scratch;
};

Prepared::Memories& Prepared::memories() const {
  thread_local std::unique_ptr<Memories> own;
  if (!own || own->id != id_) own = std::make_unique<Memories>(*this);
  return *own;
}

void Prepared::run(const Bf16Operands& operands) const {
  ::omp_set_num_threads(1);  // of this thread's regions: the pool is ours
  Memories& m = memories();
  constexpr std::int64_t kAlign = 64;
  const std::int64_t rows = operands.rows, tail = rows % kBf16Rows;
  const auto size = [](const memory::desc& desc) {
    return round_up(static_cast<std::int64_t>(desc.get_size()), kAlign);
  };
  // The last rows are copied to rows as far apart as the others.
  const std::int64_t x_bytes = shape_.x_stride * 2, out_bytes = shape_.out_stride * 2;
  const std::int64_t pack_size = size(pack_.scratchpad_desc()),
                     multiply_size = size(multiply_.scratchpad_desc()),
                     packed_size = size(m.packed.get_desc()),
                     x_size = tail ? round_up(kBf16Rows * x_bytes, kAlign) : 0,
                     out_size = tail ? kBf16Rows * out_bytes : 0;
  auto* scratch =
      static_cast<std::byte*>(thread_scratch(pack_size + multiply_size + packed_size + x_size + out_size));
  const auto take = [&](std::int64_t bytes) { return std::exchange(scratch, scratch + bytes); };

  m.pack_scratch.set_data_handle(take(pack_size));
  m.multiply_scratch.set_data_handle(take(multiply_size));
  m.weight.set_data_handle(const_cast<void*>(operands.weight));
  m.packed.set_data_handle(take(packed_size));
  const dnnl_exec_arg_t pack[] = {{DNNL_ARG_FROM, m.weight.get()},
                                  {DNNL_ARG_TO, m.packed.get()},
                                  {DNNL_ARG_SCRATCHPAD, m.pack_scratch.get()}};
  execute(pack_primitive_, m.stream, pack, 3);

  if (shape_.bias) m.bias.set_data_handle(const_cast<float*>(operands.bias));
  const auto multiply = [&](const std::byte* x, std::byte* out) {
    m.x.set_data_handle(const_cast<std::byte*>(x));
    m.out.set_data_handle(out);
    const dnnl_exec_arg_t arguments[] = {{DNNL_ARG_SRC, m.x.get()},
                                         {DNNL_ARG_WEIGHTS, m.packed.get()},
                                         {DNNL_ARG_DST, m.out.get()},
                                         {DNNL_ARG_SCRATCHPAD, m.multiply_scratch.get()},
                                         {DNNL_ARG_BIAS, m.bias.get(true)}};
    execute(multiply_primitive_, m.stream, arguments, shape_.bias ? 5 : 4);
  };
  const auto* x = static_cast<const std::byte*>(operands.x);
  auto* out = static_cast<std::byte*>(operands.out);
  for (std::int64_t row = 0; row + kBf16Rows <= rows; row += kBf16Rows) {
    multiply(x + row * x_bytes, out + row * out_bytes);
  }
  m.stream.wait();
  if (tail == 0) return;
  x += (rows - tail) * x_bytes;
  out += (rows - tail) * out_bytes;
  std::byte *filled = take(x_size), *results = take(out_size);
  std::memset(filled, 0, kBf16Rows * x_bytes);
  for (std::int64_t r = 0; r < tail; ++r) std::memcpy(filled + r * x_bytes, x + r * x_bytes, shape_.k * 2);
  multiply(filled, results);
  m.stream.wait();
  for (std::int64_t r = 0; r < tail; ++r)
    std::memcpy(out + r * out_bytes, results + r * out_bytes, shape_.n * 2);
}

// Elsewhere oneDNN emulates bf16 at less than half the speed of fp32, or refuses. It takes the best instructions of the
// processor whatever set our own kernels were asked for (its limit can be set once per process only), so
// cpu:avx512_bf16 may multiply in AMX tiles: the same products and fp32 sums in another order.
bool multiplies_bf16() {
  const auto isa = dnnl::get_effective_cpu_isa();
  return isa == dnnl::cpu_isa::avx512_core_bf16 || isa == dnnl::cpu_isa::avx512_core_amx;
}

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
  constexpr std::size_t kMost = 128;  // a model has a few dozen shapes
  auto& list = state_->prepared;
  for (const auto& product : list) {
    if (product->shape() == shape) return product;
  }
  if (list.size() == kMost) list.pop_front();
  list.push_back(std::make_shared<const Prepared>(shape));
  return list.back();
}

}  // namespace glmocr::cpu
