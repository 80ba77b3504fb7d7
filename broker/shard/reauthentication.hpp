#pragma once

#include <optional>

#include "base/time.hpp"
#include "broker/session/actions.hpp"
#include "broker/shard/ports.hpp"

namespace parley::shard {

class Shard;
struct Client;

/// Clients that are connected, and how long they may be: credentials that expire, and proving again who one is
/// (MQTT 5 §4.12.1). Belongs to its shard's thread.
///
/// When credentials expire, the connection ends with 0x87. A client that has an Authentication Method can give new ones
/// before that, and is told in time, on its reply topic: a server has no packet to ask for it. It must remain the same
/// user.
class Reauthentication {
 public:
  explicit Reauthentication(Shard& shard) : shard_(shard) {}

  /// The client is connected now; `expires` none: for good.
  void begin(Client& client, std::optional<Timestamp> expires, bool has_method);
  void step(Client& client, const session::AuthAction& action);
  void answered(Client& client, LoginAnswer answer);
  /// Time has passed. False when that has ended the connection.
  bool look(Client& client);

 private:
  void refuse(Client& client, mqtt::ReasonCode reason, std::string_view why);

  Shard& shard_;
};

}  // namespace parley::shard
