// SPDX-License-Identifier: Apache-2.0
#include <iomanip>
#include <sstream>

#include <nlohmann/json.hpp>

#include "cli/arguments.h"
#include "cli/exit_code.h"
#include "cli/standard_streams.h"
#include "cli/stats.h"

namespace glmocr::cli {
namespace {

using OrderedJson = nlohmann::ordered_json;

// What Model::load has checked when it returns.
constexpr const char* kTokenizerCheck = "the special ids of config.json are those of tokenizer.json";

TensorGroupInfo sum(const ModelInfo& info) {
  TensorGroupInfo all;
  all.name = "all";
  for (const TensorGroupInfo& group : info.tensors) {
    all.tensors += group.tensors;
    all.parameters += group.parameters;
    all.bytes += group.bytes;
  }
  return all;
}

std::string to_json(const ModelInfo& info) {
  OrderedJson config = OrderedJson::object();
  for (const auto& entry : info.config) {
    // Numbers and lists stand as such.
    const OrderedJson value = OrderedJson::parse(entry.second, nullptr, false);
    config[entry.first] = value.is_discarded() ? OrderedJson(entry.second) : value;
  }
  OrderedJson tensors = OrderedJson::array();
  for (const TensorGroupInfo& group : info.tensors) {
    tensors.push_back({{"name", group.name},
                       {"tensors", group.tensors},
                       {"parameters", group.parameters},
                       {"bytes", group.bytes}});
  }
  const OrderedJson json = {
      {"version", version()},
      {"path", info.path},
      {"device", info.device},
      {"isa", info.isa},
      {"dtype", info.dtype},
      {"threads", info.threads},
      {"devices", devices()},
      {"config", std::move(config)},
      {"tensors", std::move(tensors)},
      {"notes", info.notes},
      {"tokenizer",
       {{"vocabulary", info.vocabulary}, {"added_tokens", info.added_tokens}, {"check", kTokenizerCheck}}},
      {"memory",
       {{"mapped_bytes", info.mapped_bytes},
        {"copied_bytes", info.copied_bytes},
        {"kv_bytes_per_token", info.kv_bytes_per_token},
        {"max_image_patches", info.max_image_patches},
        {"max_image_tokens", info.max_image_tokens},
        {"max_image_workspace", info.max_image_workspace}}}};
  return json.dump(2, ' ', false, OrderedJson::error_handler_t::replace) + "\n";
}

class Table {
 public:
  void title(const std::string& text) { out_ << (out_.tellp() > 0 ? "\n" : "") << text << '\n'; }
  template <class T>
  void row(const std::string& name, const T& value) {
    out_ << "  " << std::left << std::setw(kNameWidth) << name << value << '\n';
  }
  void group(const TensorGroupInfo& group) {
    out_ << "  " << std::left << std::setw(kNameWidth) << group.name << std::right << std::setw(6)
         << group.tensors << " tensors" << std::setw(14) << group.parameters << " parameters" << std::setw(12)
         << size_text(group.bytes) << '\n';
  }
  std::string text() const { return out_.str(); }

 private:
  static constexpr int kNameWidth = 34;
  std::ostringstream out_;
};

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : ", ") + word;
  return text;
}

std::string to_text(const ModelInfo& info) {
  Table table;
  table.title("Model");
  table.row("path", info.path);
  for (const std::string& note : info.notes) table.row("note", note);
  table.title("Machine");
  table.row("device", info.device);
  table.row("instruction set", info.isa);
  table.row("computes in", info.dtype);
  table.row("threads", info.threads);
  table.row("devices here", joined(devices()));
  table.title("Configuration");
  for (const auto& entry : info.config) table.row(entry.first, entry.second);
  table.title("Tensors");
  for (const TensorGroupInfo& group : info.tensors) table.group(group);
  table.group(sum(info));
  table.title("Tokenizer");
  table.row("tokens", info.vocabulary);
  table.row("added tokens", info.added_tokens);
  table.row("check", std::string("ok: ") + kTokenizerCheck);
  table.title("Memory");
  table.row("weights, used in their files", size_text(info.mapped_bytes));
  table.row("weights, converted", size_text(info.copied_bytes));
  table.row("keys and values of 1000 tokens", size_text(1000 * info.kv_bytes_per_token));
  table.row("largest picture, patches", info.max_image_patches);
  table.row("largest picture, tokens", info.max_image_tokens);
  table.row("largest picture, workspace", size_text(info.max_image_workspace));
  return table.text();
}

}  // namespace

int run_info(const InfoArguments& arguments) {
  const ModelInfo info = load_model(arguments.model).info();
  write_standard_output(arguments.json ? to_json(info) : to_text(info));
  return kOk;
}

}  // namespace glmocr::cli
