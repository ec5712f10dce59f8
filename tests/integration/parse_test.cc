// SPDX-License-Identifier: Apache-2.0
// Documents into folders: `glm-ocr parse`. PDF files are those of the library in place of PDFium
// (tests/support/fake_pdfium), read by a small model whose texts mean nothing.
#include <gmock/gmock.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <memory>
#include <random>
#include <regex>

#include "integration/fake_renderer.h"
#include "integration/program.h"
#include "support/pdf_writer.h"
#include "support/tiff_writer.h"

namespace glmocr::integration {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

using Arguments = std::vector<std::string>;

Arguments command(const Arguments& arguments) {
  Arguments all = {"parse", "--model", data("narrow"), "--regions", "page", "--max-tokens", "4"};
  all.insert(all.end(), arguments.begin(), arguments.end());
  return all;
}

ProcessResult parse(const Arguments& arguments, const ProcessOptions& options = fake_renderer()) {
  return run(command(arguments), options);
}

// Pages that hold their number as text of their own, and are small pictures.
std::string numbered_pdf(int pages, int first = 1) {
  std::string file = "%PDF-\n";
  for (int i = 0; i < pages; ++i) file += "40 20 letters p" + std::to_string(first + i) + "\n";
  return file;
}

// Files below a folder and their contents, but for the job's state and hidden files.
std::map<std::string, std::string> outputs(const fs::path& folder) {
  std::map<std::string, std::string> files;
  if (!fs::exists(folder)) return files;
  for (auto entry = fs::recursive_directory_iterator(folder); entry != fs::recursive_directory_iterator();
       ++entry) {
    const std::string name = entry->path().filename().string();
    if (entry->is_directory() && name == ".glm-ocr") entry.disable_recursion_pending();
    if (entry->is_regular_file() && !name.starts_with("."))
      files[entry->path().lexically_relative(folder).string()] = read_all(entry->path());
  }
  return files;
}

std::vector<std::string> names(const fs::path& folder) {
  std::vector<std::string> list;
  for (const auto& [name, content] : outputs(folder)) list.push_back(name);
  return list;
}

// The pages that --stats says were read.
int pages_read(const ProcessResult& result) {
  std::smatch found;
  const bool matches = std::regex_search(result.err, found, std::regex("(\\d+) pages? in "));
  return matches ? std::stoi(found[1]) : -1;
}

// Pages without failures that the state of a job holds.
int pages_kept(const fs::path& output) {
  int pages = 0;
  if (!fs::exists(output / ".glm-ocr")) return 0;
  for (const auto& entry : fs::recursive_directory_iterator(output / ".glm-ocr")) {
    if (!entry.is_regular_file() || entry.path().extension() != ".jsonl") continue;
    const std::string content = read_all(entry.path());
    for (const std::string& line : lines_of(content.substr(0, content.rfind('\n') + 1))) {
      const json object = json::parse(line, nullptr, false);
      if (entry.path().filename() == "finished.jsonl") pages += object["pages"].get<int>();
      if (entry.path().parent_path().filename() == "pages" && object.contains("regions")) ++pages;
    }
  }
  return pages;
}

class Parse : public testing::Test {
 protected:
  std::string write(const std::string& name, const std::string& content) const {
    fs::create_directories(fs::path(folder_ / name).parent_path());
    write_all(folder_ / name, content);
    return folder_ / name;
  }
  std::string out(const std::string& name = "out") const { return folder_ / name; }

  TemporaryFolder folder_;
};

TEST_F(Parse, OneDocumentGoesToStandardOutput) {
  const std::string file = write("a.pdf", numbered_pdf(3));
  const ProcessResult result = parse({"--text-layer", "only", file});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.out, "p1\n\np2\n\np3\n");
  EXPECT_THAT(result.err, IsEmpty());
  EXPECT_EQ(parse({"--text-layer", "only", "-f", "txt", "--pages", "2-", "--page-breaks", file}).out,
            "p2\n\fp3\n");
  const json whole = json::parse(parse({"-f", "json", file, "--pages", "3"}).out);
  EXPECT_EQ(whole["file"], file);
  ASSERT_EQ(whole["pages"].size(), 1u);
  EXPECT_EQ(whole["pages"][0]["page"], 3);
  EXPECT_EQ(whole["pages"][0]["regions"].size(), 1u);
  ProcessOptions options = fake_renderer();
  options.standard_input = numbered_pdf(2);
  EXPECT_EQ(parse({"--text-layer", "only", "-"}, options).out, "p1\n\np2\n");
  EXPECT_THAT(names(folder_.path()), ElementsAre("a.pdf"));
}

