#pragma once

#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>

namespace parley::log {

/// While one exists, log lines are written by its thread: who logs waits neither for the system call nor for who reads
/// the lines. One at a time in a process; made before and destroyed after the other threads that log.
///
/// Memory: up to `bytes_max` of lines that aren't written yet. What doesn't fit is left out, and counted in a line once
/// there is room. A process that dies takes lines of the last moment along; check_failed() writes for itself.
class LogThread {
 public:
  static constexpr std::size_t kBytesMax = std::size_t{1} << 20U;

  /// What is logged from now on goes to `descriptor`, which stays open and as it is.
  explicit LogThread(int descriptor, std::size_t bytes_max = kBytesMax);
  /// Writes what there is, unless nobody reads it for a second.
  ~LogThread();

  LogThread(const LogThread&) = delete;
  LogThread& operator=(const LogThread&) = delete;

  /// The one there is; null: none. Any thread.
  static LogThread* active();
  /// A line with its newline. False when there is no room for it. Any thread.
  bool add(std::string_view line);
  /// Waits until what was added is written, a second at most.
  void flush();

 private:
  void run();
  bool write(std::string_view lines);
  bool may_write();

  const int descriptor_;
  const std::size_t bytes_max_;
  std::mutex mutex_;  ///< Guards what follows; nothing else is taken while it is held.
  std::condition_variable changed_;
  std::condition_variable written_;
  std::string lines_;
  std::size_t bytes_ = 0;  ///< Of lines_ and of what is being written.
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace parley::log
