// SPDX-License-Identifier: Apache-2.0
#include "jobs/input_list.h"

#include <gmock/gmock.h>

#include "support/expect_error.h"
#include "support/temporary_folder.h"

namespace glmocr {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::IsEmpty;

TEST(ShardTest, EveryNameIsInExactlyOne) {
  for (const std::int64_t count : {1, 2, 3, 7, 64}) {
    std::vector<int> sizes(static_cast<std::size_t>(count));
    for (int i = 0; i < 1000; ++i) {
      const std::string name = "folder/" + std::to_string(i) + ".pdf";
      int owners = 0;
      for (std::int64_t index = 0; index < count; ++index) {
        if (!Shard{index, count}.has(name)) continue;
        ++owners;
        ++sizes[static_cast<std::size_t>(index)];
      }
      EXPECT_EQ(owners, 1) << name;
    }
    const auto fair = static_cast<int>(1000 / count);
    for (const int size : sizes)
      EXPECT_THAT(size, testing::AllOf(testing::Gt(fair / 3), testing::Le(3 * fair)));
  }
}

TEST(ShardTest, TheHashIsThatOfEveryMachine) {
  EXPECT_EQ(name_hash(""), 0xcbf29ce484222325u);
  EXPECT_EQ(name_hash("a"), 0xaf63dc4c8601ec8cu);
  EXPECT_EQ(name_hash("foobar"), 0x85944171f73967e8u);
  EXPECT_NE(name_hash("\xfe"), name_hash("\xff"));
}

TEST(ShardTest, IsParsed) {
  EXPECT_EQ(Shard::parse("2/8").index, 2);
  EXPECT_EQ(Shard::parse("2/8").count, 8);
  EXPECT_EQ(Shard::parse("0/1").count, 1);
  for (const char* text : {"", "/", "1", "1/", "/3", "a/3", "1/b", "-1/3", "+1/3", "1/3/4", " 1/3", "1 /3",
                           "1/3 ", "1.0/3", "0/99999999999999999999"}) {
    expect_error(ErrorCode::usage, {std::string("\"") + text + "\""}, [&] { Shard::parse(text); });
  }
  for (const char* text : {"3/3", "4/3", "0/0"})
    expect_error(ErrorCode::usage, {"there is no part", "counted from 0"}, [&] { Shard::parse(text); });
}

class Inputs : public testing::Test {
 protected:
  void add(const std::string& name) const {
    fs::create_directories(fs::path(folder_ / name).parent_path());
    folder_.write(name, "x");
  }
  // Names relative to the folder.
  std::vector<std::string> files(const std::string& folder = "in", const std::string& output = "") const {
    std::vector<std::string> names;
    for (const fs::path& file : folder_files(folder_ / folder, output.empty() ? "" : folder_ / output))
      names.push_back(file.lexically_relative(folder_ / folder).string());
    return names;
  }
  std::vector<std::string> names(const std::vector<std::string>& arguments,
                                 const std::string& output = "") const {
    std::vector<std::string> all;
    for (const std::string& argument : arguments) all.push_back(argument == "-" ? "-" : folder_ / argument);
    std::vector<std::string> result;
    for (const JobInput& input : list_inputs(all, output.empty() ? "" : folder_ / output))
      result.push_back(input.name);
    return result;
  }