TEST_F(Parse, EveryFormatGoesToAFolder) {
  write("in/sub/a.pdf", numbered_pdf(2));
  write("in/b.tiff", tiff_of({{60, 30, 255}, {90, 30, 255}}));
  fs::copy(kSmallWord, out("in/c.png"));
  write("in/notes.txt", "no document");
  const ProcessResult result =
      parse({"-f", "md,json,jsonl,html,txt,hocr,alto,pdf,layout", "-o", out(), out("in")});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  std::vector<std::string> expected;
  for (const char* name : {"b.tiff", "c.png", "sub/a.pdf"}) {
    for (const char* format : {"md", "json", "jsonl", "html", "txt", "hocr", "alto", "pdf"})
      expected.push_back(std::string(name) + "." + format);
  }
  for (const char* name : {"b.tiff.layout/page1.png", "b.tiff.layout/page2.png", "c.png.layout/page1.png",
                           "sub/a.pdf.layout/page1.png", "sub/a.pdf.layout/page2.png"}) {
    expected.emplace_back(name);
  }
  EXPECT_THAT(names(out()), testing::UnorderedElementsAreArray(expected));
  EXPECT_EQ(json_lines(read_all(out() + "/.glm-ocr/finished.jsonl")).size(), 3u);
  EXPECT_TRUE(fs::is_empty(out() + "/.glm-ocr/pages"));
  const json tiff = json::parse(read_all(out() + "/b.tiff.json"));
  EXPECT_EQ(tiff["pages"].size(), 2u);
}

TEST_F(Parse, WhatIsNoJobIsAUsageError) {
  const std::string a = write("a.pdf", numbered_pdf(1)), b = write("b.pdf", numbered_pdf(1));
  const std::string other = write("more/a.pdf", numbered_pdf(1));
  fs::copy(kSmallWord, out("a.png"));
  const std::vector<std::pair<Arguments, std::string>> cases = {
      {{a, b}, "several inputs (2) need a folder: --output DIR"},
      {{folder_.path().string()}, "need a folder: --output DIR"},
      {{"-f", "md,json", a}, "several formats need a folder"},
      {{"-f", "layout", a}, "--format layout needs a folder"},
      {{"-f", "docx", a}, "\"docx\" is none of md, json"},
      {{"--resume", a}, "--resume and --shard need a folder"},
      {{"--shard", "1/2", a}, "--resume and --shard need a folder"},
      {{"--shard", "2/2", "-o", out(), a}, "there is no part 2 of 2"},
      {{"-o", out(), a, other}, "would have the same output as"},
      {{"-o", out(), "--compat", "sdk", a, out("a.png")}, "with --compat sdk"},
      {{"-o", folder_ / "more", folder_ / "more"}, "is the folder of outputs as well"},
      {{"-o", a, b}, "is no folder and cannot be made one"},
      {{"-f", "pdf", "-"}, "standard input can be read only once, and the document is read twice"},
      {{}, "no input given"}};
  for (const auto& [arguments, message] : cases) {
    const ProcessResult result = parse(arguments);
    EXPECT_EQ(result.exit_code, 2) << message << result.err;
    EXPECT_THAT(result.err, HasSubstr(message));
    EXPECT_THAT(result.out, IsEmpty());
  }
  EXPECT_THAT(names(out()), IsEmpty());
  write("state/.glm-ocr", "a file");
  EXPECT_EQ(parse({"-o", out("state"), a}).exit_code, 2);
  fs::create_directories(out("empty"));
  EXPECT_EQ(parse({"-o", out(), out("empty")}).exit_code, 3);
  EXPECT_EQ(parse({"-o", out(), "--shard", "0/2", out("empty")}).exit_code, 0) << "other parts may have some";
}

