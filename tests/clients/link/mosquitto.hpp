#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

namespace parley::link::test {

/// Debian's broker as a process of its own, on a free port of 127.0.0.1; ended with the object.
class Mosquitto {
 public:
  /// `settings` are further lines of its configuration file. Throws std::runtime_error when it doesn't accept
  /// connections within ten seconds.
  explicit Mosquitto(const std::string& settings = "");
  Mosquitto(const Mosquitto&) = delete;
  Mosquitto& operator=(const Mosquitto&) = delete;
  ~Mosquitto();

  /// kill -9 and a new start on the same port; sessions are lost unless they were stored.
  void restart();
  /// SIGSTOP, respectively SIGCONT.
  void freeze();
  void thaw();

  [[nodiscard]] std::uint16_t port() const { return port_; }
  static bool installed();

 private:
  void start();
  void stop(int signal);

  std::string directory_;
  std::uint16_t port_ = 0;
  pid_t process_ = -1;
};

}  // namespace parley::link::test
