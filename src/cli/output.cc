// SPDX-License-Identifier: Apache-2.0
#include "cli/output.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>

#include "base/error.h"
#include "base/mapped_file.h"
#include "cli/standard_streams.h"
#include "document/result_json.h"

namespace glmocr::cli {
namespace {

namespace fs = std::filesystem;
using Sink = std::function<void(std::string_view)>;

std::string ended(std::string text) {
  if (!text.ends_with('\n')) text += '\n';
  return text;
}

// Texts that end with a newline, with a form feed between them.
class TextOutput : public Output {
 public:
  explicit TextOutput(Sink sink) : sink_(std::move(sink)) {}

  void stream(const std::string& piece) override {
    if (piece.empty()) return;
    begin();
    sink_(piece);
    streamed_newline_ = piece.back() == '\n';
  }

  void add(const Page& page) override {
    if (begun_) {
      if (!streamed_newline_) sink_("\n");
    } else if (!page.error) {
      begin();
      sink_(ended(page.result.text));
    }
    begun_ = false;
  }

 private:
  void begin() {
    if (!begun_ && !first_) sink_("\f");
    first_ = false;
    begun_ = true;
  }

  Sink sink_;
  bool first_ = true;
  bool begun_ = false;  // some of the page's text is written
  bool streamed_newline_ = false;
};

class JsonLinesOutput : public Output {
 public:
  explicit JsonLinesOutput(Sink sink) : sink_(std::move(sink)) {}
  void add(const Page& page) override { sink_(result_json(page, false) + "\n"); }

 private:
  Sink sink_;
};

// An object for one input, an array for several, or where the first page has a number.
class JsonOutput : public Output {
 public:
  JsonOutput(Sink sink, bool array) : sink_(std::move(sink)), array_(array) {}

  void add(const Page& page) override {
    if (first_ && page.number > 0) array_ = true;
    if (array_) {
      sink_((first_ ? "[\n" : ",\n") + result_json(page, false));
    } else {
      sink_(result_json(page, true) + "\n");
    }
    first_ = false;
  }

  void finish() override {
    if (array_) sink_(first_ ? "[]\n" : "\n]\n");
  }

 private:
  Sink sink_;
  bool array_;
  bool first_ = true;
};

std::unique_ptr<Output> make_output(OutputFormat format, bool several, Sink sink) {
  if (format == OutputFormat::text) return std::make_unique<TextOutput>(std::move(sink));
  if (format == OutputFormat::json) return std::make_unique<JsonOutput>(std::move(sink), several);
  return std::make_unique<JsonLinesOutput>(std::move(sink));
}

// Everything into one file, which is written at the end.
class FileOutput : public Output {
 public:
  FileOutput(fs::path path, OutputFormat format, bool several)
      : path_(std::move(path)),
        output_(make_output(format, several, [this](std::string_view piece) { content_ += piece; })) {}

  void add(const Page& page) override {
    output_->add(page);
    some_ = some_ || !page.error;
  }

  void finish() override {
    if (!some_ && content_.empty()) return;  // nothing was read: keep an old file
    output_->finish();
    write_output_file(path_, content_);
  }

 private:
  fs::path path_;
  std::string content_;
  std::unique_ptr<Output> output_;
  bool some_ = false;
};

std::string format_name(OutputFormat format) {
  if (format == OutputFormat::text) return "text";
  return format == OutputFormat::json ? "json" : "jsonl";
}

// One file per input, with all its pages: NAME.FORMAT, or NAME.2.FORMAT where an input of another folder has the same name.
class FolderOutput : public Output {
 public:
  FolderOutput(fs::path folder, OutputFormat format, Console& console)
      : folder_(std::move(folder)), format_(format), console_(console) {}

  void add(const Page& page) override {
    if (!input_ || input_->number != page.input) begin(page);
    input_->some = input_->some || !page.error || format_ != OutputFormat::text;
    input_->output->add(page);
    if (page.last) write();
  }

  // After an interruption the last input may lack pages.
  void finish() override {
    if (input_) write();
  }

 private:
  // The input whose pages are coming.
  struct Input {
    std::int64_t number = 0;
    std::string file;
    fs::path path;
    std::string content;
    std::unique_ptr<Output> output;
    bool some = false;  // there is something to be written
  };

  void begin(const Page& page) {
    input_ = std::make_unique<Input>();
    input_->number = page.input;
    input_->file = page.file;
    input_->path = folder_ / file_name(page.file);
    std::string& content = input_->content;
    input_->output = make_output(format_, false, [&content](std::string_view piece) { content += piece; });
  }

