#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "base/number.hpp"
#include "storage/files.hpp"
#include "storage/log_damage.hpp"

namespace parley::disk {

/// What a node of several does about damage in its log that it finds while it runs: it notes it, and stops, for at its
/// next start it can begin the log anew. Any thread.
class LogGuard {
 public:
  LogGuard(std::shared_ptr<storage::Files> files, NodeId self, std::function<void()> stop);

  /// True: the node stops. False: nobody else has what this log has, so what can be read of it is better than nothing.
  bool found(const storage::LogDamage& damage);
  [[nodiscard]] bool stopped() const;

 private:
  const std::shared_ptr<storage::Files> files_;
  const NodeId self_;
  const std::function<void()> stop_;
  mutable std::mutex mutex_;  ///< Guards the rest.
  bool stopped_ = false;
  bool alone_ = false;  ///< Said once.
};

/// storage::Files::open_to_write for a node of several: when there is `damage`, the log is cut behind it if the store
/// has all that is damaged; else, and if others have the log, it is begun anew. Throws storage::OpenFailure, with a
/// sentence, when that can't be done.
std::shared_ptr<storage::Files> open_or_mend(const std::string& directory, const storage::Files::Options& options,
                                             NodeId self, const std::optional<storage::LogDamage>& damage);

}  // namespace parley::disk