TEST_F(Parse, WhatIsBrokenDoesNotStopTheOthers) {
  write("in/a.pdf", numbered_pdf(1));
  write("in/b.pdf", "%PDF-\nopen-crash\n");
  write("in/c.pdf", "%PDF-\n40 20 letters p1\n40 20 crash\n40 20 letters p3\n");
  write("in/d.png", "no picture");
  const Arguments arguments = {"--text-layer", "only", "-f", "md,json", "-o", out(), out("in")};
  const ProcessResult result = parse(arguments);
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(lines_of(result.err),
              ElementsAre(HasSubstr("b.pdf: "), HasSubstr("c.pdf: page 2: the renderer ended"),
                          HasSubstr("d.png: ")));
  EXPECT_THAT(names(out()), ElementsAre("a.pdf.json", "a.pdf.md", "c.pdf.json", "c.pdf.md"));
  EXPECT_EQ(read_all(out() + "/c.pdf.md"), "p1\n\np3\n");
  const json pages = json::parse(read_all(out() + "/c.pdf.json"))["pages"];
  ASSERT_EQ(pages.size(), 3u);
  EXPECT_TRUE(pages[1].contains("error"));
  std::vector<std::string> failed;
  for (const json& line : json_lines(read_all(out() + "/.glm-ocr/failed.jsonl"))) {
    failed.push_back(fs::path(line["file"].get<std::string>()).filename().string() + ":" +
                     std::to_string(line["page"].get<int>()));
    EXPECT_FALSE(line["errors"].empty());
  }
  EXPECT_THAT(failed, ElementsAre("b.pdf:0", "c.pdf:2", "d.png:0"));
  for (const char* name : {"in/b.pdf", "in/d.png", "in/missing.pdf"}) {
    const ProcessResult alone = parse({"-o", out("alone"), out(name)});
    EXPECT_EQ(alone.exit_code, 3) << name;
    EXPECT_EQ(parse({out(name)}).exit_code, 3) << name;
    EXPECT_THAT(parse({out(name)}).out, IsEmpty());
  }
  // What failed is tried again, the rest is not.
  Arguments again = arguments;
  again.insert(again.begin(), {"--resume", "--stats"});
  write("in/c.pdf.new", "");
  const ProcessResult resumed = parse(again);
  EXPECT_EQ(resumed.exit_code, 1);
  EXPECT_EQ(pages_read(resumed), 0);
  EXPECT_THAT(resumed.err, AllOf(HasSubstr("3 failed"), HasSubstr("1 documents were finished before")));
}

TEST_F(Parse, ADocumentWhosePagesAllFail) {
  const std::string file = write("a.pdf", "%PDF-\n40 20 crash\n40 20 exit\n");
  const ProcessResult result = parse({"-o", out(), file});
  EXPECT_EQ(result.exit_code, 3);
  EXPECT_EQ(lines_of(result.err).size(), 2u) << result.err;
  EXPECT_THAT(names(out()), IsEmpty());
  EXPECT_EQ(parse({file}).exit_code, 3);
}

// The renderer is installed later.
TEST_F(Parse, WhatFailedForTheMachineIsReadAgain) {
  const std::string file = write("a.pdf", numbered_pdf(2));
  ProcessOptions without = fake_renderer();
  without.environment.emplace_back("GLMOCR_PDF_WORKER", "/nowhere/worker");
  const Arguments arguments = {"--text-layer", "only", "-f", "json", "-o", out(), "--resume", "-v", file};
  const ProcessResult failed = parse(arguments, without);
  EXPECT_EQ(failed.exit_code, 6) << failed.err;
  EXPECT_THAT(failed.err, HasSubstr("reading again what failed in 1 documents"));
  const std::string message = "/nowhere/worker: No such file";
  EXPECT_EQ(failed.err.find(message), failed.err.rfind(message)) << "said once";
  EXPECT_EQ(json_lines(read_all(out() + "/.glm-ocr/failed.jsonl")).size(), 1u);
  EXPECT_EQ(parse(arguments).exit_code, 0);
  const json pages = json::parse(read_all(out() + "/a.pdf.json"))["pages"];
  ASSERT_EQ(pages.size(), 2u) << "not the failure as well";
  EXPECT_EQ(pages[0]["page"], 1);
  EXPECT_EQ(read_all(out() + "/.glm-ocr/failed.jsonl"), "");
  EXPECT_THAT(parse(arguments).err, Not(HasSubstr("page")));
}

