// SPDX-License-Identifier: Apache-2.0
// Tables: HTML as the model wrote it, which nobody may trust, into cells, and cells into clean HTML or columns.
#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace glmocr::formats {

struct Cell {
  bool header = false;  // <th>
  int columns = 1, rows = 1;
  std::string html;   // escaped, with inline tags alone (is_inline_tag)
  std::string plain;  // on one line
};

struct Table {
  std::string caption;  // what stood outside of the cells, plain
  std::vector<std::vector<Cell>> rows;
};

// Takes any text: what is not closed ends where the next one begins, unknown tags vanish, their content stays. The cells of
// a table within a table become cells of this one. Linear time.
Table parse_table(std::string_view html);

// <table> with rows on lines of their own, no attributes but colspan and rowspan.
std::string table_html(const Table& table);

// A line for each row, cells separated by tabs; a cell over several columns or rows is followed by empty ones.
std::string table_plain(const Table& table);

// The columns of the widest row, without what reaches into it from above.
int column_count(const Table& table);

// Appends the rows of a table that goes on, without its first one if that repeats the header of the first table.
void append_rows(Table& table, Table rest);

}  // namespace glmocr::formats
