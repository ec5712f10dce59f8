// SPDX-License-Identifier: Apache-2.0
// A table of broken and hostile inputs beside those of broken_test.cc: each ends with the documented exit code and a
// message that names what and where, in little time and memory, and leaves no file half-written.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <functional>
#include <random>
#include <regex>
#include <set>

#include "integration/program.h"
#include "support/peak_memory.h"

namespace glmocr::integration {
namespace {

namespace fs = std::filesystem;
using namespace std::string_literals;
using testing::HasSubstr;

constexpr double kMostSeconds = 20;
std::int64_t most_memory() {  // 512 MiB over the weights of the embedded model
  std::int64_t weights = 0;
  for (const auto& entry : fs::directory_iterator(GLMOCR_SOURCE_DIR "/models/mini")) {
    if (entry.path().extension() == ".safetensors") weights += static_cast<std::int64_t>(entry.file_size());
  }
  return weights + (std::int64_t{512} << 20);
}

using Arguments = std::vector<std::string>;

struct Case {
  std::string name;
  int exit_code;
  Arguments messages;  // parts of standard error; none: it is empty
  std::function<Arguments(const TemporaryFolder&, ProcessOptions&)> make;
};

// A command line that needs no file.
Case line(int exit_code, const Arguments& messages, const Arguments& arguments) {
  std::string name;
  for (const std::string& argument : arguments) name += (name.empty() ? "" : " ") + argument.substr(0, 30);
  return {name, exit_code, messages,
          [arguments](const TemporaryFolder&, ProcessOptions&) { return arguments; }};
}

// A file with this content, read as a picture; its name is part of the message.
Case file(const std::string& name, int exit_code, const Arguments& messages, const std::string& content,
          const Arguments& options = {}) {
  Arguments all = messages;
  all.push_back("hostile.file: ");
  return {name, exit_code, all, [=](const TemporaryFolder& folder, ProcessOptions&) {
            Arguments arguments = options;
            arguments.push_back(folder.write("hostile.file", content).string());
            return arguments;
          }};
}

std::string big(std::uint32_t value, int bytes) {
  std::string out;
  for (int i = bytes - 1; i >= 0; --i) out += static_cast<char>(i < 4 ? value >> (8 * i) & 0xff : 0);
  return out;
}
std::string little(std::uint32_t value, int bytes) {
  std::string out = big(value, bytes);
  return {out.rbegin(), out.rend()};
}

std::string png_chunk(const std::string& type, const std::string& data) {
  std::uint32_t sum = ~0u;
  for (const char c : type + data) {
    sum ^= static_cast<unsigned char>(c);
    for (int bit = 0; bit < 8; ++bit) sum = sum >> 1 ^ (sum & 1 ? 0xedb88320u : 0);
  }
  return big(static_cast<std::uint32_t>(data.size()), 4) + type + data + big(~sum, 4);
}
std::string png(std::uint32_t width, std::uint32_t height, const std::string& more = "", char color = 2) {
  return "\x89PNG\r\n\x1a\n" +
         png_chunk("IHDR", big(width, 4) + big(height, 4) + "\x8"s + color + "\0\0\0"s) + more +
         png_chunk("IDAT", "x\x9c\3\0\0\0\0\1"s) + png_chunk("IEND", "");
}

// A frame with three components and the begin of a scan.
std::string jpeg(char frame, std::uint32_t width, std::uint32_t height) {
  const std::string table = "\xff\xc4\0\x14\0\1"s + std::string(15, 0) + "\0"s + "\xff\xc4\0\x14\x10\1"s +
                            std::string(15, 0) + "\0"s;
  return "\xff\xd8\xff\xdb\0\x43\0"s + std::string(64, 1) + "\xff"s + frame + "\0\x11\x8"s + big(height, 2) +
         big(width, 2) + "\3\1\x11\0\2\x11\0\3\x11\0"s + table + "\xff\xda\0\x0c\3\1\0\2\0\3\0\0"s +
         (frame == '\xc2' ? "\0\0"s : "\x3f\0"s) + "\xff\xd9"s;
}

std::string gif(std::uint32_t width, std::uint32_t height) {
  return "GIF89a" + little(width, 2) + little(height, 2) + "\x80\0\0\0\0\0\xff\xff\xff,\0\0\0\0"s +
         "\1\0\1\0\0\2\2\x44\1\0;"s;
}

std::string bmp(std::int32_t width, std::int32_t height, std::uint32_t bits, std::uint32_t compression) {
  return "BM" + little(0, 8) + little(54, 4) + little(40, 4) + little(static_cast<std::uint32_t>(width), 4) +
         little(static_cast<std::uint32_t>(height), 4) + little(1, 2) + little(bits, 2) +
         little(compression, 4) + little(0, 20);
}

// A lossless WebP of this size, cut off after its header.
std::string webp(std::uint32_t width, std::uint32_t height) {
  const std::string data = "\x2f"s + little((width - 1) | (height - 1) << 14, 4) + std::string(64, '\x55');
  const auto size = static_cast<std::uint32_t>(data.size());
  return "RIFF" + little(size + 12 + size % 2, 4) + "WEBPVP8L" + little(size, 4) + data +
         (size % 2 ? "\0"s : "");
}

std::string tiff(std::uint32_t width, std::uint32_t height, std::uint32_t rows_per_strip,
                 std::uint32_t compression) {
  const auto tag = [](std::uint32_t id, std::uint32_t value) {
    return little(id, 2) + little(4, 2) + little(1, 4) + little(value, 4);
  };
  return "II\x2a\0\x08\0\0\0"s + little(8, 2) + tag(256, width) + tag(257, height) + tag(258, 8) +
         tag(259, compression) + tag(262, 1) + tag(273, 8) + tag(278, rows_per_strip) + tag(279, 50) +
         little(0, 4);
}

void add_pictures(std::vector<Case>& cases) {
  const std::string limit = "to decode, more than the limit of 416.0 MiB (picture_memory)";
  const Arguments large = {"size 16384x16384 takes ", limit};
  cases.push_back(file("PNG of 768 MiB", 5, large, png(16384, 16384)));
  cases.push_back(file("PNG of 768 MiB that is allowed fewer pixels", 3, {"exceeds the limit of 1000 pixels"},
                       png(16384, 16384), {"--max-pixels", "1000"}));
  cases.push_back(
      file("PNG with alpha", 5, {"size 10000x10000 takes 478.", limit}, png(10000, 10000, "", 6)));
  cases.push_back(
      file("PNG that is turned", 5, {"size 11000x7000 takes ", limit},
           png(11000, 7000, png_chunk("eXIf", "MM\0\x2a\0\0\0\x8\0\1\1\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0"s))));
  cases.push_back(file("PNG chunk of 2 GB", 3, {"PNG picture: "}, png(8, 8, big(0x7ffffff0, 4) + "eXIf")));
  cases.push_back(file("PNG of one row", 5, {"size 134217727x1 takes ", limit}, png(0x7ffffff, 1)));
  cases.push_back(file("PNG without pixels", 3, {"PNG picture: "}, png(3000, 3000)));
  cases.push_back(file("progressive JPEG", 5, {"size 8000x8000 takes ", limit}, jpeg('\xc2', 8000, 8000)));
  cases.push_back(
      file("JPEG of 65500 a side", 3, {"exceeds the limit of 268435456 pixels"}, jpeg('\xc0', 65500, 65500)));
  cases.push_back(
      file("JPEG of an empty scan", 0, {"warning: ", "JPEG picture is damaged"}, jpeg('\xc0', 56, 56)));
  cases.push_back(file("JPEG with a smaller limit", 5, {"size 4000x4000 takes ", "the limit of 10.0 MiB"},
                       jpeg('\xc0', 4000, 4000), {"--picture-memory", "10M"}));
  cases.push_back(file("GIF of 65535 a side", 3, {"exceeds the limit"}, gif(65535, 65535)));
  cases.push_back(file("GIF of 768 MiB", 5, large, gif(16384, 16384)));
  cases.push_back(file("BMP of a negative width", 3, {"is not positive"}, bmp(-5, 5, 24, 0)));
  cases.push_back(file("BMP of the least height", 3, {"exceeds the limit"}, bmp(5, INT32_MIN, 24, 0)));
  cases.push_back(file("BMP without pixels", 3, {"truncated file"}, bmp(10000, 10000, 24, 0)));
  cases.push_back(file("BMP of unknown coding", 3, {"compression 9 with 24 bits"}, bmp(5, 5, 24, 9)));
  cases.push_back(file("WebP of 16383 a side", 5, {"size 16383x16383 takes ", limit}, webp(16383, 16383)));
  cases.push_back(file("WebP of noise", 3, {"WebP picture: "}, webp(500, 500)));
  cases.push_back(
      file("TIFF of one strip", 5, {"size 16000x16000 takes ", limit}, tiff(16000, 16000, 16000, 1)));
  cases.push_back(file("TIFF of a million strips", 3, {"TIFF picture: "}, tiff(1, 200'000'000, 1, 1)));
  cases.push_back(file("TIFF of unknown coding", 3, {"TIFF picture: "}, tiff(100, 100, 100, 12345)));
  cases.push_back(file("TIFF of no rows per strip", 3, {"TIFF picture: "}, tiff(100, 100, 0, 1)));
  cases.push_back(file("PNM of 10 digits", 3, {"exceeds the limit"}, "P6 9999999999 9999999999 255\n"));
  cases.push_back(file("PNM of 11 digits", 3, {"more than 10 digits"}, "P6 99999999999 1 255\n"));
  cases.push_back(file("PNM of comments", 3, {"truncated file"}, "P3 " + std::string(1 << 20, '#')));
  cases.push_back(file("a line of 300 to 1", 3, {"more than 200 times the other"},
                       "P5 8400 28 255\n" + std::string(8400 * 28, 'x')));
  cases.push_back(file("a web page", 3, {"not a picture"}, "<!DOCTYPE html><html></html>"));
  cases.push_back(file("an archive", 3, {"not a picture"}, "PK\3\4" + std::string(100, 'x')));
  cases.push_back(file("an SVG", 3, {"is a SVG file, which is not supported"},
                       "<svg xmlns=\"http://www.w3.org/2000/svg\"/>"));
  cases.push_back(file("one byte", 3, {"not a picture"}, "\xff"));
  cases.push_back(file("zeros", 3, {"not a picture"}, std::string(1 << 20, '\0')));
  cases.push_back(file("more than the memory limit leaves", 5,
                       {"to decode; the memory limit leaves ", " for that"}, png(9000, 9000),
                       {"--memory", "200M"}));
}

Case picture_at(const std::string& name, int exit_code, const Arguments& messages,
                const std::function<std::string(const TemporaryFolder&)>& make) {
  return {name, exit_code, messages,
          [make](const TemporaryFolder& folder, ProcessOptions&) { return Arguments{make(folder)}; }};
}

void make_socket(const std::string& path) {
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  ::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address);
  ::close(fd);
}

void add_places(std::vector<Case>& cases) {
  cases.push_back(picture_at("endless file", 5, {"/dev/zero: has more than 416.0 MiB", "(picture_memory)"},
                             [](const TemporaryFolder&) { return "/dev/zero"s; }));
  cases.push_back(picture_at("socket", 3, {"socket: cannot be opened: "}, [](const TemporaryFolder& folder) {
    make_socket(folder / "socket");
    return folder / "socket";
  }));
  cases.push_back(picture_at("dangling link", 3, {"link: cannot be opened: No such file"},
                             [](const TemporaryFolder& folder) {
                               fs::create_symlink("nowhere", folder / "link");
                               return folder / "link";
                             }));
  cases.push_back(picture_at("link to itself", 3, {"link: cannot be opened: Too many levels"},
                             [](const TemporaryFolder& folder) {
                               fs::create_symlink("link", folder / "link");
                               return folder / "link";
                             }));
  cases.push_back(picture_at("name of 300 bytes", 3, {"nnn: cannot be opened: File name too long"},
                             [](const TemporaryFolder& folder) { return folder / std::string(300, 'n'); }));
  cases.push_back(picture_at(
      "name that is no UTF-8", 3, {"caf\xe9.png: not a picture"},
      [](const TemporaryFolder& folder) { return folder.write("caf\xe9.png", "no picture").string(); }));
  cases.push_back(
      picture_at("empty name", 3, {"cannot be opened"}, [](const TemporaryFolder&) { return ""s; }));
  cases.push_back(picture_at("file of the kernel that cannot be read", 3, {"/proc/self/mem: cannot be read"},
                             [](const TemporaryFolder&) { return "/proc/self/mem"s; }));
  cases.push_back({"list that never ends",
                   5,
                   {"/dev/zero: has more than 256.0 MiB"},
                   [](const TemporaryFolder&, ProcessOptions&) {
                     return Arguments{"--files-from", "/dev/zero"};
                   }});
  cases.push_back({"list that is a folder",
                   3,
                   {"is a folder, expected a file"},
                   [](const TemporaryFolder& folder, ProcessOptions&) {
                     return Arguments{"--files-from", folder.path().string()};
                   }});
  cases.push_back({"list of noise",
                   3,
                   {"\xff\xfe: cannot be opened", "\\x01\\x02: cannot be opened"},
                   [](const TemporaryFolder& folder, ProcessOptions&) {
                     return Arguments{"--files-from", folder.write("list", "\xff\xfe\n\1\2").string()};
                   }});
  cases.push_back({"closed standard input",
                   3,
                   {"standard input: empty file"},
                   [](const TemporaryFolder&, ProcessOptions& options) {
                     options.closed_input = true;
                     return Arguments{"-"};
                   }});
  cases.push_back({"schema that never ends",
                   5,
                   {"/dev/zero: has more than 256.0 MiB"},
                   [](const TemporaryFolder&, ProcessOptions&) {
                     return Arguments{"--task", "extract", "--schema", "/dev/zero", kSmallWord};
                   }});
  cases.push_back(
      {"schema nested deeply",
       3,
       {"schema: ", "nested deeper than 64 levels"},
       [](const TemporaryFolder& folder, ProcessOptions&) {
         const std::string deep = std::string(100'000, '[') + std::string(100'000, ']');
         return Arguments{"--task", "extract", "--schema", folder.write("schema", deep).string(), kSmallWord};
       }});
  cases.push_back({"text that is no UTF-8",
                   3,
                   {"not UTF-8 at byte 1"},
                   [](const TemporaryFolder& folder, ProcessOptions&) {
                     return Arguments{"tokenize", "--file", folder.write("text", "a\xff").string()};
                   }});
}

void add_command_lines(std::vector<Case>& cases) {
  const auto bad = [&](const Arguments& messages, const Arguments& arguments) {
    cases.push_back(line(2, messages, arguments));
  };
  bad({"--max-tokens: 0 is out of range, expected 1 to 2147483647"}, {"--max-tokens", "0", kSmallWord});
  bad({"--max-tokens: 99999999999 is out of range"}, {"--max-tokens", "99999999999", kSmallWord});
  bad({"--max-tokens: \"ten\" is not a number"}, {"--max-tokens", "ten", kSmallWord});
  bad({"--temperature: \"nan\" is not a number"}, {"--temperature", "nan", kSmallWord});
  bad({"--temperature: inf is out of range"}, {"--temperature", "inf", kSmallWord});
  bad({"--top-p: 2 is out of range, expected 0 to 1"}, {"--top-p", "2", kSmallWord});
  bad({"--min-p: -0.1 is out of range"}, {"--min-p", "-0.1", kSmallWord});
  bad({"--repetition-penalty: 0 is out of range"}, {"--repetition-penalty", "0", kSmallWord});
  bad({"--seed: -1 is out of range"}, {"--seed", "-1", kSmallWord});
  bad({"--seed"}, {"--seed", "1e30", kSmallWord});
  bad({"--memory", "\"12X\" is not a size"}, {"--memory", "12X", kSmallWord});
  bad({"--memory", "\"-5\" is not a size"}, {"--memory", "-5", kSmallWord});
  bad({"--memory", "\"0\" is not a size"}, {"--memory", "0", kSmallWord});
  bad({"--picture-memory", "\"much\" is not a size"}, {"--picture-memory", "much", kSmallWord});
  bad({"--max-pixels: 0 is out of range"}, {"--max-pixels", "0", kSmallWord});
  bad({"--threads: 0 is out of range, expected 1 to 1024"}, {"--threads", "0", kSmallWord});
  bad({"--batch: 1025 is out of range"}, {"--batch", "1025", kSmallWord});
  bad({"--time-limit: 0 is out of range"}, {"--time-limit", "0", kSmallWord});
  bad({"--logprobs: 101 is out of range"}, {"-f", "json", "--logprobs", "101", kSmallWord});
  bad({"--format", "\"xml\" is none of text|json|jsonl"}, {"--format", "xml", kSmallWord});
  bad({"--dtype", "\"int8\" is none of auto|fp32|bf16"}, {"--dtype", "int8", kSmallWord});
  bad({"--background", "\"pink\" is not a colour"}, {"--background", "pink", kSmallWord});
  bad({"--stream needs --format text"}, {"--stream", "-f", "json", kSmallWord});
  bad({"--logprobs needs --format json"}, {"--logprobs", "1", kSmallWord});
  bad({"--schema needs --task extract"}, {"--schema", "x", kSmallWord});
  bad({"--task extract needs --schema"}, {"--task", "extract", kSmallWord});
  bad({"--task", "\"poem\" is none of"}, {"--task", "poem", kSmallWord});
  bad({"--outptu: no such option; did you mean --output?"}, {"--outptu", "x", kSmallWord});
  bad({"no such file or command; did you mean \"forward\"?"}, {"forwrd"});
  bad({"no picture given"}, {});
  bad({"--prompt", "--task"}, {"--prompt", "x", "--task", "text", kSmallWord});
  bad({"nothing to tokenize"}, {"tokenize"});
  bad({"--image"}, {"forward"});
  bad({"--top: 2000000 is out of range"}, {"forward", "--top", "2000000", "--image", kSmallWord});
  cases.push_back(line(6, {"warp"}, {"--device", "warp", kSmallWord}));
  cases.push_back(line(6, {"\"z80\" is not available"}, {"--device", "cpu:z80", kSmallWord}));
  cases.push_back(line(3, {"not UTF-8"}, {"--prompt", "a\xff", kSmallWord}));
  cases.push_back(
      line(5, {"the prompt has ", "tokens"}, {"--prompt", std::string(100'000, 'x'), kSmallWord}));
  cases.push_back(line(3, {"not UTF-8 at byte 0"}, {"tokenize", "\xc0\x80"}));
  cases.push_back(line(5, {"the memory limit of 1.0 MiB is too small: ", " MiB is the least"},
                       {"--memory", "1M", kSmallWord}));
  cases.push_back(line(5, {"the memory limit of 1.0 MiB is too small: ", " MiB is the least"},
                       {"info", "--memory", "1M"}));
  cases.push_back(line(5, {"the memory limit of 1.0 MiB is too small: ", " MiB is the least"},
                       {"forward", "--memory", "1M", "--image", kSmallWord}));
  cases.push_back(line(5, {"the memory limit of 6.0 MiB is too small: ", " MiB is the least"},
                       {"forward", "--dtype", "fp32", "--memory", "6M", "--image", kPage}));
  cases.push_back(line(5, {"the memory limit of 100.0 KiB is too small: ", " MiB is the least"},
                       {"selftest", "-q", "--memory", "100K"}));
}

Case snapshot(const std::string& name, const Arguments& messages,
              const std::function<void(const TemporaryFolder&)>& spoil) {
  return {name, 4, messages, [spoil](const TemporaryFolder& folder, ProcessOptions&) {
            for (const auto& entry : fs::directory_iterator(data("narrow"))) {
              fs::copy_file(entry.path(), folder / entry.path().filename().string());
            }
            spoil(folder);
            return Arguments{"--model", folder.path().string(), "--max-tokens", "3", kSmallWord};
          }};
}

void replace_by_pipe(const std::string& path) {
  fs::remove(path);
  ::mkfifo(path.c_str(), 0600);
}
void replace_by_link(const std::string& path, const std::string& target) {
  fs::remove(path);
  fs::create_symlink(target, path);
}

void add_snapshots(std::vector<Case>& cases) {
  for (const char* name : {"config.json", "tokenizer.json", "preprocessor_config.json",
                           "generation_config.json", "model.safetensors"}) {
    cases.push_back(snapshot("pipe as "s + name, {name + ": is a pipe or a device, expected a file"s},
                             [name](const TemporaryFolder& folder) { replace_by_pipe(folder / name); }));
  }
  for (const char* name : {"config.json", "tokenizer.json", "model.safetensors"}) {
    cases.push_back(
        snapshot("device as "s + name, {name + ": is a pipe or a device, expected a file"s},
                 [name](const TemporaryFolder& folder) { replace_by_link(folder / name, "/dev/zero"); }));
    cases.push_back(snapshot("folder as "s + name, {name}, [name](const TemporaryFolder& folder) {
      fs::remove(folder / name);
      fs::create_directory(folder / name);
    }));
  }
  cases.push_back(
      snapshot("weights that are not finite", {"are not finite"}, [](const TemporaryFolder& folder) {
        std::string bytes = read_all(folder / "model.safetensors");
        std::fill(bytes.end() - static_cast<std::ptrdiff_t>(bytes.size() / 2), bytes.end(), '\xff');
        write_all(folder / "model.safetensors", bytes);
      }));
  cases.push_back(
      line(4, {"org/nothing", "hf download org/nothing"}, {"--model", "org/nothing", kSmallWord}));
  cases.push_back(line(4, {kSmallWord}, {"--model", kSmallWord, kSmallWord}));
  cases.push_back({"GLMOCR_MODEL names nothing",
                   4,
                   {"/nonexistent: no such folder"},
                   [](const TemporaryFolder&, ProcessOptions& options) {
                     options.environment = {{"GLMOCR_MODEL", "/nonexistent"}};
                     return Arguments{kSmallWord};
                   }});
  cases.push_back({"GLMOCR_CPU_ISA names nothing",
                   6,
                   {"\"sse9\" is not available"},
                   [](const TemporaryFolder&, ProcessOptions& options) {
                     options.environment = {{"GLMOCR_CPU_ISA", "sse9"}};
                     return Arguments{kSmallWord};
                   }});
}

void add_outputs(std::vector<Case>& cases) {
  for (const Arguments& command : {Arguments{"info"},
                                   {"tokenize", "x"},
                                   {"forward", "--image", kSmallWord},
                                   {"--help"},
                                   {"--version"}}) {
    cases.push_back(
        {"closed output of " + command[0], 0, {}, [command](const TemporaryFolder&, ProcessOptions& options) {
           options.closed_output = true;
           return command;
         }});
    cases.push_back({"full output of " + command[0],
                     1,
                     {"standard output: cannot be written: No space left"},
                     [command](const TemporaryFolder&, ProcessOptions& options) {
                       options.output_file = "/dev/full";
                       return command;
                     }});
  }
  cases.push_back({"closed errors", 3, {}, [](const TemporaryFolder& folder, ProcessOptions& options) {
                     options.closed_errors = true;
                     return Arguments{folder / "missing.png"};
                   }});
  cases.push_back({"output into a missing folder",
                   2,
                   {"--output", "missing"},
                   [](const TemporaryFolder& folder, ProcessOptions&) {
                     return Arguments{"-o", folder / "missing/text", kSmallWord};
                   }});
  cases.push_back({"output onto the picture",
                   2,
                   {"this is one of the pictures to read"},
                   [](const TemporaryFolder& folder, ProcessOptions&) {
                     fs::copy_file(kSmallWord, folder / "a.png");
                     return Arguments{"-o", folder / "a.png", folder / "a.png"};
                   }});
  cases.push_back({"dump into a file", 2, {"--dump"}, [](const TemporaryFolder& folder, ProcessOptions&) {
                     return Arguments{"forward", "--image", kSmallWord, "--dump",
                                      folder.write("file", "x").string() + "/below"};
                   }});
  cases.push_back({"output of 300 bytes",
                   1,
                   {"cannot be written: File name too long"},
                   [](const TemporaryFolder& folder, ProcessOptions&) {
                     return Arguments{"-o", folder / std::string(300, 'n'), kSmallWord};
                   }});
}

const std::vector<Case>& cases() {
  static const std::vector<Case> all = [] {
    std::vector<Case> list;
    add_pictures(list);
    add_places(list);
    add_command_lines(list);
    add_snapshots(list);
    add_outputs(list);
    return list;
  }();
  return all;
}

TEST(Hostile, ThereAreMoreThanAHundred) {
  std::set<std::string> names;
  for (const Case& one : cases()) names.insert(one.name);
  EXPECT_EQ(names.size(), cases().size());
  EXPECT_GE(cases().size(), 100u);
}

class HostileInputs : public testing::TestWithParam<std::size_t> {};

TEST_P(HostileInputs, EndAsDocumented) {
  const Case& one = cases()[GetParam()];
  const TemporaryFolder folder;
  ProcessOptions options;
  const Arguments arguments = one.make(folder, options);
  const std::vector<std::string> before = folder.names();
  const ProcessResult result = run(arguments, options);
  EXPECT_EQ(result.exit_code, one.exit_code) << one.name << ", signal " << result.signal << "\n"
                                             << result.err;
  for (const std::string& part : one.messages) EXPECT_THAT(result.err, HasSubstr(part)) << one.name;
  EXPECT_EQ(one.messages.empty(), result.err.empty()) << result.err;
  EXPECT_TRUE(one.exit_code == 0 || result.out.empty()) << result.out;
  if (kMemoryIsMeasurable) {
    EXPECT_LT(result.peak_memory, most_memory()) << one.name;
  }
  EXPECT_LT(result.seconds, kMostSeconds) << one.name;
  EXPECT_EQ(folder.names(), before) << "a file was left behind";
}

std::string hostile_name(const testing::TestParamInfo<std::size_t>& info) {
  std::string name = std::to_string(info.param) + "_" + cases()[info.param].name.substr(0, 60);
  for (char& c : name) c = std::isalnum(static_cast<unsigned char>(c)) ? c : '_';
  return name;
}

INSTANTIATE_TEST_SUITE_P(Kinds, HostileInputs, testing::Range(std::size_t{0}, cases().size()), hostile_name);

// The largest picture that is read by default.
TEST(Hostile, TheLargestPictureStaysBelowTheBar) {
  const TemporaryFolder folder;
  constexpr int kWidth = 12'000, kHeight = 5'900;  // with its file 405 MiB
  std::string content = "P6 12000 5900 255\n";
  content.resize(content.size() + std::size_t{3} * kWidth * kHeight, '\xff');
  const std::string file = folder.write("large.ppm", content).string();
  content.clear();
  content.shrink_to_fit();
  const ProcessResult result = run({"--model", data("narrow"), "--max-tokens", "2", "-q", file});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_LT(result.peak_memory, most_memory());
}

// The smallest limit that a message names is enough, and less is not.
TEST(Hostile, TheLeastMemoryThatIsNamedIsEnough) {
  const std::regex least(R"(is too small: (\d+) MiB is the least)");
  for (const Arguments& command :
       {Arguments{"forward", "--dtype", "fp32", "--image", picture("word_112x56.png")}, {"selftest", "-q"}}) {
    const auto with = [&](int mebibytes) {
      Arguments arguments = command;
      arguments.insert(arguments.end(), {"--memory", std::to_string(mebibytes) + "M"});
      return run(arguments);
    };
    int limit = 1;
    ProcessResult result = with(limit);
    for (int round = 0; round < 4 && result.exit_code == 5; ++round) {
      std::smatch found;
      ASSERT_TRUE(std::regex_search(result.err, found, least)) << result.err;
      EXPECT_GT(std::stoi(found[1]), limit);
      limit = std::stoi(found[1]);
      result = with(limit);
    }
    EXPECT_EQ(result.exit_code, 0) << command[0] << " with " << limit << " MiB: " << result.err;
    EXPECT_EQ(with(limit - 1).exit_code, 5) << command[0] << " with " << limit - 1 << " MiB";
  }
}

// A folder on a disk of one page that is full.
TEST(Hostile, AFullDiskLeavesNothingBehind) {
  const TemporaryFolder folder;
  fs::create_directory(folder / "disk");
  if (::mount("tmpfs", (folder / "disk").c_str(), "tmpfs", 0, "size=16k") != 0)
    GTEST_SKIP() << "tmpfs needs privileges";
  const ProcessResult whole = run({"-o", folder / "disk", kSmallWord});
  std::ofstream(folder / "disk/filler") << std::string(64 << 10, 'x');
  const ProcessResult full = run({"-f", "json", "-o", folder / "disk", kSmallWord, kSmallWord});
  std::set<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder / "disk"))
    names.insert(entry.path().filename().string());
  ::umount((folder / "disk").c_str());
  EXPECT_EQ(whole.exit_code, 0) << whole.err;
  EXPECT_EQ(full.exit_code, 1);
  EXPECT_THAT(full.err, HasSubstr("word_56x56.png.json: cannot be written: No space left"));
  EXPECT_EQ(names, (std::set<std::string>{"filler", "word_56x56.png.text"}));
}

// Signals in every phase: while the model is loaded, while a picture is waited for, while pages are read.
TEST(HostileSignals, EndEveryPhaseAtOnce) {
  std::mt19937 random(1);
  const TemporaryFolder folder;
  ASSERT_EQ(::mkfifo((folder / "pipe").c_str(), 0600), 0);
  const std::vector<Arguments> commands = {{"-o", folder / "text", kPage, kPage},
                                           {"-o", folder / "text", folder / "pipe"},
                                           {"forward", "--image", kPage},
                                           {"selftest", "-q"},
                                           {"info"}};
  for (const Arguments& command : commands) {
    for (const int signal : {SIGINT, SIGTERM}) {
      for (const unsigned most : {3u, 30u, 300u}) {  // milliseconds
        Process process(command);
        ::usleep(random() % (1000 * most));
        process.send(signal);
        ASSERT_TRUE(process.ends_within(20)) << command[0];
        const ProcessResult result = process.wait();
        EXPECT_TRUE(result.signal == signal || result.exit_code == 128 + signal || result.exit_code == 0)
            << command[0] << ": " << result.exit_code << " " << result.signal << result.err;
        EXPECT_LT(result.peak_memory, most_memory());
        for (const std::string& name : folder.names()) EXPECT_TRUE(name == "pipe" || name == "text") << name;
      }
    }
  }
}

// After kill -9 every output that has its name is whole. GLMOCR_KILLS: how many moments (scripts/test.sh --long: 50).
TEST(HostileSignals, KillNineLeavesWholeOutputs) {
  const char* wanted = std::getenv("GLMOCR_KILLS");
  const int kills = wanted != nullptr ? std::atoi(wanted) : 6;
  constexpr int kPictures = 100;
  const TemporaryFolder pictures;
  Arguments arguments = {"--max-tokens", "12", "--batch", "4", "-q"};
  for (int i = 0; i < kPictures; ++i) {
    const std::string name = pictures / (std::to_string(i) + ".png");
    fs::create_symlink(i % 3 == 0 ? picture("word_112x56.png") : kSmallWord, name);
    arguments.push_back(name);
  }
  const auto into = [&](const TemporaryFolder& folder) {
    Arguments all = arguments;
    all.insert(all.end(), {"-o", folder.path().string()});
    return all;
  };
  const TemporaryFolder undisturbed;
  const ProcessResult whole = run(into(undisturbed));
  ASSERT_EQ(whole.exit_code, 0) << whole.err;
  ASSERT_EQ(undisturbed.names().size(), std::size_t{kPictures});

  std::mt19937 random(7);
  std::size_t outputs = 0;
  for (int i = 0; i < kills; ++i) {
    const TemporaryFolder folder;
    Process process(into(folder));
    ::usleep(random() % static_cast<unsigned>(1.1e6 * whole.seconds));
    process.send(SIGKILL);
    process.wait();
    for (const std::string& name : folder.names()) {
      if (name.starts_with(".") && name.ends_with(".tmp")) continue;  // hidden, and of no picture's name
      ASSERT_TRUE(fs::exists(undisturbed / name)) << name;
      EXPECT_EQ(read_all(folder / name), read_all(undisturbed / name)) << name;
      ++outputs;
    }
  }
  EXPECT_GT(outputs, 0u);
  EXPECT_LT(outputs, static_cast<std::size_t>(kills) * kPictures);
}

}  // namespace
}  // namespace glmocr::integration
