// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace glmocr {

// A document to be read, and the name that its outputs begin with.
struct JobInput {
  std::string path;  // "-" is standard input
  std::string name;  // relative, with its extension: "2024/march.pdf"
};

// The part of the inputs that one of several machines reads.
struct Shard {
  std::int64_t index = 0, count = 1;  // 0 ≤ index < count

  // "2/8". Throws Error{usage}.
  static Shard parse(const std::string& text);
  // By a hash of the name, so that it depends on nothing else.
  bool has(const std::string& name) const;
};

// A number that a name has on every machine (FNV-1a, 64 bits).
std::uint64_t name_hash(const std::string& name);
std::string hexadecimal(std::uint64_t number);  // 16 digits

// Whether a file of a folder is taken for a document, by its extension.
bool has_document_extension(const std::filesystem::path& file);

// The documents in a folder and its sub-folders, sorted. Hidden files and folders, files without a document's extension,
// links to folders and what lies in `output` are left out. Throws Error{input} for a folder that cannot be read.
std::vector<std::filesystem::path> folder_files(const std::filesystem::path& folder,
                                                const std::filesystem::path& output);

// Puts the documents of each folder among the files in its place. Throws Error{input} for a folder without any.
void expand_folders(std::vector<std::string>& files, const std::filesystem::path& output);

// The files named, and those of the folders named (folder_files), named relative to the folder. Throws Error{usage} where two
// inputs would have the same name, or where `output` is one of the folders: outputs of a first run would be inputs of a
// second one. Throws Error{input} for a folder that cannot be read.
std::vector<JobInput> list_inputs(const std::vector<std::string>& arguments,
                                  const std::filesystem::path& output);

}  // namespace glmocr
