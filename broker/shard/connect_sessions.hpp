#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "broker/shard/connect_login.hpp"
#include "broker/shard/session_claims.hpp"
#include "mqtt/packet.hpp"

namespace parley::shard {

class Shard;
struct Client;

/// Which session a CONNECT gets: the one that is there, taken over from its connection or from another node, or a new
/// one; and whether there is place for one more. MQTT 5 §3.1.2.4, §3.1.4. Belongs to its shard's thread.
class ConnectSessions {
 public:
  explicit ConnectSessions(Shard& shard) : shard_(shard) {}

  /// Whether the user may have one more connection; `earlier`: the client whose connection this one takes over, if any.
  /// Two that come at the same moment may both get the last place.
  [[nodiscard]] bool user_has_place(const Client* earlier, const std::string& user) const;
  /// Whether there may be one more session. Of several that come at the same moment on different threads a few more
  /// than the limit may get one.
  [[nodiscard]] bool has_place() const;

  /// This node has been granted the session: what is here becomes what was granted. `kept`: the client, where the node
  /// had it already. May end sessions and their connections. False when what is stored can't be read.
  bool take(const std::string& client_id, Client* kept, const SessionClaims::Granted& granted);

  struct Opened {
    Client* client = nullptr;
    bool present = false;  ///< It goes on with an earlier session.
  };
  /// The session for this CONNECT, which this node has in `generation`. Whatever connection had it is ended.
  Opened open(const mqtt::Connect& connect, const Login& login, std::uint64_t generation);

 private:
  bool take_latest(Client& client, const SessionClaims::Granted& granted);
  bool take_over(const std::string& client_id, const SessionClaims::Granted& granted);
  Client* earlier_session(const mqtt::Connect& connect, std::string_view client_id);
  void end_will(Client& client);

  Shard& shard_;
};

}  // namespace parley::shard
