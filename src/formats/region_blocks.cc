// SPDX-License-Identifier: Apache-2.0
// The blocks of a region by itself.
#include <algorithm>
#include <utility>

#include "base/error.h"
#include "formats/blocks.h"
#include "formats/characters.h"
#include "formats/footnotes.h"
#include "formats/inline_maths.h"
#include "formats/joined_lines.h"
#include "formats/sdk_rules.h"
#include "formats/text_width.h"
#include "formats/unicode_classes.h"

namespace glmocr::formats {
namespace {

constexpr std::size_t kNowhere = TextView::npos;
constexpr std::size_t kDeepestHeading = 6;
constexpr std::size_t kLongestListNumber = 3;  // digits: "2024. gada" is no list item
constexpr std::size_t kShortestColumn = 24;    // characters of the longest line, for lines to be wrapped

// sdk_clean without its losses: \theta keeps its head, long texts their repeats.
Text cleaned(TextView text) {
  text = stripped(text);
  while (text.starts_with(U"\\t") && (text.size() == 2 || !is_ascii_letter(text[2]))) text.remove_prefix(2);
  while (text.ends_with(U"\\t") && !text.ends_with(U"\\\\t")) text.remove_suffix(2);
  return Text(stripped(with_tight_formulas(with_short_runs(text), Dollars::guarded)));
}

struct Marked {
  std::string marker;  // empty: no list item
  TextView text;
};

// "- ", "•", "1. ", "1)" in front of a text. Not "1.5 GHz", "U.S." and "2024.": a blank or a letter follows the number.
Marked list_marker(TextView line) {
  if (is_bullet(line) || line.starts_with(U"- ")) return {"-", left_stripped(line.substr(1))};
  std::size_t digits = 0;
  while (digits < line.size() && line[digits] >= U'0' && line[digits] <= U'9') ++digits;
  ListMarker found;
  if (digits == 0 || digits > kLongestListNumber || !plain_marker(line, found) || found.rest.empty())
    return {"", line};
  const char32_t after = line[digits + 1];
  if (!is_space(after) && (!is_alnum(after) || is_decimal(after) || is_lower(after))) return {"", line};
  return {to_utf8(found.marker), found.rest};
}

// "(1)text" with a blank behind the parenthesis, where a new word begins there; "(a)symmetric" is one word.
Text with_spaced_parentheses(TextView line) {
  ListMarker found;
  if (!parenthesised_marker(line, found)) return Text(line);
  if (found.rest.empty()) return found.marker;
  const bool blank = found.rest.data() > line.data() && is_space(*(found.rest.data() - 1));
  if (!blank && is_ascii_letter(found.rest[0]) && is_lower(found.rest[0])) return Text(line);
  return found.marker + U' ' + Text(found.rest);
}

// The level of a "## Heading" that the model wrote, 0: it is none.
std::size_t written_level(TextView line) {
  const std::size_t hashes = std::min(line.find_first_not_of(U'#'), line.size());
  const bool heading =
      hashes >= 1 && hashes <= kDeepestHeading && hashes < line.size() && is_space(line[hashes]);
  return heading ? hashes : 0;
}

// A formula without the marks that enclose it. A mark at one end alone is removed if nothing in the formula answers it:
// the text was cut there; "f\(x\)" stays.
Text formula_text(TextView text) {
  const std::pair<TextView, TextView> marks[] = {
      {U"$$", U"$$"}, {U"\\[", U"\\]"}, {U"\\(", U"\\)"}, {U"$", U"$"}};
  text = stripped(text);
  for (const auto& [open, close] : marks) {
    const bool opens = text.starts_with(open), closes = text.ends_with(close);
    if (opens && closes && text.size() >= open.size() + close.size()) {
      text = text.substr(open.size(), text.size() - open.size() - close.size());
    } else if (opens && text.find(close, open.size()) == kNowhere) {
      text = text.substr(open.size());
    } else if (closes && text.find(open) >= text.size() - close.size()) {
      text = text.substr(0, text.size() - close.size());
    } else {
      continue;
    }
    break;
  }
  Text out;
  for (const TextView line : split(text, U'\n')) {  // a blank line would end the formula in Markdown
    if (stripped(line).empty()) continue;
    if (!out.empty()) out += U'\n';
    out += right_stripped(line);
  }
  return Text(stripped(out));
}

// Which newlines do not end a paragraph.
enum class Wrapped { none, after_full_lines, all };

// Some models write a line for each that is printed, others for each paragraph: the room in the box tells which. Lines of
// the text layer are printed ones, of a paragraph.
Wrapped wrapped_lines(const Region& region, TextView text) {
  if (region.source == TextSource::text_layer) return Wrapped::all;
  constexpr int kFewest = 70;  // percent of the lines that the text takes
  int lines = 0;
  for (const TextView line : split(text, U'\n')) lines += stripped(line).empty() ? 0 : 1;
  const bool printed = lines * 100 >= estimated_lines(*region.content, region.box) * kFewest;
  return printed ? Wrapped::after_full_lines : Wrapped::none;
}

// "[12] " as in lists of references: a line that begins so continues none.
bool begins_entry(TextView line) {
  std::size_t digits = 1;
  while (digits < line.size() && is_decimal(line[digits])) ++digits;
  return line.starts_with(U'[') && digits > 1 && digits < line.size() && line[digits] == U']';
}

// The length of lines that fill a column: of five lines the second longest, as one may stand across two columns.
std::size_t full_length(const std::vector<TextView>& lines) {
  std::vector<std::size_t> lengths;
  for (const TextView line : lines) lengths.push_back(stripped(line).size());
  if (lengths.empty()) return 0;
  const auto full = lengths.begin() + (std::ssize(lengths) * 4 - 1) / 5;
  std::nth_element(lengths.begin(), full, lengths.end());
  return *full;
}

// Whether a title may begin behind a full line: a short line with a capital in front and no stop at the end.
bool begins_title(TextView line, TextView next, std::size_t full) {
  if (line.empty() || next.empty() || TextView(U",;-").find(line.back()) != kNowhere) return false;
  return is_upper(next[0]) && next.size() * 5 < full * 3 && TextView(U".,;:!?").find(next.back()) == kNowhere;
}

// Cuts a text into paragraphs, headings, list items, formulas, tables and code.
class Splitter {
 public:
  Splitter(Block base, Wrapped wrapped) : base_(std::move(base)), wrapped_(wrapped) {}

