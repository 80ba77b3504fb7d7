#include "storage/commit_indexes.hpp"

#include <sys/stat.h>

#include <fstream>

#include "storage/open_failure.hpp"
#include "tests/storage/world.hpp"

namespace parley::storage {
namespace {

using test::must;
using test::TemporaryDirectory;

const std::vector<CommitBounds> kBounds{{{0}, {0}, {50}}, {{255}, {0}, {70}}, {{0xFFFF}, {0}, {9}}};

std::string path_of(const TemporaryDirectory& directory) { return directory.path() + "/commit"; }

void write_at(const std::string& path, std::streamoff offset, std::string_view bytes) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(offset);
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

TEST(CommitIndexes, BeginAtZeroAndRise) {
  const TemporaryDirectory directory;
  const auto writer = CommitIndexes::open_to_write(directory.path(), kBounds);
  const auto reader = must(CommitIndexes::open_to_read(directory.path()));
  EXPECT_EQ(reader->at({0}), Index{0});
  writer->raise({0}, {50});
  writer->raise({255}, {60});
  writer->raise({255}, {59});  // Never back.
  writer->raise({0xFFFF}, {9});
  EXPECT_EQ(reader->at({0}), Index{50});
  EXPECT_EQ(reader->at({255}), Index{60});
  EXPECT_EQ(reader->at({0xFFFF}), Index{9});
  EXPECT_EQ(reader->at({1}), Index{0});
  EXPECT_EQ(reader->at({0x1'0000}), Index{0});
}

TEST(CommitIndexes, AreThereAfterARestartButNeverAheadOfTheLog) {
  const TemporaryDirectory directory;
  auto writer = CommitIndexes::open_to_write(directory.path(), kBounds);
  const auto reader = must(CommitIndexes::open_to_read(directory.path()));
  writer->raise({0}, {50});
  writer->raise({255}, {70});
  writer->raise({7}, {3});
  writer = nullptr;
  writer = CommitIndexes::open_to_write(
      directory.path(), std::vector<CommitBounds>{{{0}, {0}, {40}}, {{255}, {0}, {90}}, {{8}, {4}, {6}}});
  for (const auto* indexes : {writer.get(), reader.get()}) {
    EXPECT_EQ(indexes->at({0}), Index{40});
    EXPECT_EQ(indexes->at({255}), Index{70});
    EXPECT_EQ(indexes->at({7}), Index{0});
    EXPECT_EQ(indexes->at({8}), Index{4});
  }
}

TEST(CommitIndexes, OfADirectoryWithoutTheFileAreNotFound) {
  const TemporaryDirectory directory;
  EXPECT_EQ(CommitIndexes::open_to_read(directory.path()).error(), make_error_code(StorageError::NotFound));
}

TEST(CommitIndexes, ThatCannotBeUsedAreRefusedAndMadeAnew) {
  struct Case {
    const char* what;
    void (*spoil)(const std::string& path);
    StorageError expected;
  };
  const Case cases[] = {
      {"cut", [](const std::string& path) { std::filesystem::resize_file(path, 4096); }, StorageError::CorruptRecord},
      {"empty", [](const std::string& path) { std::filesystem::resize_file(path, 0); }, StorageError::CorruptRecord},
      {"another file", [](const std::string& path) { write_at(path, 0, "P"); }, StorageError::CorruptRecord},
      {"header", [](const std::string& path) { write_at(path, 40, "x"); }, StorageError::CorruptRecord},
      {"version", [](const std::string& path) { write_at(path, 16, "\x02"); }, StorageError::NewerFormat},
  };
  for (const Case& spoilt : cases) {
    const TemporaryDirectory directory;
    CommitIndexes::open_to_write(directory.path(), kBounds)->raise({0}, {5});
    spoilt.spoil(path_of(directory));
    EXPECT_EQ(CommitIndexes::open_to_read(directory.path()).error(), make_error_code(spoilt.expected)) << spoilt.what;
    const auto writer = CommitIndexes::open_to_write(directory.path(), kBounds);
    EXPECT_EQ(writer->at({0}), Index{0}) << spoilt.what;
    writer->raise({0}, {6});
    EXPECT_EQ(must(CommitIndexes::open_to_read(directory.path()))->at({0}), Index{6}) << spoilt.what;
  }
}

TEST(CommitIndexes, HaveTheirRoomOnTheDiskFromTheStart) {
  const TemporaryDirectory directory;
  const auto writer = CommitIndexes::open_to_write(directory.path(), kBounds);
  struct stat status {};
  ASSERT_EQ(::stat(path_of(directory).c_str(), &status), 0);
  EXPECT_GE(status.st_blocks * 512, status.st_size);
  EXPECT_FALSE(std::filesystem::exists(path_of(directory) + ".new"));
}

TEST(CommitIndexes, OfADirectoryThatIsNotThereStopTheStart) {
  const TemporaryDirectory directory;
  EXPECT_THROW(CommitIndexes::open_to_write(directory.path() + "/none", kBounds), OpenFailure);
}

}  // namespace
}  // namespace parley::storage
