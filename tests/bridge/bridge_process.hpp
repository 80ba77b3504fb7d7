#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

namespace parley::bridge::test {

/// parley-bridge as a process of its own, as it is in life: it reads what this process writes. On a free port,
/// anonymous users allowed, one thread unless `arguments` say otherwise; killed with the object.
class BridgeProcess {
 public:
  /// Throws std::runtime_error when it isn't ready within twenty seconds.
  explicit BridgeProcess(const std::string& data_dir, const std::vector<std::string>& arguments = {});
  BridgeProcess(const BridgeProcess&) = delete;
  BridgeProcess& operator=(const BridgeProcess&) = delete;
  ~BridgeProcess();

  [[nodiscard]] std::uint16_t port() const { return port_; }
  /// SIGTERM, and its exit status once it has ended; -1 when a signal ended it.
  int stop();
  /// SIGTERM only.
  void terminate();
  int wait();
  [[nodiscard]] std::string log() const;

 private:
  std::string log_file_;
  pid_t process_ = -1;
  std::uint16_t port_ = 0;
};

}  // namespace parley::bridge::test
