#include "clients/bench/process.hpp"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>
#include <thread>

#include "clients/bench/endpoint.hpp"
#include "clients/bench/failure.hpp"

namespace parley::bench {
namespace {

using namespace std::chrono_literals;

bool becomes_true(const std::function<bool()>& condition, Duration patience = 10s) {
  const auto deadline = std::chrono::steady_clock::now() + patience;
  while (!condition()) {
    if (std::chrono::steady_clock::now() >= deadline) return false;
    std::this_thread::sleep_for(2ms);
  }
  return true;
}

/// Gone, or a zombie that nobody has collected yet.
bool has_ended(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  std::string number, name, state;
  return !(file >> number >> name >> state) || state == "Z" || state == "X";
}

std::string text_of(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST(ParseMemory, ReadsBothFilesOfTheKernel) {
  const auto rollup = parse_memory(
      "55d0-7ffe ---p 00000000 00:00 0    [rollup]\nRss:                1656 kB\nPss:  200 kB\nAnonymous:  152 kB\n");
  ASSERT_TRUE(rollup);
  EXPECT_EQ(rollup->resident, 1'656U * 1024);
  EXPECT_EQ(rollup->anonymous, 152U * 1024);
  const auto status = parse_memory("Name:\tx\nVmRSS:\t    4000 kB\nRssAnon:\t     300 kB\nRssFile:\t 3700 kB\n");
  ASSERT_TRUE(status);
  EXPECT_EQ(status->resident, 4'000U * 1024);
  EXPECT_EQ(status->anonymous, 300U * 1024);
  EXPECT_FALSE(parse_memory(""));
  EXPECT_FALSE(parse_memory("Rss: 5 kB\n"));
}

TEST(MemoryOf, SeesThisProcessAndRefusesNone) {
  const Memory memory = memory_of(::getpid());
  EXPECT_GT(memory.resident, 100'000U);
  EXPECT_GT(memory.anonymous, 0U);
  EXPECT_THROW(memory_of(0x7FFF'FFF0), Failure);
}

TEST(CpuTimeOf, CountsWhatThisProcessUses) {
  const Duration before = cpu_time_of(::getpid());
  std::uint64_t sum = 1;
  while (own_cpu_time() < before + 5ms) sum = sum * 31 + 7;
  EXPECT_NE(sum, 0U);
  EXPECT_GE(cpu_time_of(::getpid()), before + 5ms);
  EXPECT_THROW(cpu_time_of(0x7FFF'FFF0), Failure);
}

TEST(MachineCpuTime, CountsBusyTicks) {
  EXPECT_EQ(parse_machine_cpu_time("cpu  100 20 3 9999 8888 4 5 6 7 8\ncpu0 1 2 3\n", 100), 1'380ms);
  EXPECT_EQ(parse_machine_cpu_time("", 100), std::nullopt);
  EXPECT_EQ(parse_machine_cpu_time("cpu0 1 2 3 4 5 6 7 8\n", 100), std::nullopt);
  EXPECT_GT(machine_cpu_time(), 0ns);
}

TEST(ListenerOf, FindsTheProcessBehindAPort) {
  const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  ASSERT_EQ(::bind(listener, reinterpret_cast<sockaddr*>(&address), size), 0);
  ASSERT_EQ(::listen(listener, 1), 0);
  ASSERT_EQ(::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size), 0);
  EXPECT_EQ(listener_of(ntohs(address.sin_port)), ::getpid());
  ::close(listener);
  EXPECT_EQ(listener_of(ntohs(address.sin_port)), std::nullopt);
}

TEST(Child, WritesToItsFileAndEnds) {
  const TemporaryDirectory directory;
  const std::string file = directory.path() + "/output";
  Child child({.arguments = {"/bin/echo", "hello"}, .core = usable_cores().front(), .output_file = file});
  EXPECT_TRUE(becomes_true([&child] { return !child.alive(); }));
  EXPECT_EQ(text_of(file), "hello\n");
}

TEST(Child, ThatCannotBeStartedHasEnded) {
  const TemporaryDirectory directory;
  Child child({.arguments = {directory.path() + "/nothing"}, .core = {}, .output_file = directory.path() + "/output"});
  EXPECT_TRUE(becomes_true([&child] { return !child.alive(); }));
}

TEST(Child, IsStoppedOnDestruction) {
  const TemporaryDirectory directory;
  pid_t pid = 0;
  {
    Child child({.arguments = {"/bin/sleep", "60"}, .core = {}, .output_file = directory.path() + "/output"});
    pid = child.pid();
    EXPECT_TRUE(child.alive());
  }
  EXPECT_TRUE(has_ended(pid));
}

TEST(TemporaryDirectory, IsMadeAndRemovedWithItsContents) {
  std::string path;
  {
    const TemporaryDirectory directory;
    path = directory.path();
    std::filesystem::create_directories(path + "/deeper");
    std::ofstream(path + "/deeper/file") << "x";
    EXPECT_TRUE(std::filesystem::exists(path));
  }
  EXPECT_FALSE(std::filesystem::exists(path));
  EXPECT_THROW(TemporaryDirectory("/nowhere/at/all"), Failure);
}

/// Runs in a process of its own, which says what it has made and then waits for its end.
[[noreturn]] void make_and_wait(int report) {
  const TemporaryDirectory directory;
  const Child child({.arguments = {"/bin/sleep", "60"}, .core = {}, .output_file = directory.path() + "/output"});
  const std::string line = std::to_string(child.pid()) + " " + directory.path() + "\n";
  if (::write(report, line.data(), line.size()) < 0) ::_exit(1);
  for (;;) ::pause();
}

TEST(WhatWeStarted, IsGoneWhenWeAreKilled) {
  for (const int signal : {SIGKILL, SIGTERM, SIGINT}) {
    int ends[2];
    ASSERT_EQ(::pipe(ends), 0);
    const pid_t pid = ::fork();
    ASSERT_GE(pid, 0);
    if (pid == 0) make_and_wait(ends[1]);
    ::close(ends[1]);
    char buffer[512];
    const ssize_t count = ::read(ends[0], buffer, sizeof buffer);
    ::close(ends[0]);
    ASSERT_GT(count, 0);
    std::istringstream line(std::string(buffer, static_cast<std::size_t>(count)));
    pid_t grandchild = 0;
    std::string path;
    line >> grandchild >> path;
    ASSERT_TRUE(std::filesystem::exists(path));

    ::kill(pid, signal);
    ::waitpid(pid, nullptr, 0);
    EXPECT_TRUE(becomes_true([&path] { return !std::filesystem::exists(path); })) << path;
    EXPECT_TRUE(becomes_true([grandchild] { return has_ended(grandchild); })) << grandchild;
  }
}

TEST(UsableCores, HoldTheOneWeRunOn) {
  const auto cores = usable_cores();
  ASSERT_FALSE(cores.empty());
  EXPECT_TRUE(std::ranges::is_sorted(cores));
  EXPECT_THROW(pin_to_core(0, 1'000), Failure);
}

}  // namespace
}  // namespace parley::bench
