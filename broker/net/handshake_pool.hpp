#pragma once

#include <condition_variable>
#include <deque>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "broker/net/tls_stream.hpp"
#include "broker/shard/ports.hpp"

namespace parley::net {

class Mailbox;

/// One step of a TLS handshake: as far as it goes without waiting for the client.
struct HandshakeJob {
  TlsStream* stream = nullptr;  ///< Nobody else uses it until the result is there.
  shard::ConnectionId connection;
  Mailbox* answer_to = nullptr;
};

struct HandshakeResult {
  shard::ConnectionId connection;
  TlsStream::Handshake outcome = TlsStream::Handshake::Failed;
  std::string why;
};

/// Threads for what a TLS handshake costs, about half a millisecond of processor time, so that a storm of them doesn't
/// keep those waiting who are connected. They run at a lower priority. Any thread may submit; the mutex guards the
/// jobs.
class HandshakePool {
 public:
  HandshakePool() = default;
  ~HandshakePool();

  void start(unsigned threads);
  /// How many are under way is for the workers to bound.
  void submit(HandshakeJob job);
  /// Waits for the steps under way; what hasn't begun never will.
  void stop();

 private:
  void run();

  std::mutex mutex_;
  std::condition_variable there_is_work_;
  std::deque<HandshakeJob> jobs_;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace parley::net
