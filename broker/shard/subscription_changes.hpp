#pragma once

#include "broker/chat/refusal.hpp"
#include "broker/session/session.hpp"
#include "broker/shard/feeds.hpp"
#include "broker/shard/subscribe_request.hpp"

namespace parley::shard {

class Shard;
struct Client;

/// What a SUBSCRIBE changes in its client's session, filter by filter: that there is a subscription, and where its
/// cursor begins; and how all that goes back when it can't be promised. Belongs to its shard's thread.
///
/// Where a conversation's cursor begins:
/// - it is there from a resumed session and this is the first SUBSCRIBE for it on the connection: it goes on;
/// - `since` N: behind N, and N above the head is refused (`beyond-head`);
/// - `since` `last`: where the client's cursor stands, without one at the very beginning;
/// - `last` N: N before the head, or at the oldest;
/// - else, and with Retain Handling 2 (or 1 when the subscription isn't new): at the head, or where the cursor stands.
///
/// A cursor that was there and goes elsewhere stands still from begin() on, and moves once that is stored.
class SubscriptionChanges {
 public:
  explicit SubscriptionChanges(Shard& shard) : shard_(shard) {}

  /// Notes the subscription in the session, and in the item what was there before.
  void remember(const SubscribeRequest& request, Client& client, SubscribeItem& item);
  /// Of a conversation: notes the subscription and begins its cursor, or listens, where the form has none. An inbox's
  /// part is no subscription, only a cursor; a shared subscription is only looked at.
  chat::Refusal begin(const SubscribeRequest& request, Client& client, SubscribeItem& item, Feed& feed,
                      const Feeds::Access& access);
  /// The cursor of an item that `moves` does so.
  void move(const SubscribeRequest& request, Client& client, const SubscribeItem& item);
  /// Everything is as it was before.
  void undo(Client& client, SubscribeItem& item);

 private:
  chat::Refusal begin_cursor(const SubscribeRequest& request, Client& client, SubscribeItem& item, Feed& feed);
  void set_options(Client& client, session::CursorId cursor, const SubscribeItem& item);
  void restore(Client& client, const SubscribeItem& item);
  void take_away(Client& client, SubscribeItem& item);

  Shard& shard_;
};

}  // namespace parley::shard
