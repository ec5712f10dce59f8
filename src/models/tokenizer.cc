// SPDX-License-Identifier: Apache-2.0
#include "models/tokenizer.h"

#include <utility>

#include "base/error.h"
#include "base/mapped_file.h"
#include "models/byte_level.h"
#include "models/tokenizer_json.h"

namespace glmocr {
namespace {

// BytePairEncoder has 32-bit indices.
constexpr std::size_t kMaxTextBytes = UINT32_MAX - 2;

// The id of the piece for each byte.
std::array<TokenId, 256> find_byte_ids(const Vocabulary& vocabulary, const std::string& name) {
  std::array<TokenId, 256> ids{};
  for (int byte = 0; byte < 256; ++byte) {
    const std::string piece = to_byte_alphabet(std::string(1, byte));
    const std::optional<TokenId> id = vocabulary.find(piece);
    if (!id || vocabulary.is_added(*id)) {
      fail(ErrorCode::model, cat(name, ": model.vocab lacks a piece for byte ", byte, " (\"", piece, "\")"));
    }
    ids[byte] = *id;
  }
  return ids;
}

MergeTable build_merges(const TokenizerJson& json, const Vocabulary& vocabulary, const std::string& name) {
  MergeTable table;
  table.reserve(json.merges.size());
  for (std::uint32_t rank = 0; rank < json.merges.size(); ++rank) {
    const auto& [left, right] = json.merges[rank];
    const auto id_of = [&, rank](const std::string& piece) {
      const std::optional<TokenId> id = vocabulary.find(piece);
      if (!id) {
        fail(ErrorCode::model,
             cat(name, ": model.merges[", rank, "]: \"", piece, "\" is not in model.vocab"));
      }
      return *id;
    };
    const TokenId left_id = id_of(left), right_id = id_of(right), merged = id_of(left + right);
    // Only AddedTokenMatcher may produce added tokens.
    if (vocabulary.is_added(merged)) continue;
    table.set(left_id, right_id, {rank, merged});
  }
  return table;
}

std::string read_tokenizer_file(const std::filesystem::path& path) {
  try {
    return read_file(path, kLongestText, FileKind::regular);
  } catch (const Error& error) {
    fail(ErrorCode::model, error.what());
  }
}

}  // namespace

Tokenizer Tokenizer::load(const std::filesystem::path& tokenizer_json) {
  return parse(read_tokenizer_file(tokenizer_json), tokenizer_json.string());
}

Tokenizer Tokenizer::parse(std::string_view json, const std::string& name) {
  return Tokenizer(parse_tokenizer_json(json, name), name);
}

Tokenizer::Tokenizer(TokenizerJson&& json, const std::string& name)
    : added_tokens_(std::move(json.added_tokens)),
      vocabulary_(std::move(json.pieces), added_tokens_, name),
      bpe_(find_byte_ids(vocabulary_, name), build_merges(json, vocabulary_, name)),
      pre_tokenizer_(json.pre_tokenizer, cat(name, ": pre_tokenizer")),
      matcher_(added_tokens_),
      ignore_merges_(json.ignore_merges) {}

std::vector<TokenId> Tokenizer::encode(std::string_view text, AddedTokens added) const {
  if (text.size() > kMaxTextBytes) {
    fail(ErrorCode::input,
         cat("the text has ", text.size(), " bytes, more than the limit of ", kMaxTextBytes));
  }
  if (const std::size_t bad = find_invalid_utf8(text); bad != std::string_view::npos) {
    fail(ErrorCode::input, cat("text is not UTF-8 at byte ", bad));
  }
  std::vector<TokenId> ids;
  std::size_t at = 0;
  if (added == AddedTokens::match) {
    while (const auto match = matcher_.find(text, at)) {
      encode_text(text.substr(at, match->begin - at), ids);
      ids.push_back(match->id);
      at = match->end;
    }
  }
  encode_text(text.substr(at), ids);
  return ids;
}

void Tokenizer::encode_text(std::string_view text, std::vector<TokenId>& ids) const {
  pre_tokenizer_.split(text, [&](std::string_view bytes) { encode_pre_token(bytes, ids); });
}

void Tokenizer::encode_pre_token(std::string_view bytes, std::vector<TokenId>& ids) const {
  if (ignore_merges_) {
    // Nor may a whole pre-token that spells an added token become one.
    const std::optional<TokenId> id = vocabulary_.find(to_byte_alphabet(bytes));
    if (id && !vocabulary_.is_added(*id)) return ids.push_back(*id);
  }
  bpe_.encode(bytes, ids);
}

std::string Tokenizer::decode(std::span<const TokenId> ids, bool skip_special) const {
  std::string bytes;
  for (const TokenId id : ids) bytes += piece_bytes(id, skip_special);
  return to_valid_utf8(bytes);
}

std::string Tokenizer::piece_bytes(TokenId id, bool skip_special) const {
  if (skip_special && vocabulary_.is_special(id)) return {};
  return from_byte_alphabet(vocabulary_.token(id));
}

}  // namespace glmocr
