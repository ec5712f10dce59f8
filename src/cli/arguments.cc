// SPDX-License-Identifier: Apache-2.0
#include "cli/arguments.h"

#include <algorithm>
#include <filesystem>
#include <map>

#include "base/error.h"
#include "base/mapped_file.h"
#include "cli/bench_options.h"
#include "cli/help.h"
#include "cli/option_groups.h"
#include "cli/option_parsers.h"
#include "cli/parse_options.h"
#include "cli/standard_streams.h"

namespace glmocr::cli {
namespace {

const std::vector<std::string> kCommandNames = {"read",     "parse",    "layout", "forward", "info",
                                                "tokenize", "selftest", "bench",  "quantize"};

bool is_command(const std::string& word) {
  return std::find(kCommandNames.begin(), kCommandNames.end(), word) != kCommandNames.end();
}

// Help in this order: what the command does, usage, options, examples, exit codes, environment. That of
// `read` lists the other commands too.
class HelpFormatter : public CLI::Formatter {
 public:
  HelpFormatter() {
    column_width(30);
    label("Positionals", "Arguments");
  }
  std::string make_description(const CLI::App* app) const override {
    return cat(command_help(app->get_name()).text, "\n");
  }
  std::string make_usage(const CLI::App* app, std::string) const override {
    const CommandHelp& help = command_help(app->get_name());
    std::string text = cat("Usage: ", help.usage);
    if (app->get_name() == "read") {
      text += cat("\nCommands:\n", command_list(), "  \"glm-ocr COMMAND --help\" explains each.\n");
    }
    return text;
  }
  // Only the placeholder of the value: the descriptions say how options relate.
  std::string make_option_opts(const CLI::Option* option) const override {
    return option->get_option_text().empty() ? "" : " " + option->get_option_text();
  }
  std::string make_footer(const CLI::App* app) const override {
    return cat("Examples:\n", command_help(app->get_name()).examples, "\nExit codes:\n", exit_code_help(),
               "\nEnvironment:\n", environment_help());
  }
};

std::string without_double_blank_lines(std::string text) {
  for (std::size_t at; (at = text.find("\n\n\n")) != std::string::npos;) text.erase(at, 1);
  return text;
}

// The command line with its command in front: "read" where none is named. -v and -q may come before the
// command.
std::vector<std::string> with_command(std::vector<std::string> words) {
  const auto first = std::find_if(words.begin(), words.end(), [](const std::string& word) {
    return word != "-v" && word != "--verbose" && word != "-q" && word != "--quiet";
  });
  if (first != words.end() && *first == "help") {
    const bool named = first + 1 != words.end() && is_command(first[1]);
    return {named ? first[1] : "read", "--help"};
  }
  if (first != words.end() && is_command(*first)) {
    std::rotate(words.begin(), first, first + 1);
    return words;
  }
  if (first != words.end() && std::all_of(first->begin(), first->end(), ::isalpha)) {
    const std::string meant = closest_word(*first, kCommandNames);
    if (!meant.empty() && !std::filesystem::exists(*first)) {
      fail(ErrorCode::usage, cat(*first, ": no such file or command; did you mean \"", meant, "\"?"));
    }
  }
  words.insert(words.begin(), "read");
  return words;
}

// Names an unknown option, and the known option that is most like it.
[[noreturn]] void fail_unexpected(const CLI::App& command) {
  const std::vector<std::string> unexpected = command.remaining(true);
  const std::string word = unexpected.empty() ? "" : unexpected.front();
  std::vector<std::string> known;
  for (const CLI::Option* option : command.get_options()) {
    for (const std::string& name : option->get_lnames()) known.push_back("--" + name);
  }
  const std::string meant = word.starts_with("--") ? closest_word(word, known) : "";
  fail(ErrorCode::usage, word.starts_with('-') ? cat(word, ": no such option",
                                                     meant.empty() ? "" : cat("; did you mean ", meant, "?"))
                                               : cat("\"", word, "\" was not expected"));
}

// Names an option that was given several times and takes one value.
void fail_repeated(const CLI::App& command) {
  for (const CLI::Option* option : command.get_options()) {
    const bool flag = option->get_items_expected_max() == 0;
    if (!flag && option->get_multi_option_policy() == CLI::MultiOptionPolicy::Throw &&
        option->count() > static_cast<std::size_t>(option->get_items_expected_max())) {
      fail(ErrorCode::usage, cat(option->get_name(), ": was given ", option->count(), " times"));
    }
  }
}

// The prompt of `forward`, resolved when all options are known.
struct ForwardPrompt {
  ReadOptions options;  // task and prompt
  std::string schema_file;
};

void add_forward(CLI::App& app, ForwardArguments& arguments, ForwardPrompt& prompt) {
  const char* group = "Input";
  app.add_option("--image,IMAGE", arguments.files, "a picture; may be given several times")
      ->option_text("FILE")
      ->required()
      ->allow_extra_args(false)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->group(group);
  add_image_options(app, arguments.image, group);
  add_prompt_options(app, prompt.options, prompt.schema_file);
  app.add_option("--top", arguments.top, "how many of the largest logits (default 5)")
      ->option_text("K")
      ->check(between(0, 1 << 20))
      ->group("Output");
  app.add_flag("--json", arguments.json, "print a JSON object")->group("Output");
  app.add_option("--dump", arguments.dump,
                 "write the intermediate tensors as .npy files, with\nthe names of docs/model.md")
      ->option_text("DIR")
      ->check(not_empty())
      ->group("Output");
  add_model_options(app, arguments.model);
}

struct TokenizeText {
  std::string text, file;
};

void add_tokenize(CLI::App& app, TokenizeArguments& arguments, TokenizeText& source) {
  const char* group = "Input";
  auto* text = app.add_option("TEXT", source.text, "the text, or - for standard input");
  auto* file = app.add_option("--file", source.file, "read the text from a file, - for standard input")
                   ->option_text("FILE")
                   ->group(group);
  auto* decode = app.add_option("--decode", arguments.decode, "print the text of these ids")
                     ->option_text("ID...")
                     ->delimiter(',')
                     ->group(group);
  text->excludes(file)->excludes(decode);
  file->excludes(decode);
  app.add_flag("--match-added", arguments.match_added,
               "match control tokens such as <|image|> in the text;\ndefault: they are plain text")
      ->group(group);
  app.add_flag("--ids", arguments.ids_only, "print only the ids, on one line")->group("Output");
  app.add_flag("--json", arguments.json, "print a JSON object")->group("Output");
  add_model_options(app, arguments.model);
}

void finish_tokenize(TokenizeArguments& arguments, const TokenizeText& source, const CLI::App& app) {
  const bool from_text = app.count("TEXT") > 0;
  const bool from_file = app.count("--file") > 0;
  if (!from_text && !from_file && arguments.decode.empty()) {
    fail(ErrorCode::usage, "nothing to tokenize: give TEXT, --file or --decode");
  }
  if (from_file && source.file != "-") {
    arguments.text = read_file(source.file);
  } else if (from_file || source.text == "-") {
    arguments.text = read_standard_input();
  } else {
    arguments.text = source.text;
  }
}

void add_quantize(CLI::App& app, QuantizeArguments& arguments) {
  app.add_option("IN", arguments.from, "a snapshot folder, or a hub name (org/name)")
      ->option_text(" ")
      ->required();
  app.add_option("OUT", arguments.to, "the folder of the new snapshot; made where it is missing")
      ->option_text(" ")
      ->required();
}

void add_layout(CLI::App& app, LayoutArguments& arguments, InputFiles& inputs) {
  const char* group = "Input";
  app.add_option("PAGE", arguments.files, "pictures and PDF files; - is standard input")
      ->option_text("...")
      ->required();
  add_page_options(app, arguments.pages, arguments.dpi);
  add_password_option(app, inputs);
  add_image_options(app, arguments.image, group);
  app.add_option("--threshold", arguments.threshold, "leave out regions with lower scores (default 0.3)")
      ->option_text("SCORE")
      ->check(between(0, 1))
      ->group("Output");
  app.add_flag("--raw", arguments.raw,
               "what the network's own post-processing gives:\nduplicates are kept, text that was missed is "
               "not added")
      ->group("Output");
  add_choice<LayoutFormat>(
      app, "--format", arguments.format, {{"json", LayoutFormat::json}, {"png", LayoutFormat::png}},
      "json (default): one object per line and page;\npng: the page with its regions drawn")
      ->group("Output");
  app.add_option("-o,--output", arguments.output,
                 "a file, or for PNG of several pages a folder\n(default: standard output)")
      ->option_text("PATH")
      ->check(not_empty())
      ->group("Output");
  app.add_option("--dump", arguments.dump,
                 "write the network's tensors as .npy files, in a folder\nfor each page")
      ->option_text("DIR")
      ->check(not_empty())
      ->group("Output");
  add_layout_model_options(app, arguments.model);
}

// The options of all commands, and what they become when all are known.
struct Commands {
  ReadArguments read;
  ReadInputs read_inputs;
  ParseArguments parse;
  ParseInputs parse_inputs;
  LayoutArguments layout;
  InputFiles layout_inputs;  // no list
  ForwardArguments forward;
  ForwardPrompt forward_prompt;
  InfoArguments info;
  TokenizeArguments tokenize;
  TokenizeText tokenize_text;
  SelftestArguments selftest;
  BenchArguments bench;
  BenchInputs bench_inputs;
  QuantizeArguments quantize;