  void write() {
    const std::unique_ptr<Input> input = std::move(input_);
    if (!input->some) return;
    input->output->finish();
    try {
      write_output_file(input->path, input->content);
    } catch (const OutputError& error) {
      throw PageOutputError(error.what());
    }
    console_.note(cat(input->file, ": written to ", input->path.string()));
  }

  std::string file_name(const std::string& file) {
    const std::string base = file == "-" ? "stdin" : fs::path(file).filename().string();
    return names_.take(file, base, cat(".", format_name(format_)));
  }

  fs::path folder_;
  OutputFormat format_;
  Console& console_;
  OutputNameList names_{console_};
  std::unique_ptr<Input> input_;  // nullptr between inputs
};

void check_folder(const fs::path& folder, const std::string& output) {
  std::error_code error;
  if (!fs::is_directory(folder, error)) {
    fail(ErrorCode::usage, cat("--output ", output, ": ", folder.string(), " is not a folder"));
  }
  if (::access(folder.c_str(), W_OK) != 0) {
    fail(ErrorCode::usage, cat("--output ", output, ": no permission to write into ", folder.string()));
  }
}

// What a link stands for, which need not exist yet.
fs::path file_behind(fs::path path) {
  std::error_code error;
  for (int links = 0; links < 40 && fs::is_symlink(path, error); ++links)
    path = path.parent_path() / fs::read_symlink(path);
  return path;
}

}  // namespace

void write_output_file(const fs::path& path, std::string_view content) {
  std::error_code error;
  if (fs::exists(path, error) && !fs::is_regular_file(path, error)) {
    std::ofstream file(path, std::ios::binary);
    file << content << std::flush;
    if (!file) throw OutputError(cat(path.string(), ": cannot be written: ", std::strerror(errno)));
    return;
  }
  try {
    write_file_atomically(file_behind(path), content);
  } catch (const std::exception& failure) {
    throw OutputError(failure.what());
  }
}

bool means_standard_output(const std::string& output) {
  return output.empty() || output == "-" || output == "/dev/stdout" || output == "/dev/fd/1" ||
         output == "/proc/self/fd/1";
}

bool means_folder(const std::string& path) {
  std::error_code error;
  return path.ends_with('/') || fs::is_directory(path, error);
}

void prepare_output_folder(const std::string& output) {
  std::error_code error;
  fs::create_directories(output, error);
  if (error) fail(ErrorCode::usage, cat("--output ", output, ": cannot be created: ", error.message()));
  check_folder(output, output);
}

void check_output_file(const std::string& output, const std::vector<std::string>& inputs) {
  const fs::path path = output;
  for (const std::string& file : inputs) {
    std::error_code error;
    if (file != "-" && fs::is_regular_file(path, error) && fs::equivalent(file, path, error)) {
      fail(ErrorCode::usage, cat("--output ", output, ": this is one of the pictures to read"));
    }
  }
  std::error_code error;
  if (!fs::exists(path, error) || fs::is_regular_file(path, error)) {
    check_folder(path.has_parent_path() ? path.parent_path() : ".", output);
  }
}

std::string OutputNameList::take(const std::string& input, const std::string& base,
                                 const std::string& extension) {
  std::string name = base + extension;
  for (int copy = 2; !taken_.insert(name).second; ++copy) name = cat(base, ".", copy, extension);
  if (name != base + extension) {
    console_.warning(cat(input, ": written as ", name, ": another input has the same name"));
  }
  return name;
}

std::string about(const Page& page, const std::string& message) {
  const bool named = message.starts_with(display_name(page.file) + ": ");
  return named ? message : cat(display_name(page), ": ", message);
}

std::unique_ptr<Output> open_output(const ReadArguments& arguments, Console& console) {
  const std::string& output = arguments.output;
  if (means_standard_output(output)) {
    // On a terminal the text must not overwrite the status line.
    const Sink sink = [&console](std::string_view piece) {
      console.clear_status();
      write_standard_output(piece);
    };
    return make_output(arguments.format, arguments.files.size() > 1, sink);
  }
  if (means_folder(output)) {
    prepare_output_folder(output);
    return std::make_unique<FolderOutput>(output, arguments.format, console);
  }
  check_output_file(output, arguments.files);
  return std::make_unique<FileOutput>(output, arguments.format, arguments.files.size() > 1);
}

}  // namespace glmocr::cli
