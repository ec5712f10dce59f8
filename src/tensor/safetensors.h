// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/mapped_file.h"
#include "tensor/tensor.h"

namespace glmocr {

// A tensor of a safetensors file, in mapped memory.
struct StoredTensor {
  std::string file;        // its path, as the snapshot's was given
  std::string dtype_name;  // as in the file: "BF16", "U32", …
  Shape shape;
  const std::byte* data = nullptr;
  std::int64_t bytes = 0;
};

// A snapshot's tensors: model.safetensors, or the shards that model.safetensors.index.json names. The files
// stay mapped as long as this object or a copy of it lives; copies share them.
class SafetensorsFiles {
 public:
  // Throws Error{model} naming file and tensor: missing shards, bad headers, tensors that overlap, reach past
  // the end of the file, occur twice, or are not in the shard that the index names.
  static SafetensorsFiles open(const std::filesystem::path& snapshot);

  const std::map<std::string, StoredTensor>& tensors() const { return tensors_; }

  // Takes the pages of a tensor out of this process's memory; they are read again where it is used again.
  void release(const StoredTensor& tensor) const;

 private:
  void add_file(const std::filesystem::path& path);
  std::vector<std::shared_ptr<const MappedFile>> files_;
  std::map<std::string, StoredTensor> tensors_;
};

}  // namespace glmocr
