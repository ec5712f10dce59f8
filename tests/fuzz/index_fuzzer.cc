// SPDX-License-Identifier: Apache-2.0
// A snapshot of two shards. The parts of an input: model.safetensors.index.json, and the headers of the shards. Each
// shard has 64 bytes of data.
#include <cstring>

#include "fuzz/fuzz.h"
#include "tensor/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace glmocr;
  using fuzz::expect;
  static const fuzz::Folder folder;
  const std::vector<std::string> parts = fuzz::parts(fuzz::as_text(data, size), 3);
  folder.write("model.safetensors.index.json", parts[0]);
  const char* names[] = {"a.safetensors", "b.safetensors"};
  for (std::size_t i = 0; i < 2; ++i) {
    folder.remove(names[i]);
    if (i + 1 >= parts.size()) continue;
    const std::uint64_t length = parts[i + 1].size();
    std::string file(reinterpret_cast<const char*>(&length), sizeof length);
    folder.write(names[i], file + parts[i + 1] + std::string(64, 'x'));
  }
  fuzz::attempt({ErrorCode::model}, folder.path().string(), [&] {
    const SafetensorsFiles files = SafetensorsFiles::open(folder.path());
    expect(!files.tensors().empty(), "no tensor");
    for (const auto& [name, tensor] : files.tensors()) {
      expect(tensor.file == folder.path() / names[0] || tensor.file == folder.path() / names[1],
             "a file of another folder");
      expect(tensor.bytes >= 0 && tensor.bytes <= 64, "a tensor that is larger than its file");
      for (std::int64_t i = 0; i < tensor.bytes; ++i) expect(tensor.data[i] == std::byte{'x'}, "other bytes");
    }
  });
  return 0;
}