TEST_F(Parse, ResumeReadsWhatHasChangedAndWhatIsNew) {
  write("in/a.pdf", numbered_pdf(2));
  write("in/b.pdf", numbered_pdf(2));
  Arguments arguments = {"--text-layer", "only", "--stats", "-o", out(), out("in")};
  EXPECT_EQ(pages_read(parse(arguments)), 4);
  arguments.push_back("--resume");
  EXPECT_EQ(pages_read(parse(arguments)), 0);
  write("in/b.pdf", numbered_pdf(3, 7));
  write("in/c.pdf", numbered_pdf(1));
  EXPECT_EQ(pages_read(parse(arguments)), 4);
  EXPECT_EQ(read_all(out() + "/b.pdf.md"), "p7\n\np8\n\np9\n");
  // So is what was deleted.
  fs::remove(out() + "/b.pdf.md");
  EXPECT_EQ(pages_read(parse(arguments)), 3);
  EXPECT_EQ(read_all(out() + "/b.pdf.md"), "p7\n\np8\n\np9\n");
  const ProcessResult other =
      parse({"--text-layer", "only", "--resume", "--dpi", "100", "-o", out(), out("in")});
  EXPECT_EQ(other.exit_code, 2);
  EXPECT_THAT(other.err, HasSubstr("begun with other options (--dpi)"));
  const ProcessResult coarse = parse(
      {"--text-layer", "only", "--resume", "--quantize", "int8", "--dtype", "fp32", "-o", out(), out("in")});
  EXPECT_EQ(coarse.exit_code, 2);
  EXPECT_THAT(coarse.err, HasSubstr("begun with other options (--quantize, --dtype)"));
  // Without --resume all is read anew.
  arguments.pop_back();
  EXPECT_EQ(pages_read(parse(arguments)), 6);
}

TEST_F(Parse, ResumeMakesPicturesAgainThatWereDeleted) {
  const std::string file = write("a.pdf", numbered_pdf(2));
  const Arguments arguments = {"--text-layer", "only", "--stats", "--resume", "-f",
                               "layout",       "-o",   out(),     file};
  EXPECT_EQ(pages_read(parse(arguments)), 2);
  EXPECT_EQ(pages_read(parse(arguments)), 0);
  fs::remove(out() + "/a.pdf.layout/page2.png");
  EXPECT_EQ(pages_read(parse(arguments)), 2);
  EXPECT_TRUE(fs::exists(out() + "/a.pdf.layout/page2.png"));
}

TEST_F(Parse, ResumeNoticesAModelReplacedInPlace) {
  const std::string file = write("a.pdf", numbered_pdf(1)), model = out("model");
  fs::copy(data("narrow"), model);
  const auto resume = [&](const Arguments& more = {}) {
    Arguments all = {"parse", "--model",  model, "--regions", "page", "--max-tokens", "4", "--text-layer",
                     "only",  "--resume", "-o",  out(),       file};
    all.insert(all.end(), more.begin(), more.end());
    return run(all, fake_renderer());
  };
  EXPECT_EQ(resume().exit_code, 0);
  EXPECT_EQ(resume().exit_code, 0);
  EXPECT_THAT(resume({"--background", "#102030"}).err, HasSubstr("begun with other options (--background)"));
  std::string weights = read_all(model + "/model.safetensors");  // of the same names, shapes and size
  for (std::size_t i = weights.size() / 2; i < weights.size(); ++i) weights[i] ^= 1;
  write_all(model + "/model.safetensors", weights);
  const ProcessResult result = resume();
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.err, HasSubstr("begun with other options (model's content)"));
}

TEST_F(Parse, StandardInputIsReadEachTime) {
  ProcessOptions options = fake_renderer();
  for (const int first : {1, 5}) {
    options.standard_input = numbered_pdf(1, first);
    EXPECT_EQ(parse({"--text-layer", "only", "--resume", "-o", out(), "-"}, options).exit_code, 0);
    EXPECT_EQ(read_all(out() + "/stdin.md"), "p" + std::to_string(first) + "\n");
  }
}

