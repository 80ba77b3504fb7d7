#pragma once

#include <cstdint>

#include "base/metrics.hpp"
#include "base/time.hpp"
#include "broker/shard/rate.hpp"
#include "mqtt/decode.hpp"

namespace parley::shard {

class Shard;
struct Client;

/// How much a client, and all clients of a user together, may send. See docs/LIMITS.md.
struct RateLimits {
  Rate messages;  ///< PUBLISH packets of one client …
  Rate bytes;     ///< … and bytes of all its packets.
  Rate user_messages;
  Rate user_bytes;
  Rate control;                                  ///< SUBSCRIBE, UNSUBSCRIBE, PINGREQ and AUTH of one client.
  Duration patience = std::chrono::seconds(10);  ///< Who sends too much for longer is cut off; zero: never.
};

/// What is known of a connection's sending.
struct Throttle {
  RateBucket messages;
  RateBucket bytes;
  RateBucket control;
  Instant since;                       ///< Without a rest it has sent too much since then; …
  Instant last;                        ///< … the last time.
  Instant resume_at = Instant::max();  ///< Not read from until then.
};

/// Backpressure first, refusal after: whose packet comes too early isn't read from until it is due, and whose have come
/// too early for longer than RateLimits::patience is disconnected: Message rate too high (0x96) for its own limits,
/// Quota exceeded (0x97) for its user's. Belongs to its shard's thread.
class Throttling {
 public:
  explicit Throttling(Shard& shard);

  enum class Verdict : std::uint8_t {
    Go,
    Wait,  ///< The packet stays where it is; reading is paused.
    Cut,   ///< The client has been disconnected.
  };
  /// Before a packet of the client is handled.
  Verdict admit(Client& client, const mqtt::Frame& frame);
  /// The client's timer: reads on, if it is time.
  void look(Client& client);

 private:
  Verdict hold(Client& client, Duration wait, Metric limit);

  Shard& shard_;
  const RateLimits& limits_;
  const bool is_limited_;
};

}  // namespace parley::shard