  std::vector<Block> split_text(TextView text) {
    last_bracket_ = text.rfind(U"\\]") == kNowhere ? nullptr : text.data() + text.rfind(U"\\]");
    while (!text.empty()) {
      const TextView line = first_line(text);
      const TextView begin = left_stripped(line);
      if (begin.starts_with(U"```")) {
        take_code(text);
      } else if (!take_displayed(text, begin)) {
        take_line(text, line);
      }
    }
    end_paragraph();
    return std::move(blocks_);
  }

 private:
  void add(BlockKind kind, TextView text, std::string marker = "", std::size_t level = 0) {
    if (stripped(text).empty()) return;
    Block block = base_;
    block.kind = kind;
    block.text = to_utf8(text);
    block.marker = std::move(marker);
    block.level = static_cast<int>(level);
    blocks_.push_back(std::move(block));
  }

  void take_code(TextView& text) {
    end_paragraph();
    text = left_stripped(text).substr(3);
    const TextView language = text.substr(0, text.find(U'\n'));
    text.remove_prefix(std::min(text.size(), language.size() + 1));
    const bool at_once = text.starts_with(U"```");
    const std::size_t end = at_once ? 0 : text.find(U"\n```");
    add(BlockKind::code, right_stripped(text.substr(0, end)), to_utf8(stripped(language)));
    text = end == kNowhere ? TextView() : text.substr(end + (at_once ? 3 : 4));
  }

  // The text up to its first newline, which is looked for once, however many formulas and tables stand in front of it.
  TextView first_line(TextView text) {
    if (line_end_ == nullptr || line_end_ < text.data()) {
      line_end_ = text.data() + std::min(text.find(U'\n'), text.size());
    }
    return text.substr(0, static_cast<std::size_t>(line_end_ - text.data()));
  }

  // Whether a \] follows: looking for one from every \[ would take quadratic time.
  bool is_closed(TextView from) const { return last_bracket_ != nullptr && last_bracket_ > from.data(); }