TEST_F(Parse, PagesThatAreNotThere) {
  const std::string file = write("a.pdf", numbered_pdf(3));
  for (int i = 0; i < 2; ++i) {
    const ProcessResult result = parse({"--pages", "5-", "--resume", "-o", out(), file});
    EXPECT_EQ(result.exit_code, 3);
    EXPECT_THAT(lines_of(result.err), ElementsAre(HasSubstr("a.pdf: has 3 pages; asked for: 5-")));
  }
  std::string many = numbered_pdf(1);
  for (int i = 0; i < 300'000; ++i) many += "missing\n";
  const std::string broken = write("many.pdf", many);
  for (int i = 0; i < 2; ++i) {
    const ProcessResult result =
        parse({"--text-layer", "only", "-f", "jsonl", "--resume", "-o", out("many"), broken});
    EXPECT_EQ(result.exit_code, 1);
    EXPECT_THAT(result.err, HasSubstr("after it are given up"));
    EXPECT_LT(lines_of(result.err).size(), 30u);
    EXPECT_LT(result.seconds, 20);
  }
}

TEST_F(Parse, NamesAreBytes) {
  for (const char* name :
       {"in/\xff.pdf", "in/\xfe.pdf", "in/a\nb.pdf", "in/ .pdf", "in/-f.pdf", "in/\xe2\x80\xae.pdf"})
    write(name, numbered_pdf(1));
  fs::create_directory_symlink("..", out("in/loop"));
  const Arguments arguments = {"--text-layer", "only", "--stats",     "-f",     "md,json",
                               "--resume",     "-o",   out("in/out"), out("in")};
  const ProcessResult result = parse(arguments);
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(pages_read(result), 6);
  EXPECT_EQ(names(out("in/out")).size(), 12u);
  EXPECT_EQ(read_all(out("in/out/\xff.pdf.md")), "p1\n");
  EXPECT_EQ(pages_read(parse(arguments)), 0) << "neither inputs nor outputs are read";
}

TEST_F(Parse, Passwords) {
  const std::string locked = data("pdf/aes256.pdf");
  write("password", "reader\n");
  const ProcessOptions renderer;
  const ProcessResult without = parse({"-o", out(), locked}, renderer);
  if (without.err.find("PDF files need") != std::string::npos)
    GTEST_SKIP() << "no renderer is on this machine";
  EXPECT_EQ(without.exit_code, 3);
  EXPECT_THAT(without.err, HasSubstr("it is encrypted and needs a password"));
  const ProcessResult with =
      parse({"--resume", "-f", "jsonl", "--password-file", folder_ / "password", "-o", out("open"), locked},
            renderer);
  EXPECT_EQ(with.exit_code, 0) << with.err;
  EXPECT_EQ(json_lines(read_all(out("open/aes256.pdf.jsonl"))).size(), 1u);
}

TEST_F(Parse, ThreeMachinesShareAFolder) {
  for (int i = 0; i < 12; ++i) write("in/" + std::to_string(i) + ".pdf", numbered_pdf(2, i));
  const Arguments arguments = {"--text-layer", "only", "-f", "md,json", out("in"), "-o"};
  Arguments alone = arguments;
  alone.push_back(out("alone"));
  ASSERT_EQ(parse(alone).exit_code, 0);
  std::vector<std::unique_ptr<Process>> machines;
  for (const char* shard : {"0/3", "1/3", "2/3"}) {
    Arguments part = arguments;
    part.insert(part.end(), {out(), "--shard", shard, "--stats"});
    machines.push_back(std::make_unique<Process>(command(part), fake_renderer()));
  }
  int pages = 0;
  for (const auto& machine : machines) {
    const ProcessResult result = machine->wait();
    EXPECT_EQ(result.exit_code, 0) << result.err;
    pages += pages_read(result);
  }
  EXPECT_EQ(pages, 24);
  EXPECT_EQ(outputs(out()), outputs(out("alone")));
  EXPECT_EQ(outputs(out()).size(), 24u);
}

TEST_F(Parse, TwoRunsIntoOneFolderAreRefused) {
  const std::string hang = write("hang.pdf", "%PDF-\n40 20 hang\n"), a = write("a.pdf", numbered_pdf(1));
  const Process first(command({"-o", out(), hang}), fake_renderer());
  while (first.running() && !fs::exists(out() + "/.glm-ocr/failed.jsonl")) ::usleep(1000);
  for (const Arguments& more : {Arguments{}, {"--resume"}}) {
    Arguments arguments = {"-o", out(), a};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const ProcessResult second = parse(arguments);
    EXPECT_EQ(second.exit_code, 2);
    EXPECT_THAT(second.err, HasSubstr("another run is writing there"));
  }
}

TEST_F(Parse, FoldersAreReadWholeToo) {
  write("in/a.pdf", numbered_pdf(2));
  fs::copy(kSmallWord, out("in/b.png"));
  write("in/notes.txt", "no document");
  const ProcessResult result =
      run({"--model", data("narrow"), "--max-tokens", "4", "-f", "jsonl", out("in")}, fake_renderer());
  EXPECT_EQ(result.exit_code, 0) << result.err;
  const std::vector<json> lines = json_lines(result.out);
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_EQ(lines[1]["page"], 2);
  EXPECT_EQ(lines[2]["file"], out("in/b.png"));
}

TEST_F(Parse, AFullDiskKeepsTheDocumentForALaterRun) {
  fs::create_directory(out());
  if (::mount("tmpfs", out().c_str(), "tmpfs", 0, "size=256k") != 0)
    GTEST_SKIP() << "file systems cannot be mounted here";
  const auto fill = [&](int kib) { write_all(out() + "/filler", std::string(kib << 10, 'x')); };
  write("in/a.pdf", numbered_pdf(2));
  std::string large = "%PDF-\n";
  for (int i = 0; i < 60; ++i)
    large += "400 20 letters " + std::string(20, static_cast<char>('a' + i % 26)) + "\n";
  write("in/b.pdf", large);
  write("in/c.pdf", numbered_pdf(2));
  const Arguments arguments = {"--text-layer", "only", "-f",  "json",   "--resume",
                               "--stats",      "-o",   out(), out("in")};
  fill(160);
  const ProcessResult full = parse(arguments);
  fs::remove(out() + "/filler");
  const std::map<std::string, std::string> before = outputs(out());
  const int kept = pages_kept(out());
  const ProcessResult resumed = parse(arguments);
  const std::map<std::string, std::string> after = outputs(out());
  ::umount(out().c_str());
  EXPECT_EQ(full.exit_code, 1);
  EXPECT_THAT(full.err, AllOf(HasSubstr("No space left"), HasSubstr("b.pdf")));
  EXPECT_THAT(before, testing::Contains(testing::Key("a.pdf.json")));
  EXPECT_THAT(before, Not(testing::Contains(testing::Key("b.pdf.json")))) << "not without some of its pages";
  EXPECT_EQ(resumed.exit_code, 0) << resumed.err;
  EXPECT_EQ(kept + pages_read(resumed), 64) << "a page was read twice, or lost";
  ASSERT_EQ(after.size(), 3u);
  EXPECT_EQ(json::parse(after.at("b.pdf.json"))["pages"].size(), 60u);
}

TEST_F(Parse, AFullStandardOutputIsAnError) {
  ProcessOptions options = fake_renderer();
  options.output_file = "/dev/full";
  const ProcessResult result = parse({"--text-layer", "only", write("a.pdf", numbered_pdf(1))}, options);
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.err, HasSubstr("standard output: cannot be written"));
}

