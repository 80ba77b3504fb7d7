#pragma once

#include <sys/types.h>

#include <functional>
#include <optional>
#include <string>
#include <thread>

#include "storage/log_damage.hpp"

namespace parley::disk {

/// Looks through log.mdb for damage while a node of several starts, in a process of its own: LMDB trusts the pages of
/// its files, so one that isn't as it was written may end the process that reads it.
class LogCheck {
 public:
  /// Begins at once, unless it was noted before the last stop that the file can't be read. To be called while there is
  /// no other thread.
  explicit LogCheck(const std::string& data_dir);
  /// Ends it, wherever it is.
  ~LogCheck();
  LogCheck(const LogCheck&) = delete;
  LogCheck& operator=(const LogCheck&) = delete;

  /// What is wrong with what the store doesn't have, or else what was noted, which the store then has; waits until that
  /// is known.
  std::optional<storage::LogDamage> behind_store();
  /// If there was nothing, the rest goes on for as long as reading it takes, at the lowest priority. `found` is called
  /// once, from a thread of this object, if something is wrong with it.
  void watch(std::function<void(const storage::LogDamage&)> found);
  void stop();

 private:
  /// Another line of the process's answer; what is wrong if it says so, or has ended before its time. `fine`: it says
  /// so.
  std::optional<storage::LogDamage> answer(bool& fine);
  std::optional<std::string> read_line();

  const std::optional<storage::LogDamage> noted_;
  pid_t process_ = -1;
  int answers_ = -1;  ///< Read end of the pipe.
  std::string unread_;
  std::thread watcher_;
};

}  // namespace parley::disk
