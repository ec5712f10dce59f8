// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu/onednn.h"

#include <omp.h>
#include <dnnl.hpp>

#include <array>
#include <list>
#include <map>
#include <mutex>
#include <unordered_map>

#include "base/error.h"
#include "kernels/cpu/thread_scratch.h"

namespace glmocr::cpu {
namespace {

using dnnl::memory;
using Key = std::array<std::int64_t, 7>;  // m, n, k, three row strides, bias

const dnnl::engine& engine() {
  static const dnnl::engine cpu(dnnl::engine::kind::cpu, 0);
  return cpu;
}

memory::desc matrix(std::int64_t rows, std::int64_t columns, std::int64_t row_stride,
                    std::int64_t column_stride) {
  return {{rows, columns}, memory::data_type::bf16, {row_stride, column_stride}};
}

struct Prepared {
  dnnl::matmul::primitive_desc description;
  dnnl::matmul primitive;
};

// Scratch memory is ours: only then may several threads run one primitive at once.
Prepared prepare(const Key& key) {
  const auto [m, n, k, x_stride, weight_stride, out_stride, has_bias] = key;
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  const memory::desc x = matrix(m, k, x_stride, 1), weight = matrix(k, n, 1, weight_stride);
  const memory::desc out = matrix(m, n, out_stride, 1);
  const memory::desc bias({1, n}, memory::data_type::f32, memory::format_tag::ab);
  const auto operation =
      has_bias ? dnnl::matmul::desc(x, weight, bias, out) : dnnl::matmul::desc(x, weight, out);
  const dnnl::matmul::primitive_desc description(operation, attributes, engine());
  return {description, dnnl::matmul(description)};
}

// The shapes used last; creating one takes about 0.2 ms. Entries are shared handles, so that one dropped here
// lives on in the thread that runs it.
class Cache {
 public:
  Prepared get(const Key& key) {
    const std::lock_guard lock(mutex_);
    if (const auto found = index_.find(key); found != index_.end()) {
      entries_.splice(entries_.begin(), entries_, found->second);
      return found->second->second;
    }
    entries_.emplace_front(key, prepare(key));
    index_[key] = entries_.begin();
    if (entries_.size() > kCapacity) {
      index_.erase(entries_.back().first);
      entries_.pop_back();
    }
    return entries_.front().second;
  }

 private:
  static constexpr std::size_t kCapacity = 512;
  std::mutex mutex_;
  std::list<std::pair<Key, Prepared>> entries_;  // the last used first
  std::map<Key, std::list<std::pair<Key, Prepared>>::iterator> index_;
};

// Elsewhere oneDNN emulates bf16 at less than half the speed of fp32, or refuses. It takes the best
// instructions of the processor whatever set our own kernels were asked for (its limit can be set once per
// process only), so cpu:avx512_bf16 may multiply in AMX tiles: the same products and fp32 sums in another
// order.
bool multiplies_bf16() {
  const auto isa = dnnl::get_effective_cpu_isa();
  return isa == dnnl::cpu_isa::avx512_core_bf16 || isa == dnnl::cpu_isa::avx512_core_amx;
}

}  // namespace

bool has_bf16_product() {
  static const bool native = multiplies_bf16();
  return native;
}

void bf16_product(const Bf16Product& product) {
  static Cache cache;
  thread_local dnnl::stream stream(engine());
  ::omp_set_num_threads(1);  // of this thread's regions: the pool is ours
  const Prepared prepared = cache.get({product.m, product.n, product.k, product.x.stride,
                                       product.weight.stride, product.out_stride, product.bias != nullptr});
  const auto argument = [](const memory::desc& desc, const void* data) {
    return memory(desc, engine(), const_cast<void*>(data));
  };
  const auto& description = prepared.description;
  void* scratch = thread_scratch(static_cast<std::int64_t>(description.scratchpad_desc().get_size()));
  std::unordered_map<int, memory> arguments = {
      {DNNL_ARG_SRC, argument(description.src_desc(), product.x.data)},
      {DNNL_ARG_WEIGHTS, argument(description.weights_desc(), product.weight.data)},
      {DNNL_ARG_DST, argument(description.dst_desc(), product.out)},
      {DNNL_ARG_SCRATCHPAD, argument(description.scratchpad_desc(), scratch)},
  };
  if (product.bias)
    arguments.emplace(DNNL_ARG_BIAS,
                      argument(description.query_md(dnnl::query::weights_md, 1), product.bias));
  prepared.primitive.execute(stream, arguments);
  stream.wait();
}

}  // namespace glmocr::cpu