// A folder of documents that take about a second, and what an undisturbed run makes of it.
class ParseSignals : public Parse {
 protected:
  static constexpr int kPages = 80;

  void SetUp() override {
    int page = 0;
    for (const int pages : {30, 1, 45}) write("in/" + std::to_string(pages) + ".pdf", sized_pdf(pages, page));
    fs::copy(kSmallWord, out("in/word.png"));
    write("in/sub/scan.tiff", tiff_of({{60, 30, 255}, {90, 30, 255}, {70, 60, 255}}));
    whole_ = run(arguments("whole"), fake_renderer());
    ASSERT_EQ(whole_.exit_code, 0) << whole_.err;
    ASSERT_EQ(pages_read(whole_), kPages);
    expected_ = outputs(out("whole"));
    ASSERT_EQ(expected_.size(), 15u);
  }
  static std::string sized_pdf(int pages, int& page) {
    std::string file = "%PDF-\n";
    for (int i = 0; i < pages; ++i, ++page)
      file += std::to_string(20 + page % 7) + " " + std::to_string(20 + page % 11) + " say " +
              std::to_string(page) + "\n";
    return file;
  }
  Arguments arguments(const std::string& output, const Arguments& more = {}) const {
    Arguments all = command({"--batch", "4", "--stats", "-f", "md,json,txt", "-o", out(output), out("in")});
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }
  // --resume reads what is not kept, once, and makes the outputs of an undisturbed run.
  void expect_resumed(const std::string& output) const {
    const int kept = pages_kept(out(output));
    const ProcessResult result = run(arguments(output, {"--resume"}), fake_renderer());
    EXPECT_EQ(result.exit_code, 0) << result.err;
    EXPECT_EQ(kept + pages_read(result), kPages) << "a page was read twice, or lost";
    EXPECT_EQ(outputs(out(output)), expected_);
    EXPECT_TRUE(fs::is_empty(out(output) + "/.glm-ocr/pages"));
  }

