// SPDX-License-Identifier: Apache-2.0
#include <iomanip>
#include <sstream>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/memory.h"
#include "cli/arguments.h"
#include "cli/exit_code.h"
#include "cli/standard_streams.h"

namespace glmocr::cli {
namespace {

using OrderedJson = nlohmann::ordered_json;

// Model::load checks this.
constexpr const char* kTokenizerCheck = "special ids of config.json agree with tokenizer.json";

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
    // Numbers and lists become JSON numbers and arrays.
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
        {"plan",
         {{"limit", info.memory.limit},
          {"keys_and_values", info.memory.keys_and_values},
          {"context_tokens", info.memory.context_tokens},
          {"step", info.memory.step},
          {"picture", info.memory.picture},
          {"picture_patches", info.memory.picture_patches},
          {"largest_picture_patches", info.memory.largest_picture_patches}}}}}};
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

void show_memory(Table& table, const ModelInfo& info) {
  const MemoryPlan& plan = info.memory;
  table.title(info.devices.size() > 1 ? "Memory of each device" : "Memory");
  table.row("weights, mapped (not counted)", size_text(info.mapped_bytes));
  table.row("weights, converted", size_text(info.copied_bytes));
  table.row("limit (--memory)", plan.limit > 0 ? size_text(plan.limit) : "none");
  table.row("keys and values",
            cat(size_text(plan.keys_and_values), " for ", plan.keys_and_values / info.kv_bytes_per_token,
                " tokens of all sequences"));
  table.row("longest sequence", cat(plan.context_tokens, " tokens, prompt and text"));
  table.row("one step of the decoder", size_text(plan.step));
  table.row("largest picture that fits", cat(size_text(plan.picture), " for ", plan.picture_patches, " of ",
                                             plan.largest_picture_patches, " patches"));
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
  table.row("devices here", join(devices(), ", "));
  table.title("Configuration");
  for (const auto& entry : info.config) table.row(entry.first, entry.second);
  table.title("Tensors");
  for (const TensorGroupInfo& group : info.tensors) table.group(group);
  table.group(sum(info));
  table.title("Tokenizer");
  table.row("tokens", info.vocabulary);
  table.row("added tokens", info.added_tokens);
  table.row("check", std::string("ok: ") + kTokenizerCheck);
  show_memory(table, info);
  return table.text();
}

}  // namespace

int run_info(const InfoArguments& arguments) {
  const ModelInfo info = load_model(arguments.model).info();
  write_standard_output(arguments.json ? to_json(info) : to_text(info));
  return kOk;
}

}  // namespace glmocr::cli
