#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/metrics.hpp"
#include "broker/shard/attaching.hpp"
#include "broker/shard/connect_login.hpp"
#include "broker/shard/connect_refusals.hpp"
#include "broker/shard/connect_sessions.hpp"
#include "broker/shard/ports.hpp"
#include "broker/shard/rate.hpp"
#include "broker/shard/session_claims.hpp"
#include "mqtt/decode.hpp"

namespace parley::shard {

class Shard;
struct Client;

/// From the first packet to CONNACK: who is it, and what is waited for until it has its session. MQTT 5 §3.1.4. Belongs
/// to its shard's thread.
///
/// Who the client is the Authenticator says, on the shard where its session has its home, at once or later, and with an
/// Authentication Method after as many AUTH packets as that takes (MQTT 5 §4.12). A session that outlives its
/// connection is on disk before CONNACK says that it exists. While either is waited for, what the client sends is kept
/// (kHeldBytesMax, and before it is known who it is as much as one first packet; more closes it), and is handled also
/// if the client has closed meanwhile. A client id whose session belongs to another user is refused.
///
/// Which session it is ConnectSessions says; CONNACK writes Attaching, or ConnectRefusals.
class Connecting {
 public:
  static constexpr std::size_t kHeldBytesMax = 1024 * 1024;

  explicit Connecting(Shard& shard);

  enum class Outcome : std::uint8_t {
    Connected,
    Refused,
    HandedOver,
    Held,  ///< CONNECT is kept; it comes again through Shard::received.
  };
  /// `frame` is the connection's first packet, `unread` everything received from its first byte on.
  Outcome first_packet(ConnectionId connection, const mqtt::Frame& frame, std::string_view unread);

  /// The Authenticator's answer to a connection that has no session yet.
  void authenticated(ConnectionId connection, LoginAnswer answer);
  /// The time for its authentication is over.
  void expire(ConnectionId connection);

  /// True when the connection waits for the Authenticator, its own AUTH, its session or that one's record.
  [[nodiscard]] bool is_waiting(ConnectionId connection) const;
  /// Keeps whole packets that came while it waits, or takes the AUTH that is its turn; returns how many bytes that are.
  std::size_t hold(ConnectionId connection, std::string_view bytes);
  /// A waiting connection was lost.
  void lost(ConnectionId connection);
  /// The client of a waiting connection sends no more. True when packets are kept that are still to be handled: the
  /// connection is closed after that.
  bool ended(ConnectionId connection);
  /// Ends the client's connection that waits for its session, if there is one. May end the session, and `client` with
  /// it.
  void abandon(Client& client);
  /// The same, since the client has no session here any more: it hears that it should try again.
  void give_up(Client& client);
  /// Closes all that wait.
  void shut_down();

 private:
  enum class Stage : std::uint8_t {
    Checking,      ///< The Authenticator has it.
    AwaitingAuth,  ///< It is the client's turn.
    Admitted,      ///< The user is known; CONNECT is about to come again.
    Claiming,      ///< The session's slot is asked for the session.
    Claimed,       ///< This node has it; CONNECT is about to come again.
    Storing,       ///< The session's record is being written.
    Durable,       ///< It is; CONNECT is about to come again.
  };
  struct Opening {
    std::uint32_t generation = 0;
    Stage stage = Stage::Checking;
    std::uint32_t client = 0;
    std::uint64_t identity = 0;
    mqtt::ProtocolVersion version{};
    bool session_present = false;
    Login login;
    std::uint64_t session_generation = 0;  ///< From Claimed on.
    std::uint64_t claim = 0;               ///< While Claiming.
    std::uint64_t will_id = 0;             ///< Of its will in the session's record; 0: none.
    std::shared_ptr<LoginExchange> exchange;
    std::string held;       ///< CONNECT and the packets behind it.
    bool has_more = false;  ///< There are packets behind it.
    bool ended = false;     ///< The client sends no more.
  };

  Outcome admit(ConnectionId connection, const mqtt::Connect& connect, std::string_view packet,
                std::string_view unread);
  Outcome authenticate(ConnectionId connection, const mqtt::Connect& connect, std::string_view packet, Login login);
  /// False when the client was refused instead.
  bool challenge(ConnectionId connection, Opening& opening, LoginAnswer answer);
  std::size_t receive_auth(ConnectionId connection, Opening& opening, std::string_view bytes);
  /// `claimed`: the generation in which this node has the session now, when that was asked for.
  Outcome open(ConnectionId connection, const mqtt::Connect& connect, std::string_view packet, Login login,
               std::optional<std::uint64_t> claimed);
  /// Asks for the session, in a cluster; see SessionClaims.
  Outcome claim(ConnectionId connection, const mqtt::Connect& connect, std::string_view packet, Login login);
  void ask_for_session(ConnectionId connection);
  /// `held`: as it was claimed.
  void claimed(ConnectionId connection, std::uint64_t held, const Result<SessionClaims::Granted>& granted);
  void attach(ConnectionId connection, const mqtt::Connect& connect, Client& client, const Opening& opening);
  /// The session's record is durable, or could not be written.
  void settled(ConnectionId connection, Result<void> outcome);
  /// CONNECT comes again, and what is kept behind it.
  void go_on(ConnectionId connection, Opening& opening);
  Opening* find(ConnectionId connection);
  Opening& add(ConnectionId connection, Opening opening);
  /// Views what `login` has.
  static ConnectRefusals::Applicant applicant_of(ConnectionId connection, mqtt::ProtocolVersion version,
                                                 const Login& login);
  void refuse_opening(ConnectionId connection, mqtt::ReasonCode reason, std::string_view why);
  Outcome refuse(const ConnectRefusals::Applicant& applicant, mqtt::ReasonCode reason, std::string_view why,
                 std::string_view properties = {});
  Outcome refuse_quota(const ConnectRefusals::Applicant& applicant, Metric limit);
  std::string make_client_id();

  Shard& shard_;
  ConnectRefusals refusals_;
  ConnectSessions sessions_;
  Attaching attaching_;
  const Rate connects_;
  RateBucket connects_bucket_;
  std::unordered_map<std::uint32_t, Opening> openings_;  ///< By the connection's place.
};

}  // namespace parley::shard
