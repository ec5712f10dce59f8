// SPDX-License-Identifier: Apache-2.0
// Markdown as GitHub and Pandoc read it: formulas in $, tables as HTML, footnotes as [^1].
#include <algorithm>
#include <utility>

#include "base/error.h"
#include "formats/characters.h"
#include "formats/inline_maths.h"
#include "formats/markup.h"
#include "formats/table.h"
#include "formats/writers.h"

namespace glmocr::formats {
namespace {

// Text that no reader of Markdown takes for HTML, but for bare inline tags.
std::string without_html(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char next = text[i] == '<' && i + 1 < text.size() ? text[i + 1] : ' ';
    if (!is_ascii_letter(next) && next != '/' && next != '!' && next != '?') {
      out += text[i];
      continue;
    }
    const Tag tag = tag_at(text.substr(i));
    const bool bare = tag.attributes.find_first_not_of(" /") == std::string_view::npos;
    out += tag.length > 0 && bare && is_inline_tag(tag.name) ? "<" : "&lt;";
  }
  return out;
}

// The same with formulas as they are.
std::string inline_markdown(const std::string& utf8) {
  const Text text = to_text(utf8);
  std::string out;
  std::size_t done = 0;
  for (const InlineFormula& formula : inline_formulas(text, Dollars::guarded)) {
    out += without_html(to_utf8(TextView(text).substr(done, formula.begin - done)));
    out += to_utf8(TextView(text).substr(formula.begin, formula.end - formula.begin));
    done = formula.end;
  }
  return out + without_html(to_utf8(TextView(text).substr(done)));
}

// Lines that end where they end: two blanks in front of the newline.
std::string with_hard_breaks(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '\n') out += "  ";
    out += c;
  }
  return out;
}

std::string formula(const Block& block) {
  const std::string tag = block.tag.empty() ? "" : " \\tag{" + block.tag + "}";
  return "$$\n" + block.text + tag + "\n$$";
}

// A fence longer than any within the code.
std::string code(const Block& block) {
  std::size_t longest = 2, run = 0;
  for (const char c : block.text) {
    run = c == '`' ? run + 1 : 0;
    longest = std::max(longest, run);
  }
  const std::string fence(longest + 1, '`');
  std::string language;
  for (const char c : block.marker) {
    if (is_ascii_letter(c) || (c >= '0' && c <= '9') || c == '+' || c == '-' || c == '#') language += c;
  }
  return fence + language + "\n" + block.text + "\n" + fence;
}

std::string table_markdown(const Block& block) {
  const Table table = parse_table(block.text);
  return table.rows.empty() ? without_html(table.caption) : table_html(table);
}

// A comment cannot hold two hyphens in a row.
std::string comment(const std::string& text) {
  std::string out = "<!-- ";
  for (const char c : text) {
    if (c == '-' && out.back() == '-') out += ' ';
    if (c != '>' && c != '<') out += c;
  }
  return out + " -->";
}

std::string furniture_markdown(const Block& block, const FormatOptions& options) {
  if (!block.picture.empty())
    return options.picture_folder.empty() ? "" : "![](" + picture_link(block, options) + ")";
  if (!block.apart) return inline_markdown(block.text);
  return comment(cat(to_string(block.label), ": ", block.text));
}

class MarkdownWriter final : public DocumentWriter {
 public:
  explicit MarkdownWriter(FormatOptions options) : options_(options), blocks_(std::move(options)) {}

  std::string page(const DocumentPage& page) override { return written(blocks_.page(page)); }

  std::string end() override {
    std::string out = written(blocks_.end());
    if (last_ != Last::nothing) out += '\n';
    return out;
  }

 private:
  enum class Last { nothing, item, other };

  // Blank lines between blocks, none between the items of a list.
  std::string written(const std::vector<Block>& blocks) {
    std::string out;
    for (const Block& block : blocks) {
      const std::string text = block_markdown(block, options_);
      if (text.empty()) continue;
      const Last kind = block.kind == BlockKind::list_item ? Last::item : Last::other;
      if (last_ != Last::nothing) out += kind == Last::item && last_ == Last::item ? "\n" : "\n\n";
      out += text;
      last_ = kind;
    }
    return out;
  }

  FormatOptions options_;
  BlockStream blocks_;
  Last last_ = Last::nothing;
};

}  // namespace

std::string block_markdown(const Block& block, const FormatOptions& options) {
  switch (block.kind) {
    case BlockKind::heading:
      return std::string(static_cast<std::size_t>(block.level), '#') + " " + inline_markdown(block.text);
    case BlockKind::paragraph:
    case BlockKind::caption:
      return with_hard_breaks(inline_markdown(block.text));
    case BlockKind::list_item:
      return block.marker + " " + inline_markdown(block.text);
    case BlockKind::formula:
      return formula(block);
    case BlockKind::table:
      return table_markdown(block);
    case BlockKind::code:
      return code(block);
    case BlockKind::picture:
      if (options.picture_folder.empty()) return "";
      return cat("![Picture on page ", shown_number(block.page), "](", picture_link(block, options), ")");
    case BlockKind::footnote:
      return (block.notes.empty() ? "" : cat("[^", block.notes[0], "]: ")) + inline_markdown(block.text);
    case BlockKind::furniture:
      return furniture_markdown(block, options);
    case BlockKind::page_break:
      return cat("<!-- page ", shown_number(block.page), " -->");
  }
  return "";
}

std::unique_ptr<DocumentWriter> markdown_writer(FormatOptions options) {
  return std::make_unique<MarkdownWriter>(std::move(options));
}

}  // namespace glmocr::formats
