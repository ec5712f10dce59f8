// SPDX-License-Identifier: Apache-2.0
#include "models/tokenizer_json.h"

#include <functional>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/error.h"

namespace glmocr {
namespace {

using Json = nlohmann::json;

constexpr int kMaxDepth = 64;  // printing a value is recursive

// What an error shows of a value: the type of a component, else the beginning of its text.
std::string describe(const Json& value) {
  constexpr std::size_t kShown = 60;
  if (value.is_object() && value.contains("type") && value["type"].is_string()) return value["type"].dump();
  std::string text = value.dump();
  if (text.size() > kShown) text = text.substr(0, kShown) + "...";
  return text;
}

// A value of the file with the way to it, for errors: `model.merges[3]`.
class Node {
 public:
  Node(const Json& value, std::string path, const std::string& name)
      : value_(value), path_(std::move(path)), name_(name) {}

  [[noreturn]] void fail(const std::string& problem) const {
    glmocr::fail(ErrorCode::model, cat(name_, ": ", path_, problem));
  }
  [[noreturn]] void unsupported(const std::string& expected) const {
    fail(cat(" is ", describe(value_), ", which is not supported: expected ", expected));
  }

  // The member `key`; null where it is absent.
  Node operator[](const char* key) const {
    static const Json kNull;
    if (!value_.is_object()) fail(cat(" is ", describe(value_), ", expected an object"));
    const auto found = value_.find(key);
    return {found == value_.end() ? kNull : *found, path_.empty() ? key : cat(path_, ".", key), name_};
  }

  std::vector<Node> elements() const {
    if (!value_.is_array()) fail(cat(" is ", describe(value_), ", expected a list"));
    std::vector<Node> nodes;
    for (std::size_t i = 0; i < value_.size(); ++i)
      nodes.push_back({value_[i], cat(path_, "[", i, "]"), name_});
    return nodes;
  }

  bool is_null() const { return value_.is_null(); }
  const Json& value() const { return value_; }

  std::string string() const {
    if (!value_.is_string()) fail(cat(" is ", describe(value_), ", expected a string"));
    return value_.get<std::string>();
  }
  bool boolean(bool otherwise) const {
    if (value_.is_null()) return otherwise;
    if (!value_.is_boolean()) fail(cat(" is ", describe(value_), ", expected true or false"));
    return value_.get<bool>();
  }
  void expect_false() const {
    if (boolean(false)) unsupported("false");
  }
  // Null, false, zero and the empty string say "not used".
  void expect_unused() const {
    const bool unused = is_null() || value_ == false || value_ == 0 || value_ == "";
    if (!unused) unsupported("null");
  }

 private:
  const Json& value_;
  std::string path_;
  const std::string& name_;
};

bool is_id(const Json& value) { return value.is_number_integer() && value >= 0 && value < kMaxTokens; }

[[noreturn]] void fail_id(const std::string& name, const std::string& token, const std::string& found) {
  fail(ErrorCode::model, cat(name, ": the id of \"", token, "\" is ", found,
                             ", expected an integer from 0 to ", kMaxTokens - 1));
}

// Takes the two large tables out of the parser's events, so that no tree of 300,000 values is built, and sees
// pieces that are given twice, which a tree would lose.
class TableReader {
 public:
  TableReader(TokenizerJson& out, const std::string& name) : out_(out), name_(name) {}

  // A callback of nlohmann::json::parse: false drops the value from the tree.
  bool operator()(int depth, Json::parse_event_t event, Json& parsed) {
    using Event = Json::parse_event_t;
    if (depth > kMaxDepth) fail(ErrorCode::model, cat(name_, ": nested deeper than ", kMaxDepth, " levels"));
    if (event == Event::key && depth <= 2) enter(depth, parsed);
    if (table_ == Table::vocab && depth == 3) return vocab_event(event, parsed);
    if (table_ == Table::merges && depth >= 3) return merge_event(event, depth, parsed);
    return true;
  }

 private:
  enum class Table { none, vocab, merges };

  void enter(int depth, const Json& key) {
    if (depth == 1) in_model_ = key == "model";
    table_ = Table::none;
    if (depth == 2 && in_model_ && key == "vocab") table_ = Table::vocab;
    if (depth == 2 && in_model_ && key == "merges") table_ = Table::merges;
  }

  // "piece": id, at depth 3.
  bool vocab_event(Json::parse_event_t event, Json& parsed) {
    using Event = Json::parse_event_t;
    if (event == Event::key) {
      piece_ = std::move(parsed.get_ref<std::string&>());
      return false;
    }
    if (!piece_) return true;  // not an object: read_model says so
    if (event != Event::value) fail_id(name_, *piece_, "a list or an object");
    if (!is_id(parsed)) fail_id(name_, *piece_, describe(parsed));
    out_.pieces.push_back({std::move(*piece_), parsed.get<TokenId>()});
    piece_.reset();
    return false;
  }

