#pragma once

#include <memory>
#include <string>

#include "base/result.hpp"
#include "broker/admin/node_admin.hpp"

namespace parley::admin {

/// HTTP on a Unix socket, on a thread of its own. One request a connection; each has ten seconds.
class AdminServer {
 public:
  /// `node` lives longer.
  explicit AdminServer(NodeAdmin& node);
  ~AdminServer();  ///< Stops.

  /// Makes the socket's file, for this user and group, in place of one that a dead process has left. Fails with the
  /// system's error; file_name_too_long above 107 bytes, address_in_use when somebody listens there.
  Result<void> start(const std::string& path);
  /// Ends the thread and removes the file.
  void stop();

 private:
  class Core;
  std::unique_ptr<Core> core_;
};

}  // namespace parley::admin
