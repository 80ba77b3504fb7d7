#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "broker/chat/topic.hpp"
#include "broker/session/actions.hpp"
#include "broker/shard/events.hpp"

namespace parley::shard {

class Shard;
struct Client;
struct Feed;

/// SUBSCRIBE and UNSUBSCRIBE: which filters are taken, where cursors begin, and when the answer may leave: not before the
/// conversations' heads are known, the session's record is durable and the other shards know of new filters. Belongs to
/// its shard's thread.
class Subscribing {
 public:
  explicit Subscribing(Shard& shard) : shard_(shard) {}

  void subscribe(Client& client, const session::SubscribeAction& action);
  void unsubscribe(Client& client, const session::UnsubscribeAction& action);

 private:
  struct Request;
  void subscribe_plain(const std::shared_ptr<Request>& request, Client& client, std::size_t item);
  void subscribe_conversation(const std::shared_ptr<Request>& request, Client& client, std::size_t item);
  void conversation_known(Request& request, Client& client, std::size_t item, Feed& feed);
  void settle(const std::shared_ptr<Request>& request);
  void answer(Request& request, Client& client);

  Shard& shard_;
};

}  // namespace parley::shard
