#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <utility>

#include "base/time.hpp"
#include "broker/session/session.hpp"

namespace parley::shard {

class Shard;
struct Client;

/// The retained messages that one new subscription is still to get.
struct RetainedWalk {
  session::Subscription subscription;
  std::string behind;      ///< The topic of the last one; empty: none yet.
  std::uint64_t upto = 0;  ///< RetainedMessages::arrivals() at SUBSCRIBE. What came later was delivered as it came.
};

/// Of one client, in the order of its subscriptions.
struct RetainedWalks {
  std::deque<RetainedWalk> left;
  bool listed = false;  ///< In RetainedShows' list.
};

/// What is retained, to new subscriptions: a piece at a time and no faster than the client takes it, so that none is
/// lost for want of room, and however many there are, neither others nor the client's later messages wait for all of
/// them. What waits here are places in the retained messages, not messages. MQTT 5 §3.3.1.3. Belongs to its shard's
/// thread.
///
/// The first piece leaves behind SUBACK. After that a client goes on when it acknowledges, when its output has drained
/// and when it is back; a lasting session keeps its place while it is away, but not over the broker's end.
class RetainedShows {
 public:
  explicit RetainedShows(Shard& shard) : shard_(shard) {}

  /// Begins anew where the filter's are under way.
  void begin(Client& client, const session::Subscription& subscription);
  /// There may be room. May end the connection.
  void go_on(Client& client);
  /// The subscription is gone.
  static void stop(Client& client, std::string_view filter);
  void run_timer();

 private:
  /// How a piece ended.
  enum class Piece : std::uint8_t {
    Done,    ///< That was all.
    NoRoom,  ///< What the client acknowledges or reads makes some.
    Enough,  ///< It is somebody else's turn.
  };
  Piece send_piece(Client& client, RetainedWalk& walk);
  void list(Client& client);

  Shard& shard_;
  std::deque<std::pair<std::uint32_t, std::uint64_t>> waiting_;  ///< Clients by place and their sessions' identity.
  std::optional<Instant> timer_;
};

}  // namespace parley::shard
