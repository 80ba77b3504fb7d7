#pragma once

#include <memory>
#include <string>
#include <vector>

#include "clients/bench/secure_client.hpp"

namespace parley::bench {

/// Many SecureClients. Belongs to its loop's thread.
class SecureClients {
 public:
  SecureClients(Loop& loop, const Endpoint& endpoint, TlsVersion version, std::string name)
      : loop_(loop), endpoint_(endpoint), context_(make_tls_context(version)), name_(std::move(name)) {}

  /// Connects until there are so many, `at_once` at a time, which stay. With `subscribed`, each to a topic of its own.
  /// Throws Failure when one is refused, or nothing moves for 30 s.
  void grow_to(std::size_t count, std::size_t at_once, bool subscribed);
  /// Connects and leaves again, `at_once` at a time, until then; how many came. `resuming`: each with the session of
  /// one before it, and those that weren't resumed are counted in `not_resumed`.
  std::size_t come_and_go(std::size_t at_once, Instant until, bool resuming);
  [[nodiscard]] std::size_t not_resumed() const { return not_resumed_; }
  /// Of those that were to stay.
  [[nodiscard]] std::size_t closed() const;

 private:
  using Batch = std::vector<std::unique_ptr<SecureClient>>;
  void await_ready(const Batch& batch, std::size_t from);
  std::unique_ptr<SecureClient> begin(bool subscribed, SSL_SESSION* session);

  Loop& loop_;
  Endpoint endpoint_;
  TlsContextPtr context_;
  std::string name_;
  std::size_t number_ = 0;
  std::size_t not_resumed_ = 0;
  Batch clients_;
};

}  // namespace parley::bench