  // Either "left right" at depth 3 or a list of two at depth 3 with strings at depth 4.
  bool merge_event(Json::parse_event_t event, int depth, Json& parsed) {
    using Event = Json::parse_event_t;
    if (event == Event::array_start && depth == 3) {
      parts_.clear();
      return true;
    }
    if (event == Event::array_end && depth == 3) {
      add_merge(parsed);
    } else if (event == Event::value && depth == 4 && parsed.is_string()) {
      parts_.push_back(std::move(parsed.get_ref<std::string&>()));
    } else if (event == Event::value && depth == 3 && parsed.is_string()) {
      const std::string& text = parsed.get_ref<const std::string&>();
      const std::size_t space = text.find(' ');
      parts_.assign(1, text.substr(0, space));
      if (space != std::string::npos) parts_.push_back(text.substr(space + 1));
      add_merge(parsed);
    } else {
      fail_merge(parsed);
    }
    return false;
  }

  void add_merge(const Json& parsed) {
    const bool good = parts_.size() == 2 && !parts_[0].empty() && !parts_[1].empty() &&
                      parts_[1].find(' ') == std::string::npos;
    if (!good) fail_merge(parsed);
    out_.merges.emplace_back(std::move(parts_[0]), std::move(parts_[1]));
  }

  [[noreturn]] void fail_merge(const Json& parsed) const {
    const std::string found = parsed.is_array() ? cat("a list of ", parts_.size()) : describe(parsed);
    fail(ErrorCode::model, cat(name_, ": model.merges[", out_.merges.size(), "] is ", found,
                               ", expected two pieces: \"left right\" or [\"left\", \"right\"]"));
  }

  TokenizerJson& out_;
  const std::string& name_;
  bool in_model_ = false;
  Table table_ = Table::none;
  std::optional<std::string> piece_;  // the key whose value comes next
  std::vector<std::string> parts_;
};

void read_model(const Node& model, TokenizerJson& out) {
  // Files of before the key was written have no type.
  if (const Node type = model["type"]; !type.is_null() && type.string() != "BPE") type.unsupported("\"BPE\"");
  model["dropout"].expect_unused();
  model["continuing_subword_prefix"].expect_unused();
  model["end_of_word_suffix"].expect_unused();
  model["byte_fallback"].expect_false();
  out.ignore_merges = model["ignore_merges"].boolean(false);
  // The tables themselves were taken by TableReader.
  const Node vocab = model["vocab"], merges = model["merges"];
  if (!vocab.value().is_object()) vocab.fail(cat(" is ", describe(vocab.value()), ", expected an object"));
  merges.elements();
}

AddedToken read_added_token(const Node& node, const std::string& name) {
  for (const char* flag : {"single_word", "lstrip", "rstrip", "normalized"}) node[flag].expect_false();
  AddedToken token;
  token.content = node["content"].string();
  const Json& id = node["id"].value();
  if (!is_id(id)) fail_id(name, token.content, describe(id));
  token.id = id.get<TokenId>();
  token.special = node["special"].boolean(false);
  if (token.content.empty()) node["content"].fail(" is empty");
  return token;
}

void read_split(const Node& step, PreTokenizerConfig& out) {
  if (step["behavior"].string() != "Isolated") step["behavior"].unsupported("\"Isolated\"");
  step["invert"].expect_false();
  const Node pattern = step["pattern"];
  if (const Node regex = pattern["Regex"]; !regex.is_null()) {
    out.splits.push_back({regex.string(), Regex::Syntax::pattern});
  } else {
    out.splits.push_back({pattern["String"].string(), Regex::Syntax::literal});
  }
}

PreTokenizerConfig read_pre_tokenizer(const Node& node) {
  const bool is_sequence = !node.is_null() && node["type"].string() == "Sequence";
  const std::vector<Node> steps = is_sequence ? node["pretokenizers"].elements() : std::vector<Node>{node};
  PreTokenizerConfig config;
  bool has_byte_level = false;
  for (const Node& step : steps) {
    const std::string type = step.is_null() ? "null" : step["type"].string();
    if (has_byte_level) step.fail(cat(" (", type, ") follows ByteLevel, which must be the last step"));
    if (type == "Split") {
      read_split(step, config);
    } else if (type == "ByteLevel") {
      has_byte_level = true;
      config.add_prefix_space = step["add_prefix_space"].boolean(true);
      config.use_regex = step["use_regex"].boolean(true);
    } else {
      step.unsupported("Split, ByteLevel or a Sequence of them");
    }
  }
  if (!has_byte_level) node.fail(" has no ByteLevel step: only byte-level BPE is supported");
  return config;
}

}  // namespace

TokenizerJson parse_tokenizer_json(std::string_view json, const std::string& name) {
  TokenizerJson out;
  Json tree;
  try {
    TableReader tables(out, name);
    tree = Json::parse(json, std::ref(tables));
  } catch (const Json::parse_error& error) {
    fail(ErrorCode::model, cat(name, ": not valid JSON at byte ", error.byte, ": ", error.what()));
  }
  const Node root(tree, "", name);
  if (!tree.is_object()) root.fail("not a tokenizer: expected an object");
  read_model(root["model"], out);
  if (const Node normalizer = root["normalizer"]; !normalizer.is_null()) normalizer.unsupported("null");
  out.pre_tokenizer = read_pre_tokenizer(root["pre_tokenizer"]);
  const Node decoder = root["decoder"];
  if (decoder.is_null() || decoder["type"].string() != "ByteLevel") decoder.unsupported("ByteLevel");
  if (const Node added = root["added_tokens"]; !added.is_null()) {
    for (const Node& token : added.elements()) out.added_tokens.push_back(read_added_token(token, name));
  }
  return out;
}

}  // namespace glmocr
