#pragma once

#include <cstddef>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "broker/net/crowd.hpp"
#include "broker/net/handshake_pool.hpp"
#include "broker/net/socket.hpp"
#include "broker/net/transport.hpp"
#include "broker/shard/events.hpp"

namespace parley::shard {
class Shard;
}

/// How other threads reach a worker.
namespace parley::net {

/// Something for the shard that the net room needn't understand, such as an answer of the store.
class Letter {
 public:
  virtual ~Letter() = default;
  /// On the shard's thread.
  virtual void deliver(shard::Shard& shard) = 0;
};

/// A connection that moves to another worker, with the bytes that were received and not consumed.
struct Arrival {
  Descriptor socket;
  std::string unread;
  const ListenerProfile* listener = nullptr;  ///< Where it came in.
  std::unique_ptr<Transport> transport;
  CountedPlace place;  ///< Among the connections of its address.
  bool counted = false;
};

/// What came since the last look; each list in the order it was sent. What another shard says may follow from a letter
/// that both have got, so events and letters have one order.
struct Mail {
  struct Posted {
    std::unique_ptr<Letter> letter;
    std::size_t after = 0;  ///< How many events came before it.
  };
  std::vector<shard::PeerEvent> peer_events;
  std::vector<Posted> letters;
  std::vector<Arrival> arrivals;
  std::vector<HandshakeResult> handshakes;
  bool stop = false;

  /// Calls `event` and `letter` for all of these, as they came.
  template <class TakeEvent, class TakeLetter>
  void for_each_in_order(TakeEvent event, TakeLetter letter) {
    std::size_t next = 0;
    for (Posted& posted : letters) {
      while (next < posted.after) event(peer_events[next++]);
      letter(*posted.letter);
    }
    while (next < peer_events.size()) event(peer_events[next++]);
  }
};

/// Batches for one worker. send… may be called from any thread, `take` from the worker's. The mutex guards the mail
/// alone; nothing else is taken while it is held. A worker that has been woken and hasn't looked yet isn't woken again.
class Mailbox {
 public:
  Mailbox();

  void send(std::vector<shard::PeerEvent>& events);  ///< Leaves `events` empty.
  void send(std::unique_ptr<Letter> letter);
  void send(Arrival arrival);
  void send(HandshakeResult result);
  void send_stop();

  /// Readable while there is mail.
  [[nodiscard]] int descriptor() const { return wake_.number(); }
  /// Swaps what has come into `mail`, which must be empty.
  void take(Mail& mail);

 private:
  template <class Put>
  void put(Put put);

  Descriptor wake_;
  std::mutex mutex_;
  Mail mail_;
  bool woken_ = false;
};

}  // namespace parley::net
