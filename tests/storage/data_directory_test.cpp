#include "storage/data_directory.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "storage/open_failure.hpp"
#include "tests/storage/world.hpp"

namespace parley::storage {
namespace {

using test::TemporaryDirectory;

TEST(DataDirectory, IsMadeWithItsStorageShard) {
  const TemporaryDirectory temporary;
  const DataDirectory directory(temporary.path() + "/a/b");
  EXPECT_TRUE(std::filesystem::is_directory(temporary.path() + "/a/b/storage-0"));
  EXPECT_EQ(storage_directory("/x"), "/x/storage-0");
}

TEST(DataDirectory, InUseIsRefusedWithTheHoldersProcess) {
  const TemporaryDirectory temporary;
  const DataDirectory held(temporary.path());
  try {
    const DataDirectory second(temporary.path());
    FAIL() << "a second holder";
  } catch (const OpenFailure& failure) {
    EXPECT_EQ(failure.error(), StorageError::InUse);
    EXPECT_EQ(std::string(failure.what()),
              "the data directory " + temporary.path() + " is in use by process " + std::to_string(::getpid()));
  }
}

TEST(DataDirectory, IsFreeAgainWhenItsHolderWasKilled) {
  const TemporaryDirectory temporary;
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    const DataDirectory held(temporary.path());
    ::raise(SIGKILL);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFSIGNALED(status));
  EXPECT_NO_THROW(DataDirectory{temporary.path()});
}

TEST(DataDirectory, ThatCantBeMadeIsRefused) {
  const TemporaryDirectory temporary;
  const std::string file = temporary.path() + "/file";
  ASSERT_EQ(::close(::creat(file.c_str(), 0600)), 0);
  try {
    const DataDirectory directory(file);
    FAIL() << "a file is no directory";
  } catch (const OpenFailure& failure) {
    EXPECT_NE(std::string(failure.what()).find(file), std::string::npos) << failure.what();
  }
}

TEST(DataDirectory, ThatCantBeWrittenIsRefused) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root to become somebody else";
  const TemporaryDirectory temporary;
  ASSERT_EQ(::mkdir((temporary.path() + "/storage-0").c_str(), 0755), 0);
  ASSERT_EQ(::chmod(temporary.path().c_str(), 0755), 0);
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    if (::setuid(65534) != 0) ::_exit(9);
    try {
      const DataDirectory directory(temporary.path());
    } catch (const OpenFailure& failure) {
      ::_exit(failure.error() == StorageError::ReadOnly ? 0 : 2);
    }
    ::_exit(1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

}  // namespace
}  // namespace parley::storage
