// SPDX-License-Identifier: Apache-2.0
// The layout detector against transformers: what tools/make_layout_golden.py writes, for the embedded model and for one
// with random weights and other sizes.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>

#include "base/mapped_file.h"
#include "glmocr/image.h"
#include "glmocr/layout.h"
#include "glmocr/model.h"

namespace glmocr::golden {
namespace {

using Json = nlohmann::json;
namespace fs = std::filesystem;

struct Kept {
  std::vector<std::int64_t> shape;
  std::vector<float> values;
};
using Tensors = std::map<std::string, Kept>;

Image picture(const Json& test) {
  return load_image((fs::path(GLMOCR_SOURCE_DIR) / test.at("picture").get<std::string>()).string());
}

class LayoutGolden : public testing::TestWithParam<const char*> {
 protected:
  LayoutGolden()
      : golden_(Json::parse(
            read_file(fs::path(GLMOCR_TEST_DATA) / "golden/layout" / (GetParam() + std::string(".json"))))),
        path_((fs::path(GLMOCR_SOURCE_DIR) / golden_.at("snapshot").get<std::string>()).string()) {}

  float threshold() const { return golden_.at("threshold").get<float>(); }

  const Json golden_;
  const std::string path_;
};

// s_ij of the pairs i < j, row after row.
std::vector<float> order_logits(const Kept& points) {
  const std::int64_t n = points.shape[0], head = points.shape[1] / 2;
  std::vector<float> all;
  for (std::int64_t i = 0; i < n; ++i) {
    for (std::int64_t j = i + 1; j < n; ++j) {
      double sum = 0;
      for (std::int64_t c = 0; c < head; ++c) {
        sum += double{points.values[i * 2 * head + c]} * points.values[(j * 2 + 1) * head + c];
      }
      all.push_back(static_cast<float>(sum / std::sqrt(static_cast<double>(head))));
    }
  }
  return all;
}

// Every step-th of the masks' logits: there are too many for plain loops.
std::vector<float> mask_logits(const Kept& queries, const Kept& map, std::int64_t step) {
  const std::int64_t width = queries.shape[1], pixels = std::ssize(map.values) / width;
  std::vector<float> some;
  for (std::int64_t i = 0; i < queries.shape[0] * pixels; i += step) {
    double sum = 0;
    for (std::int64_t c = 0; c < width; ++c) {
      sum += double{queries.values[i / pixels * width + c]} * map.values[i % pixels * width + c];
    }
    some.push_back(static_cast<float>(sum));
  }
  return some;
}

// How far numbers may be from transformers'.
struct Limits {
  // fp32 sums in another order: off by some units of the largest value. Measured: 2e-5 of it at most.
  double tensor = 1e-4;  // share of the largest value
  double score = 1e-4, box = 0.02;
  bool polygons = true;
};
// Products of sixteen bits. Measured: 1.3e-4 at most.
constexpr Limits kShortProducts{.tensor = 5e-4, .score = 1e-3, .box = 0.1, .polygons = false};

void expect_tensor(const std::string& name, const Json& expected, const std::vector<float>& actual,
                   const Limits& limits) {
  const auto step = expected.at("step").get<std::int64_t>();
  const double limit = limits.tensor * expected.at("largest").get<double>();
  const auto& values = expected.at("values");
  ASSERT_EQ(std::ssize(values), (std::ssize(actual) + step - 1) / step) << name;
  for (std::int64_t i = 0; i < std::ssize(values); ++i) {
    ASSERT_NEAR(actual[i * step], values[i].get<double>(), limit) << name << "[" << i * step << "]";
  }
}

void expect_regions(const std::vector<Region>& regions, const Json& expected, const Limits& limits = {}) {
  ASSERT_EQ(regions.size(), expected.size());
  // Labels of one query have equal boxes; transformers leaves their order open.
  std::vector<bool> taken(regions.size(), false);
  for (const Json& e : expected) {
    std::size_t at = 0;
    while (at < regions.size() &&
           (taken[at] || to_string(regions[at].label) != e["label"].get<std::string>()))
      ++at;
    ASSERT_LT(at, regions.size()) << e.dump();
    const Region& region = regions[at];
    std::size_t first = 0;
    while (taken[first]) ++first;
    EXPECT_NEAR(region.box.x0, regions[first].box.x0, 1e-3) << "out of order: " << e.dump();
    taken[at] = true;
    EXPECT_NEAR(region.score, e["score"].get<double>(), limits.score);
    const double box[] = {region.box.x0, region.box.y0, region.box.x1, region.box.y1};
    for (int i = 0; i < 4; ++i) EXPECT_NEAR(box[i], e["box"][i].get<double>(), limits.box) << e.dump();
    if (!limits.polygons) continue;
    ASSERT_EQ(region.polygon.size(), e["polygon"].size()) << e.dump();
    for (std::size_t i = 0; i < region.polygon.size(); ++i) {
      EXPECT_NEAR(region.polygon[i].x, e["polygon"][i][0].get<double>(), 1e-3) << e.dump();
      EXPECT_NEAR(region.polygon[i].y, e["polygon"][i][1].get<double>(), 1e-3) << e.dump();
    }
  }
}

void expect_transformers(const Json& golden, const LayoutModel& model, const Limits& limits) {
  for (const Json& test : golden.at("cases")) {
    SCOPED_TRACE(test.at("picture").get<std::string>());
    Tensors seen;
    const Image image = picture(test);
    const auto regions = model.detect(
        {&image, 1}, {.threshold = golden.at("threshold").get<float>()},
        [&](const std::string& name, std::span<const std::int64_t> shape, std::span<const float> values) {
          seen[name] = {{shape.begin(), shape.end()}, {values.begin(), values.end()}};
        });
    const std::vector<float> selected(test["selected"].begin(), test["selected"].end());
    EXPECT_EQ(seen["decoder.selected"].values, selected);
    for (const auto& [name, expected] : test.at("tensors").items()) {
      if (name == "order_logits") {
        expect_tensor(name, expected, order_logits(seen["order_points"]), limits);
      } else if (name == "out_masks") {
        Json some = expected;
        some["step"] = 1;
        expect_tensor(name, some, mask_logits(seen["mask_queries"], seen["encoder.masks"], expected["step"]),
                      limits);
      } else {
        expect_tensor(name, expected, seen[name].values, limits);
      }
    }
    expect_regions(regions.at(0), test.at("regions"), limits);
  }
}

TEST_P(LayoutGolden, EveryTensorAndRegionIsThatOfTransformers) {
  expect_transformers(golden_, LayoutModel::load(path_, {.dtype = ComputeType::fp32}), {});
}

// On the first card, where there is one. Random weights select places that are nearly equal, so short products are compared
// with those of the trained ones.
TEST_P(LayoutGolden, ACardComputesTheSame) {
  const std::string first = devices().front();
  if (!first.starts_with("cuda")) GTEST_SKIP() << "this machine has no card, or this build no CUDA";
  expect_transformers(golden_, LayoutModel::load(path_, {.device = first, .dtype = ComputeType::fp32}), {});
  if (std::string_view(GetParam()) == "small") return;
  expect_transformers(golden_, LayoutModel::load(path_, {.device = first}), kShortProducts);
}

TEST_P(LayoutGolden, PagesTogetherGiveWhatEachGivesAlone) {
  const LayoutModel model = LayoutModel::load(path_);
  std::vector<Image> images;
  for (const Json& test : golden_.at("cases")) images.push_back(picture(test));
  const auto together =
      model.detect(images, {.threshold = threshold(), .pages_at_once = static_cast<int>(images.size())});
  for (std::size_t i = 0; i < images.size(); ++i) expect_regions(together[i], golden_["cases"][i]["regions"]);
}

// Products are rounded to bf16 in backbone and encoder: what is surely found stays, numbers move, and doubtful regions
// come and go.
TEST(LayoutBf16, FindsTheSameRegions) {
  constexpr float kSure = 0.85f, kDoubtful = 0.4f;
  const std::string path = (fs::path(GLMOCR_SOURCE_DIR) / "models/mini-layout").string();
  const Image page = load_image(GLMOCR_TEST_DATA "/samples/demo-page.png");
  const auto find = [&](ComputeType type) {
    return LayoutModel::load(path, {.dtype = type}).detect({&page, 1}, {.threshold = kDoubtful})[0];
  };
  const auto expect_sure_in = [&](const std::vector<Region>& from, const std::vector<Region>& in) {
    std::size_t sure = 0;
    for (const Region& region : from) {
      if (region.score < kSure) continue;
      ++sure;
      EXPECT_TRUE(std::ranges::any_of(in,
                                      [&](const Region& other) {
                                        return other.label == region.label &&
                                               std::abs(other.box.x0 - region.box.x0) <= 4 &&
                                               std::abs(other.box.y0 - region.box.y0) <= 4 &&
                                               std::abs(other.box.x1 - region.box.x1) <= 4 &&
                                               std::abs(other.box.y1 - region.box.y1) <= 4;
                                      }))
          << region.box.x0 << ' ' << region.box.y0;
    }
    EXPECT_GE(sure, 8u);
  };
  const std::vector<Region> exact = find(ComputeType::fp32), rounded = find(ComputeType::bf16);
  expect_sure_in(exact, rounded);
  expect_sure_in(rounded, exact);
}

INSTANTIATE_TEST_SUITE_P(Snapshots, LayoutGolden, testing::Values("mini-layout", "small"),
                         [](const auto& info) {
                           return std::string(info.param) == "small" ? "small" : "mini_layout";
                         });

}  // namespace
}  // namespace glmocr::golden