  TemporaryFolder folder_;
};

TEST_F(Inputs, OfAFolderAreItsDocuments) {
  for (const char* name : {"in/b.PDF", "in/a.png", "in/sub/deep/c.Tiff", "in/sub/d.jpeg", "in/notes.txt",
                           "in/README", "in/.hidden.png", "in/.git/e.png", "in/sub/.cache/f.pdf",
                           "in/line\nbreak.png", "in/\xff\xfe.png", "in/png", "in/folder.pdf/g.webp"}) {
    add(name);
  }
  EXPECT_THAT(files(), ElementsAre("a.png", "b.PDF", "folder.pdf/g.webp", "line\nbreak.png", "sub/d.jpeg",
                                   "sub/deep/c.Tiff", "\xff\xfe.png"));
  EXPECT_THAT(names({"in/", "in/notes.txt"}).back(), "notes.txt") << "what is named is taken as it is";
  EXPECT_THAT(names({"in/sub/../sub/"}), ElementsAre("d.jpeg", "deep/c.Tiff"));
  EXPECT_THAT(names({"in/.git"}), ElementsAre("e.png")) << "what is named may be hidden";
}

TEST_F(Inputs, LinksToFoldersAreNotFollowed) {
  add("in/a.png");
  add("elsewhere/b.png");
  fs::create_directory_symlink("..", folder_ / "in/loop");
  fs::create_directory_symlink("../elsewhere", folder_ / "in/other");
  fs::create_symlink("a.png", folder_ / "in/link.png");
  fs::create_symlink("self.png", folder_ / "in/self.png");
  fs::create_symlink("nowhere", folder_ / "in/broken.pdf");
  EXPECT_THAT(files(), ElementsAre("a.png", "link.png"));
  fs::create_directory_symlink("in", folder_ / "in_link");
  EXPECT_THAT(names({"in_link"}), ElementsAre("a.png", "link.png")) << "one that is named is";
}

TEST_F(Inputs, TheFolderOfOutputsIsLeftOut) {
  add("in/a.png");
  add("in/out/a.png.imgs/page1_region0.jpg");
  EXPECT_THAT(files("in", "in/out"), ElementsAre("a.png"));
  EXPECT_THAT(files("in", "in/../in/out/"), ElementsAre("a.png"));
  EXPECT_THAT(files(), ElementsAre("a.png", "out/a.png.imgs/page1_region0.jpg"));
  for (const char* output : {"in", "in/", "in/out/.."})
    expect_error(ErrorCode::usage, {"/in: is the folder of outputs as well"}, [&] { names({"in"}, output); });
  EXPECT_THAT(names({"in/a.png"}, "in"), ElementsAre("a.png")) << "files beside which outputs are written";
}

TEST_F(Inputs, OfTheSameNameAreRefused) {
  add("in/a.png");
  add("more/a.png");
  add("more/sub/a.png");
  for (const std::vector<std::string>& arguments : {std::vector<std::string>{"in/a.png", "more/a.png"},
                                                    {"in", "more"},
                                                    {"in/a.png", "in/a.png"},
                                                    {"-", "-"}}) {
    expect_error(ErrorCode::usage, {"would have the same output as"}, [&] { names(arguments); });
  }
  EXPECT_THAT(names({"in", "-"}), ElementsAre("a.png", "stdin"));
  fs::remove(folder_ / "more/a.png");
  EXPECT_THAT(names({"in", "more"}), ElementsAre("a.png", "sub/a.png"));
}

TEST_F(Inputs, FoldersThatCannotBeReadAreNamed) {
  expect_error(ErrorCode::input, {"missing: cannot be read: No such file"}, [&] { files("missing"); });
  add("in/notes.txt");
  EXPECT_THAT(names({"in"}), IsEmpty());
  EXPECT_THAT(names({"missing.png"}), ElementsAre("missing.png")) << "which is the error of its page";
}

TEST_F(Inputs, FoldersAreExpandedInTheirPlace) {
  add("in/b.png");
  add("in/a.png");
  std::vector<std::string> list = {"-", folder_ / "z.png", folder_ / "in", folder_ / "in"};
  expand_folders(list, "");
  EXPECT_THAT(list, ElementsAre("-", folder_ / "z.png", folder_ / "in/a.png", folder_ / "in/b.png",
                                folder_ / "in/a.png", folder_ / "in/b.png"));
  add("empty/notes.txt");
  std::vector<std::string> empty = {folder_ / "empty"};
  expect_error(ErrorCode::input, {"empty: there are no pictures or PDF files in this folder"},
               [&] { expand_folders(empty, ""); });
}

}  // namespace
}  // namespace glmocr
