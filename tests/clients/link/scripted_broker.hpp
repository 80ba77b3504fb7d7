#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <thread>
#include <variant>
#include <vector>

#include "base/output.hpp"
#include "mqtt/packet.hpp"

namespace parley::link::test {

/// A broker that says what a test wants said: what real brokers rarely do, such as refusing, falling silent or breaking
/// the protocol. Serves one connection at a time on a free port of 127.0.0.1, in a thread of its own.
class ScriptedBroker {
 public:
  /// Is shown each packet and appends the answer; false ends the connection. The packet's views live that long.
  using Script = std::function<bool(const mqtt::Packet& received, Output& answer)>;

  explicit ScriptedBroker(Script script);
  ScriptedBroker(const ScriptedBroker&) = delete;
  ScriptedBroker& operator=(const ScriptedBroker&) = delete;
  ~ScriptedBroker();

  [[nodiscard]] std::uint16_t port() const { return port_; }
  [[nodiscard]] int connections() const { return connections_; }

 private:
  void serve();
  void serve_connection(int socket);

  Script script_;
  int listener_ = -1;
  int stop_[2] = {-1, -1};
  std::uint16_t port_ = 0;
  std::atomic<int> connections_ = 0;
  std::thread thread_;
};

/// Accepts everybody and acknowledges every PUBLISH and SUBSCRIBE without properties.
bool polite(const mqtt::Packet& received, Output& answer);

}  // namespace parley::link::test
