// SPDX-License-Identifier: Apache-2.0
#include "formats/table.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <iterator>
#include <utility>

#include "base/error.h"
#include "base/utf8.h"
#include "formats/markup.h"

namespace glmocr::formats {
namespace {

constexpr int kLargestSpan = 200;
constexpr std::size_t kMostColumns =
    1000;  // of the plain text; cells beyond are written without their empty ones

bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f'; }

std::string folded(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (!is_blank(c)) {
      out += c;
    } else if (!out.empty() && out.back() != ' ') {
      out += ' ';
    }
  }
  if (!out.empty() && out.back() == ' ') out.pop_back();
  return out;
}

// name="3", name=3 or name = '3' among attributes; 1 where there is none.
int span(std::string_view attributes, std::string_view name) {
  std::string lower;
  for (const char c : attributes) lower += c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
  std::size_t at = lower.find(name);
  if (at == std::string::npos) return 1;
  at += name.size();
  while (at < lower.size() &&
         (is_blank(lower[at]) || lower[at] == '=' || lower[at] == '"' || lower[at] == '\''))
    ++at;
  int value = 0;
  for (; at < lower.size() && lower[at] >= '0' && lower[at] <= '9' && value <= kLargestSpan; ++at) {
    value = value * 10 + (lower[at] - '0');
  }
  return std::clamp(value, 1, kLargestSpan);
}

struct Entity {
  std::size_t length = 0;  // 0: no entity
  std::string text;
};

// An entity at the beginning of a text: those that stand for markup, a blank that does not break, and numbers.
Entity entity_at(std::string_view text) {
  constexpr std::size_t kLongest = 10;
  constexpr std::array<std::pair<std::string_view, std::string_view>, 6> kNamed = {{{"&amp;", "&"},
                                                                                    {"&lt;", "<"},
                                                                                    {"&gt;", ">"},
                                                                                    {"&quot;", "\""},
                                                                                    {"&apos;", "'"},
                                                                                    {"&nbsp;", "\xC2\xA0"}}};
  for (const auto& [name, character] : kNamed) {
    if (text.starts_with(name)) return {name.size(), std::string(character)};
  }
  if (!text.starts_with("&#")) return {};
  const bool hexadecimal = text.substr(2, 1) == "x" || text.substr(2, 1) == "X";
  std::size_t at = hexadecimal ? 3 : 2;
  std::uint32_t code = 0;
  for (; at < text.size() && at < kLongest; ++at) {
    const char c = static_cast<char>(text[at] | 0x20);
    const bool letter = hexadecimal && c >= 'a' && c <= 'f';
    if (!(text[at] >= '0' && text[at] <= '9') && !letter) break;
    code =
        code * (hexadecimal ? 16 : 10) + static_cast<std::uint32_t>(letter ? c - 'a' + 10 : text[at] - '0');
  }
  const bool character = code >= 0x20 && code <= 0x10FFFF && (code < 0xD800 || code > 0xDFFF);
  if (at >= text.size() || text[at] != ';' || !character) return {};
  Entity entity{at + 1, ""};
  append_utf8(entity.text, code);
  return entity;
}

class TableParser {
 public:
  Table parse(std::string_view html) {
    std::string text;  // between two tags
    const auto flush = [&] {
      add_text(text);
      text.clear();
    };
    while (!html.empty()) {
      std::size_t length = 1;
      if (const Tag tag = tag_at(html); tag.length > 0) {
        flush();
        take(tag);
        length = tag.length;
      } else if (const Entity entity = html[0] == '&' ? entity_at(html) : Entity(); entity.length > 0) {
        text += entity.text;
        length = entity.length;
      } else {
        text += is_blank(html[0]) ? ' ' : html[0];
      }
      html.remove_prefix(length);
    }
    flush();
    end_cell();
    std::erase_if(table_.rows, [](const auto& row) { return row.empty(); });
    table_.caption = folded(table_.caption);
    return std::move(table_);
  }

 private:
  void add_text(std::string_view text) {
    if (in_cell_) {
      content_.text(text);
    } else {
      table_.caption += text;
    }
  }

