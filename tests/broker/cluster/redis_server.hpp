#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

/// Real Redis servers for tests: on free ports of 127.0.0.1, in temporary directories, ended by their process ids.
namespace parley::cluster::test {

class RedisServer {
 public:
  /// Arguments as on redis-server's command line; port, directory and "no persistence" are given. `sentinel`: the text
  /// of a configuration file, for a sentinel instead. Port 0: a free one.
  explicit RedisServer(std::vector<std::string> arguments = {}, std::uint16_t port = 0, std::string sentinel = {});
  RedisServer(const RedisServer&) = delete;
  RedisServer& operator=(const RedisServer&) = delete;
  ~RedisServer();

  [[nodiscard]] std::uint16_t port() const { return port_; }
  [[nodiscard]] bool is_running() const { return process_ > 0; }

  void start();  ///< Again, after kill(): empty.
  void kill();   ///< SIGKILL, and waits for its end.
  void stop();   ///< SIGSTOP.
  void resume();

  /// One command on a connection of its own; the reply as text: arrays' elements separated by blanks, nil as "(nil)".
  std::string command(const std::vector<std::string>& words) const;
  /// Repeats it until the reply has `part` in it; false after ten seconds.
  bool wait_for(const std::vector<std::string>& words, const std::string& part) const;

 private:
  void launch();
  bool answers();

  std::vector<std::string> arguments_;
  std::string sentinel_;
  std::string directory_;
  std::uint16_t port_;
  int process_ = -1;
};

std::uint16_t free_port();

}  // namespace parley::cluster::test
