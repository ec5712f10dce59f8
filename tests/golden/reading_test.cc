// SPDX-License-Identifier: Apache-2.0
// What the embedded model reads, against the true texts of pictures in fonts and with texts that it was not
// trained on; fp32 and bf16 must read equally well.
#include <gtest/gtest.h>

#include <algorithm>
#include <iostream>
#include <map>

#include "base/edit_distance.h"
#include "base/utf8.h"
#include "glmocr/engine.h"
#include "golden/fixture.h"

namespace glmocr::golden {
namespace {

const std::filesystem::path kSamples = std::filesystem::path(GLMOCR_SOURCE_DIR) / "tests/data/samples";

// White space folded, as in the figures of the model card.
std::u32string folded(const std::string& text) {
  std::u32string out;
  for (const char32_t c : decode_utf8(text)) {
    const bool space = c == U' ' || c == U'\n' || c == U'\t' || c == U'\r';
    if (!space) {
      out.push_back(c);
    } else if (!out.empty() && out.back() != U' ') {
      out.push_back(U' ');
    }
  }
  while (!out.empty() && out.back() == U' ') out.pop_back();
  return out;
}

struct Errors {
  double wrong = 0, length = 0;
  double rate() const { return wrong / std::max(length, 1.0); }
};

Task task_of(const std::string& name) {
  return name == "table" ? Task::table : name == "formula" ? Task::formula : Task::text;
}

// Errors per row of the model card, all pictures read together.
std::map<std::string, Errors> read_all(ComputeType dtype, const Json& samples,
                                       Quantization quantization = Quantization::none) {
  LoadOptions options;
  options.device = tested_device();
  options.dtype = dtype;
  options.quantization = quantization;
  const Model model =
      Model::load((std::filesystem::path(GLMOCR_SOURCE_DIR) / "models/mini").string(), options);
  Engine engine(model);
  std::vector<Job> jobs;
  for (const Json& sample : samples) {
    ReadOptions read;
    read.task = task_of(sample.at("task").get<std::string>());
    read.max_tokens = 2048;
    jobs.push_back(
        engine.submit({load_image((kSamples / sample.at("file").get<std::string>()).string())}, read));
  }
  std::map<std::string, Errors> rows;
  for (std::size_t i = 0; i < jobs.size(); ++i) {
    const Result result = jobs[i].wait();
    const auto file = samples[i].at("file").get<std::string>();
    EXPECT_EQ(to_string(result.finish_reason), "stop") << file;
    const std::u32string truth = folded(samples[i].at("text").get<std::string>());
    const std::int64_t wrong = edit_distance<std::u32string_view>(folded(result.text), truth);
    for (Errors* errors : {&rows[samples[i].at("row").get<std::string>()], &rows["all"]}) {
      errors->wrong += wrong;
      errors->length += std::ssize(truth);
    }
  }
  return rows;
}

// Of all characters: twice what docs/accuracy.md gives for these pictures.
constexpr double kDocumented = 0.0012;

TEST(Reading, EmbeddedModelReadsTheSamplesInFp32AndBf16Alike) {
  const Json samples = Json::parse(read_file(kSamples / "truth.json"));
  ASSERT_GE(samples.size(), 20u);
  const auto fp32 = read_all(ComputeType::fp32, samples);
  const auto bf16 = read_all(ComputeType::bf16, samples);
  for (const auto& [row, errors] : fp32) {
    std::cout << "[ errors   ] " << row << ": fp32 " << 100 * errors.rate() << " %, bf16 "
              << 100 * bf16.at(row).rate() << " % of " << errors.length << " characters\n";
  }
  EXPECT_LE(fp32.at("all").rate(), kDocumented);
  for (const auto& [row, errors] : fp32) EXPECT_LE(errors.wrong, 0.01 * errors.length + 2) << row;
  EXPECT_LE(bf16.at("all").rate(), fp32.at("all").rate() + 0.003);
}

// At most 0.1 points of error more than bf16.
TEST(Reading, EmbeddedModelReadsTheSamplesInEightBits) {
  if (tested_device().starts_with("cuda")) GTEST_SKIP() << "cards do not multiply in eight bits";
  const Json samples = Json::parse(read_file(kSamples / "truth.json"));
  const auto eight_bits = read_all(ComputeType::bf16, samples, Quantization::int8);
  std::cout << "[ errors   ] int8 " << 100 * eight_bits.at("all").rate() << " %\n";
  EXPECT_LE(eight_bits.at("all").rate(), kDocumented + 0.001);
}

}  // namespace
}  // namespace glmocr::golden
