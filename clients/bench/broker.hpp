#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "clients/bench/options.hpp"
#include "clients/bench/process.hpp"

/// The brokers that `compare` starts by itself.
namespace parley::bench {

enum class Brand : std::uint8_t { Parley, Mosquitto };
std::string name_of(Brand brand);

/// How to start one: the program, and the core that it and all its threads stay on.
struct BrokerSetup {
  Brand brand = Brand::Parley;
  std::string program;
  std::vector<std::string> settings;  ///< Parley: `key=value`; mosquitto: lines of its configuration.
  std::string data_root;
  int core = 0;
  bool secure = false;  ///< It listens for TLS, too, with a certificate that is made for it.
};

/// Arguments of Parley on `port`, with its data under `directory`: one thread for clients, conversations appear on
/// first use, everything else as it comes. A secure one reads parley_configuration in `directory`/parley.toml.
std::vector<std::string> parley_arguments(const BrokerSetup& setup, const std::string& directory, std::uint16_t port);
/// Listeners on both ports, the second one with TLS.
std::string parley_configuration(const std::string& directory, std::uint16_t port, std::uint16_t tls_port);
/// mosquitto's configuration: as Debian ships it, but all in memory, nothing dropped, as many messages under way as
/// Parley allows, and no log line per client.
std::string mosquitto_configuration(const BrokerSetup& setup, std::uint16_t port);
/// What a secure one has behind that.
std::string mosquitto_tls_configuration(const std::string& directory, std::uint16_t tls_port);

/// A broker on a free port of 127.0.0.1 with an empty data directory; both go with this object.
class RunningBroker {
 public:
  /// Returns when it takes clients. Throws Failure with the end of its log when it doesn't.
  explicit RunningBroker(const BrokerSetup& setup);
  [[nodiscard]] Target target() const;

 private:
  void await_ready();
  [[nodiscard]] std::string log_tail() const;

  BrokerSetup setup_;
  TemporaryDirectory directory_;
  std::uint16_t port_;
  std::uint16_t tls_port_ = 0;
  std::string log_file_;
  std::unique_ptr<Child> child_;  ///< Ends before its directory goes.
};

}  // namespace parley::bench
