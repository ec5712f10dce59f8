// SPDX-License-Identifier: Apache-2.0
// Everything from a picture to its text against transformers: ids, positions, pixels, every layer, logits and
// greedy tokens.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <tuple>

#include "engine/core.h"
#include "golden/fixture.h"
#include "unit/image/fixtures.h"

namespace glmocr::golden {
namespace {

constexpr double kLogitTolerance = 2e-3;  // fp32; measured: docs/accuracy.md
constexpr double kBf16Cosine = 0.9995;    // of bf16 logits with fp32 ones

const std::vector<Fixture>& fixtures() {
  static const std::vector<Fixture> all = [] {
    std::vector<Fixture> list{committed("mini"), committed("awkward"), committed("narrow")};
    if (const char* path = std::getenv("GLMOCR_SYNTHETIC_PATH")) {
      list.push_back(committed("full"));
      list.back().snapshot = path;
    }
    return list;
  }();
  return all;
}

TEST(FullSizeSnapshot, IsOptIn) {
  if (!std::getenv("GLMOCR_SYNTHETIC_PATH")) {
    GTEST_SKIP()
        << "GLMOCR_SYNTHETIC_PATH is not set: the folder that tools/make_synthetic_snapshot.py --preset full "
           "wrote";
  }
  EXPECT_EQ(fixtures().size(), 4u);
}

struct CaseId {
  std::size_t fixture, index;
  const Fixture& of() const { return fixtures()[fixture]; }
  const Json& json() const { return of().cases()[index]; }
};

std::vector<CaseId> all_cases() {
  std::vector<CaseId> cases;
  for (std::size_t f = 0; f < fixtures().size(); ++f) {
    for (std::size_t i = 0; i < fixtures()[f].cases().size(); ++i) cases.push_back({f, i});
  }
  return cases;
}

std::string case_name(const testing::TestParamInfo<CaseId>& info) {
  return info.param.of().name + "_" + info.param.json().at("name").get<std::string>();
}

struct Seen {
  std::vector<std::int64_t> shape;
  std::vector<float> values;
};

struct Statistics {
  double mean = 0, std = 0, largest = 0;
};

Statistics statistics(std::span<const float> values) {
  Statistics s;
  for (const float v : values) {
    s.mean += v;
    s.largest = std::max(s.largest, std::abs(double{v}));
  }
  const double n = std::ssize(values);
  s.mean /= n;
  for (const float v : values) s.std += (v - s.mean) * (v - s.mean);
  s.std = std::sqrt(s.std / (n - 1));
  return s;
}

// The least cosine of bf16 logits with fp32 ones. Untrained weights amplify rounding more: there the bar is
// half again the distance of transformers' own bf16 run.
double bf16_bar(const Fixture& fixture) {
  if (fixture.name == "mini") return kBf16Cosine;
  double worst = 1;
  for (const Json& test_case : fixture.cases())
    worst = std::min(worst, test_case.at("bf16").at("cosine").get<double>());
  return std::min(kBf16Cosine, 1 - 1.5 * (1 - worst));
}

class Golden : public testing::TestWithParam<CaseId> {
 protected:
  const Json& test_case() const { return GetParam().json(); }
  Loaded& model(DType compute) const { return loaded(GetParam().of().snapshot, tested_device(), compute); }
  engine::Request request(const GlmOcr& network) const {
    return make_request(network, GetParam().of().json, test_case());
  }
};

TEST_P(Golden, PromptIdsGridsAndPositions) {
  const engine::Request in = request(*model(DType::f32).network);
  std::vector<TokenId> expected;
  for (const Json& run : test_case().at("prompt_ids")) {
    expected.insert(expected.end(), run[1].get<std::size_t>(), run[0].get<TokenId>());
  }
  EXPECT_EQ(in.prompt.ids, expected);
  EXPECT_EQ(in.prompt.ids.size(), test_case().at("prompt_tokens").get<std::size_t>());
  Json grids = Json::array();
  for (const PreprocessedImage& image : in.images)
    grids.push_back({image.grid.t, image.grid.h, image.grid.w});
  EXPECT_EQ(grids, test_case().at("image_grid_thw"));

  const Json& positions = test_case().at("position_ids");
  std::vector<std::int32_t> all = in.prompt.positions.temporal;
  all.insert(all.end(), in.prompt.positions.height.begin(), in.prompt.positions.height.end());
  all.insert(all.end(), in.prompt.positions.width.begin(), in.prompt.positions.width.end());
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(all.data());
  EXPECT_EQ(crc32({bytes, all.size() * sizeof all[0]}), positions.at("crc32").get<std::uint32_t>());
  EXPECT_EQ(in.prompt.positions.delta, positions.at("delta").get<int>());
}

// Row statistics and first values of every tensor under its name in docs/model.md.
void expect_tensor(const std::string& name, const Seen& seen, const Json& golden) {
  ASSERT_EQ(Json(seen.shape), golden.at("shape")) << name;
  const auto width = static_cast<std::size_t>(seen.shape.back());
  const std::span<const float> values = seen.values;
  const double scale = golden.at("all")[2].get<double>();
  const auto expect_statistics = [&](const Statistics& found, const Json& expected, const char* what) {
    EXPECT_NEAR(found.mean, expected[0].get<double>(), 1e-4 * scale) << name << " " << what << " mean";
    EXPECT_NEAR(found.std, expected[1].get<double>(), 1e-4 * scale) << name << " " << what << " std";
    EXPECT_NEAR(found.largest, expected[2].get<double>(), 1e-4 * scale) << name << " " << what << " largest";
  };
  expect_statistics(statistics(values), golden.at("all"), "all");
  expect_statistics(statistics(values.last(width)), golden.at("last_row"), "last row");
  for (std::size_t i = 0; i < golden.at("first").size(); ++i) {
    EXPECT_NEAR(values[i], golden["first"][i].get<double>(), 1e-4 * scale) << name << " first row, " << i;
    EXPECT_NEAR(values.last(width)[i], golden["last"][i].get<double>(), 1e-4 * scale)
        << name << " last row, " << i;
  }
}

// The largest difference between a logit and its golden value; every golden value is compared.
double logit_error(std::span<const float> logits, const Json& golden) {
  double error = 0;
  const auto look = [&](std::size_t id, double expected) {
    const double distance = std::abs(logits[id] - expected);
    if (!(distance <= error)) error = std::isnan(distance) ? INFINITY : distance;
  };
  if (golden.contains("values")) {
    EXPECT_EQ(golden["values"].size(), logits.size());
    for (std::size_t i = 0; i < golden["values"].size(); ++i) look(i, golden["values"][i].get<double>());
  } else {
    for (const Json& spot : golden.at("spots")) look(spot[0].get<std::size_t>(), spot[1].get<double>());
  }
  for (const Json& top : golden.at("top")) look(top[0].get<std::size_t>(), top[1].get<double>());
  return error;
}

TEST_P(Golden, EveryLayerAndTheLogitsInFp32) {
  const GlmOcr& network = *model(DType::f32).network;
  const engine::Request in = request(network);
  std::map<std::string, Seen> seen;
  const Logits logits = engine::forward(
      network, in,
      [&](const std::string& name, std::span<const std::int64_t> shape, std::span<const float> values) {
        seen[name] = {{shape.begin(), shape.end()}, {values.begin(), values.end()}};
      });
  if (!in.images.empty()) {
    const Json& pixels = test_case().at("pixel_values");
    ASSERT_EQ(Json(seen["pixel_values"].shape), pixels.at("shape"));
    double sum = 0, sum_sq = 0;
    for (const float v : seen["pixel_values"].values) {
      sum += v;
      sum_sq += double{v} * v;
    }
    EXPECT_NEAR(sum, pixels.at("sum").get<double>(), 1e-6 * sum_sq);
    EXPECT_NEAR(sum_sq, pixels.at("sum_sq").get<double>(), 1e-6 * sum_sq);
  }
  for (const auto& [name, golden] : test_case().at("tensors").items()) {
    ASSERT_TRUE(seen.contains(name)) << name << " was not reported";
    expect_tensor(name, seen[name], golden);
  }
  const double error = logit_error(logits.values, test_case().at("logits"));
  EXPECT_LE(error, kLogitTolerance);
  EXPECT_NEAR(logits.mean(), test_case().at("logits").at("mean").get<double>(), kLogitTolerance);
  EXPECT_NEAR(logits.std(), test_case().at("logits").at("std").get<double>(), kLogitTolerance);
  RecordProperty("largest_logit_error", std::to_string(error));
  std::cout << "[ logits   ] largest error " << error << "\n";
}

TEST_P(Golden, Bf16LogitsPointTheSameWay) {
  if (!test_case().contains("bf16"))
    GTEST_SKIP() << "the fixture has no bf16 run (make_golden.py --with-bf16)";
  const GlmOcr& fp32 = *model(DType::f32).network;
  const GlmOcr& bf16 = *model(DType::bf16).network;
  const engine::Request in = request(fp32);
  const std::vector<float> a = engine::forward(fp32, in).values;
  const std::vector<float> b = engine::forward(bf16, in).values;
  double dot = 0, aa = 0, bb = 0, error = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    error = std::max(error, std::abs(double{a[i]} - b[i]));
    dot += double{a[i]} * b[i];
    aa += double{a[i]} * a[i];
    bb += double{b[i]} * b[i];
  }
  const double cosine = dot / std::sqrt(aa * bb);
  EXPECT_GE(cosine, bf16_bar(GetParam().of()));
  std::cout << "[ logits   ] bf16 against fp32: cosine " << cosine << ", largest error " << error << "\n";
}

INSTANTIATE_TEST_SUITE_P(Fixtures, Golden, testing::ValuesIn(all_cases()), case_name);

// Every instruction set of this machine, or the device that the tests are to run on.
std::vector<std::string> text_devices() {
  if (tested_device() != "cpu") return {tested_device()};
  std::vector<std::string> names;
  for (const std::string& name : available_devices()) {
    if (name.starts_with("cpu:")) names.push_back(name);
  }
  return names;
}

using FixtureOnDevice = std::tuple<std::size_t, std::string>;
class GoldenText : public testing::TestWithParam<FixtureOnDevice> {};

// All cases of a fixture at once through the engine: whatever shares a batch, the tokens are those of
// transformers.
TEST_P(GoldenText, GreedyTokensInFp32AreIdentical) {
  const Fixture& fixture = fixtures()[std::get<0>(GetParam())];
  const GlmOcr& network = *loaded(fixture.snapshot, std::get<1>(GetParam()), DType::f32).network;
  engine::Core core(network, {});
  std::vector<std::shared_ptr<engine::JobState>> jobs;
  for (const Json& test_case : fixture.cases()) {
    engine::Request request = make_request(network, fixture.json, test_case);
    request.options.max_tokens = fixture.json.at("max_new_tokens").get<int>();
    jobs.push_back(core.submit(std::move(request)));
  }
  while (core.step()) {
  }
  for (std::size_t i = 0; i < jobs.size(); ++i) {
    const Json& golden = fixture.cases()[i].at("generated");
    const Result result = jobs[i]->wait();
    const std::string name = fixture.cases()[i].at("name").get<std::string>();
    EXPECT_EQ(Json(result.tokens), golden.at("tokens"))
        << name << ": the smallest margin between two logits was " << golden.at("min_margin");
    EXPECT_EQ(result.text, golden.at("text").get<std::string>()) << name;
    EXPECT_EQ(to_string(result.finish_reason), golden.at("finish").get<std::string>()) << name;
  }
}

INSTANTIATE_TEST_SUITE_P(Fixtures, GoldenText,
                         testing::Combine(testing::Range(std::size_t{0}, fixtures().size()),
                                          testing::ValuesIn(text_devices())),
                         [](const testing::TestParamInfo<FixtureOnDevice>& info) {
                           std::string name =
                               fixtures()[std::get<0>(info.param)].name + "_" + std::get<1>(info.param);
                           std::replace(name.begin(), name.end(), ':', '_');
                           return name;
                         });

}  // namespace
}  // namespace glmocr::golden
