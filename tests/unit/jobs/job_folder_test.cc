// SPDX-License-Identifier: Apache-2.0
#include "jobs/job_folder.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <memory>

#include <nlohmann/json.hpp>

#include "base/mapped_file.h"
#include "support/expect_error.h"
#include "support/temporary_folder.h"
#include "unit/jobs/pages.h"

namespace glmocr {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;

class Jobs : public testing::Test {
 protected:
  std::unique_ptr<JobFolder> open(bool resume, const JobOptions& options = {{"--dpi", "200"}},
                                  const Shard& shard = {}) const {
    return std::make_unique<JobFolder>(out_, shard, options, resume);
  }
  JobInput input(const std::string& name, const std::string& content = "x") const {
    return {folder_.write(name, content).string(), name};
  }
  static void read(JobFolder& job, const JobInput& input, const std::vector<DocumentPage>& pages,
                   std::int64_t pictures = 0) {
    PageJournal journal = job.journal(input);
    for (const DocumentPage& page : pages) journal.add(page);
    job.finish(input, journal, pictures);
  }
  std::string state(const std::string& name) const { return read_file(out_ / (".glm-ocr/" + name)); }

  TemporaryFolder folder_;
  const fs::path out_ = folder_.path() / "out";
};

TEST_F(Jobs, GoOnWhereTheyStopped) {
  const JobInput done = input("done.pdf"), begun = input("begun.pdf"), fresh = input("fresh.pdf");
  {
    const auto job = open(false);
    read(*job, done, {text_page(1, "one")});
    EXPECT_FALSE(job->has_journal(done));
    job->journal(begun).add(text_page(2, "two"));
    EXPECT_FALSE(job->finished(done)) << "that is what an earlier run has finished";
  }
  const auto job = open(true);
  EXPECT_TRUE(job->finished(done));
  EXPECT_FALSE(job->finished(begun));
  EXPECT_FALSE(job->finished(fresh));
  EXPECT_TRUE(job->has_journal(begun));
  EXPECT_FALSE(job->has_journal(fresh));
  EXPECT_THAT(listed(job->journal(begun)), ElementsAre("2:two"));
}

TEST_F(Jobs, KnowHowManyPicturesADocumentHad) {
  const JobInput done = input("done.pdf"), fresh = input("fresh.pdf");
  read(*open(false), done, {text_page(1, "one")}, 3);
  const auto job = open(true);
  EXPECT_EQ(job->pictures(done), 3);
  EXPECT_EQ(job->pictures(fresh), 0);
}

TEST_F(Jobs, BeginAnewWithoutResume) {
  const JobInput done = input("done.pdf"), begun = input("begun.pdf");
  {
    const auto job = open(false);
    read(*job, done, {text_page(1, "one")});
    job->journal(begun).add(text_page(2, "two"));
    job->add_failed(failed_page(3));
  }
  {
    const auto job = open(false, {{"--dpi", "100"}});
    EXPECT_FALSE(job->has_journal(begun));
    EXPECT_EQ(state("failed.jsonl"), "");
  }
  EXPECT_FALSE(open(true, {{"--dpi", "100"}})->finished(done));
}

TEST_F(Jobs, OfOtherOptionsAreNotGoneOnWith) {
  open(false, {{"--dpi", "200"}, {"--pages", "1"}, {"model", "m"}});
  for (int i = 0; i < 2; ++i) {
    expect_error(ErrorCode::usage, {"--resume: begun with other options (--dpi, model)", "options.json"},
                 [&] {
                   open(true, {{"--dpi", "100"}, {"--pages", "1"}, {"model", "n"}});
                 });
  }
  expect_error(ErrorCode::usage, {"(--new)"}, [&] { open(true, {{"--dpi", "200"}, {"--new", "1"}}); });
  open(true, {{"--dpi", "200"}, {"--pages", "1"}, {"model", "m"}});
  std::ofstream(out_ / ".glm-ocr/options.json") << "{\"--dpi\": \"2";
  expect_error(ErrorCode::usage, {"options.json: is not JSON"}, [&] { open(true); });
  open(false);
  open(true);
}

TEST_F(Jobs, WithoutAnythingBegunResumeBegins) { EXPECT_FALSE(open(true)->finished(input("a.pdf"))); }

TEST_F(Jobs, AFileThatHasChangedIsReadAgain) {
  const JobInput a = input("a.pdf"), b = input("b.pdf"), c = input("c.pdf");
  {
    const auto job = open(false);
    for (const JobInput& file : {a, b, c}) read(*job, file, {text_page(1, "one")});
    job->journal(b).add(text_page(1, "one"));
  }
  input("a.pdf", "xy");
  const timespec times[2] = {{1, 0}, {1, 5}};
  ::utimensat(AT_FDCWD, b.path.c_str(), times, 0);
  const auto job = open(true);
  EXPECT_FALSE(job->finished(a)) << "another length";
  EXPECT_FALSE(job->finished(b)) << "another time";
  EXPECT_EQ(job->journal(b).pages(), 0);
  EXPECT_TRUE(job->finished(c));
}

// Its outputs are those of the file as it was.
TEST_F(Jobs, AFileThatChangesWhileItIsReadIsNotFinished) {
  const JobInput a = input("a.pdf");
  {
    const auto job = open(false);
    PageJournal journal = job->journal(a);
    journal.add(text_page(1, "one"));
    input("a.pdf", "longer");
    job->finish(a, journal, 0);
  }
  EXPECT_FALSE(open(true)->finished(a));
}

TEST_F(Jobs, FailuresAreKeptForAnotherTry) {
  const JobInput a = input("a.pdf"), none = input("none.pdf");
  {
    const auto job = open(false);
    read(*job, a, {text_page(1, "one"), failed_page(2)});
    DocumentPage page = page_of(3, {text_region("cut")});
    page.regions[0].finish_reason = FinishReason::time_limit;
    job->add_failed(failed_page(2));
    job->add_failed(page);
    read(*job, none, {});
  }
  const std::string failed = state("failed.jsonl");
  EXPECT_EQ(
      failed,
      "{\"file\":\"a.pdf\",\"page\":2,\"errors\":[{\"code\":\"input\",\"message\":\"a.pdf: is broken\"}]}\n"
      "{\"file\":\"a.pdf\",\"page\":3,\"errors\":[{\"code\":\"time_limit\",\"message\":\"the time limit has "
      "passed\"}]}\n");
  auto job = open(true);
  EXPECT_FALSE(job->finished(a));
  EXPECT_FALSE(job->finished(none)) << "no page was kept";
  EXPECT_THAT(job->journal(a).read_pages(), ElementsAre(1));
  EXPECT_EQ(state("failed.jsonl"), "") << "of the last run only";
  read(*job, a, {text_page(2, "two")});
  EXPECT_FALSE(job->has_journal(a));
  job.reset();
  EXPECT_TRUE(open(true)->finished(a));
}

// Standard input has no size and no time.
TEST_F(Jobs, WhatIsReadOnceIsNeverFinishedForAnotherProcess) {
  const std::string pipe = folder_ / "pipe.pdf";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  const std::vector<JobInput> inputs = {{"-", "stdin"}, {pipe, "pipe.pdf"}};
  const pid_t child = ::fork();
  if (child == 0) {
    const auto job = open(false);
    for (const JobInput& once : inputs) read(*job, once, {text_page(1, "one")});
    job->journal(inputs[0]).add(text_page(1, "one"));
    ::_exit(0);
  }
  ::waitpid(child, nullptr, 0);
  const auto job = open(true);
  for (const JobInput& once : inputs) {
    EXPECT_FALSE(job->finished(once)) << once.path;
    EXPECT_EQ(job->journal(once).pages(), 0);
  }
}

TEST_F(Jobs, NamesThatAreNoUtf8AreToldApart) {
  const JobInput a = input("\xff.pdf"), b = input("\xfe.pdf"), newline = input("a\nb.pdf");
  {
    const auto job = open(false);
    read(*job, a, {text_page(1, "one")});
    read(*job, newline, {text_page(1, "one")});
    job->journal(b).add(text_page(1, "b"));
  }
  const auto job = open(true);
  EXPECT_TRUE(job->finished(a));
  EXPECT_FALSE(job->finished(b));
  EXPECT_TRUE(job->finished(newline));
  read(*job, b, {text_page(2, "b")});
  const auto last = open(true, {{"--dpi", "200"}}, {0, 2});
  EXPECT_FALSE(last->finished(a)) << "another part";
}

TEST_F(Jobs, DamagedLinesOfTheStateAreLeftOut) {
  const JobInput a = input("a.pdf"), b = input("b.pdf");
  {
    const auto job = open(false);
    read(*job, a, {text_page(1, "one")});
    std::ofstream(out_ / ".glm-ocr/finished.jsonl", std::ios::app)
        << "\n[]\n{}\n{\"document\":3}\n{\"document\":{\"id\":[]}}\nrubbish\n";
    read(*job, b, {text_page(1, "one")});
  }
  const auto job = open(true);
  EXPECT_TRUE(job->finished(a));
  EXPECT_TRUE(job->finished(b));
}

TEST_F(Jobs, TwoAtOnceInOneFolderAreRefused) {
  const auto job = open(false);
  for (const bool resume : {false, true}) {
    expect_error(ErrorCode::usage, {"another run is writing there"}, [&] { open(resume); });
  }
  const auto part = open(false, {}, {0, 2}), other = open(false, {}, {1, 2});
  expect_error(ErrorCode::usage, {"another run is writing there"}, [&] { open(true, {}, {1, 2}); });
}

TEST_F(Jobs, PartsDoNotDisturbEachOther) {
  const JobInput a = input("a.pdf"), b = input("b.pdf");
  read(*open(false, {}, {0, 2}), a, {text_page(1, "one")});
  read(*open(false, {}, {1, 2}), b, {text_page(1, "one")});
  open(false, {}, {1, 2});
  EXPECT_TRUE(open(true, {}, {0, 2})->finished(a));
  EXPECT_FALSE(open(true, {}, {1, 2})->finished(b));
}

TEST_F(Jobs, AFolderThatCannotBeMadeIsNamed) {
  fs::create_directories(out_);
  std::ofstream(out_ / ".glm-ocr") << "a file";
  expect_error(ErrorCode::usage, {".glm-ocr: cannot be made"}, [&] { open(false); });
}

}  // namespace
}  // namespace glmocr
