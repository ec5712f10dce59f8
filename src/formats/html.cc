// SPDX-License-Identifier: Apache-2.0
// HTML: one complete page that needs nothing but its pictures. Formulas stay TeX in \( \) and \[ \].
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

constexpr std::string_view kStyle =
    "body{max-width:48em;margin:2em auto;padding:0 1em;font-family:serif;line-height:1.4}"
    "table{border-collapse:collapse;margin:1em 0}td,th{border:1px solid #888;padding:.2em .5em}"
    "img{max-width:100%}pre{overflow-x:auto}.formula{overflow-x:auto}aside,.caption{font-size:.9em}"
    "hr.page{border:0;border-top:1px dashed #888}";

// Scripts are forbidden and nothing is loaded but pictures, whatever the text may hold.
constexpr std::string_view kPolicy =
    "default-src 'none'; img-src 'self' file: data:; style-src 'unsafe-inline'";

// The number of a reference "[^3]" at the beginning of a text, if the block has it; 0: there is none.
int reference_at(std::string_view text, const Block& block) {
  for (const int note : block.notes) {
    if (text.starts_with(cat("[^", note, "]"))) return note;
  }
  return 0;
}

// Text between formulas.
void add_text(InlineWriter& out, std::string_view text, const Block& block) {
  std::size_t done = 0;
  const auto flush = [&](std::size_t end) { out.text(text.substr(done, end - done)); };
  for (std::size_t i = 0; i < text.size();) {
    const char c = text[i];
    const Tag tag = c == '<' ? tag_at(text.substr(i)) : Tag();
    const bool bare = tag.length > 0 && is_inline_tag(tag.name) &&
                      tag.attributes.find_first_not_of(" /") == std::string_view::npos;
    const int note = c == '[' ? reference_at(text.substr(i), block) : 0;
    if (!bare && note == 0 && c != '\n') {
      ++i;
      continue;
    }
    flush(i);
    if (bare) {
      if (tag.closing) out.close(tag.name);
      if (!tag.closing) out.open(tag.name);
      i += tag.length;
    } else if (note > 0) {
      out.markup(cat("<sup><a href=\"#note-", note, "\">", note, "</a></sup>"));
      i += cat("[^", note, "]").size();
    } else {
      out.open("br");
      ++i;
    }
    done = i;
  }
  flush(text.size());
}

std::string inline_html(const Block& block) {
  const Text text = to_text(block.text);
  InlineWriter out;
  std::size_t done = 0;
  for (const InlineFormula& formula : inline_formulas(text, Dollars::guarded)) {
    add_text(out, to_utf8(TextView(text).substr(done, formula.begin - done)), block);
    out.markup("<span class=\"formula\">\\(" + escaped(to_utf8(formula.body)) + "\\)</span>");
    done = formula.end;
  }
  add_text(out, to_utf8(TextView(text).substr(done)), block);
  return out.take_html();
}

std::string element(std::string_view name, const std::string& content, std::string_view css_class = "") {
  const std::string attribute = css_class.empty() ? "" : cat(" class=\"", css_class, "\"");
  return cat("<", name, attribute, ">", content, "</", name, ">\n");
}

std::string image(const Block& block, const FormatOptions& options) {
  if (options.picture_folder.empty()) return "";
  return cat("<img src=\"", escaped(picture_link(block, options)), "\" alt=\"Picture on page ",
             shown_number(block.page), "\">");
}

std::string table(const Block& block) {
  const Table table = parse_table(block.text);
  return table.rows.empty() ? element("p", escaped(table.caption)) : table_html(table) + "\n";
}

std::string furniture(const Block& block, const FormatOptions& options) {
  const std::string content = block.picture.empty() ? inline_html(block) : image(block, options);
  if (content.empty()) return "";
  return element(block.apart ? "aside" : "p", content, to_string(block.label));
}

std::string footnote(const Block& block) {
  if (block.notes.empty()) return element("aside", inline_html(block), "footnote");
  Block text = block;
  text.notes.clear();  // its number, no reference
  const int note = block.notes[0];
  return cat("<aside class=\"footnote\" id=\"note-", note, "\"><sup>", note, "</sup> ", inline_html(text),
             "</aside>\n");
}

std::string block_html(const Block& block, const FormatOptions& options) {
  switch (block.kind) {
    case BlockKind::heading:
      return element(cat("h", block.level), inline_html(block));
    case BlockKind::paragraph:
      return element("p", inline_html(block));
    case BlockKind::caption:
      return element("p", inline_html(block), "caption");
    case BlockKind::list_item:
      if (block.marker == "-") return element("li", inline_html(block));
      return cat("<li value=\"", std::stoi(block.marker), "\">", inline_html(block), "</li>\n");
    case BlockKind::formula: {
      const std::string tag = block.tag.empty() ? "" : " \\tag{" + block.tag + "}";
      return element("div", "\\[" + escaped(block.text + tag) + "\\]", "formula");
    }
    case BlockKind::table:
      return table(block);
    case BlockKind::code:
      return element("pre", "<code>" + escaped(block.text) + "</code>");
    case BlockKind::picture: {
      const std::string picture = image(block, options);
      return picture.empty() ? "" : element("figure", picture);
    }
    case BlockKind::footnote:
      return footnote(block);
    case BlockKind::furniture:
      return furniture(block, options);
    case BlockKind::page_break: {
      const std::int64_t page = shown_number(block.page);
      return cat("<hr class=\"page\" id=\"page-", page, "\" title=\"page ", page, "\">\n");
    }
  }
  return "";
}

class HtmlWriter final : public DocumentWriter {
 public:
  explicit HtmlWriter(FormatOptions options) : options_(options), blocks_(std::move(options)) {}

  std::string page(const DocumentPage& page) override {
    return head(page.file) + written(blocks_.page(page));
  }

  std::string end() override {
    std::string out = head(options_.file) + written(blocks_.end());
    return out + end_list() + "</body>\n</html>\n";
  }

 private:
  std::string head(const std::string& file) {
    if (std::exchange(begun_, true)) return "";
    const std::string title = escaped(options_.file.empty() ? file : options_.file);
    return cat(
        "<!DOCTYPE html>\n<html>\n<head>\n<meta charset=\"utf-8\">\n<meta "
        "http-equiv=\"Content-Security-Policy\" content=\"",
        kPolicy, "\">\n<title>", title, "</title>\n<style>", kStyle, "</style>\n</head>\n<body>\n");
  }

  std::string written(const std::vector<Block>& blocks) {
    std::string out;
    for (const Block& block : blocks) {
      const std::string list = block.kind != BlockKind::list_item ? "" : block.marker == "-" ? "ul" : "ol";
      const std::string html = block_html(block, options_);
      if (html.empty()) continue;
      if (list != list_) {
        out += end_list();
        if (!list.empty()) out += "<" + list + ">\n";
        list_ = list;
      }
      out += html;
    }
    return out;
  }

  std::string end_list() {
    const std::string list = std::exchange(list_, "");
    return list.empty() ? "" : "</" + list + ">\n";
  }

  FormatOptions options_;
  BlockStream blocks_;
  std::string list_;  // the list that is open: ul, ol or none
  bool begun_ = false;
};

}  // namespace

std::unique_ptr<DocumentWriter> html_writer(FormatOptions options) {
  return std::make_unique<HtmlWriter>(std::move(options));
}

}  // namespace glmocr::formats
