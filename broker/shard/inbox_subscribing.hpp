#pragma once

#include <cstddef>
#include <functional>
#include <utility>

#include "broker/chat/inbox_cursor.hpp"
#include "broker/chat/topic.hpp"
#include "broker/shard/feeds.hpp"
#include "broker/shard/subscribe_request.hpp"
#include "broker/shard/user_feeds.hpp"

namespace parley::shard {

class Shard;
class SubscriptionChanges;
struct Client;

/// SUBSCRIBE to all conversations of the client's user: each one's cursor begins, or none does and the subscription is
/// refused. Belongs to its shard's thread.
///
/// {root}/+/msg and /json: where a cursor begins is said as for one conversation (see SubscriptionChanges), with
/// `since` and `epoch` written {conversation}:{N}, or by `cursor`, or by a prefix instead of the properties. What
/// happens to the subscription later see Inboxes. {root}/+/typing, {root}/+/read and presence/+ have no cursors: see
/// InboxListeners.
class InboxSubscribing {
 public:
  /// Called with the request, once, when it is known how a subscription went that was asked for here; not if the client
  /// has gone meanwhile.
  using Settled = std::function<void(const SubscribeRequestPtr&)>;

  InboxSubscribing(Shard& shard, SubscriptionChanges& changes, Settled settled)
      : shard_(shard), changes_(changes), settled_(std::move(settled)) {}

  /// `filter`: as the item's was read.
  void subscribe(const SubscribeRequestPtr& request, std::size_t index, Client& client, const chat::ChatFilter& filter,
                 const mqtt::Properties& properties);
  void listen(const SubscribeRequestPtr& request, std::size_t index, Client& client, Hearing hearing);
  /// SUBACK is written: the item's cursors go. What is sent may end the connection.
  void release(const SubscribeRequest& request, Client& client, const SubscribeItem& item);

 private:
  void begin(const SubscribeRequestPtr& request, std::size_t index, Client& client, chat::InboxStart start);
  void known(const SubscribeRequestPtr& request, std::size_t index, Client& client, const UserFeeds::List& list,
             const chat::InboxStart& start);
  static void begin_part(SubscribeItem& part, const UserConversation& conversation, const chat::InboxStart& start);
  void part_known(const SubscribeRequestPtr& request, std::size_t index, std::size_t place, Client& client, Feed& feed,
                  const Feeds::Access& access);
  void part_done(const SubscribeRequestPtr& request, std::size_t index, Client& client);
  Client* client_of(const SubscribeRequest& request);

  Shard& shard_;
  SubscriptionChanges& changes_;
  const Settled settled_;
};

}  // namespace parley::shard
