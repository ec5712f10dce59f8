// SPDX-License-Identifier: Apache-2.0
#include "models/bpe.h"

#include <functional>
#include <queue>
#include <utility>

namespace glmocr {
namespace {

constexpr std::uint32_t kEnd = UINT32_MAX;

// A token in a doubly linked list; indices are those of the pre-token's bytes.
struct Symbol {
  TokenId id;
  std::uint32_t previous;
  std::uint32_t next;
  Merge merge;  // with the next symbol
};

// Rank in the high half, index in the low: the smallest is the pair to merge next.
using Candidate = std::uint64_t;
using Queue = std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>>;

Candidate make_candidate(std::uint32_t rank, std::uint32_t place) { return Candidate{rank} << 32 | place; }

// The state of one pre-token while its pairs merge.
class Merger {
 public:
  Merger(const MergeTable& merges, const std::array<TokenId, 256>& byte_ids, std::string_view bytes)
      : merges_(merges), symbols_(bytes.size()) {
    const std::uint32_t count = bytes.size();
    for (std::uint32_t i = 0; i < count; ++i) {
      symbols_[i] = {byte_ids[static_cast<std::uint8_t>(bytes[i])], i - 1, i + 1, {MergeTable::kNoRank, -1}};
    }
    symbols_.front().previous = kEnd;
    symbols_.back().next = kEnd;
  }

  void run() {
    std::vector<Candidate> candidates;
    candidates.reserve(symbols_.size());
    for (std::uint32_t i = 0; i + 1 < symbols_.size(); ++i) {
      if (update_pair(i)) candidates.push_back(make_candidate(symbols_[i].merge.rank, i));
    }
    Queue queue(std::greater<>(), std::move(candidates));
    while (!queue.empty()) {
      const std::uint32_t rank = queue.top() >> 32, place = queue.top() & UINT32_MAX;
      queue.pop();
      // With another rank, one of the two tokens has been merged with its other neighbour since.
      if (symbols_[place].merge.rank == rank) merge_with_next(place, queue);
    }
  }

  void append_to(std::vector<TokenId>& ids) const {
    for (std::uint32_t i = 0; i != kEnd; i = symbols_[i].next) ids.push_back(symbols_[i].id);
  }

 private:
  // Looks up the pair that begins at `place`. False where it does not merge.
  bool update_pair(std::uint32_t place) {
    Symbol& symbol = symbols_[place];
    symbol.merge = symbol.next == kEnd ? Merge{MergeTable::kNoRank, -1}
                                       : merges_.find(symbol.id, symbols_[symbol.next].id);
    return symbol.merge.rank != MergeTable::kNoRank;
  }

  void merge_with_next(std::uint32_t place, Queue& queue) {
    Symbol& left = symbols_[place];
    Symbol& right = symbols_[left.next];
    left.id = left.merge.merged;
    left.next = right.next;
    right.merge.rank = MergeTable::kNoRank;
    if (left.next != kEnd) symbols_[left.next].previous = place;
    if (update_pair(place)) queue.push(make_candidate(left.merge.rank, place));
    if (left.previous != kEnd && update_pair(left.previous)) {
      queue.push(make_candidate(symbols_[left.previous].merge.rank, left.previous));
    }
  }

  const MergeTable& merges_;
  std::vector<Symbol> symbols_;
};

}  // namespace

Merge MergeTable::find(TokenId left, TokenId right) const {
  const auto found = merges_.find(key(left, right));
  return found == merges_.end() ? Merge{kNoRank, -1} : found->second;
}

BytePairEncoder::BytePairEncoder(const std::array<TokenId, 256>& byte_ids, MergeTable merges)
    : byte_ids_(byte_ids), merges_(std::move(merges)) {}

void BytePairEncoder::encode(std::string_view bytes, std::vector<TokenId>& ids) const {
  if (bytes.empty()) return;
  Merger merger(merges_, byte_ids_, bytes);
  merger.run();
  merger.append_to(ids);
}

}  // namespace glmocr
