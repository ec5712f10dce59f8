// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/utf8.h"
#include "models/added_token_matcher.h"
#include "models/bpe.h"
#include "models/pre_tokenizer.h"
#include "models/vocabulary.h"

namespace glmocr {

struct TokenizerJson;

// Whether control tokens written in a text are matched. Never for a user's text.
enum class AddedTokens { ignore, match };

// Byte-level BPE as tokenizer.json describes it: from text to the ids of Hugging Face tokenizers (without a
// post-processor), and back. Concurrent const use is safe.
class Tokenizer {
 public:
  // Both throw Error{model} naming the file and the key where it is unreadable, broken, or specifies what we
  // do not support (tokenizer_json.h). `name` is the file's name in errors.
  static Tokenizer load(const std::filesystem::path& tokenizer_json);
  static Tokenizer parse(std::string_view json, const std::string& name);

  // `match` finds added tokens by leftmost longest match in the raw text, as Hugging Face does; with `ignore`
  // no text becomes one. Throws Error{input} with the byte offset where `text` is not UTF-8.
  std::vector<TokenId> encode(std::string_view text, AddedTokens added = AddedTokens::ignore) const;

  // Always well-formed UTF-8, with U+FFFD for each maximal ill-formed part. Ids without a token are left out,
  // and with `skip_special` so are special tokens.
  std::string decode(std::span<const TokenId> ids, bool skip_special = true) const;
  // The bytes of one token, which may be part of a character.
  std::string piece_bytes(TokenId id, bool skip_special) const;

  // Strings as tokenizer.json writes them: pieces in the byte alphabet, added tokens as they are.
  std::optional<TokenId> token_to_id(std::string_view token) const { return vocabulary_.find(token); }
  // Empty for an id without a token.
  std::string id_to_token(TokenId id) const { return vocabulary_.token(id); }
  int size() const { return vocabulary_.size(); }  // highest id + 1
  bool is_special(TokenId id) const { return vocabulary_.is_special(id); }
  const std::vector<AddedToken>& added_tokens() const { return added_tokens_; }

 private:
  Tokenizer(TokenizerJson&& json, const std::string& name);
  void encode_text(std::string_view text, std::vector<TokenId>& ids) const;
  void encode_pre_token(std::string_view bytes, std::vector<TokenId>& ids) const;

  std::vector<AddedToken> added_tokens_;
  Vocabulary vocabulary_;
  BytePairEncoder bpe_;
  PreTokenizer pre_tokenizer_;
  AddedTokenMatcher matcher_;
  bool ignore_merges_;
};

// Decodes token by token: returns complete characters and keeps the bytes of an incomplete one until the next
// token. The parts joined equal the result of Tokenizer::decode. The tokenizer must outlive it.
class StreamDecoder {
 public:
  explicit StreamDecoder(const Tokenizer& tokenizer, bool skip_special = true)
      : tokenizer_(tokenizer), skip_special_(skip_special) {}

  std::string push(TokenId id) { return stream_.push(tokenizer_.piece_bytes(id, skip_special_)); }
  std::string finish() { return stream_.finish(); }

 private:
  const Tokenizer& tokenizer_;
  bool skip_special_;
  Utf8Stream stream_;
};

}  // namespace glmocr
