// SPDX-License-Identifier: Apache-2.0
#include "formats/blocks.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <utility>

#include "formats/characters.h"
#include "formats/footnotes.h"
#include "formats/joined_lines.h"
#include "formats/sdk_rules.h"
#include "formats/table.h"

namespace glmocr::formats {
namespace {

constexpr double kListAlignment = 0.01;  // of the page's width, between the left edges of list items
constexpr double kTableAlignment =
    0.03;  // of the page's width, between the edges of a table and its continuation

const Box& box_of(const DocumentPage& page, const Block& block) { return page.regions[block.region].box; }

// The formula that a number stands beside: the one whose height it shares, the closest in reading order; else the one next
// to it in reading order. npos: none.
std::size_t numbered_formula(const DocumentPage& page, const std::vector<Block>& blocks, std::size_t number) {
  constexpr std::size_t kNone = static_cast<std::size_t>(-1);
  const Box& box = box_of(page, blocks[number]);
  const double middle = (box.y0 + box.y1) / 2;
  std::size_t best = kNone;
  const auto distance = [&](std::size_t i) { return i > number ? i - number : number - i; };
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    const Box& formula = box_of(page, blocks[i]);
    if (blocks[i].kind != BlockKind::formula || middle < formula.y0 || middle > formula.y1) continue;
    if (best == kNone || distance(i) < distance(best)) best = i;
  }
  if (best != kNone) return best;
  if (number > 0 && blocks[number - 1].kind == BlockKind::formula) return number - 1;
  if (number + 1 < blocks.size() && blocks[number + 1].kind == BlockKind::formula) return number + 1;
  return kNone;
}

// "1" for "(1)", but "(1) (2)" as it is.
std::string number_text(const std::string& utf8) {
  const Text text = to_text(utf8), inner = sdk_formula_number(text);
  return to_utf8(inner.find_first_of(U"()") == Text::npos ? inner : text);
}

// Formula numbers become tags; those without a formula stay as paragraphs.
void add_tags(const DocumentPage& page, std::vector<Block>& blocks) {
  std::vector<bool> merged(blocks.size());
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    if (blocks[i].label != RegionLabel::formula_number || blocks[i].text.empty()) continue;
    const std::size_t formula = numbered_formula(page, blocks, i);
    if (formula >= blocks.size() || blocks[formula].text.find("\\tag") != std::string::npos) continue;
    std::string& tag = blocks[formula].tag;
    if (!tag.empty()) tag += ", ";
    tag += number_text(blocks[i].text);
    merged[i] = true;
  }
  std::vector<Block> kept;
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    if (!merged[i]) kept.push_back(std::move(blocks[i]));
  }
  blocks = std::move(kept);
}

// A text between two items of a list, aligned with them, is one too: its bullet was overlooked.
void add_bullets(std::vector<Block>& blocks) {
  const auto is_text = [&](std::size_t i) { return blocks[i].label == RegionLabel::text; };
  const auto is_item = [&](std::size_t i) {
    return blocks[i].kind == BlockKind::list_item && blocks[i].marker == "-";
  };
  const auto aligned = [&](std::size_t i, std::size_t j) {
    const bool same_region = blocks[i].region == blocks[j].region;
    return !same_region && std::abs(blocks[i].left - blocks[j].left) <= kListAlignment;
  };
  for (std::size_t i = 1; i + 1 < blocks.size(); ++i) {
    if (blocks[i].kind != BlockKind::paragraph || !is_text(i - 1) || !is_text(i) || !is_text(i + 1)) continue;
    if (!is_item(i - 1) || !is_item(i + 1) || !aligned(i, i - 1) || !aligned(i, i + 1)) continue;
    blocks[i].kind = BlockKind::list_item;
    blocks[i].marker.assign(1, '-');
  }
}

std::vector<Block> page_blocks(const DocumentPage& page, const FormatOptions& options) {
  std::vector<Block> blocks;
  for (std::size_t i = 0; i < page.regions.size(); ++i) {
    for (Block& block : region_blocks(page, i, options)) {
      if (block.kind == BlockKind::furniture) {
        if (options.furniture == Furniture::drop) continue;
        block.apart = options.furniture == Furniture::apart;
      }
      blocks.push_back(std::move(block));
    }
  }
  add_tags(page, blocks);
  add_bullets(blocks);
  std::stable_partition(blocks.begin(), blocks.end(), [](const Block& block) { return !block.apart; });
  if (options.page_breaks) {
    Block mark;
    mark.kind = BlockKind::page_break;
    mark.page = page.number;
    blocks.insert(blocks.begin(), std::move(mark));
  }
  return blocks;
}