  ProcessResult whole_;
  std::map<std::string, std::string> expected_;
};

TEST_F(ParseSignals, CtrlCKeepsThePages) {
  for (const int signal : {SIGINT, SIGTERM}) {
    const std::string output = "out" + std::to_string(signal);
    Process process(arguments(output), fake_renderer());
    while (process.running() && pages_kept(out(output)) < 10) ::usleep(1000);
    process.send(signal);
    const ProcessResult result = process.wait();
    EXPECT_EQ(result.exit_code, 128 + signal) << result.err;
    EXPECT_THAT(result.err, HasSubstr("pages read; --resume goes on from there"));
    EXPECT_GE(pages_kept(out(output)), 10);
    EXPECT_LT(pages_kept(out(output)), kPages);
    EXPECT_EQ(read_all(out(output) + "/.glm-ocr/failed.jsonl"), "") << "an interrupted page has not failed";
    expect_resumed(output);
  }
}

TEST_F(ParseSignals, CtrlCWritesWhatIsReadToStandardOutput) {
  const std::string file = write("hang.pdf", numbered_pdf(30) + "40 20 hang\n40 20 letters p32\n");
  Process process(command({"--text-layer", "only", "-f", "txt", "--page-breaks", file}), fake_renderer());
  ::usleep(2'500'000);
  process.send(SIGINT);
  const ProcessResult result = process.wait();
  EXPECT_EQ(result.exit_code, 130);
  // A page before the one that hangs may wait for the renderer, too.
  EXPECT_THAT(lines_of(result.out).size(), AllOf(testing::Ge(20u), testing::Le(30u)));
  EXPECT_THAT(result.out, testing::StartsWith("p1\n\fp2\n"));
}

// GLMOCR_KILLS: how many moments (scripts/test.sh --long: 50).
TEST_F(ParseSignals, KillNineLosesThePagesInFlightAlone) {
  const char* wanted = std::getenv("GLMOCR_KILLS");
  const int kills = wanted != nullptr ? std::atoi(wanted) : 4;
  std::mt19937 random(11);
  int interrupted = 0;
  for (int i = 0; i < kills; ++i) {
    const std::string output = "kill" + std::to_string(i);
    Arguments more;
    for (int times = 1 + i % 2; times > 0; --times) {
      Process process(arguments(output, more), fake_renderer());
      while (i == 0 && process.running() && pages_kept(out(output)) < 5)
        ::usleep(1000);  // one amid the pages
      if (i > 0) ::usleep(random() % static_cast<unsigned>(1e6 * whole_.seconds));
      process.send(SIGKILL);
      process.wait();
      more = {"--resume"};
    }
    for (const auto& [name, content] : outputs(out(output))) {
      ASSERT_EQ(expected_.count(name), 1u) << name;
      EXPECT_EQ(content, expected_[name]) << name;
    }
    const int kept = pages_kept(out(output));
    if (kept > 0 && kept < kPages) ++interrupted;
    expect_resumed(output);
    fs::remove_all(out(output));
  }
  EXPECT_GT(interrupted, 0);
}

