// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "document/document.h"
#include "glmocr/document.h"
#include "jobs/input_list.h"
#include "jobs/output_settings.h"
#include "jobs/page_journal.h"

namespace glmocr {

// What the outputs of one document are called, relative to the job's folder.
struct OutputNames {
  OutputNames(const JobInput& input, const OutputSettings& settings);

  std::filesystem::path file(OutputKind kind) const;
  std::filesystem::path model_json() const;  // compat
  std::filesystem::path crops() const { return crops_; }
  std::filesystem::path layouts() const { return layout_; }
  std::filesystem::path layout_picture(std::int64_t page) const;

 private:
  std::filesystem::path base_;  // of files
  std::filesystem::path crops_, layout_;
  bool compat_ = false;
};

// How many crops and pictures with boxes a document has in the job's folder, of those that the settings ask for.
std::int64_t count_pictures(const OutputNames& names, const OutputSettings& settings,
                            const std::filesystem::path& folder);

// Whether every file that write_outputs makes is in the job's folder, and as many pictures as there were.
bool has_outputs(const OutputNames& names, const OutputSettings& settings,
                 const std::filesystem::path& folder, std::int64_t pictures);

// Throws Error{usage} where two inputs would have the same outputs: list_inputs tells their names apart, but compat leaves
// out the extension.
void check_names(const std::vector<JobInput>& inputs, const OutputSettings& settings);

// Writes the crops of a page's pictures and, if wanted, its picture with boxes: when the page is read, because its
// picture is not kept. Throws Error{input} naming the file.
void write_page_pictures(const ReadPage& page, const OutputNames& names, const OutputSettings& settings,
                         const std::filesystem::path& folder);

// Writes one format of a whole document. Not for layout. `crops`: the folder of pictures in links; empty: none. `document`
// opens the input again, for pdf.
void write_document(OutputKind kind, const PageJournal& journal, const std::string& file,
                    const OutputSettings& settings, const std::string& crops,
                    const std::function<std::shared_ptr<Document>()>& document,
                    const std::function<void(std::string_view)>& sink);

// Writes every format of a document into the job's folder, each file as a whole, and gives crops the names that compat
// asks for. Returns warnings. Throws Error{input} naming the file.
void write_outputs(const PageJournal& journal, const JobInput& input, const OutputNames& names,
                   const OutputSettings& settings, const DocumentOptions& options,
                   const std::filesystem::path& folder);

}  // namespace glmocr
