// SPDX-License-Identifier: Apache-2.0
// A file model.safetensors. Its parts: the header, and the tensors. The length of the header is put before it, except
// where the input begins with a byte 0xff: then the rest is the file as it is.
#include <cstring>

#include "fuzz/fuzz.h"
#include "tensor/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace glmocr;
  using fuzz::expect;
  static const fuzz::Folder folder;
  std::string file;
  if (size > 0 && data[0] == 0xff) {
    file = fuzz::as_text(data + 1, size - 1);
  } else {
    const std::vector<std::string> parts = fuzz::parts(fuzz::as_text(data, size), 2);
    const std::uint64_t length = parts[0].size();
    file.assign(reinterpret_cast<const char*>(&length), sizeof length);
    for (const std::string& part : parts) file += part;
  }
  folder.write("model.safetensors", file);
  fuzz::attempt({ErrorCode::model}, "model.safetensors", [&] {
    const SafetensorsFiles files = SafetensorsFiles::open(folder.path());
    std::int64_t total = 0;
    unsigned sum = 0;
    for (const auto& [name, tensor] : files.tensors()) {
      expect(tensor.file == folder.path() / "model.safetensors", "another file");
      expect(tensor.bytes >= 0 && tensor.bytes <= std::ssize(file), "a tensor that is larger than its file");
      for (std::int64_t i = 0; i < tensor.bytes; ++i) sum += std::to_integer<unsigned>(tensor.data[i]);
      total += tensor.bytes;
    }
    expect(total <= std::ssize(file), "tensors that are larger than their file");
    expect(sum <= 255 * static_cast<unsigned>(file.size()), "bytes that are not in the file");
  });
  return 0;
}
