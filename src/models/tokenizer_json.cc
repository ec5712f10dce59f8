// SPDX-License-Identifier: Apache-2.0
#include "models/tokenizer_json.h"

#include <functional>
#include <optional>

#include "base/json.h"

namespace glmocr {
namespace {

[[noreturn]] void fail_id(const std::string& name, const std::string& token, const std::string& found) {
  fail(ErrorCode::model, cat(name, ": the id of \"", token, "\" is ", found,
                             ", expected an integer from 0 to ", kMaxTokens - 1));
}

TokenId read_id(const Json& value, const std::string& token, const std::string& name) {
  const double id = value.is_number_integer() ? value.get<double>() : -1;
  if (id < 0 || id >= kMaxTokens) fail_id(name, token, JsonCursor(value, name).shown());
  return value.get<TokenId>();
}

void expect_false(const JsonCursor& flag) {
  if (flag.boolean_or(false)) flag.unsupported("false");
}

// Null, false, zero and the empty string say "not used".
void expect_unused(const JsonCursor& option) {
  const Json& value = option.value();
  const bool is_empty_text = value.is_string() && option.string().empty();
  if (option && value != false && value != 0 && !is_empty_text) option.unsupported("null");
}

// Reads the two large tables while the file is parsed, so that they take no place in the tree. It also sees
// pieces that occur twice, which a tree would drop.
class TableReader {
 public:
  TableReader(TokenizerJson& out, const std::string& name) : out_(out), name_(name) {}

  // A JsonFilter: false leaves the value out of the tree.
  bool operator()(int depth, Json::parse_event_t event, Json& parsed) {
    using Event = Json::parse_event_t;
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
    const TokenId id = read_id(parsed, *piece_, name_);
    out_.pieces.push_back({std::move(*piece_), id});
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
    const std::string found =
        parsed.is_array() ? cat("a list of ", parts_.size()) : JsonCursor(parsed, name_).shown();
    fail(ErrorCode::model, cat(name_, ": model.merges[", out_.merges.size(), "] is ", found,
                               ", expected two pieces: \"left right\" or [\"left\", \"right\"]"));
  }

  TokenizerJson& out_;
  const std::string& name_;
  bool in_model_ = false;
  Table table_ = Table::none;
  std::optional<std::string> piece_;  // the key whose value is expected next
  std::vector<std::string> parts_;
};

void read_model(const JsonCursor& model, TokenizerJson& out) {
  // Older files have no type here.
  if (const JsonCursor type = model["type"]; type && type.string() != "BPE") type.unsupported("\"BPE\"");
  expect_unused(model["dropout"]);
  expect_unused(model["continuing_subword_prefix"]);
  expect_unused(model["end_of_word_suffix"]);
  expect_false(model["byte_fallback"]);
  out.ignore_merges = model["ignore_merges"].boolean_or(false);
  // What TableReader has left of the tables.
  model["vocab"].object();
  model["merges"].elements();
}

AddedToken read_added_token(const JsonCursor& node, const std::string& name) {
  for (const char* flag : {"single_word", "lstrip", "rstrip", "normalized"}) expect_false(node[flag]);
  AddedToken token;
  token.content = node["content"].string();
  token.id = read_id(node["id"].value(), token.content, name);
  token.special = node["special"].boolean_or(false);
  if (token.content.empty()) node["content"].bad("is empty");
  return token;
}

void read_split(const JsonCursor& step, PreTokenizerConfig& out) {
  if (step["behavior"].string() != "Isolated") step["behavior"].unsupported("\"Isolated\"");
  expect_false(step["invert"]);
  const JsonCursor pattern = step["pattern"];
  if (const JsonCursor regex = pattern["Regex"]) {
    out.splits.push_back({regex.string(), Regex::Syntax::pattern});
  } else {
    out.splits.push_back({pattern["String"].string(), Regex::Syntax::literal});
  }
}

PreTokenizerConfig read_pre_tokenizer(const JsonCursor& node) {
  const bool is_sequence = node && node["type"].string() == "Sequence";
  const std::vector<JsonCursor> steps = is_sequence ? node["pretokenizers"].elements() : std::vector{node};
  PreTokenizerConfig config;
  bool has_byte_level = false;
  for (const JsonCursor& step : steps) {
    const std::string type = step ? step["type"].string() : "";
    if (has_byte_level) step.bad(cat("(", type, ") follows ByteLevel, which must be the last step"));
    if (type == "Split") {
      read_split(step, config);
    } else if (type == "ByteLevel") {
      has_byte_level = true;
      config.add_prefix_space = step["add_prefix_space"].boolean_or(true);
      config.use_regex = step["use_regex"].boolean_or(true);
    } else {
      step.unsupported("Split, ByteLevel or a Sequence of them");
    }
  }
  if (!has_byte_level) node.bad("has no ByteLevel step: only byte-level BPE is supported");
  return config;
}

}  // namespace

TokenizerJson parse_tokenizer_json(std::string_view json, const std::string& name) {
  TokenizerJson out;
  TableReader tables(out, name);
  const Json tree = parse_json(json, name, ErrorCode::model, std::ref(tables));
  const JsonCursor root(tree, name);
  read_model(root["model"], out);
  if (const JsonCursor normalizer = root["normalizer"]) normalizer.unsupported("null");
  out.pre_tokenizer = read_pre_tokenizer(root["pre_tokenizer"]);
  const JsonCursor decoder = root["decoder"];
  if (!decoder || decoder["type"].string() != "ByteLevel") decoder.unsupported("\"ByteLevel\"");
  if (const JsonCursor added = root["added_tokens"]) {
    for (const JsonCursor& token : added.elements())
      out.added_tokens.push_back(read_added_token(token, name));
  }
  return out;
}

}  // namespace glmocr
