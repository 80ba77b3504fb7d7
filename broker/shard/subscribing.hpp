#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "broker/chat/topic.hpp"
#include "broker/session/actions.hpp"
#include "broker/shard/feeds.hpp"
#include "broker/shard/inbox_subscribing.hpp"
#include "broker/shard/subscribe_request.hpp"
#include "broker/shard/subscription_changes.hpp"

namespace parley::shard {

class Shard;
struct Client;

/// SUBSCRIBE: which filters are taken, and when the answer may leave: not before the conversations' heads are known,
/// the session's record is durable and the other shards know of new filters. Belongs to its shard's thread.
///
/// A conversation is subscribed to by its topic, {root}/{conversation}/msg or /json, or by `$since/{N}/…` or
/// `$last/{N}/…` before it: the same subscription with another beginning, so either form of UNSUBSCRIBE ends it. User
/// properties `since` and `last` of SUBSCRIBE mean all its conversation filters without such a prefix; `epoch` besides
/// `since` says which incarnation the position belongs to. Where the cursor begins see SubscriptionChanges.
///
/// SUBACK has one set of user properties for each conversation filter, in the order of the filters: `topic` (only when
/// the SUBSCRIBE has several filters), then `head`, `oldest`, `epoch`, or for a refused one `error` and `retry-after`.
///
/// {root}/+/msg and /json mean all conversations of the user: see InboxSubscribing.
///
/// `$share/{group}/` before a conversation's msg or json: the client takes part in the group, whose cursor goes on
/// where it stands, or begins as one of its own would (`since` `last` at the very beginning). See ShareMembers.
///
/// Other wildcards in the chat subtree, the forms ctl and history, and `$share` on anything but one conversation's msg
/// or json are refused as `unsupported`. The forms typing and read have no cursor: see Listeners.
class Subscribing {
 public:
  explicit Subscribing(Shard& shard);

  void subscribe(Client& client, const session::SubscribeAction& action);

 private:
  void subscribe_plain(const SubscribeRequestPtr& request, Client& client, std::size_t index);
  void subscribe_presence(const SubscribeRequestPtr& request, Client& client, std::size_t index);
  void subscribe_conversation(const SubscribeRequestPtr& request, const mqtt::Properties& properties,
                              std::size_t index);
  [[nodiscard]] chat::Refusal objection_to_share(std::string_view group, const chat::ChatFilter& filter) const;
  void join_group(const SubscribeRequestPtr& request, std::size_t index, Client& client, Feed& feed);
  [[nodiscard]] mqtt::ReasonCode objection(const Client& client, const SubscribeRequest& request,
                                           std::string_view filter);
  /// One of the things that the answer waits for has come about.
  void settle(const SubscribeRequestPtr& request);
  void stored(const SubscribeRequestPtr& request, Result<void> outcome);
  void undo(SubscribeRequest& request, Client& client, chat::Refusal refusal);
  void answer(SubscribeRequest& request, Client& client);
  [[nodiscard]] std::string answer_properties(const SubscribeRequest& request) const;
  Client* client_of(const SubscribeRequest& request);

  Shard& shard_;
  SubscriptionChanges changes_;
  InboxSubscribing inboxes_;
};

}  // namespace parley::shard
