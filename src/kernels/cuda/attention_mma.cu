// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda/attention_tiles.cuh"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/mma.cuh"

// Attention on the tensor cores of sm_80 and later, as in FlashAttention-2 (Dao 2023): a tile of queries passes
// over blocks of keys with a running maximum and sum per row. Blocks begin at multiples of kKeys, so what a row
// sums depends on the row alone.
namespace glmocr::cuda {
namespace {

constexpr int kKeys = 64;
constexpr float kLog2E = 1.44269504088896340736f;

// Bound by the tensor cores and the exponentials. kWarps warps with 16 queries each share blocks of kKeys keys
// and values in shared memory; the next block is read while this one is used.
template <int kDim, int kWarps, class Source>
__global__ void __launch_bounds__(32 * kWarps) attention_kernel(const __grid_constant__ Source source) {
  constexpr int kThreads = 32 * kWarps, kRows = 16 * kWarps, kChunks = kDim / 8;
  constexpr int kBlockBytes = kKeys * kDim * 2;
  extern __shared__ __align__(128) std::byte shared[];
  const auto& a = source.a;
  let_next_start();
  wait_for_previous();
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, g = lane / 4, t = lane % 4, head = blockIdx.y;

  Tile tile;
  if (!source.find(blockIdx.x, kRows, head, tile)) return;
  if (tile.keys == 0) return clear_padding(source, tile);
  const std::uint32_t q_tile = shared_address(shared), blocks = q_tile + kRows * kDim * 2;
  const auto copy_rows = [&](std::uint32_t to, int count, int valid, auto row_at) {
    for (int i = threadIdx.x; i < count * kChunks; i += kThreads) {
      const int row = i / kChunks, chunk = i % kChunks;
      const bool inside = row < valid && 8 * chunk < a.dim;
      copy_16(to + swizzled<kChunks>(row, chunk), inside ? row_at(row) + 8 * chunk : a.q, inside);
    }
  };
  const int block_count = (tile.keys + kKeys - 1) / kKeys;
  const auto copy_block = [&](int block) {
    if (block < block_count) {
      const std::uint32_t to = blocks + block % 2 * 2 * kBlockBytes;
      const int first = block * kKeys, valid = tile.keys - first;
      copy_rows(to, kKeys, valid, [&](int row) { return source.key(tile, first + row); });
      copy_rows(to + kBlockBytes, kKeys, valid, [&](int row) { return source.value(tile, first + row); });
    }
    commit_copies();
  };
  copy_rows(q_tile, kRows, tile.rows,
            [&](int row) { return a.q + std::int64_t{tile.row0 + row} * a.q_row + head * a.q_head; });
  copy_block(0);
  wait_for_copies<0>();
  __syncthreads();
  std::uint32_t q[kDim / 16][4];
#pragma unroll
  for (int k = 0; k < kDim / 16; ++k) {
    load_matrices(q[k], q_tile + swizzled<kChunks>(16 * warp + lane % 16, 2 * k + lane / 16));
  }

  // Of the rows g and g + 8 of this warp.
  float largest[2] = {-INFINITY, -INFINITY}, total[2] = {}, sums[kDim / 8][4] = {};
  const float scale = a.scale * kLog2E;
  const int row_in_tile = 16 * warp + g;
  int sees[2] = {tile.keys, tile.keys};
  if constexpr (Source::kPaged) {
    sees[0] = min(tile.first_sees + row_in_tile, tile.keys);
    sees[1] = min(tile.first_sees + row_in_tile + 8, tile.keys);
  }

  for (int block = 0; block < block_count; ++block) {
    wait_for_copies<0>();
    __syncthreads();  // this block is there, and the one before has been used
    copy_block(block + 1);
    const std::uint32_t keys = blocks + block % 2 * 2 * kBlockBytes, values = keys + kBlockBytes;
    const int first = block * kKeys;
    const bool masked = first + kKeys > tile.first_sees;

    float scores[kKeys / 8][4] = {};
#pragma unroll
    for (int k = 0; k < kDim / 16; ++k) {
#pragma unroll
      for (int j = 0; j < kKeys / 16; ++j) {
        std::uint32_t b[4];
        load_matrices(b, keys + swizzled<kChunks>(16 * j + lane / 16 * 8 + lane % 8, 2 * k + lane / 8 % 2));
        mma(scores[2 * j], q[k], b[0], b[1]);
        mma(scores[2 * j + 1], q[k], b[2], b[3]);
      }
    }
    if (masked) {
#pragma unroll
      for (int j = 0; j < kKeys / 8; ++j) {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          if (first + 8 * j + 2 * t + i % 2 >= sees[i / 2]) scores[j][i] = -INFINITY;
        }
      }
    }

    // A value that is not finite must not reach the rows that do not see it, not even times a weight of 0. It is
    // taken out here and put back below.
    bool spoilt = false;
    if constexpr (Source::kPaged) {
      if (masked) {
        bool found = false;
        auto* words = reinterpret_cast<std::uint32_t*>(shared + (values - q_tile));
        for (int i = threadIdx.x; i < kBlockBytes / 4; i += kThreads) {
          std::uint32_t word = words[i];
          if (!take_out_not_finite(word)) continue;
          found = true;
          words[i] = word;
        }
        spoilt = __syncthreads_or(found);
      }
    }

#pragma unroll
    for (int i = 0; i < 2; ++i) {
      float most = largest[i];
#pragma unroll
      for (int j = 0; j < kKeys / 8; ++j) most = fmaxf(most, fmaxf(scores[j][2 * i], scores[j][2 * i + 1]));
      most = fmaxf(most, __shfl_xor_sync(0xffffffffu, most, 1));
      most = fmaxf(most, __shfl_xor_sync(0xffffffffu, most, 2));
      const float base = most == -INFINITY ? 0 : most * scale;
      // Exactly 1 where the block changes nothing, as for a row that sees none of its keys.
      const float shrink = most == largest[i] ? 1 : exp2f((largest[i] - most) * scale);
      largest[i] = most;
      total[i] *= shrink;
#pragma unroll
      for (int d = 0; d < kDim / 8; ++d) {
        sums[d][2 * i] *= shrink;
        sums[d][2 * i + 1] *= shrink;
      }
#pragma unroll
      for (int j = 0; j < kKeys / 8; ++j) {
        scores[j][2 * i] = exp2f(fmaf(scores[j][2 * i], scale, -base));
        scores[j][2 * i + 1] = exp2f(fmaf(scores[j][2 * i + 1], scale, -base));
        total[i] += scores[j][2 * i] + scores[j][2 * i + 1];
      }
    }

#pragma unroll
    for (int k = 0; k < kKeys / 16; ++k) {
      std::uint32_t weights[4];
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        weights[i] = pack_bf16(scores[2 * k + i / 2][i % 2 * 2], scores[2 * k + i / 2][i % 2 * 2 + 1]);
      }
#pragma unroll
      for (int d = 0; d < kDim / 16; ++d) {
        std::uint32_t b[4];
        load_matrices_transposed(b, values + swizzled<kChunks>(16 * k + lane % 16, 2 * d + lane / 16));
        mma(sums[2 * d], weights, b[0], b[1]);
        mma(sums[2 * d + 1], weights, b[2], b[3]);
      }
    }
    if constexpr (Source::kPaged) {
      if (spoilt) put_back_not_finite(sums, source, tile, first, first + kKeys, sees);
    }
  }

#pragma unroll
  for (int i = 0; i < 2; ++i) {
    total[i] += __shfl_xor_sync(0xffffffffu, total[i], 1);
    total[i] += __shfl_xor_sync(0xffffffffu, total[i], 2);
    const int row = row_in_tile + 8 * i;
    if (row >= tile.rows) continue;
    bf16_t* to = source.result(tile, row);
    const float scaled = 1 / total[i];
#pragma unroll
    for (int d = 0; d < kDim / 8; ++d) {
      const int column = 8 * d + 2 * t;
      if (column >= a.dim) continue;  // dim is a multiple of 8
      to[column] = from_float<bf16_t>(sums[d][2 * i] * scaled);
      to[column + 1] = from_float<bf16_t>(sums[d][2 * i + 1] * scaled);
    }
  }
}

template <int kDim, int kWarps, class Source>
void run(Context& context, const char* name, const Source& source, int tiles) {
  constexpr std::size_t kShared = (16 * kWarps + 4 * kKeys) * kDim * 2;
  launch(context, name, attention_kernel<kDim, kWarps, Source>, dim3(tiles, source.a.heads), 32 * kWarps,
         kShared, source);
}

}  // namespace

void run_segments_mma(Context& context, const SegmentAttention<bf16_t>& a, int tiles) {
  constexpr int kWarps = kSegmentTile / 16;
  const SegmentTiles source{a};
  a.dim <= 64 ? run<64, kWarps>(context, "attention", source, tiles)
              : run<128, kWarps>(context, "attention", source, tiles);
}

void run_many_rows_mma(Context& context, const PagedAttention<bf16_t>& a) {
  constexpr int kWarps = 4;
  const int most_tiles = static_cast<int>(blocks_for(a.rows, 16 * kWarps)) + a.sequences + 1;
  a.dim <= 64 ? run<64, kWarps>(context, "attention_paged", PagedTiles{a}, most_tiles)
              : run<128, kWarps>(context, "attention_paged", PagedTiles{a}, most_tiles);
}

}  // namespace glmocr::cuda
