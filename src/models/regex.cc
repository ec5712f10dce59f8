// SPDX-License-Identifier: Apache-2.0
#include "models/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <algorithm>
#include <cstdint>
#include <utility>

#include "base/error.h"

namespace glmocr {
namespace {

// Bodies of character classes: Unicode's White_Space, and everything else. Explicit lists, because PCRE2
// before 10.40 has no \p{White_Space}.
constexpr std::string_view kWhiteSpace =
    R"(\x{09}-\x{0D}\x{20}\x{85}\x{A0}\x{1680}\x{2000}-\x{200A}\x{2028}\x{2029}\x{202F}\x{205F}\x{3000})";
constexpr std::string_view kNotWhiteSpace =
    R"(\x{00}-\x{08}\x{0E}-\x{1F}\x{21}-\x{84}\x{86}-\x{9F}\x{A1}-\x{167F}\x{1681}-\x{1FFF}\x{200B}-\x{2027})"
    R"(\x{202A}-\x{202E}\x{2030}-\x{205E}\x{2060}-\x{2FFF}\x{3001}-\x{10FFFF})";

// Bounds of one match. The patterns of published tokenizers need a few steps per character, and megabytes of
// memory where a group repeats over megabytes of text.
constexpr std::uint32_t kMaxSteps = 10'000'000;
constexpr std::uint32_t kMaxHeapKib = 1 << 20;

std::string error_text(int code) {
  char buffer[256];
  pcre2_get_error_message(code, reinterpret_cast<PCRE2_UCHAR*>(buffer), sizeof buffer);
  return buffer;
}

// Translates a pattern from Oniguruma's syntax to PCRE2's.
class Translator {
 public:
  Translator(std::string_view pattern, const std::string& where) : rest_(pattern), where_(where) {}

  std::string run() {
    while (!rest_.empty()) {
      if (rest_[0] == '\\') {
        escape();
      } else if (in_class_) {
        class_character();
      } else if (rest_[0] == '[') {
        open_class();
      } else {
        copy(1);
      }
    }
    return std::move(out_);
  }

 private:
  void escape() {
    const char letter = rest_.size() > 1 ? rest_[1] : '\0';
    if (letter == 's') {
      white_space(true, 2);
    } else if (letter == 'S') {
      white_space(false, 2);
    } else if (letter == 'h' || letter == 'H' || letter == 'C' || letter == 'K') {
      // \h and \H mean something else here; \C splits characters; \K moves the start of a match.
      refuse(cat("\\", letter));
    } else {
      copy(2);
    }
  }

  void open_class() {
    in_class_ = true;
    copy(1);
    if (rest_.starts_with('^')) copy(1);
    if (rest_.starts_with(']')) copy(1);  // in the first place it is an ordinary character
  }

  void class_character() {
    if (rest_.starts_with("[:space:]")) {
      white_space(true, 9);
    } else if (rest_.starts_with("[:^space:]")) {
      white_space(false, 10);
    } else if (rest_.starts_with("[:") && rest_.find(":]") != std::string_view::npos) {
      copy(rest_.find(":]") + 2);
    } else if (rest_[0] == '[') {
      refuse("a class in a class");
    } else if (rest_.starts_with("&&")) {
      refuse("&& in a class");
    } else {
      in_class_ = rest_[0] != ']';
      copy(1);
    }
  }

  void white_space(bool positive, std::size_t length) {
    if (in_class_) {
      out_ += positive ? kWhiteSpace : kNotWhiteSpace;
    } else {
      out_ += cat(positive ? "[" : "[^", kWhiteSpace, "]");
    }
    rest_.remove_prefix(length);
  }

  void copy(std::size_t length) {
    length = std::min(length, rest_.size());
    out_ += rest_.substr(0, length);
    rest_.remove_prefix(length);
  }

  [[noreturn]] void refuse(const std::string& what) const {
    fail(ErrorCode::model, cat(where_, ": the pattern uses ", what, ", which is not supported"));
  }

