#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

#include "broker/shard/ports.hpp"
#include "broker/shard/session_claims.hpp"
#include "mqtt/decode.hpp"

namespace parley::shard {

class Shard;
struct Client;

/// From the first packet to CONNACK: who is it, which session, take-over. MQTT 5 §3.1.4. Belongs to its shard's thread.
///
/// A session that outlives its connection is on disk before CONNACK says that it exists: until then the connection
/// waits, and what it sends meanwhile is kept (kHeldBytesMax; more closes it). A client id longer than kClientIdSizeMax
/// is refused, and so is one whose session belongs to another user.
class Connecting {
 public:
  static constexpr std::size_t kClientIdSizeMax = 256;
  static constexpr std::size_t kHeldBytesMax = 1024 * 1024;

  explicit Connecting(Shard& shard) : shard_(shard) {}

  enum class Outcome : std::uint8_t {
    Connected,
    Refused,
    HandedOver,
    Held,  ///< CONNECT is kept; it comes again through Shard::received.
  };
  /// `frame` is the connection's first packet, `unread` everything received from its first byte on.
  Outcome first_packet(ConnectionId connection, const mqtt::Frame& frame, std::string_view unread);

  /// True when the connection waits for its session's record.
  [[nodiscard]] bool is_waiting(ConnectionId connection) const;
  /// Keeps whole packets that came while it waits; returns how many bytes that are.
  std::size_t hold(ConnectionId connection, std::string_view bytes);
  /// A waiting connection was lost.
  void lost(ConnectionId connection);
  /// Ends the client's connection that waits for its session, if there is one.
  void abandon(Client& client);
  /// Closes all that wait.
  void shut_down();

 private:
  struct Opening {
    std::uint32_t generation = 0;
    std::uint32_t client = 0;
    std::uint64_t identity = 0;
    mqtt::ProtocolVersion version{};
    bool session_present = false;
    bool assigned = false;
    enum class Stage : std::uint8_t { Claiming, Claimed, Storing, Durable } stage = Stage::Storing;
    std::string client_id;                 ///< While it is claimed.
    std::uint64_t session_generation = 0;  ///< From Claimed on.
    std::string held;                      ///< CONNECT and the packets behind it.
  };

  Outcome admit(ConnectionId connection, const mqtt::Connect& connect, std::string_view packet,
                std::string_view unread);
  Outcome open(ConnectionId connection, const mqtt::Connect& connect, std::string_view packet, std::string client_id,
               std::string user, bool assigned);
  /// Asks for the session, in a cluster; see SessionClaims.
  Outcome claim(ConnectionId connection, const mqtt::Connect& connect, std::string_view packet,
                const std::string& client_id, const std::string& user);
  void claimed(ConnectionId connection, const std::string& client_id, const Result<SessionClaims::Granted>& granted);
  void attach(ConnectionId connection, const mqtt::Connect& connect, Client& client, const Opening& opening);
  /// The session's record is durable, or could not be written.
  void settled(ConnectionId connection, Result<void> outcome);
  Opening* find(ConnectionId connection);
  Outcome refuse(ConnectionId connection, mqtt::ProtocolVersion version, mqtt::ReasonCode reason, std::string_view why,
                 std::string_view client_id);
  /// Null when there is no session to go on with: none of that client id, or it ends here.
  Client* earlier_session(const mqtt::Connect& connect, std::string_view client_id);
  std::string make_client_id();
  /// Follows the conversations of a session that has just been attached.
  void follow_cursors(Client& client);
  void follow_cursor(Client& client, std::uint32_t cursor);

  Shard& shard_;
  std::unordered_map<std::uint32_t, Opening> openings_;  ///< By the connection's place.
};

}  // namespace parley::shard
