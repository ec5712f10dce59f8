// SPDX-License-Identifier: Apache-2.0
#include "base/mapped_file.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <thread>

#include "support/expect_error.h"
#include "support/temporary_folder.h"

namespace glmocr {
namespace {

using testing::ElementsAre;

mode_t mode_of(const std::string& path) {
  struct stat info {};
  EXPECT_EQ(::stat(path.c_str(), &info), 0) << path;
  return info.st_mode & 0777;
}

// Sets the umask for a test.
class Umask {
 public:
  explicit Umask(mode_t mask) : before_(::umask(mask)) {}
  ~Umask() { ::umask(before_); }

 private:
  mode_t before_;
};

TEST(ReadFile, RefusesWhatIsTooLongOrNeverEnds) {
  const TemporaryFolder folder;
  folder.write("a", "12345");
  EXPECT_EQ(read_file(folder / "a", 5), "12345");
  expect_error(ErrorCode::memory, {folder / "a", "has more than 4 B"}, [&] { read_file(folder / "a", 4); });
  expect_error(ErrorCode::memory, {"/dev/zero: has more than 64.0 MiB"},
               [&] { read_file("/dev/zero", 64 << 20); });
  expect_error(ErrorCode::input, {"/dev/zero: is a pipe or a device"},
               [&] { read_file("/dev/zero", 5, FileKind::regular); });
}

TEST(ReadDescriptor, ReadsAllOfAPipeThatDoesNotBlock) {
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
  std::thread writer([&] {
    for (const char* piece : {"123", "45"}) {
      ::usleep(20'000);
      EXPECT_GT(::write(ends[1], piece, std::strlen(piece)), 0);
    }
    ::close(ends[1]);
  });
  const std::string content = read_descriptor(ends[0], "stdin");
  writer.join();
  ::close(ends[0]);
  EXPECT_EQ(content, "12345");
}

TEST(ReadDescriptor, RefusesWhatIsTooLongAndWhatCannotBeRead) {
  const TemporaryFolder folder;
  folder.write("a", "12345");
  const int file = ::open((folder / "a").c_str(), O_RDONLY | O_CLOEXEC);
  ASSERT_GE(file, 0);
  expect_error(ErrorCode::memory, {"stdin: has more than 4 B"}, [&] { read_descriptor(file, "stdin", 4); });
  ::close(file);
  const int directory = ::open(folder.path().c_str(), O_RDONLY | O_CLOEXEC);
  ASSERT_GE(directory, 0);
  expect_error(ErrorCode::input, {"stdin: cannot be read: Is a directory"},
               [&] { read_descriptor(directory, "stdin"); });
  ::close(directory);
}

TEST(ReadFile, DoesNotWaitForAWriterWhereItNeedsAFile) {
  const TemporaryFolder folder;
  ASSERT_EQ(::mkfifo((folder / "pipe").c_str(), 0600), 0);
  expect_error(ErrorCode::input, {folder / "pipe", "is a pipe or a device"},
               [&] { read_file(folder / "pipe", 5, FileKind::regular); });
  expect_error(ErrorCode::input, {folder / "pipe", "is a pipe or a device"},
               [&] { MappedFile(folder / "pipe"); });
}

TEST(AtomicFile, ReplacesTheContentAndLeavesNothingElse) {
  const TemporaryFolder folder;
  write_file_atomically(folder / "a", "old");
  write_file_atomically(folder / "a", std::string(100'000, 'n'));
  EXPECT_EQ(read_file(folder / "a"), std::string(100'000, 'n'));
  EXPECT_THAT(folder.names(), ElementsAre("a"));
}

TEST(AtomicFile, AFileThatExistsKeepsItsMode) {
  const TemporaryFolder folder;
  for (const mode_t mode : {0600u, 0640u, 0666u, 0444u}) {
    folder.write("a", "old");
    ::chmod((folder / "a").c_str(), mode);
    write_file_atomically(folder / "a", "new");
    EXPECT_EQ(mode_of(folder / "a"), mode);
    EXPECT_EQ(read_file(folder / "a"), "new");
    ::unlink((folder / "a").c_str());
  }
}

TEST(AtomicFile, ANewFileObeysTheUmask) {
  const TemporaryFolder folder;
  const Umask umask(027);
  write_file_atomically(folder / "a", "new");
  EXPECT_EQ(mode_of(folder / "a"), 0640u);
}

// Another thread creates files meanwhile: each must get the umask of the process.
TEST(AtomicFile, TheUmaskOfTheProcessDoesNotChange) {
  const TemporaryFolder folder;
  const Umask umask(077);
  std::atomic<bool> stop = false;
  int wrong = 0;
  std::thread other([&] {
    for (int i = 0; !stop; ++i) {
      const std::string path = folder / "other" + std::to_string(i);
      ::close(::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0666));
      wrong += mode_of(path) != 0600;
      ::unlink(path.c_str());
    }
  });
  for (int i = 0; i < 1000; ++i) write_file_atomically(folder / "a", "new");
  stop = true;
  other.join();
  EXPECT_EQ(wrong, 0);
}

TEST(AtomicFile, TheLongestNameOfAFolderCanBeWritten) {
  const TemporaryFolder folder;
  const std::string longest(255, 'n');
  write_file_atomically(folder / longest, "text");
  EXPECT_EQ(read_file(folder / longest), "text");
  expect_error(ErrorCode::input, {longest + "n: cannot be written: File name too long"},
               [&] { write_file_atomically(folder / (longest + "n"), "text"); });
  EXPECT_THAT(folder.names(), ElementsAre(longest));
}

TEST(AtomicFile, AFailureIsNamedAndLeavesNothing) {
  const TemporaryFolder folder;
  std::filesystem::create_directory(folder / "is_a_folder");
  expect_error(ErrorCode::input, {"is_a_folder: cannot be written"},
               [&] { write_file_atomically(folder / "is_a_folder", "text"); });
  expect_error(ErrorCode::input, {"missing/a: cannot be written: No such file"},
               [&] { write_file_atomically(folder / "missing/a", "text"); });
  EXPECT_THAT(folder.names(), ElementsAre("is_a_folder"));
}

TEST(MappedFile, NamesWhatCannotBeMapped) {
  const TemporaryFolder folder;
  expect_error(ErrorCode::input, {"missing: cannot be opened: No such file"},
               [&] { MappedFile(folder / "missing"); });
  expect_error(ErrorCode::input, {"is a folder"}, [&] { MappedFile(folder.path()); });
  EXPECT_TRUE(MappedFile(folder.write("empty", "")).bytes().empty());
}

}  // namespace
}  // namespace glmocr
