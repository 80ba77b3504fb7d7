#include "storage/plain_file.hpp"

#include <gtest/gtest.h>

#include <map>

#include "storage/format/error.hpp"
#include "tests/storage/world.hpp"

namespace parley::storage {
namespace {

constexpr std::uint64_t kMapSize = 64ULL << 20;

std::map<std::string, std::string> rows(PlainFile& file, std::size_t table) {
  std::map<std::string, std::string> found;
  EXPECT_TRUE(file.visit(table, [&](std::string_view key, std::string_view value) { found.emplace(key, value); }));
  return found;
}

TEST(PlainFile, KeepsItsRowsAndGoesOnCounting) {
  const test::TemporaryDirectory directory;
  std::uint64_t last = 0;
  {
    PlainFile file(directory.path(), kMapSize);
    for (int i = 0; i < 10; ++i) last = file.next_number();
    using Change = PlainFile::Change;
    const Change first[] = {{0, "a", "1"}, {0, "b", "2"}, {4, "a", "3"}};
    ASSERT_TRUE(file.write(first));
    const Change second[] = {{0, "a", std::nullopt}, {0, "none", std::nullopt}, {0, "b", "4"}};
    ASSERT_TRUE(file.write(second));
  }
  PlainFile file(directory.path(), kMapSize);
  EXPECT_EQ(rows(file, 0), (std::map<std::string, std::string>{{"b", "4"}}));
  EXPECT_EQ(rows(file, 4), (std::map<std::string, std::string>{{"a", "3"}}));
  EXPECT_GT(file.next_number(), last);
}

TEST(PlainFile, MakesAllOfAWriteOrNothing) {
  const test::TemporaryDirectory directory;
  PlainFile file(directory.path(), 1ULL << 20);
  const std::string large(2U << 20, 'x');
  const PlainFile::Change changes[] = {{0, "a", "1"}, {0, "b", large}};
  EXPECT_EQ(file.write(changes).error(), make_error_code(StorageError::DiskFull));
  EXPECT_TRUE(rows(file, 0).empty());
  EXPECT_TRUE(file.write({changes, 1}));
  EXPECT_EQ(rows(file, 0).size(), 1U);
}

}  // namespace
}  // namespace parley::storage
