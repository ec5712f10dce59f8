// SPDX-License-Identifier: Apache-2.0
// The configuration of a snapshot. The parts of an input: config.json, generation_config.json, preprocessor_config.json,
// processor_config.json; an empty one does not exist.
#include "fuzz/fuzz.h"
#include "models/glm_ocr/config.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace glmocr;
  using fuzz::expect;
  static const fuzz::Folder folder;
  const std::vector<std::string> parts = fuzz::parts(fuzz::as_text(data, size), 4);
  const char* names[] = {"config.json", "generation_config.json", "preprocessor_config.json",
                         "processor_config.json"};
  for (std::size_t i = 0; i < 4; ++i) {
    if (i < parts.size() && !parts[i].empty()) {
      folder.write(names[i], parts[i]);
    } else {
      folder.remove(names[i]);
    }
  }
  fuzz::attempt({ErrorCode::model}, folder.path().string(), [&] {
    const GlmOcrConfig config = load_config(folder.path());
    expect(config.text.num_attention_heads % config.text.num_key_value_heads == 0, "heads do not divide");
    expect(config.text.head_dim % 2 == 0 && config.text.head_dim > 0, "an odd width of heads");
    expect(config.vision.head_dim() % 4 == 0, "the width of a head of vision");
    expect(config.vision.out_hidden_size == config.text.hidden_size, "features of another width");
    expect(!config.generation.eos_token_id.empty(), "nothing ends a text");
    for (const TokenId id : config.generation.eos_token_id) {
      expect(id >= 0 && id < config.text.vocab_size, "an end that is no token");
    }
    const PreprocessConfig& pictures = config.preprocess;
    for (const auto& [height, width] : {std::pair{1, 1}, std::pair{64, 300}, std::pair{3000, 2000}}) {
      fuzz::attempt({ErrorCode::input}, "", [&, h = height, w = width] {
        const ImageSize size = smart_resize(h, w, pictures);
        const int block = pictures.patch_size * pictures.merge_size;
        expect(size.height > 0 && size.width > 0, "an empty picture");
        expect(size.height % block == 0 && size.width % block == 0, "a size of no whole blocks");
      });
    }
  });
  return 0;
}
