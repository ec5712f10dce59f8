// SPDX-License-Identifier: Apache-2.0
// A tokenizer whose vocabulary, merges, pattern and texts come from the input, in a tokenizer.json that is well-formed.
// Encoding is compared with plain merging, and decoding gives the text back. The parts of an input: bytes whose bits
// are options and merges, a pattern, a control token, and a text.
#include <map>
#include <optional>

#include "base/utf8.h"
#include "fuzz/fuzz.h"
#include "models/byte_level.h"
#include "models/tokenizer.h"

namespace glmocr::fuzz {
namespace {

std::string json_text(std::string_view text) {
  std::string json = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') json += '\\';
    if (static_cast<unsigned char>(c) < 0x20) {
      char escape[8];
      std::snprintf(escape, sizeof escape, "\\u%04x", static_cast<unsigned>(c));
      json += escape;
    } else {
      json += c;
    }
  }
  return json + "\"";
}

struct Recipe {
  bool ignore_merges = false, special = false, split = false;
  std::vector<std::string> pieces;                            // by id
  std::map<std::string, int> ids;                             // of pieces
  std::vector<std::pair<int, int>> merges;                    // ids of the two sides, by rank
  std::map<std::pair<int, int>, std::pair<int, int>> ranked;  // rank and merged id

  explicit Recipe(const std::string& bytes) {
    for (int byte = 0; byte < 256; ++byte) add(std::string(1, static_cast<char>(byte)));
    const unsigned options = bytes.empty() ? 0 : static_cast<unsigned char>(bytes[0]);
    ignore_merges = (options & 1) != 0;
    special = (options & 2) != 0;
    split = (options & 4) != 0;
    for (std::size_t i = 1; i + 1 < bytes.size() && merges.size() < 24; i += 2) {
      const int left = side(bytes[i]), right = side(bytes[i + 1]);
      if (pieces[left].size() + pieces[right].size() > 12) continue;
      if (!ranked.emplace(std::pair(left, right), std::pair<int, int>(merges.size(), 0)).second) continue;
      ranked[{left, right}].second = add(pieces[left] + pieces[right]);
      merges.emplace_back(left, right);
    }
  }
  int add(const std::string& piece) {
    const auto [place, fresh] = ids.emplace(piece, pieces.size());
    if (fresh) pieces.push_back(piece);
    return place->second;
  }
  // A byte, or where the highest bit is set one of the merged pieces.
  int side(char choice) const {
    const auto value = static_cast<unsigned char>(choice);
    if (value < 128 || pieces.size() == 256) return value;
    return static_cast<int>(256 + (value - 128) % (pieces.size() - 256));
  }

  std::string json(const std::string& pattern, const std::string& control) const {
    std::string vocab, pairs;
    for (std::size_t id = 0; id < pieces.size(); ++id) {
      vocab += (id == 0 ? "" : ",") + json_text(to_byte_alphabet(pieces[id])) + ":" + std::to_string(id);
    }
    for (const auto& [left, right] : merges) {
      pairs += (pairs.empty() ? "[" : ",[") + json_text(to_byte_alphabet(pieces[left])) + "," +
               json_text(to_byte_alphabet(pieces[right])) + "]";
    }
    const std::string byte_level =
        R"({"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":false})";
    const std::string step = R"({"type":"Split","behavior":"Isolated","invert":false,"pattern":{"Regex":)" +
                             json_text(pattern) + "}},";
    const std::string added = R"([{"id":)" + std::to_string(pieces.size()) + R"(,"content":)" +
                              json_text(control) + R"(,"special":)" + (special ? "true" : "false") + "}]";
    return R"({"normalizer":null,"added_tokens":)" + (control.empty() ? "[]" : added) +
           R"(,"pre_tokenizer":{"type":"Sequence","pretokenizers":[)" + (split ? step : "") + byte_level +
           R"(]},"decoder":)" + byte_level + R"(,"model":{"type":"BPE","ignore_merges":)" +
           (ignore_merges ? "true" : "false") + R"(,"vocab":{)" + vocab + R"(},"merges":[)" + pairs + "]}}";
  }

  // Merges the pair of the lowest rank, the leftmost first, until none is left.
  std::vector<TokenId> encode(std::string_view text) const {
    if (ignore_merges) {
      if (const auto whole = ids.find(std::string(text)); whole != ids.end()) return {whole->second};
    }
    std::vector<TokenId> out;
    for (const char byte : text) out.push_back(static_cast<unsigned char>(byte));
    for (;;) {
      std::optional<std::size_t> best;
      for (std::size_t i = 0; i + 1 < out.size(); ++i) {
        const auto here = ranked.find({out[i], out[i + 1]});
        if (here != ranked.end() && (!best || here->second < ranked.at({out[*best], out[*best + 1]}))) {
          best = i;
        }
      }
      if (!best) return out;
      out[*best] = ranked.at({out[*best], out[*best + 1]}).second;
      out.erase(out.begin() + static_cast<std::ptrdiff_t>(*best) + 1);
    }
  }
};

}  // namespace
}  // namespace glmocr::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace glmocr;
  using fuzz::expect;
  std::vector<std::string> parts = fuzz::parts(fuzz::as_text(data, size), 4);
  parts.resize(4);
  const fuzz::Recipe recipe(parts[0]);
  const std::string& control = parts[2];
  const std::string& text = parts[3];
  fuzz::attempt({ErrorCode::model}, "tokenizer.json", [&] {
    const Tokenizer tokenizer = Tokenizer::parse(recipe.json(parts[1], control), "tokenizer.json");
    fuzz::attempt({ErrorCode::input, ErrorCode::model}, "", [&] {
      const std::vector<TokenId> ids = tokenizer.encode(text);
      expect(find_invalid_utf8(text) == std::string_view::npos, "a text that is no UTF-8 is encoded");
      expect(tokenizer.decode(ids, false) == text, "decoding gives another text");
      const bool collides = recipe.ids.contains(from_byte_alphabet(control));
      if (!recipe.split && !collides) expect(ids == recipe.encode(text), "other ids than by plain merging");
      const std::vector<TokenId> matched = tokenizer.encode(text, AddedTokens::match);
      if (from_byte_alphabet(control) == control) {
        expect(tokenizer.decode(matched, false) == text, "decoding control tokens gives another text");
      }
      const auto id = static_cast<TokenId>(recipe.pieces.size());
      if (!collides && !control.empty()) {
        expect(std::count(ids.begin(), ids.end(), id) == 0, "a control token that was not asked for");
        const bool found = std::count(matched.begin(), matched.end(), id) > 0;
        expect(found == (text.find(control) != std::string::npos), "control tokens are not matched");
      }
    });
  });
  return 0;
}