  std::string_view rest_;
  const std::string& where_;
  std::string out_;
  bool in_class_ = false;
};

template <auto release>
struct Release {
  template <class T>
  void operator()(T* resource) const {
    release(resource);
  }
};

template <class T, auto release>
using Owned = std::unique_ptr<T, Release<release>>;

std::size_t next_character(std::string_view text, std::size_t at) {
  do ++at;
  while (at < text.size() && (static_cast<std::uint8_t>(text[at]) & 0xC0) == 0x80);
  return at;
}

}  // namespace

struct Regex::Compiled {
  Owned<pcre2_code, pcre2_code_free> code;
  Owned<pcre2_match_context, pcre2_match_context_free> context;
  std::string where;
};

Regex::Regex(std::string_view pattern, Syntax syntax, const std::string& where) {
  const bool literal = syntax == Syntax::literal;
  const std::string translated = literal ? std::string(pattern) : Translator(pattern, where).run();
  const std::uint32_t options =
      literal ? PCRE2_UTF | PCRE2_LITERAL : PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C;
  const Owned<pcre2_compile_context, pcre2_compile_context_free> settings(
      pcre2_compile_context_create(nullptr));
  pcre2_set_newline(settings.get(), PCRE2_NEWLINE_LF);

  auto compiled = std::make_shared<Compiled>();
  int error = 0;
  PCRE2_SIZE offset = 0;
  compiled->code.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(translated.data()), translated.size(),
                                     options, &error, &offset, settings.get()));
  if (!compiled->code) {
    fail(ErrorCode::model, cat(where, ": pattern \"", pattern, "\" cannot be compiled: ", error_text(error)));
  }
  // Fails where the system forbids code made at run time; pcre2_match interprets then.
  pcre2_jit_compile(compiled->code.get(), PCRE2_JIT_COMPLETE);
  compiled->context.reset(pcre2_match_context_create(nullptr));
  pcre2_set_match_limit(compiled->context.get(), kMaxSteps);
  pcre2_set_depth_limit(compiled->context.get(), kMaxSteps);
  pcre2_set_heap_limit(compiled->context.get(), kMaxHeapKib);
  compiled->where = where;
  compiled_ = std::move(compiled);
}

void Regex::for_each_piece(std::string_view text, const std::function<void(std::string_view)>& take) const {
  const Owned<pcre2_match_data, pcre2_match_data_free> match(pcre2_match_data_create(1, nullptr));
  // The caller has checked the UTF-8. Checking the rest of the text at every match would be quadratic.
  const auto find = [&](std::size_t from, std::uint32_t options) {
    return pcre2_match(compiled_->code.get(), reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), from,
                       options | PCRE2_NO_UTF_CHECK, match.get(), compiled_->context.get());
  };
  std::size_t taken = 0;  // everything before it has been passed to `take`
  for (std::size_t from = 0; from < text.size();) {
    int result = find(from, 0);
    // Compiled matching has 32 KiB of state on the stack; interpreted matching has as much as it needs, on
    // the heap.
    if (result == PCRE2_ERROR_JIT_STACKLIMIT) result = find(from, PCRE2_NO_JIT);
    if (result == PCRE2_ERROR_NOMATCH) break;
    if (result == PCRE2_ERROR_MATCHLIMIT || result == PCRE2_ERROR_DEPTHLIMIT ||
        result == PCRE2_ERROR_HEAPLIMIT) {
      fail(ErrorCode::model, cat(compiled_->where, ": the pattern needs too much work at byte ", from,
                                 " of a text, expected at most ", kMaxSteps, " steps and ",
                                 kMaxHeapKib / 1024, " MiB per match"));
    }
    if (result < 0) {
      fail(ErrorCode::memory, cat(compiled_->where, ": the pattern cannot be matched at byte ", from,
                                  " of the text: ", error_text(result)));
    }
    const PCRE2_SIZE* span = pcre2_get_ovector_pointer(match.get());
    const std::size_t begin = span[0], end = span[1];
    if (begin < from || end < begin) {  // a \K that the translator did not see
      fail(ErrorCode::model,
           cat(compiled_->where, ": a match of the pattern begins at byte ", begin, " and ends at byte ", end,
               " of a text, expected a begin from ", from, " on and an end after it"));
    }
    if (begin > taken) take(text.substr(taken, begin - taken));
    if (end > begin) take(text.substr(begin, end - begin));
    taken = end;
    from = end > begin ? end : next_character(text, end);
  }
  if (taken < text.size()) take(text.substr(taken));
}

}  // namespace glmocr
