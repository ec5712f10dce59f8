// SPDX-License-Identifier: Apache-2.0
// The parts of an input: a tokenizer.json, and a text.
#include "base/utf8.h"
#include "fuzz/fuzz.h"
#include "models/tokenizer.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace glmocr;
  using fuzz::expect;
  const std::vector<std::string> parts = fuzz::parts(fuzz::as_text(data, size), 2);
  const std::string text = parts.size() > 1 ? parts[1] : "Hello";
  fuzz::attempt({ErrorCode::model}, "tokenizer.json", [&] {
    const Tokenizer tokenizer = Tokenizer::parse(parts[0], "tokenizer.json");
    for (const AddedTokens added : {AddedTokens::ignore, AddedTokens::match}) {
      fuzz::attempt({ErrorCode::input, ErrorCode::model}, "", [&] {
        const std::vector<TokenId> ids = tokenizer.encode(text, added);
        for (const TokenId id : ids) {
          expect(id >= 0 && id < tokenizer.size(), "an id that is no token");
          expect(!tokenizer.id_to_token(id).empty(), "an id without a token");
        }
        for (const bool skip : {true, false}) {
          const std::string decoded = tokenizer.decode(ids, skip);
          expect(find_invalid_utf8(decoded) == std::string_view::npos, "decode gives what is no UTF-8");
          StreamDecoder stream(tokenizer, skip);
          std::string streamed;
          for (const TokenId id : ids) streamed += stream.push(id);
          streamed += stream.finish();
          expect(streamed == decoded, "streaming gives another text");
        }
      });
    }
  });
  return 0;
}
