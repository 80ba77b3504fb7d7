#include "clients/ctl/secret.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <sstream>
#include <stdexcept>
#include <system_error>

#include "clients/ctl/verb.hpp"

namespace parley::ctl {
namespace {

[[noreturn]] void fail(const std::string& what) {
  throw std::runtime_error(what + ": " + std::generic_category().message(errno));
}

std::string read_line() {
  std::string line;
  if (!std::getline(std::cin, line)) throw std::runtime_error("no password came");
  if (line.ends_with('\r')) line.pop_back();
  return line;
}

/// Without an echo while it lives.
class Silence {
 public:
  Silence() {
    ::tcgetattr(STDIN_FILENO, &before_);
    termios silent = before_;
    silent.c_lflag &= ~static_cast<tcflag_t>(ECHO);
    ::tcsetattr(STDIN_FILENO, TCSAFLUSH, &silent);
  }
  ~Silence() { ::tcsetattr(STDIN_FILENO, TCSAFLUSH, &before_); }
  Silence(const Silence&) = delete;
  Silence& operator=(const Silence&) = delete;

 private:
  termios before_{};
};

void write_all(int descriptor, const std::string& text, const std::string& path) {
  for (std::size_t done = 0; done < text.size();) {
    const ssize_t count = ::write(descriptor, text.data() + done, text.size() - done);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail("\"" + path + "\" can't be written");
    done += static_cast<std::size_t>(count);
  }
}

}  // namespace

std::string read_password() {
  if (::isatty(STDIN_FILENO) == 0) return read_line();
  const Silence silence;
  ask("Password: ");
  const std::string first = read_line();
  ask("\nAgain: ");
  const std::string second = read_line();
  ask("\n");
  if (first != second) throw std::runtime_error("the two passwords differ");
  return first;
}

std::string random_bytes(std::size_t size) {
  std::string bytes(size, '\0');
  if (::getrandom(bytes.data(), size, 0) != static_cast<ssize_t>(size)) fail("the kernel gives no random bytes");
  return bytes;
}

std::string read_file(const std::string& path, bool may_be_missing) {
  if (path == "-") {
    std::ostringstream text;
    text << std::cin.rdbuf();
    return text.str();
  }
  if (may_be_missing && ::access(path.c_str(), F_OK) != 0) return {};
  std::ifstream file(path, std::ios::binary);
  if (!file) fail("\"" + path + "\" can't be read");
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

FileChange::FileChange(std::string path) : path_(std::move(path)) {
  const std::string beside = path_ + ".lock";
  lock_ = ::open(beside.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (lock_ < 0 || ::flock(lock_, LOCK_EX) != 0) fail("\"" + beside + "\" can't be locked");
  text_ = read_file(path_, true);
}

FileChange::~FileChange() { ::close(lock_); }

void FileChange::commit(const std::string& text) {
  const std::string fresh = path_ + ".new";
  const int descriptor = ::open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (descriptor < 0) fail("\"" + fresh + "\" can't be written");
  struct stat before {};
  if (::stat(path_.c_str(), &before) == 0) {
    // Where the owner can't be kept the file is ours, which is as good as it gets.
    [[maybe_unused]] const int kept = ::fchown(descriptor, before.st_uid, before.st_gid);
    ::fchmod(descriptor, before.st_mode & 07770);
  }
  write_all(descriptor, text, fresh);
  const bool synced = ::fsync(descriptor) == 0;
  ::close(descriptor);
  if (!synced || ::rename(fresh.c_str(), path_.c_str()) != 0) fail("\"" + path_ + "\" can't be written");
}

}  // namespace parley::ctl
