#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/time.hpp"

/// The broker as the operating system sees it: what it used, where it runs, when it ends. Any thread.
namespace parley::bench {

/// CPU time of all threads of `pid` since it started, user and system together, exact to the nanosecond; of ended
/// threads, too. Throws Failure when there is no such process.
Duration cpu_time_of(pid_t pid);
Duration own_cpu_time();
/// What all processors of this machine were busy with since it started, to the clock tick; from /proc/stat.
Duration machine_cpu_time();
/// The file's format, for tests. Nothing when its first line is another.
std::optional<Duration> parse_machine_cpu_time(const std::string& text, long ticks_per_second);

/// Resident memory in bytes. `anonymous` leaves out pages of files (program text, mapped databases), which the kernel
/// can take back at any time.
struct Memory {
  std::uint64_t resident = 0;
  std::uint64_t anonymous = 0;
};
/// From /proc/PID/smaps_rollup, which counts page by page, else from the cheaper and rougher status file.
Memory memory_of(pid_t pid);
/// The memory file's format, for tests: "Rss:  1656 kB" and "Anonymous:  152 kB" (smaps_rollup), "VmRSS", "RssAnon"
/// (status). Nothing when neither is there.
std::optional<Memory> parse_memory(const std::string& text);

/// Process that listens on the TCP port of this machine; nothing when it is none of ours to see.
std::optional<pid_t> listener_of(std::uint16_t port);

/// How many processors this process may use, and which.
std::vector<int> usable_cores();
/// Binds all threads that `pid` (0: the calling thread) starts from now on. Throws Failure.
void pin_to_core(pid_t pid, int core);

/// A program started by us and gone with us: destruction sends SIGTERM, waits up to ten seconds, then sends SIGKILL. It
/// also dies when this process does.
class Child {
 public:
  struct Command {
    std::vector<std::string> arguments;  ///< Program first, as a path.
    std::optional<int> core;
    std::string output_file;  ///< Its standard output and error.
  };
  explicit Child(const Command& command);
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child();

  [[nodiscard]] pid_t pid() const { return pid_; }
  /// False once it has ended by itself.
  bool alive();

 private:
  pid_t pid_ = -1;
  bool reaped_ = false;
};

/// A directory under `root` (empty: $TMPDIR, else /tmp), removed with its contents on destruction. When this process is
/// killed instead, a small process that waits for its end removes it.
class TemporaryDirectory {
 public:
  explicit TemporaryDirectory(const std::string& root = {});
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  ~TemporaryDirectory();
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  void start_janitor();

  std::string path_;
  pid_t janitor_ = -1;
  int janitor_socket_ = -1;
};

}  // namespace parley::bench