// Lines of all journals, which is faster than looking into them.
std::int64_t lines_kept(const fs::path& output) {
  std::int64_t lines = 0;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(output / ".glm-ocr/pages", error)) {
    const std::string content = read_all(entry.path());
    lines += std::count(content.begin(), content.end(), '\n');
  }
  return lines;
}

// The memory of a process and its children: each page counted by its share.
std::int64_t pss_of(pid_t process) {
  std::ifstream rollup("/proc/" + std::to_string(process) + "/smaps_rollup");
  std::int64_t kib = 0, sum = 0;
  for (std::string key; rollup >> key;) {
    if (key == "Pss:" && rollup >> kib) sum += kib * 1024;
  }
  std::ifstream children("/proc/" + std::to_string(process) + "/task/" + std::to_string(process) +
                         "/children");
  for (pid_t child = 0; children >> child;) sum += pss_of(child);
  return sum;
}

struct Mean {
  void add(double value) {
    sum += value;
    ++count;
  }
  double value() const { return sum / count; }
  double sum = 0;
  int count = 0;
};

// GLMOCR_PAGES (scripts/test.sh --long: 1000): a document of so many pages takes no more memory at its end than after 100.
class ParseMemory : public Parse {
 protected:
  void SetUp() override {
    const char* wanted = std::getenv("GLMOCR_PAGES");
    if (wanted == nullptr) GTEST_SKIP() << "takes minutes: set GLMOCR_PAGES";
    count_ = std::atoi(wanted);
  }
  static std::string text_of(int page) { return "Page number " + std::to_string(page); }

  // A document whose pages have this size in points and hold their number.
  std::string numbered_pages(const std::string& size) const {
    std::vector<PdfPage> pages;
    for (int i = 1; i <= count_; ++i) pages.push_back({pdf_text(text_of(i), 12), size, ""});
    return write("large.pdf", pdf_of(pages));
  }
  // Reads it with the embedded model. Returns the text's lines.
  std::vector<std::string> read_in_flat_memory(const std::string& file, const Arguments& how) const {
    Arguments arguments = {"parse", "--regions", "classical", "-f", "txt,json", "-o", out(), file};
    arguments.insert(arguments.end(), how.begin(), how.end());
    Process process(arguments, {});
    // Pages in work come and go: means, of the 200 pages behind the first 100 and of the last 200.
    Mean early, late;
    while (process.running()) {
      ::usleep(20'000);
      const std::int64_t kept = lines_kept(out()) - 1;
      const auto pss = static_cast<double>(pss_of(process.pid()));
      if (kept >= 100 && kept < 300) early.add(pss);
      if (kept >= count_ - 200 && kept < count_) late.add(pss);
    }
    const ProcessResult result = process.wait();
    EXPECT_EQ(result.exit_code, 0) << result.err;
    std::printf("%d pages in %.1f s: %.1f MiB after 100 pages, %.1f MiB at the end\n", count_, result.seconds,
                early.value() / (1 << 20), late.value() / (1 << 20));
    EXPECT_GT(early.count, 20);
    EXPECT_GT(late.count, 20);
    EXPECT_LT(late.value(), 1.05 * early.value());
    std::vector<std::string> lines = lines_of(read_all(out() + "/large.pdf.txt"));
    std::erase(lines, "");
    return lines;
  }

  int count_ = 0;
};

TEST_F(ParseMemory, DoesNotGrowWithPagesOfTheFilesText) {
  const std::vector<std::string> lines =
      read_in_flat_memory(numbered_pages("0 0 595 842"), {"--text-layer", "only"});
  ASSERT_EQ(std::ssize(lines), count_);
  for (int i = 0; i < count_; ++i) ASSERT_EQ(lines[i], text_of(i + 1));
}

// 444 x 319 pixels.
TEST_F(ParseMemory, DoesNotGrowWithPagesReadFromPictures) {
  const std::vector<std::string> lines =
      read_in_flat_memory(numbered_pages("0 0 160 115"), {"--text-layer", "off"});
  ASSERT_EQ(std::ssize(lines), count_);
  int equal = 0;
  for (int i = 0; i < count_; ++i) equal += lines[i] == text_of(i + 1);
  EXPECT_GE(equal, count_ * 99 / 100) << "of a model that may misread a page, but not all behind it";
}

}  // namespace
}  // namespace glmocr::integration
