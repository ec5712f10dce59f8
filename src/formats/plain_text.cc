// SPDX-License-Identifier: Apache-2.0
// Plain text: paragraphs between blank lines, tables as columns between tabs, formulas in TeX.
#include <utility>

#include "base/error.h"
#include "formats/markup.h"
#include "formats/table.h"
#include "formats/writers.h"

namespace glmocr::formats {
namespace {

// Without bare inline tags; "[^3]" becomes "[3]" where it is a reference.
std::string plain_inline(const Block& block) {
  std::string text = block.text;
  for (const int note : block.notes) {
    const std::string reference = cat("[^", note, "]");
    const std::size_t at = text.find(reference);
    if (at != std::string::npos) text.erase(at + 1, 1);
  }
  std::string out;
  for (std::size_t i = 0; i < text.size();) {
    const Tag tag = tag_at(std::string_view(text).substr(i));
    const bool bare = tag.length > 0 && tag.attributes.find_first_not_of(" /") == std::string_view::npos;
    if (bare && is_inline_tag(tag.name)) {
      if (tag.name == "br") out += ' ';
      i += tag.length;
    } else {
      out += text[i++];
    }
  }
  return out;
}

class TextWriter final : public DocumentWriter {
 public:
  explicit TextWriter(FormatOptions options) : blocks_(std::move(options)) {}

  std::string page(const DocumentPage& page) override { return written(blocks_.page(page)); }

  std::string end() override {
    std::string out = written(blocks_.end());
    if (last_ != Last::nothing) out += '\n';
    return out;
  }

 private:
  enum class Last { nothing, item, other };

  std::string written(const std::vector<Block>& blocks) {
    std::string out;
    for (const Block& block : blocks) {
      if (block.kind == BlockKind::page_break) {
        if (pages_++ > 0) out += last_ == Last::nothing ? "\f" : "\n\f";
        last_ = Last::nothing;
        continue;
      }
      const std::string text = block_plain(block);
      if (text.empty()) continue;
      const Last kind = block.kind == BlockKind::list_item ? Last::item : Last::other;
      if (last_ != Last::nothing) out += kind == Last::item && last_ == Last::item ? "\n" : "\n\n";
      out += text;
      last_ = kind;
    }
    return out;
  }

  BlockStream blocks_;
  Last last_ = Last::nothing;  // on this page
  int pages_ = 0;
};

}  // namespace

std::string block_plain(const Block& block) {
  switch (block.kind) {
    case BlockKind::heading:
    case BlockKind::paragraph:
    case BlockKind::caption:
    case BlockKind::furniture:
      return plain_inline(block);
    case BlockKind::list_item:
      return block.marker + " " + plain_inline(block);
    case BlockKind::footnote:
      return (block.notes.empty() ? "" : cat("[", block.notes[0], "] ")) + plain_inline(block);
    case BlockKind::formula:
      return block.text + (block.tag.empty() ? "" : " (" + block.tag + ")");
    case BlockKind::code:
      return block.text;
    case BlockKind::table:
      return table_plain(parse_table(block.text));
    case BlockKind::picture:
    case BlockKind::page_break:
      return "";
  }
  return "";
}

std::unique_ptr<DocumentWriter> text_writer(FormatOptions options) {
  return std::make_unique<TextWriter>(std::move(options));
}

}  // namespace glmocr::formats
