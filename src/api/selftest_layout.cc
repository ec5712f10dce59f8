// SPDX-License-Identifier: Apache-2.0
#include "api/selftest_checks.h"
#include "base/error.h"

namespace glmocr::checks {
namespace {

void run_convolution(Operands& o, const Shape& map, std::int64_t out, const Window& window) {
  const Tensor x = o.activations(map);
  const std::int64_t terms = window.height * window.width * map[3];
  const Weight weight = o.weight(out, terms, o.compute(), WeightUse::convolution, true);
  o.result(o.ops().convolve(x, weight, window, {.activation = Activation::relu}));
}

void run_deformable_attention(Operands& o) {
  constexpr std::int64_t kPages = 2, kHeads = 2, kPoints = 4, kQueries = 6, kRows = 36, kWidth = 40;
  const std::vector<MapLevel> levels{{0, 6, 5}, {30, 3, 2}};
  const std::int64_t samples = kHeads * std::ssize(levels) * kPoints;
  const Tensor values = o.activations({kPages * kRows, kWidth});
  DeformableQueries queries;
  queries.offsets = o.activations({kQueries, 2 * samples});
  queries.weights = o.activations({kQueries, samples});
  queries.boxes = o.boxes(kQueries);
  queries.levels = levels;
  queries.heads = kHeads;
  queries.points = kPoints;
  o.result(o.ops().deformable_attention(values, kPages, queries));
}

}  // namespace

void add_layout_checks(Checks& checks) {
  const auto add = [&](const std::string& name, Rounding rounding, double terms, auto run) {
    checks.push_back({name, rounding, terms, run});
  };
  const Window three{3, 3, 1, 1, 1, 1, 1}, half{3, 3, 2, 1, 1, 1, 1}, five{5, 5, 1, 2, 2, 2, 2};
  // On a card a sum in fp32 may have as few as five digits (docs/kernels.md), so more terms are counted than there are.
  constexpr double kTerms = 1 << 10;
  add("convolve 3x3", Rounding::sums, kTerms, [three](Operands& o) {
    run_convolution(o, {1, 9, 25, 16}, 33, three);
  });
  add("convolve 3x3, stride 2, of a picture", Rounding::sums, kTerms, [half](Operands& o) {
    run_convolution(o, {2, 7, 11, 3}, 12, half);
  });
  add("convolve 1x1", Rounding::sums, kTerms, [](Operands& o) {
    run_convolution(o, {2, 13, 14, 64}, 32, {});
  });
  for (const Window& window : {half, five}) {
    add(cat("convolve_depthwise ", window.height, "x", window.width), Rounding::sums, 25,
        [window](Operands& o) {
          const Tensor x = o.activations({2, 6, 9, 16}),
                       weight = o.matrix({window.height * window.width, 16});
          o.result(
              o.ops().convolve_depthwise(x, weight, o.vector(16), window, {.activation = Activation::relu}));
        });
  }
  add("max_pool", Rounding::exact, 1, [](Operands& o) {
    o.result(o.ops().max_pool(o.activations({2, 5, 6, 10}), {2, 2, 1, 0, 0, 1, 1}));
  });
  for (const Enlargement kind : {Enlargement::nearest, Enlargement::bilinear}) {
    add(kind == Enlargement::nearest ? "enlarge nearest" : "enlarge bilinear", Rounding::sums, 4,
        [kind](Operands& o) {
          const Tensor x = o.activations({2, 3, 5, 7});
          o.result(o.ops().enlarge(x, {.kind = kind, .residual = o.activations({2, 6, 10, 7})}));
        });
  }
  add("add", Rounding::sums, 1, [](Operands& o) {
    const Tensor x = o.activations({6, 11});
    o.result(o.ops().add(x, o.activations({3, 11})));
  });
  add("deformable_attention", Rounding::sums, 1 << 12, run_deformable_attention);
  add("top_rows", Rounding::exact, 1, [](Operands& o) {
    o.result(o.ops().top_rows(o.activations({2 * 50, 3}), 2, 17));
  });
  add("mask_boxes", Rounding::exact, 1, [](Operands& o) {
    const Tensor queries = o.activations({2 * 5, 6});
    o.result(o.ops().mask_boxes(queries, o.activations({2, 9, 13, 6})));
  });
  add("refine_boxes", Rounding::sums, 64, [](Operands& o) {
    const Tensor boxes = o.boxes(3);
    o.result(o.ops().refine_boxes(boxes, o.activations({3, 4})));
  });
}

}  // namespace glmocr::checks
