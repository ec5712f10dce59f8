// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <span>

#include "tensor/ops.h"

// Sampling and the tables of a decoding step, in ordinary memory. A call like the previous one allocates
// nothing.
namespace glmocr {

// Uniform in [0, 1), a function of (seed, position) alone, so that the text of a request does not depend on
// its batch.
double uniform_from(std::uint64_t seed, std::uint64_t position);

// Row r of SamplingTables::params.
SamplingRow sampling_row(const SamplingTables& tables, std::int64_t r);

// Throws Error{internal} where the tables, and those of the next step if they are given, do not fit this many rows of logits over
// a vocabulary of this size.
void check_sampling_tables(const SamplingTables& tables, const DecodeTables& next, std::int64_t rows,
                           std::int64_t vocab);

// Memory of the calling thread for one row of logits in fp32, valid until its next call.
std::span<float> thread_logits(std::int64_t vocab);

// Ops::sample for row r of the tables; changes the logits. Plain: exponentials one by one, ids sorted.
void sample_row(std::span<float> logits, const SamplingTables& tables, std::int64_t r);

// How many of the first ids of a vocabulary the row may choose from.
std::int64_t usable_vocab(std::int64_t vocab, const SamplingRow& row);

// The row's repetition penalty for the ids whose bit is set in row r of the tables' `seen`.
void penalize_row(std::span<float> logits, const SamplingTables& tables, std::int64_t r);

// Reports a row whose logits are not all finite.
void put_failed(const SamplingTables& tables, std::int64_t r);

// Row r's id and, where they are asked for, its `best` ones, with their log-probabilities: logit − normalizer.
void put_sampled(const SamplingTables& tables, std::int64_t r, std::int32_t id, std::span<const float> logits,
                 double normalizer, std::span<const std::int32_t> best);

// What Ops::sample does to its tables once it has chosen tokens.
void advance_tables(const DecodeTables& next, const SamplingTables& sampling);

}  // namespace glmocr