  void take(const Tag& tag) {
    const bool cell = tag.name == "td" || tag.name == "th";
    if (cell || tag.name == "tr" || tag.name == "table") {
      end_cell();
      if (!in_cell_ && !cell && !table_.caption.empty()) table_.caption += ' ';
      if (tag.closing) return;
      if (tag.name == "tr") table_.rows.emplace_back();
      if (cell) begin_cell(tag);
    } else if (in_cell_) {
      if (tag.closing) {
        content_.close(tag.name);
      } else {
        content_.open(tag.name);
      }
      if (!is_inline_tag(tag.name)) content_.text(" ");
    } else {
      table_.caption += ' ';
    }
  }

  void begin_cell(const Tag& tag) {
    in_cell_ = true;
    if (table_.rows.empty()) table_.rows.emplace_back();
    table_.rows.back().push_back(
        {tag.name == "th", span(tag.attributes, "colspan"), span(tag.attributes, "rowspan"), "", ""});
  }

  void end_cell() {
    if (!in_cell_) return;
    in_cell_ = false;
    Cell& cell = table_.rows.back().back();
    cell.html = folded(content_.take_html());
    cell.plain = folded(content_.take_plain());
  }

  Table table_;
  InlineWriter content_;  // of the cell that is open
  bool in_cell_ = false;
};

std::string cell_html(const Cell& cell) {
  const std::string name = cell.header ? "th" : "td";
  std::string html = "<" + name;
  if (cell.columns > 1) html += cat(" colspan=\"", cell.columns, "\"");
  if (cell.rows > 1) html += cat(" rowspan=\"", cell.rows, "\"");
  return html + ">" + cell.html + "</" + name + ">";
}

bool same_texts(const std::vector<Cell>& a, const std::vector<Cell>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const Cell& x, const Cell& y) {
    return x.plain == y.plain && x.columns == y.columns && x.rows == y.rows;
  });
}

}  // namespace

Table parse_table(std::string_view html) { return TableParser().parse(html); }

std::string table_html(const Table& table) {
  std::string html = "<table>\n";
  if (!table.caption.empty()) html += "<caption>" + escaped(table.caption) + "</caption>\n";
  for (const auto& row : table.rows) {
    html += "<tr>";
    for (const Cell& cell : row) html += cell_html(cell);
    html += "</tr>\n";
  }
  return html + "</table>";
}

std::string table_plain(const Table& table) {
  std::string out = table.caption;
  std::vector<int> taken;  // for each column, the rows from this one on that a cell above takes
  for (const auto& row : table.rows) {
    if (!out.empty()) out += '\n';
    std::size_t column = 0;
    std::size_t written = 0;  // tabs
    const auto next_column = [&] {
      if (column < taken.size() && taken[column] > 0) --taken[column];
      ++column;
    };
    for (const Cell& cell : row) {
      while (column < taken.size() && taken[column] > 0) next_column();
      for (; written < column; ++written) out += '\t';
      out += cell.plain;
      for (int i = 0; i < cell.columns && (i == 0 || column < kMostColumns); ++i) {
        if (cell.rows > 1 && column < kMostColumns) {
          taken.resize(std::max(taken.size(), column + 1));
          taken[column] = cell.rows;
        }
        next_column();
      }
    }
    while (column < taken.size()) next_column();
  }
  return out;
}

int column_count(const Table& table) {
  int most = 0;
  for (const auto& row : table.rows) {
    int columns = 0;
    for (const Cell& cell : row) columns += cell.columns;
    most = std::max(most, columns);
  }
  return most;
}

void append_rows(Table& table, Table rest) {
  auto begin = rest.rows.begin();
  if (rest.rows.size() > 1 && !table.rows.empty() && same_texts(table.rows.front(), rest.rows.front()))
    ++begin;
  table.rows.insert(table.rows.end(), std::make_move_iterator(begin),
                    std::make_move_iterator(rest.rows.end()));
}

}  // namespace glmocr::formats