  void add_to(const std::map<std::string, CLI::App*>& apps) {
    const auto app = [&](const char* name) -> CLI::App& { return *apps.at(name); };
    add_read_options(app("read"), read, read_inputs);
    add_parse_options(app("parse"), parse, parse_inputs);
    add_layout(app("layout"), layout, layout_inputs);
    add_forward(app("forward"), forward, forward_prompt);
    add_model_options(app("info"), info.model, DeviceUse::several);
    app("info").add_flag("--json", info.json, "print a JSON object")->group("Output");
    add_tokenize(app("tokenize"), tokenize, tokenize_text);
    add_model_options(app("selftest"), selftest.model);
    add_bench_options(app("bench"), bench, bench_inputs);
    add_quantize(app("quantize"), quantize);
  }

  // Of the command that was named.
  decltype(Arguments::command) take(const CLI::App& app) {
    const std::string& name = app.get_name();
    if (name == "read") {
      finish_read(read, read_inputs);
      return std::move(read);
    }
    if (name == "parse") {
      finish_parse(parse, parse_inputs);
      return std::move(parse);
    }
    if (name == "layout") {
      add_listed_files(layout.files, layout_inputs);
      layout.password = read_password(layout_inputs);
      return std::move(layout);
    }
    if (name == "forward") {
      const ReadOptions& options = forward_prompt.options;
      const std::string schema = read_schema(options.task, forward_prompt.schema_file);
      forward.prompt = options.prompt ? *options.prompt : task_prompt(options.task, schema);
      return std::move(forward);
    }
    if (name == "tokenize") {
      finish_tokenize(tokenize, tokenize_text, app);
      return std::move(tokenize);
    }
    if (name == "bench") {
      finish_bench(bench, bench_inputs);
      return std::move(bench);
    }
    if (name == "info") return std::move(info);
    if (name == "quantize") return std::move(quantize);
    return std::move(selftest);
  }
};

}  // namespace

std::optional<Arguments> parse_arguments(int argc, const char* const* argv) {
  std::vector<std::string> words = with_command({argv + 1, argv + argc});

  CLI::App app;
  app.name("glm-ocr");
  app.require_subcommand(1);
  std::map<std::string, CLI::App*> apps;
  for (const std::string& name : kCommandNames) {
    apps[name] = app.add_subcommand(name);
    apps[name]->formatter(std::make_shared<HelpFormatter>());
  }
  Commands commands;
  commands.add_to(apps);
  MessageOptions messages;
  for (const auto& [name, command] : apps) {
    add_message_options(*command, messages);
    command->set_help_flag("-h,--help", "print this help")->group("Messages");
  }

  const CLI::App& command = *apps[words.front()];
  try {
    std::reverse(words.begin(), words.end());  // CLI11 takes them from the back
    app.parse(std::move(words));
  } catch (const CLI::CallForHelp&) {
    write_standard_output(without_double_blank_lines(command.help()));
    return std::nullopt;
  } catch (const CLI::CallForVersion&) {
    write_standard_output(cat("glm-ocr ", version(), "\n"));
    return std::nullopt;
  } catch (const CLI::ExtrasError&) {
    fail_unexpected(command);
  } catch (const CLI::ParseError& error) {
    fail_repeated(command);
    fail(ErrorCode::usage, error.what());
  }

  Arguments arguments;
  arguments.verbosity = messages.verbosity();
  arguments.command = commands.take(command);
  return arguments;
}

}  // namespace glmocr::cli
