// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <string>
#include <utility>
#include <vector>

namespace glmocr {

// Writes small PDF files: objects in their order, a table of their places, a trailer.
class PdfWriter {
 public:
  // The number that the next object will get.
  int next() const { return static_cast<int>(objects_.size()) + 1; }
  // Adds an object, as it stands between "obj" and "endobj", and returns its number.
  int add(std::string body) {
    objects_.push_back(std::move(body));
    return static_cast<int>(objects_.size());
  }
  // `keys` are those of the stream's dictionary besides Length.
  int add_stream(const std::string& keys, const std::string& data) {
    return add("<<" + keys + "/Length " + std::to_string(data.size()) + ">>stream\n" + data + "\nendstream");
  }
  void set(int number, std::string body) { objects_[static_cast<std::size_t>(number) - 1] = std::move(body); }

  // The file; `root` is the number of its catalogue.
  std::string finish(int root, const std::string& trailer_keys = "") const {
    std::string file = "%PDF-1.7\n%\xE2\xE3\xCF\xD3\n";
    std::string table = "xref\n0 " + std::to_string(next()) + "\n0000000000 65535 f \n";
    for (std::size_t i = 0; i < objects_.size(); ++i) {
      const std::string place = std::to_string(file.size());
      table += std::string(10 - place.size(), '0') + place + " 00000 n \n";
      file += std::to_string(i + 1) + " 0 obj\n" + objects_[i] + "\nendobj\n";
    }
    const std::string start = std::to_string(file.size());
    return file + table + "trailer\n<</Size " + std::to_string(next()) + "/Root " + std::to_string(root) +
           " 0 R" + trailer_keys + ">>\nstartxref\n" + start + "\n%%EOF\n";
  }

 private:
  std::vector<std::string> objects_;
};

inline std::string reference(int number) { return std::to_string(number) + " 0 R"; }

// What a page draws, and its size in points.
struct PdfPage {
  std::string content;
  std::string box = "0 0 200 100";
  std::string keys;  // more of the page's dictionary
};

// A line of text in Helvetica, which every renderer has.
inline std::string pdf_text(const std::string& text, int size = 24, int x = 10, int y = 40) {
  return "BT /F1 " + std::to_string(size) + " Tf " + std::to_string(x) + " " + std::to_string(y) + " Td (" +
         text + ") Tj ET";
}

// A file of these pages. `catalog` and `pages` are more keys of the two dictionaries.
inline std::string pdf_of(const std::vector<PdfPage>& pages, const std::string& catalog = "",
                          const std::string& pages_keys = "") {
  PdfWriter writer;
  const int font = writer.add("<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>");
  const int tree = writer.add("");
  std::string kids;
  for (const PdfPage& page : pages) {
    const int content = writer.add_stream("", page.content);
    const int number = writer.add("<</Type/Page/Parent " + reference(tree) + "/MediaBox[" + page.box +
                                  "]/Resources<</Font<</F1 " + reference(font) + ">>>>/Contents " +
                                  reference(content) + page.keys + ">>");
    kids += reference(number) + " ";
  }
  writer.set(tree,
             "<</Type/Pages/Kids[" + kids + "]/Count " + std::to_string(pages.size()) + pages_keys + ">>");
  return writer.finish(writer.add("<</Type/Catalog/Pages " + reference(tree) + catalog + ">>"));
}

}  // namespace glmocr
