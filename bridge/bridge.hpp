#pragma once

#include <cstdint>
#include <memory>

#include "bridge/options.hpp"

/// The HTTP bridge as one object: parley-bridge runs one, and so do its tests.
namespace parley::bridge {

/// start() and stop() are called by one thread; the work is done by threads of its own.
class Bridge {
 public:
  /// Opens the history if it is there already, and listens. Throws std::runtime_error with one sentence when it can't
  /// listen, or when there is a history that this program can't read (a newer format, missing rights). A history that
  /// isn't there yet is waited for: requests for it are answered with 503 meanwhile.
  explicit Bridge(BridgeOptions options);
  Bridge(const Bridge&) = delete;
  Bridge& operator=(const Bridge&) = delete;
  ~Bridge();  ///< Stops it if need be.

  void start();
  /// Accepts nothing more, finishes what is under way within BridgeOptions::stop_limit, and returns.
  void stop();

  /// Where it listens.
  [[nodiscard]] std::uint16_t port() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace parley::bridge