// What stands between the parts of a divided word, or of a table over two pages, without being part of the text.
bool is_aside(const Block& block) {
  switch (block.kind) {
    case BlockKind::caption:
    case BlockKind::picture:
    case BlockKind::footnote:
    case BlockKind::furniture:
    case BlockKind::page_break:
      return true;
    default:
      return false;
  }
}

bool is_prose(const Block& block) {
  return block.kind == BlockKind::paragraph || block.kind == BlockKind::list_item;
}

bool is_divided(const Block& block) { return is_prose(block) && ends_inside_word(to_text(block.text)); }

// Puts words together that are divided at the end of a paragraph. The paragraph that brings the rest is joined to it.
void join_words(std::vector<Block>& blocks) {
  std::vector<Block> joined;
  std::size_t open = 0;  // the paragraph whose last word may go on, in `joined`
  Text text;             // of that paragraph; empty: there is none
  for (Block& block : blocks) {
    const Text next = is_prose(block) ? to_text(block.text) : Text();
    if (!text.empty() && block.kind == BlockKind::paragraph && begins_inside_word(next)) {
      append_line(text, next);
      joined[open].notes.insert(joined[open].notes.end(), block.notes.begin(), block.notes.end());
      if (ends_inside_word(text)) continue;
      joined[open].text = to_utf8(text);
      text.clear();
      continue;
    }
    joined.push_back(std::move(block));
    if (is_aside(joined.back()) || joined.back().kind == BlockKind::table) continue;
    if (!text.empty()) joined[open].text = to_utf8(text);
    text = ends_inside_word(next) ? next : Text();
    open = joined.size() - 1;
  }
  if (!text.empty()) joined[open].text = to_utf8(text);
  blocks = std::move(joined);
}

// Whether a table on top of a page is the rest of the one at the bottom of the page before: as wide, with as many columns.
// Wherever it is unsure they stay two.
bool goes_on(const Block& table, const Block& rest) {
  const bool aligned = std::abs(table.left - rest.left) <= kTableAlignment &&
                       std::abs(table.right - rest.right) <= kTableAlignment;
  if (table.kind != BlockKind::table || rest.kind != BlockKind::table || !aligned) return false;
  const Table second = parse_table(rest.text);
  return column_count(parse_table(table.text)) == column_count(second) && second.caption.empty();
}

// The last block of the text, behind which only asides stand; blocks.end(): there is none.
std::vector<Block>::iterator last_text(std::vector<Block>& blocks) {
  const auto last = std::find_if_not(blocks.rbegin(), blocks.rend(), is_aside);
  return last == blocks.rend() ? blocks.end() : std::prev(last.base());
}

// Joins a table at the end of the blocks that are held with one at the very beginning of the next page.
void join_table(std::vector<Block>& held, std::vector<Block>& blocks) {
  const auto table = last_text(held);
  const auto rest = std::find_if_not(blocks.begin(), blocks.end(), [](const Block& block) {
    return block.kind == BlockKind::page_break || (block.kind == BlockKind::furniture && !block.apart);
  });
  if (table == held.end() || rest == blocks.end() || !goes_on(*table, *rest)) return;
  const bool picture =
      std::any_of(table, held.end(), [](const Block& b) { return b.kind == BlockKind::picture; });
  if (picture) return;  // it may fill the page between
  Table whole = parse_table(table->text);
  append_rows(whole, parse_table(rest->text));
  table->text = table_html(whole);
  blocks.erase(rest);
}

// The first block that may change with the next page.
std::vector<Block>::iterator first_open(std::vector<Block>& blocks, bool tables) {
  const auto last = last_text(blocks);
  if (tables && last != blocks.end() && last->kind == BlockKind::table) return last;
  const auto prose = std::find_if_not(blocks.rbegin(), blocks.rend(), [](const Block& block) {
    return is_aside(block) || block.kind == BlockKind::table;
  });
  return prose != blocks.rend() && is_divided(*prose) ? std::prev(prose.base()) : blocks.end();
}

}  // namespace

std::vector<Block> BlockStream::page(const DocumentPage& page) {
  constexpr int kMostPages = 8;  // that a word may wait for its rest
  std::vector<Block> blocks = page_blocks(page, options_);
  notes_ = link_footnotes(blocks, notes_);
  if (options_.join_tables) join_table(held_, blocks);
  held_.insert(held_.end(), std::make_move_iterator(blocks.begin()), std::make_move_iterator(blocks.end()));
  join_words(held_);
  const auto open = first_open(held_, options_.join_tables);
  held_pages_ = open == held_.end() ? 0 : held_pages_ + 1;
  if (held_pages_ > kMostPages) return end();
  std::vector<Block> done(std::make_move_iterator(held_.begin()), std::make_move_iterator(open));
  held_.erase(held_.begin(), open);
  return done;
}

std::vector<Block> BlockStream::end() {
  held_pages_ = 0;
  return std::exchange(held_, {});
}

}  // namespace glmocr::formats