  // A formula on lines of its own: $$ … $$ or \[ … \]. False: there is none.
  bool take_displayed(TextView& text, TextView begin) {
    if (begin.starts_with(U"$$")) return take_formula(text, U"$$");
    return begin.starts_with(U"\\[") && is_closed(begin) && take_formula(text, U"\\]");
  }

  // A line of a paragraph, or a table with what stands in front of it.
  void take_line(TextView& text, TextView line) {
    if (line.find(U"<table") != kNowhere) {
      take_table(text);
      return;
    }
    if (left_stripped(line).empty()) {
      end_paragraph();
    } else {
      lines_.push_back(line);
    }
    text.remove_prefix(std::min(text.size(), line.size() + 1));
  }

  // False: it does not end.
  bool take_formula(TextView& text, TextView close) {
    const TextView inside = left_stripped(text).substr(2);
    const std::size_t end = inside.find(close);
    if (end == kNowhere) return false;
    end_paragraph();
    add(BlockKind::formula, formula_text(inside.substr(0, end)));
    text = inside.substr(end + close.size());
    return true;
  }

  void take_table(TextView& text) {
    const std::size_t begin = text.find(U"<table");
    lines_.push_back(text.substr(0, begin));
    end_paragraph();
    const std::size_t end = text.find(U"</table>", begin);
    const std::size_t length = end == kNowhere ? kNowhere : end + 8 - begin;
    add(BlockKind::table, text.substr(begin, length));
    text = end == kNowhere ? TextView() : text.substr(end + 8);
  }

  // Whether a line goes on in the next one.
  bool is_wrapped(TextView line, TextView next, std::size_t full) const {
    if (begins_entry(next)) return false;
    if (wrapped_ == Wrapped::all || ends_inside_word(line)) return true;
    const bool is_full = full >= kShortestColumn && line.size() * 4 >= full * 3;
    return wrapped_ == Wrapped::after_full_lines && is_full && !begins_title(line, next, full);
  }

  // Makes blocks of the lines that have come: wrapped ones are joined, one that ends early is a paragraph of its own.
  void end_paragraph() {
    const std::size_t full = full_length(lines_);
    TextView last;
    for (const TextView whole : lines_) {
      const TextView line = stripped(whole);
      const Marked found = list_marker(line);
      const std::size_t level = written_level(line);
      if (!found.marker.empty() || level > 0 || !is_wrapped(last, line, full)) end_current();
      if (level > 0) add(BlockKind::heading, cleaned(line.substr(level)), "", level);
      if (level == 0) append_line(current_, found.text);
      if (!found.marker.empty()) marker_ = found.marker;
      last = level > 0 ? TextView() : line;
    }
    end_current();
    lines_.clear();
  }

  // The paragraph or list item that the last lines belong to is complete.
  void end_current() {
    const Text text = cleaned(std::exchange(current_, {}));
    const std::string marker = std::exchange(marker_, {});
    if (marker.empty()) add(BlockKind::paragraph, with_spaced_parentheses(text));
    if (!marker.empty()) add(BlockKind::list_item, text, marker);
  }

