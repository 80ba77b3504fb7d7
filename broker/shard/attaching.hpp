#pragma once

#include <cstdint>

#include "broker/shard/connect_login.hpp"
#include "broker/shard/ports.hpp"
#include "mqtt/packet.hpp"

namespace parley::shard {

class ConnectRefusals;
class Shard;
struct Client;

/// A connection gets its session: CONNACK, and everything goes on that the session had under way. MQTT 5 §3.2. Belongs
/// to its shard's thread.
class Attaching {
 public:
  Attaching(Shard& shard, ConnectRefusals& refusals) : shard_(shard), refusals_(refusals) {}

  struct Arrival {
    const Login& login;
    bool session_present = false;
    std::uint64_t will_id = 0;  ///< Of its will in the session's record; 0: none.
  };
  /// The client must have no connection. Afterwards it may have none again: what CONNACK or the session brings may be
  /// more than the client takes or may read.
  void attach(ConnectionId connection, const mqtt::Connect& connect, Client& client, const Arrival& arrival);

 private:
  void follow_cursors(Client& client);
  void follow_cursor(Client& client, std::uint32_t cursor);

  Shard& shard_;
  ConnectRefusals& refusals_;
};

}  // namespace parley::shard
