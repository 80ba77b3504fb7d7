#include "storage/data_directory.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>

#include "storage/open_failure.hpp"

namespace parley::storage {
namespace {

OpenFailure failure(int error, const std::string& sentence) {
  const bool read_only = error == EACCES || error == EPERM || error == EROFS;
  const bool full = error == ENOSPC || error == EDQUOT;
  return {read_only ? StorageError::ReadOnly
          : full    ? StorageError::DiskFull
                    : StorageError::Failed,
          sentence + ": " + std::strerror(error)};
}

/// The holder wrote its process id there.
std::string holder_of(int lock) {
  std::array<char, 24> text{};
  const ssize_t size = ::pread(lock, text.data(), text.size() - 1, 0);
  std::string id(text.data(), size > 0 ? static_cast<std::size_t>(size) : 0);
  while (!id.empty() && id.back() == '\n') id.pop_back();
  return id.empty() ? "another process" : "process " + id;
}

}  // namespace

DataDirectory::DataDirectory(std::string path) : path_(std::move(path)) {
  std::error_code error;
  std::filesystem::create_directories(storage_directory(path_), error);
  if (error) throw failure(error.value(), "the data directory " + path_ + " can't be made");
  const std::string file = path_ + "/lock";
  lock_ = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0640);
  if (lock_ < 0) throw failure(errno, "the data directory " + path_ + " can't be written");
  if (::flock(lock_, LOCK_EX | LOCK_NB) != 0) {
    const int code = errno;
    const std::string holder = holder_of(lock_);
    ::close(lock_);
    if (code == EWOULDBLOCK) {
      throw OpenFailure(StorageError::InUse, "the data directory " + path_ + " is in use by " + holder);
    }
    throw failure(code, "the data directory " + path_ + " can't be locked");
  }
  const std::string id = std::to_string(::getpid()) + "\n";
  // Only for the sentence above: a full disk is no reason not to start.
  [[maybe_unused]] const int cut = ::ftruncate(lock_, 0);
  [[maybe_unused]] const ssize_t written = ::pwrite(lock_, id.data(), id.size(), 0);
}

DataDirectory::~DataDirectory() { ::close(lock_); }

std::string storage_directory(const std::string& data_dir, std::uint32_t number) {
  return data_dir + "/storage-" + std::to_string(number);
}

}  // namespace parley::storage
