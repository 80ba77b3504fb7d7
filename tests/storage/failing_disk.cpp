#include "tests/storage/failing_disk.hpp"

#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>

namespace parley::storage::test {
namespace {

std::atomic<bool> counting{false};
std::atomic<std::uint64_t> count{0};
std::atomic<std::uint64_t> first_failing{0};
std::atomic<std::uint64_t> last_failing{0};
std::atomic<int> failure{0};

/// True when this call must fail; sets errno.
bool fails() {
  if (!counting) return false;
  const std::uint64_t number = ++count;
  if (number < first_failing || number > last_failing) return false;
  errno = failure;
  return true;
}

}  // namespace

FailingDisk::FailingDisk(std::uint64_t first, std::uint64_t last, int error) {
  count = 0;
  first_failing = first;
  last_failing = last;
  failure = error;
  counting = true;
}
FailingDisk::~FailingDisk() { counting = false; }
std::uint64_t FailingDisk::calls() { return count; }

}  // namespace parley::storage::test

extern "C" {

ssize_t pwrite(int file, const void* bytes, std::size_t size, off_t offset) {
  if (parley::storage::test::fails()) return -1;
  return ::syscall(SYS_pwrite64, file, bytes, size, offset);
}
ssize_t writev(int file, const iovec* pieces, int pieces_count) {
  if (parley::storage::test::fails()) return -1;
  return ::syscall(SYS_writev, file, pieces, pieces_count);
}
int fdatasync(int file) {
  if (parley::storage::test::fails()) return -1;
  return static_cast<int>(::syscall(SYS_fdatasync, file));
}
}
