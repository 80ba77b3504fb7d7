#include "storage/files.hpp"

#include <fcntl.h>
#include <unistd.h>

#include "storage/open_failure.hpp"
#include "tests/storage/world.hpp"

namespace parley::storage {
namespace {

using test::must;
using test::TemporaryDirectory;
using test::World;

StorageError refusal(const std::string& directory, std::string* sentence = nullptr) {
  try {
    Files::open_to_write(directory, test::small_files());
  } catch (const OpenFailure& failure) {
    if (sentence != nullptr) *sentence = failure.what();
    return failure.error();
  }
  return {};
}

TEST(Files, OpenAgainWithTheSameSecret) {
  World world;
  const auto key = world.files().hash_key();
  EXPECT_NE(key, format::HashKey{});
  world.reopen();
  EXPECT_EQ(world.files().hash_key(), key);
}

TEST(Files, OfANewerFormatAreRefused) {
  const struct {
    const char* file;
    std::size_t table;
    std::string key;
    std::string value;
  } cases[] = {
      {"log.mdb", kLogTable, std::string(format::number_key(kLogHeader).bytes()),
       std::string("parley log\0\0\0\2", 14)},
      {"store.mdb", kMeta, std::string(kMetaFormat), std::string("\0\0\0\2", 4)},
  };
  for (const auto& one : cases) {
    World world;
    const bool log = std::string_view(one.file) == "log.mdb";
    world.overwrite(log ? world.files().log() : world.files().store(), one.table, one.key, one.value);
    world.close();
    std::string sentence;
    EXPECT_EQ(refusal(world.directory(), &sentence), StorageError::NewerFormat) << one.file;
    EXPECT_NE(sentence.find("written by a newer version of Parley"), std::string::npos) << sentence;
    EXPECT_EQ(History::open(world.directory(), {}).error(), make_error_code(StorageError::NewerFormat)) << one.file;
  }
}

TEST(Files, ThatAreNoLmdbFilesAreRefused) {
  for (const char* name : {"log.mdb", "store.mdb"}) {
    const TemporaryDirectory temporary;
    const std::string path = temporary.path() + "/" + name;
    const int file = ::open(path.c_str(), O_CREAT | O_WRONLY, 0600);
    const std::string junk(20'000, 'j');
    ASSERT_EQ(::write(file, junk.data(), junk.size()), static_cast<ssize_t>(junk.size()));
    ::close(file);
    std::string sentence;
    EXPECT_EQ(refusal(temporary.path(), &sentence), StorageError::CorruptRecord);
    EXPECT_NE(sentence.find(path), std::string::npos) << sentence;
  }
}

TEST(Files, ThatDontFitTogetherAreRefused) {
  World world;
  const auto number = world.create("tea");
  world.say(number, 1, 50);
  world.materialise();
  // All but the last of the log go; then the store is put back to its beginning.
  ASSERT_TRUE(world.writer().cut({.watermark = world.watermark(), .older_than = {~0ULL}}));
  world.overwrite(world.files().store(), kMeta, kMetaWatermark, format::number_key(Lsn{7}));
  world.close();
  std::string sentence;
  EXPECT_EQ(refusal(world.directory(), &sentence), StorageError::CorruptRecord);
  EXPECT_NE(sentence.find("ends at record 7 but"), std::string::npos) << sentence;
}

TEST(Files, WithoutTheLogGoOnBehindTheStore) {
  World world;
  const auto number = world.create("tea");
  world.say(number, 1, 9);
  world.materialise();
  world.close();
  std::filesystem::remove(world.directory() + "/log.mdb");
  world.open();
  EXPECT_EQ(world.writer().end(), Lsn{10});
  EXPECT_EQ(world.append({world.records().entry(number, {10})}), Lsn{11});
  EXPECT_EQ(must(world.history().find_conversation("tea"))->head, Seq{10});
}

TEST(Files, ThatNobodyMadeYetAreNotFoundByReaders) {
  const TemporaryDirectory temporary;
  EXPECT_EQ(History::open(temporary.path() + "/storage-0", {}).error(), make_error_code(StorageError::NotFound));
  EXPECT_EQ(History::open(temporary.path(), {}).error(), make_error_code(StorageError::NotFound));
  EXPECT_TRUE(std::filesystem::is_empty(temporary.path())) << "a reader made something";
}

}  // namespace
}  // namespace parley::storage
