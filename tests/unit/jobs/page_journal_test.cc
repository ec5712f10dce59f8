// SPDX-License-Identifier: Apache-2.0
#include "jobs/page_journal.h"

#include <gmock/gmock.h>
#include <sys/resource.h>

#include <csignal>
#include <fstream>

#include "base/mapped_file.h"
#include "support/expect_error.h"
#include "support/temporary_folder.h"
#include "unit/jobs/pages.h"

namespace glmocr {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class Journal : public testing::Test {
 protected:
  void append(const std::string& bytes) const { std::ofstream(file_, std::ios::app) << bytes; }

  TemporaryFolder folder_;
  const std::string file_ = folder_ / "a.jsonl";
};

TEST_F(Journal, PagesAreKeptInTheOrderOfTheirNumbers) {
  {
    PageJournal journal(file_, "identity");
    journal.add(text_page(3, "three"));
    journal.add(text_page(1, "one\nwith two lines"));
    EXPECT_EQ(journal.pages(), 2);
  }
  PageJournal journal(file_, "identity");
  EXPECT_TRUE(journal.has(1));
  EXPECT_FALSE(journal.has(2));
  EXPECT_THAT(journal.read_pages(), ElementsAre(1, 3));
  journal.add(text_page(2, "two"));
  EXPECT_THAT(listed(journal), ElementsAre("1:one\nwith two lines", "2:two", "3:three"));
  EXPECT_EQ(journal.identity(), "identity");
}

TEST_F(Journal, AnotherIdentityBeginsAnew) {
  PageJournal(file_, "old").add(text_page(1, "old"));
  PageJournal journal(file_, "new");
  EXPECT_EQ(journal.pages(), 0);
  journal.add(text_page(2, "new"));
  EXPECT_THAT(listed(PageJournal(file_, "new")), ElementsAre("2:new"));
  EXPECT_EQ(PageJournal(file_, "ne").pages(), 0) << "a part of the line is not the identity";
}

TEST_F(Journal, WhatIsNotWholeIsCutOff) {
  PageJournal(file_, "identity").add(text_page(1, "one"));
  const std::string good = read_file(file_);
  for (const std::string rest : {R"({"file":"a.pdf","page":2)", "{\"page\":2}\n", "\n", "\0\0\0\n"}) {
    append(rest);
    PageJournal journal(file_, "identity");
    EXPECT_THAT(listed(journal), ElementsAre("1:one")) << rest;
    EXPECT_EQ(read_file(file_), good);
    journal.add(text_page(2, "two"));
    EXPECT_THAT(listed(PageJournal(file_, "identity")), ElementsAre("1:one", "2:two"));
    std::filesystem::resize_file(file_, good.size());
  }
  std::filesystem::resize_file(file_, 5);
  EXPECT_EQ(PageJournal(file_, "identity").pages(), 0) << "half an identity";
  EXPECT_EQ(read_file(file_), "identity\n");
}

TEST_F(Journal, EveryCutOfTheFileKeepsTheWholeLines) {
  {
    PageJournal journal(file_, "identity");
    journal.add(text_page(1, "one"));
    journal.add(text_page(2, "two"));
  }
  const std::string whole = read_file(file_);
  const std::size_t first = whole.find('\n') + 1, second = whole.find('\n', first) + 1;
  for (std::size_t size = 0; size <= whole.size(); size += 7) {
    std::ofstream(file_) << whole.substr(0, size);
    const std::int64_t pages = size < second ? 0 : size < whole.size() ? 1 : 2;
    EXPECT_EQ(PageJournal(file_, "identity").pages(), pages) << size;
  }
}

TEST_F(Journal, PagesThatFailedAreThereButNotRead) {
  PageJournal journal(file_, "identity");
  DocumentPage half = page_of(2, {text_region("good"), text_region("bad")});
  half.regions[1].content.reset();
  half.regions[1].error = Error(ErrorCode::memory, "too large");
  DocumentPage late = text_page(3, "cut");
  late.regions[0].finish_reason = FinishReason::time_limit;
  journal.add(failed_page(1));
  journal.add(half);
  journal.add(late);
  journal.add(text_page(4, "four"));
  const auto check = [](const PageJournal& pages) {
    EXPECT_EQ(pages.failed_pages(), 3);
    EXPECT_EQ(pages.unread_pages(), 1);
    EXPECT_THAT(pages.read_pages(), ElementsAre(4));
    for (const int number : {1, 2, 3}) EXPECT_FALSE(pages.has(number));
  };
  check(journal);
  check(PageJournal(file_, "identity"));
  journal.add(text_page(1, "again"));
  EXPECT_TRUE(journal.has(1));
  EXPECT_EQ(journal.failed_pages(), 2);
  EXPECT_THAT(listed(PageJournal(file_, "identity")), ElementsAre("1:again", "2:good-", "3:cut", "4:four"));
}

// Number 0 stands for the document, which could not be opened before.
TEST_F(Journal, APageTakesThePlaceOfADocumentThatFailed) {
  PageJournal journal(file_, "identity");
  journal.add(failed_page(0));
  EXPECT_THAT(listed(journal), ElementsAre("0:error"));
  journal.add(text_page(1, "one"));
  EXPECT_EQ(journal.failed_pages(), 0);
  EXPECT_THAT(listed(PageJournal(file_, "identity")), ElementsAre("1:one"));
}

TEST_F(Journal, TheTemporaryOneIsInNoFolder) {
  PageJournal journal;
  EXPECT_THAT(listed(journal), IsEmpty());
  journal.add(text_page(2, "two"));
  journal.add(text_page(1, std::string(100'000, 'x')));
  journal.add(text_page(2, "again"));
  EXPECT_THAT(listed(journal), ElementsAre("1:" + std::string(100'000, 'x'), "2:again"));
  EXPECT_THAT(folder_.names(), IsEmpty());
}

// What could not be written leaves no trace, also when there is room again.
TEST_F(Journal, AFullDiskLosesThePageAlone) {
  PageJournal journal(file_, "identity");
  journal.add(text_page(1, "one"));
  rlimit old{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &old), 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{2000, old.rlim_max};
  ::setrlimit(RLIMIT_FSIZE, &small);
  expect_error(ErrorCode::input, {file_, "cannot be written", "File too large"},
               [&] { journal.add(text_page(2, std::string(10'000, 'x'))); });
  journal.add(text_page(3, "three"));
  ::setrlimit(RLIMIT_FSIZE, &old);
  std::signal(SIGXFSZ, handler);
  journal.add(text_page(4, "four"));
  EXPECT_THAT(listed(journal), ElementsAre("1:one", "3:three", "4:four"));
  EXPECT_THAT(listed(PageJournal(file_, "identity")), ElementsAre("1:one", "3:three", "4:four"));
}

TEST_F(Journal, OneThatCannotBeOpenedIsNamed) {
  expect_error(ErrorCode::input, {folder_.path().string() + ": cannot be opened: Is a directory"},
               [&] { PageJournal(folder_.path(), "identity"); });
  expect_error(ErrorCode::input, {"missing/a.jsonl: cannot be opened"},
               [&] { PageJournal(folder_ / "missing/a.jsonl", "identity"); });
}

}  // namespace
}  // namespace glmocr