  Block base_;
  Wrapped wrapped_;
  const char32_t* line_end_ = nullptr;      // the next newline, or the end
  const char32_t* last_bracket_ = nullptr;  // the last \]
  std::vector<TextView> lines_;             // since the last blank line
  Text current_;                            // the paragraph or list item that is open
  std::string marker_;                      // of that item
  std::vector<Block> blocks_;
};

// Every line stays one: algorithms and tables of contents.
Text separate_lines(TextView text) {
  Text out;
  for (const TextView line : split(text, U'\n')) {
    const Text clean = cleaned(line);
    if (clean.empty()) continue;
    if (!out.empty()) out += U'\n';
    out += clean;
  }
  return out;
}

// Without blank lines at the beginning and blanks at the end.
Text without_blank_ends(TextView text) {
  text = right_stripped(text);
  const TextView inner = left_stripped(text);
  const std::size_t before = text.size() - inner.size();
  const std::size_t newline = text.substr(0, before).rfind(U'\n');
  return Text(newline == kNowhere ? text : text.substr(newline + 1));
}

Text title_text(TextView text) {
  text = stripped(text);
  if (text.starts_with(U"- ") || text.starts_with(U"* ")) text = left_stripped(text.substr(2));
  return cleaned(on_one_line(without_hashes(text)));
}

bool is_furniture(RegionLabel label) {
  switch (label) {
    case RegionLabel::aside_text:
    case RegionLabel::footer:
    case RegionLabel::footer_image:
    case RegionLabel::header:
    case RegionLabel::header_image:
    case RegionLabel::number:
      return true;
    default:
      return false;
  }
}

// Whether a note begins behind that of the name `last`: numbers follow one another, so that "12 of them" in a note is none.
bool begins_next_note(const Text& name, const Text& last) {
  if (name.empty() || last.empty()) return false;
  const bool numbers = is_decimal(name[0]) && is_decimal(last[0]);
  return numbers ? std::stoi(to_utf8(name)) == std::stoi(to_utf8(last)) + 1 : !is_decimal(name[0]);
}

// Notes that a region holds together are blocks of their own.
std::vector<Block> footnote_blocks(Block block, TextView text) {
  std::vector<Text> notes(1);
  Text last;
  for (const TextView line : split(text, U'\n')) {
    const Text name = note_name(line);
    if (begins_next_note(name, last)) notes.emplace_back();
    if (notes.back().empty()) last = name;
    append_line(notes.back(), line);
  }
  block.kind = BlockKind::footnote;
  std::vector<Block> blocks;
  for (const Text& note : notes) {
    block.text = to_utf8(cleaned(note));
    if (!block.text.empty()) blocks.push_back(block);
  }
  return blocks;
}

std::vector<Block> one_block(Block block, BlockKind kind, const Text& text) {
  if (text.empty()) return {};
  block.kind = kind;
  block.text = to_utf8(text);
  return {block};
}

std::vector<Block> text_blocks(const Region& region, Block block, int level) {
  const Text content = to_text(*region.content);
  const TextView text = stripped(content);
  if (is_furniture(region.label)) return one_block(block, BlockKind::furniture, cleaned(on_one_line(text)));
  switch (region.label) {
    case RegionLabel::doc_title:
    case RegionLabel::paragraph_title:
      block.level = level;
      return one_block(block, BlockKind::heading, title_text(text));
    case RegionLabel::display_formula:
    case RegionLabel::inline_formula:
      return one_block(block, BlockKind::formula, formula_text(text));
    case RegionLabel::figure_title:
      return one_block(block, BlockKind::caption, cleaned(on_one_line(text)));
    case RegionLabel::footnote:
      return footnote_blocks(std::move(block), text);
    case RegionLabel::algorithm:
    case RegionLabel::content:
      if (text.starts_with(U"```")) break;
      // Indented lines, unless formulas stand among them, which code would not show.
      if (region.label == RegionLabel::algorithm && inline_formulas(text, Dollars::guarded).empty()) {
        return one_block(block, BlockKind::code, without_blank_ends(content));
      }
      return one_block(block, BlockKind::paragraph, separate_lines(text));
    default:
      break;
  }
  return Splitter(std::move(block), wrapped_lines(region, text)).split_text(text);
}

}  // namespace

std::string picture_name(const DocumentPage& page, std::size_t region) {
  return cat("page", std::max<std::int64_t>(page.number, 1), "_region", region, ".jpg");
}

std::vector<PictureFile> picture_files(const DocumentPage& page) {
  std::vector<PictureFile> files;
  for (std::size_t i = 0; i < page.regions.size(); ++i) {
    if (page.regions[i].task == RegionTask::picture) files.push_back({i, picture_name(page, i)});
  }
  return files;
}

std::vector<Block> region_blocks(const DocumentPage& page, std::size_t index, const FormatOptions& options) {
  const Region& region = page.regions[index];
  Block block;
  block.label = region.label;
  block.page = page.number;
  block.region = index;
  if (page.width > 0) {
    block.left = region.box.x0 / page.width;
    block.right = region.box.x1 / page.width;
  }
  std::vector<Block> blocks;
  if (region.task == RegionTask::picture) {
    block.kind = is_furniture(region.label) ? BlockKind::furniture : BlockKind::picture;
    block.picture = picture_name(page, index);
    blocks = {block};
  } else if (region.content) {
    blocks = text_blocks(region, block, options.headings.level(region, page));
  }
  return blocks;
}

}  // namespace glmocr::formats
