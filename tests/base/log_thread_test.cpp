#include "base/log_thread.hpp"

#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <string>
#include <utility>

#include "base/log.hpp"

namespace parley::log {
namespace {

constexpr int kDeadline = 10'000;

/// A pipe that somebody reads when it pleases him.
class Pipe {
 public:
  Pipe() { EXPECT_EQ(::pipe(ends_.data()), 0); }
  ~Pipe() {
    close_writing();
    ::close(ends_[0]);
  }
  [[nodiscard]] int writing() const { return ends_[1]; }
  [[nodiscard]] bool has_room() const {
    pollfd wanted{.fd = ends_[1], .events = POLLOUT, .revents = 0};
    return ::poll(&wanted, 1, 0) == 1;
  }
  void close_writing() {
    if (ends_[1] >= 0) ::close(std::exchange(ends_[1], -1));
  }

  /// What comes up to `end`.
  std::string read_until(std::string_view end) {
    std::string text;
    while (!text.ends_with(end)) {
      const std::string more = read_some();
      if (more.empty()) break;
      text += more;
    }
    return text;
  }
  std::string read_all() {
    close_writing();
    std::string text;
    for (std::string more = read_some(); !more.empty(); more = read_some()) text += more;
    return text;
  }

 private:
  std::string read_some() {
    pollfd wanted{.fd = ends_[0], .events = POLLIN, .revents = 0};
    std::array<char, 65'536> bytes;
    if (::poll(&wanted, 1, kDeadline) != 1) return {};
    const auto size = ::read(ends_[0], bytes.data(), bytes.size());
    return size <= 0 ? std::string() : std::string(bytes.data(), static_cast<std::size_t>(size));
  }
  std::array<int, 2> ends_{-1, -1};
};

TEST(LogThread, WritesLinesInTheirOrder) {
  Pipe pipe;
  {
    LogThread thread(pipe.writing());
    EXPECT_EQ(LogThread::active(), &thread);
    EXPECT_TRUE(thread.add("one\n"));
    EXPECT_EQ(pipe.read_until("\n"), "one\n");
    EXPECT_TRUE(thread.add("two\n"));
    EXPECT_TRUE(thread.add("three\n"));
  }
  EXPECT_EQ(LogThread::active(), nullptr);
  EXPECT_EQ(pipe.read_all(), "two\nthree\n");
}

TEST(LogThread, FlushWaitsUntilAllIsWritten) {
  Pipe pipe;
  LogThread thread(pipe.writing());
  thread.add("one\n");
  thread.flush();
  EXPECT_TRUE(pipe.has_room());
  EXPECT_EQ(pipe.read_until("\n"), "one\n");
}

TEST(LogThread, LeavesOutWhatNobodyReadsAndSaysSo) {
  Pipe pipe;
  const std::string filling(4'000, 'x');
  constexpr std::size_t kRoom = 16'000;
  std::string text;
  {
    LogThread thread(pipe.writing(), kRoom);
    // The pipe takes 64 KiB and the thread keeps 16 KB of what is beyond.
    while (thread.add(filling + "\n") || pipe.has_room()) {
    }
    while (thread.add("\n")) {
    }
    configure(Level::Info, Format::Text);
    error("no room for this");
    while (!thread.add("end\n")) text += pipe.read_until("\n");
    error("again");
    text += pipe.read_until("again\n");
  }
  EXPECT_EQ(text.find("no room for this"), std::string::npos);
  const auto told = text.find("lines were left out, they aren't read fast enough count=1\n");
  ASSERT_NE(told, std::string::npos);
  EXPECT_LT(told, text.find("again"));
}

TEST(LogThread, DoesNotWaitForEverForWhoDoesNotRead) {
  Pipe pipe;
  LogThread thread(pipe.writing());
  for (int i = 0; i < 200; ++i) thread.add(std::string(4'000, 'x') + "\n");
  // Its destructor ends.
}

TEST(LogThread, OutlivesAReaderThatHasGone) {
  std::array<int, 2> ends{};
  ASSERT_EQ(::pipe(ends.data()), 0);
  ::signal(SIGPIPE, SIG_IGN);
  ::close(ends[0]);
  {
    LogThread thread(ends[1]);
    thread.add("nobody reads this\n");
    thread.flush();
  }
  ::close(ends[1]);
}

}  // namespace
}  // namespace parley::log
