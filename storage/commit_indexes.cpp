#include "storage/commit_indexes.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "base/check.hpp"
#include "storage/open_failure.hpp"

namespace parley::storage {
namespace {

constexpr std::size_t kHeaderWords = 8;
constexpr std::size_t kSlotsMax = 0x1'0000;  // A record's slot has two bytes.
constexpr std::size_t kFileSize = (kHeaderWords + kSlotsMax) * sizeof(std::uint64_t);
constexpr std::string_view kMagic = "parley commit";
constexpr std::size_t kVersionWord = 2;
constexpr std::size_t kSlotsWord = 3;  // How many slots, from 0, may have a value.
constexpr std::uint64_t kVersion = 1;

using Header = std::array<std::uint64_t, kHeaderWords>;

Header header_of_new_file() {
  Header header{};
  std::memcpy(header.data(), kMagic.data(), kMagic.size());
  header[kVersionWord] = kVersion;
  return header;
}

using Word = std::atomic_ref<std::uint64_t>;
static_assert(Word::is_always_lock_free, "a reader's mapping can't be written, not even for a lock");

OpenFailure failure(int error, const std::string& sentence) {
  const bool full = error == ENOSPC || error == EDQUOT;
  const bool read_only = error == EACCES || error == EPERM || error == EROFS;
  return {full        ? StorageError::DiskFull
          : read_only ? StorageError::ReadOnly
                      : StorageError::Failed,
          sentence + ": " + std::strerror(error)};
}

/// Closes what was opened, whatever happens.
class OpenFile {
 public:
  explicit OpenFile(int file) : file_(file) {}
  ~OpenFile() {
    if (file_ >= 0) ::close(file_);
  }
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;
  [[nodiscard]] int get() const { return file_; }

 private:
  int file_;
};

/// A whole file comes to its name at once: readers that have mapped the one before keep it.
void make_file(const std::string& path) {
  const std::string making = path + ".new";
  const OpenFile file(::open(making.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0640));
  if (file.get() < 0) throw failure(errno, making + " can't be made");
  // A write to a mapped page that has no room on the disk would end the process.
  if (const int code = ::posix_fallocate(file.get(), 0, kFileSize); code != 0) {
    throw failure(code, making + " finds no room");
  }
  const Header header = header_of_new_file();
  if (::pwrite(file.get(), header.data(), sizeof header, 0) != static_cast<ssize_t>(sizeof header)) {
    throw failure(errno, making + " can't be written");
  }
  if (std::rename(making.c_str(), path.c_str()) != 0) throw failure(errno, path + " can't be made");
}

}  // namespace

std::string commit_path(const std::string& directory) { return directory + "/commit"; }

Result<std::unique_ptr<CommitIndexes>> CommitIndexes::map(int file, bool to_write) {
  struct stat status {};
  Header header{};
  if (::fstat(file, &status) != 0) return StorageError::Failed;
  if (::pread(file, header.data(), sizeof header, 0) != static_cast<ssize_t>(sizeof header)) {
    return StorageError::CorruptRecord;
  }
  if (std::memcmp(header.data(), kMagic.data(), kMagic.size()) != 0) return StorageError::CorruptRecord;
  if (header[kVersionWord] > kVersion) return StorageError::NewerFormat;
  const std::uint64_t slots = std::exchange(header[kSlotsWord], 0);
  if (slots > kSlotsMax || header != header_of_new_file() || status.st_size != static_cast<off_t>(kFileSize)) {
    return StorageError::CorruptRecord;
  }
  void* const memory = ::mmap(nullptr, kFileSize, to_write ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, file, 0);
  if (memory == MAP_FAILED) return StorageError::Failed;
  return std::unique_ptr<CommitIndexes>(new CommitIndexes(static_cast<std::uint64_t*>(memory)));
}

std::unique_ptr<CommitIndexes> CommitIndexes::open_to_write(const std::string& directory,
                                                            std::span<const CommitBounds> bounds) {
  const std::string path = commit_path(directory);
  Result<std::unique_ptr<CommitIndexes>> indexes = StorageError::NotFound;
  for (int attempt = 0; attempt < 2 && !indexes; ++attempt) {
    if (attempt == 1) make_file(path);
    const OpenFile file(::open(path.c_str(), O_RDWR | O_CLOEXEC));
    if (file.get() >= 0) indexes = map(file.get(), true);
  }
  if (!indexes) throw OpenFailure(StorageError::Failed, path + " can't be mapped");
  std::unordered_map<Slot, CommitBounds> known;
  for (const CommitBounds& one : bounds) known[one.slot] = one;
  for (Slot slot; slot.value < kSlotsMax; slot = slot.next()) {
    const auto found = known.find(slot);
    const CommitBounds limits = found == known.end() ? CommitBounds{slot, {}, {}} : found->second;
    const Index before = (*indexes)->at(slot);
    const Index index = std::min(std::max(before, limits.lowest), limits.highest);
    if (index != before) (*indexes)->set(slot, index);
  }
  return std::move(*indexes);
}

Result<std::unique_ptr<CommitIndexes>> CommitIndexes::open_to_read(const std::string& directory) {
  const OpenFile file(::open(commit_path(directory).c_str(), O_RDONLY | O_CLOEXEC));
  if (file.get() < 0) return errno == ENOENT ? StorageError::NotFound : StorageError::Failed;
  return map(file.get(), false);
}

CommitIndexes::~CommitIndexes() { ::munmap(words_, kFileSize); }

Index CommitIndexes::at(Slot slot) const {
  if (slot.value >= kSlotsMax) return {};
  return {Word(words_[kHeaderWords + slot.value]).load(std::memory_order_acquire)};
}

void CommitIndexes::read(std::vector<Index>& to) const {
  const std::uint64_t slots =
      std::min<std::uint64_t>(Word(words_[kSlotsWord]).load(std::memory_order_acquire), kSlotsMax);
  to.resize(slots);
  for (std::uint64_t slot = 0; slot < slots; ++slot) to[slot] = at({slot});
}

void CommitIndexes::raise(Slot slot, Index index) {
  PARLEY_CHECK(slot.value < kSlotsMax, "a commit index's slot number is above 65535");
  if (index > at(slot)) set(slot, index);
}

void CommitIndexes::set(Slot slot, Index index) {
  Word(words_[kHeaderWords + slot.value]).store(index.value, std::memory_order_release);
  const Word slots(words_[kSlotsWord]);
  std::uint64_t before = slots.load(std::memory_order_acquire);
  while (before <= slot.value && !slots.compare_exchange_weak(before, slot.value + 1, std::memory_order_acq_rel)) {
  }
}

}  // namespace parley::storage
