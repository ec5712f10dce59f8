// SPDX-License-Identifier: Apache-2.0
#include "engine/step_runner.h"

#include <numeric>

namespace glmocr::engine {
namespace {

// Pictures of several sequences side by side, as GlmOcr::patches wants them; they go back at the end.
class BorrowedPictures {
 public:
  explicit BorrowedPictures(std::span<const PictureJob> jobs) : jobs_(jobs) {
    pictures_.reserve(jobs.size());
    for (const PictureJob& job : jobs) pictures_.push_back(std::move(job.sequence->picture(job.picture)));
  }
  ~BorrowedPictures() {
    for (std::size_t i = 0; i < jobs_.size(); ++i) {
      jobs_[i].sequence->picture(jobs_[i].picture) = std::move(pictures_[i]);
    }
  }
  BorrowedPictures(const BorrowedPictures&) = delete;
  BorrowedPictures& operator=(const BorrowedPictures&) = delete;

  std::span<const PreprocessedImage> get() const { return pictures_; }

 private:
  std::span<const PictureJob> jobs_;
  std::vector<PreprocessedImage> pictures_;
};

Tensor upload(Device& device, const std::vector<std::int32_t>& values) {
  return device.upload_array(values.data(), {std::ssize(values)});
}

std::vector<std::int32_t> counting_from(std::int64_t first, std::int64_t count) {
  std::vector<std::int32_t> values(static_cast<std::size_t>(count));
  std::iota(values.begin(), values.end(), static_cast<std::int32_t>(first));
  return values;
}

}  // namespace

void StepRunner::reserve_features(Sequence& sequence) const {
  if (sequence.features() || sequence.image_tokens() == 0) return;
  sequence.features() = model_.device().allocate(sequence.image_tokens() * model_.config().text.hidden_size *
                                                 size_of(model_.compute()));
}

Tensor StepRunner::feature_view(Sequence& sequence) const {
  return sequence.features().view({sequence.image_tokens(), model_.config().text.hidden_size},
                                  model_.compute());
}

void StepRunner::encode(std::span<const PictureJob> jobs) const {
  Device& device = model_.device();
  std::vector<GridTHW> grids;
  std::uint64_t key = mix_key(1, std::ssize(jobs));
  for (const PictureJob& job : jobs) {
    grids.push_back(job.sequence->picture(job.picture).grid);
    key = mix_key(mix_key(key, grids.back().h), grids.back().w);
  }
  device.run_step(key, [&] {
    const BorrowedPictures pictures(jobs);
    const Tensor features = model_.vision().encode(model_.patches(pictures.get()), grids);
    std::int64_t row = 0;
    for (std::size_t i = 0; i < jobs.size(); ++i) {
      const std::int64_t tokens = grids[i].tokens(model_.config().preprocess.merge_size);
      const Tensor to =
          upload(device, counting_from(jobs[i].sequence->first_feature(jobs[i].picture), tokens));
      device.ops().scatter_rows(features.slice(0, row, row + tokens), to, feature_view(*jobs[i].sequence));
      row += tokens;
    }
  });
}

std::vector<SampledToken> StepRunner::run(std::span<const RowJob> jobs) const {
  std::vector<RowSource> sources;
  std::vector<SampleRow> sample_rows;
  for (const RowJob& job : jobs) {
    sources.push_back(job.sequence->rows(job.begin, job.count, job.sample));
    if (job.sample) sample_rows.push_back(job.sequence->sample_row());
  }
  const RowBatch batch = build_batch(sources, model_.config().image_token_id, cache_.page_size());
  std::vector<SampledToken> tokens;
  model_.device().run_step(batch.shape_key(), [&] {
    const Tensor hidden = decode(batch, jobs);
    if (sample_rows.empty()) return;
    const Tensor last = model_.device().ops().gather_rows(hidden, upload(model_.device(), batch.logit_rows));
    tokens = model_.device().ops().sample(model_.decoder().logits(last), sample_rows);
  });
  GLMOCR_CHECK(tokens.size() == sample_rows.size());
  return tokens;
}

// Token embeddings, with the features of pictures in the places of their image tokens.
Tensor StepRunner::hidden_rows(const RowBatch& batch, std::span<const RowJob> jobs) const {
  Device& device = model_.device();
  const Tensor hidden = model_.decoder().embed(upload(device, batch.ids));
  for (const FeatureRows& part : batch.features) {
    const auto count = std::ssize(part.rows);
    const Tensor features = feature_view(*jobs[part.source].sequence);
    device.ops().scatter_rows(features.slice(0, part.first, part.first + count), upload(device, part.rows),
                              hidden);
  }
  return hidden;
}

Tensor StepRunner::decode(const RowBatch& batch, std::span<const RowJob> jobs) const {
  Device& device = model_.device();
  DecoderInput input;
  input.hidden = hidden_rows(batch, jobs);
  input.positions = device.upload_array(batch.positions.data(), {3, batch.rows()});
  input.slots = upload(device, batch.slots);
  input.batch.row_starts = upload(device, batch.row_starts);
  input.batch.context_lens = upload(device, batch.context_lens);
  input.batch.page_table = device.upload_array(batch.page_table.data(), {batch.sequences(), batch.max_pages});
  input.batch.max_rows = batch.max_rows;
  input.batch.max_context = batch.max_context;
  input.cache = cache_.layers();
  return model_.decoder().forward(input);
}

}  // namespace glmocr::engine
