#include "storage/page_scrub.hpp"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <map>
#include <random>
#include <sstream>
#include <string>

#include "tests/storage/world.hpp"

namespace parley::storage {
namespace {

using Rows = std::map<std::string, std::string>;
const std::string kSecret = "the-secret-nobody-may-find";

std::string bytes_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream bytes;
  bytes << file.rdbuf();
  return bytes.str();
}

/// A file with two tables whose rows are written, overwritten and deleted as chance will have it.
class Scrubbed {
 public:
  explicit Scrubbed(unsigned seed) : random_(seed) {
    auto opened = Environment::open({.path = directory_.path() + "/x.mdb", .map_size = 1U << 28, .tables = {"a", "b"}});
    environment_ = *std::move(opened);
  }

  std::size_t below(std::size_t n) { return random_() % n; }

  void change(std::size_t count, const std::string& mark) {
    WriteTransaction transaction(*environment_);
    ASSERT_TRUE(transaction.begin());
    for (std::size_t i = 0; i < count; ++i) {
      const std::size_t table = below(2);
      const std::string key = std::to_string(below(3'000));
      Rows& rows = rows_[table];
      if (below(4) == 0) {
        ASSERT_TRUE(transaction.erase(table, key));
        rows.erase(key);
      } else {
        // Some have pages of their own, one or several.
        const std::size_t size = below(10) == 0 ? below(12'000) : below(300);
        std::string value(size, 'x');
        for (std::size_t at = 0; at + mark.size() < size; at += mark.size() + below(40)) {
          value.replace(at, mark.size(), mark);
        }
        ASSERT_TRUE(transaction.put(table, key, value));
        rows[key] = std::move(value);
      }
    }
    ASSERT_TRUE(transaction.commit());
  }

  /// Everything with the secret goes, by overwriting or by deleting.
  void forget_secrets() {
    WriteTransaction transaction(*environment_);
    ASSERT_TRUE(transaction.begin());
    for (std::size_t table = 0; table < 2; ++table) {
      for (auto row = rows_[table].begin(); row != rows_[table].end();) {
        if (row->second.find(kSecret) == std::string::npos) {
          ++row;
        } else if (below(3) == 0) {
          ASSERT_TRUE(transaction.erase(table, row->first));
          row = rows_[table].erase(row);
        } else {
          row->second.assign(row->second.size(), '\0');
          ASSERT_TRUE(transaction.put(table, row->first, row->second));
          ++row;
        }
      }
    }
    ASSERT_TRUE(transaction.commit());
  }

  void expect_rows() {
    ReadTransaction reading(*environment_);
    const ReadScope scope(reading);
    ASSERT_TRUE(scope.begun());
    for (std::size_t table = 0; table < 2; ++table) {
      auto cursor = *reading.cursor(table);
      Cursor::Row row;
      auto expected = rows_[table].begin();
      for (bool found = cursor.first(row); found; found = cursor.next(row), ++expected) {
        ASSERT_NE(expected, rows_[table].end());
        ASSERT_EQ(row.key, expected->first);
        ASSERT_TRUE(row.value == expected->second) << row.key;
      }
      EXPECT_EQ(expected, rows_[table].end());
    }
  }

  [[nodiscard]] bool has_secret() const { return bytes_of(environment_->path()).find(kSecret) != std::string::npos; }
  Environment& environment() { return *environment_; }
  static Result<void> touch(WriteTransaction& transaction) { return transaction.put(0, "touched", "1"); }
  void forget_touched() {
    WriteTransaction transaction(*environment_);
    ASSERT_TRUE(transaction.begin());
    ASSERT_TRUE(transaction.erase(0, "touched"));
    ASSERT_TRUE(transaction.commit());
  }

 private:
  test::TemporaryDirectory directory_;
  std::mt19937 random_;
  std::unique_ptr<Environment> environment_;
  Rows rows_[2];
};

TEST(PageScrub, LeavesNothingOfWhatIsGoneAndEverythingElse) {
  for (unsigned seed = 1; seed <= 12; ++seed) {
    Scrubbed scrubbed(seed);
    for (int i = 0; i < 6; ++i) scrubbed.change(400, "ordinary-words");
    for (int i = 0; i < 6; ++i) scrubbed.change(100, kSecret);
    for (int i = 0; i < 3; ++i) scrubbed.change(200, "ordinary-words");
    scrubbed.forget_secrets();
    EXPECT_TRUE(scrubbed.has_secret()) << "else this shows nothing";
    ASSERT_TRUE(scrubbed.environment().reopen());
    PageScrub scrub(scrubbed.environment(), Scrubbed::touch);
    auto progress = scrub.step(16);
    for (int i = 0; i < 10'000 && progress && *progress != PageScrub::Progress::Finished; ++i) {
      // Others write meanwhile.
      if (scrubbed.below(4) == 0) scrubbed.change(30, "ordinary-words");
      progress = scrub.step(4 + scrubbed.below(60));
    }
    ASSERT_TRUE(progress);
    ASSERT_EQ(*progress, PageScrub::Progress::Finished);
    EXPECT_GT(scrub.cleaned(), 0U);
    EXPECT_FALSE(scrubbed.has_secret()) << "seed " << seed;
    scrubbed.forget_touched();
    scrubbed.expect_rows();
    for (int i = 0; i < 4; ++i) scrubbed.change(300, "ordinary-words");
    scrubbed.expect_rows();
    EXPECT_FALSE(scrubbed.has_secret()) << "seed " << seed;
  }
}

/// Another process that begins to read now, and goes on until it is told to end. Its exit status says whether it then
/// still saw what it had begun to read.
class OtherReader {
 public:
  explicit OtherReader(const std::string& path) {
    if (::pipe(begun_) != 0 || ::pipe(told_) != 0) throw std::runtime_error("pipe");
    child_ = ::fork();
    if (child_ == 0) {
      ::close(told_[1]);
      ::_exit(read_on(path) ? 0 : 1);
    }
    char byte = 0;
    if (::read(begun_[0], &byte, 1) != 1) throw std::runtime_error("the other process doesn't read");
  }
  bool end() {
    ::close(told_[1]);
    int status = 0;
    return ::waitpid(child_, &status, 0) == child_ && status == 0;
  }

 private:
  bool read_on(const std::string& path) {
    auto opened = Environment::open({.path = path, .read_only = true, .tables = {"a", "b"}});
    if (!opened) return false;
    ReadTransaction reading(**opened);
    if (!reading.begin() || ::write(begun_[1], "x", 1) != 1) return false;
    char byte = 0;
    if (::read(told_[0], &byte, 1) != 0) return false;
    auto cursor = *reading.cursor(0);
    Cursor::Row row;
    bool seen = false;
    for (bool found = cursor.first(row); found; found = cursor.next(row)) {
      seen = seen || row.value.find(kSecret) != std::string_view::npos;
    }
    reading.end();
    return seen;
  }
  int begun_[2] = {-1, -1};
  int told_[2] = {-1, -1};
  pid_t child_ = -1;
};

TEST(PageScrub, WaitsForReadersOfOldSnapshots) {
  Scrubbed scrubbed(1);
  scrubbed.change(300, kSecret);
  OtherReader reader(scrubbed.environment().path());
  scrubbed.forget_secrets();
  ASSERT_TRUE(scrubbed.environment().reopen());
  PageScrub scrub(scrubbed.environment(), Scrubbed::touch);
  auto progress = scrub.step(1'000);
  for (int i = 0; i < 100 && progress && *progress == PageScrub::Progress::GoesOn; ++i) progress = scrub.step(1'000);
  ASSERT_TRUE(progress);
  EXPECT_EQ(*progress, PageScrub::Progress::Waits);
  EXPECT_TRUE(reader.end()) << "what a reader has begun to read stays";
  scrubbed.environment().clear_dead_readers();
  progress = PageScrub::Progress::GoesOn;
  for (int i = 0; i < 100 && progress && *progress != PageScrub::Progress::Finished; ++i) progress = scrub.step(1'000);
  ASSERT_TRUE(progress);
  EXPECT_EQ(*progress, PageScrub::Progress::Finished);
  EXPECT_FALSE(scrubbed.has_secret());
  scrubbed.forget_touched();
  scrubbed.expect_rows();
}

TEST(PageScrub, CleansTheEmptyFileAndWhatLiesBehindTheLastPage) {
  Scrubbed scrubbed(1);
  { std::ofstream(scrubbed.environment().path(), std::ios::binary | std::ios::app) << kSecret; }
  PageScrub scrub(scrubbed.environment(), Scrubbed::touch);
  auto progress = scrub.step(10);
  for (int i = 0; i < 100 && progress && *progress != PageScrub::Progress::Finished; ++i) progress = scrub.step(10);
  ASSERT_TRUE(progress);
  EXPECT_FALSE(scrubbed.has_secret());
}

}  // namespace
}  // namespace parley::storage
