#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "broker/chat/inbox_cursor.hpp"
#include "broker/chat/topic.hpp"
#include "broker/session/actions.hpp"
#include "broker/shard/events.hpp"
#include "broker/shard/feeds.hpp"
#include "broker/shard/user_feeds.hpp"

namespace parley::shard {

class Shard;
struct Client;

/// SUBSCRIBE and UNSUBSCRIBE: which filters are taken, where cursors begin, and when the answer may leave: not before
/// the conversations' heads are known, the session's record is durable and the other shards know of new filters.
/// Belongs to its shard's thread.
///
/// A conversation is subscribed to by its topic, {root}/{conversation}/msg or /json, or by `$since/{N}/…` or
/// `$last/{N}/…` before it: the same subscription with another beginning, so either form of UNSUBSCRIBE ends it. User
/// properties `since` and `last` of SUBSCRIBE mean all its conversation filters without such a prefix; `epoch` besides
/// `since` says which incarnation the position belongs to. Where a cursor begins:
/// - it is there from a resumed session and this is the first SUBSCRIBE for it on the connection: it goes on;
/// - `since` N: behind N, and N above the head is refused (`beyond-head`);
/// - `since` `last`: where the client's cursor stands, without one at the very beginning;
/// - `last` N: N before the head, or at the oldest;
/// - else, and with Retain Handling 2 (or 1 when the subscription isn't new): at the head, or where the cursor stands.
///
/// SUBACK has one set of user properties for each conversation filter, in the order of the filters: `topic` (only when
/// the SUBSCRIBE has several filters), then `head`, `oldest`, `epoch`, or for a refused one `error` and `retry-after`.
///
/// {root}/+/msg and /json mean all conversations of the user: each one's cursor begins by these rules, with `since`
/// written {conversation}:{N}, or behind where `cursor` has it. All of them begin, or the subscription is refused; see
/// Inboxes for what happens later.
///
/// `$share/{group}/` before a conversation's msg or json: the client takes part in the group, whose cursor goes on
/// where it stands, or begins by the rules above (`since` `last` at the very beginning). See ShareMembers.
///
/// Other wildcards in the chat subtree, the forms ctl and history, and `$share` on anything but one conversation's msg
/// or json are refused as `unsupported`. The forms typing and read have no cursor: see Listeners, and InboxListeners
/// for {root}/+/typing, {root}/+/read and presence/+.
class Subscribing {
 public:
  explicit Subscribing(Shard& shard) : shard_(shard) {}

  void subscribe(Client& client, const session::SubscribeAction& action);
  void unsubscribe(Client& client, const session::UnsubscribeAction& action);

 private:
  struct Item;
  struct Request;
  using RequestPtr = std::shared_ptr<Request>;

  RequestPtr make_request(const Client& client, mqtt::PacketId packet_id, std::size_t items);
  void subscribe_plain(const RequestPtr& request, Client& client, std::size_t index);
  void subscribe_presence(const RequestPtr& request, Client& client, std::size_t index);
  void subscribe_conversation(const RequestPtr& request, const mqtt::Properties& properties, std::size_t index);
  [[nodiscard]] chat::Refusal objection_to_share(std::string_view group, const chat::ChatFilter& filter) const;
  void join_group(const RequestPtr& request, std::size_t index, Client& client, Feed& feed);
  void subscribe_listening(const RequestPtr& request, std::size_t index, Hearing hearing);
  void subscribe_inbox(const RequestPtr& request, std::size_t index, chat::Form form, chat::InboxStart start);
  void inbox_known(const RequestPtr& request, std::size_t index, Client& client, const UserFeeds::List& list,
                   const chat::InboxStart& start);
  static void begin_part(Item& part, const UserConversation& conversation, const chat::InboxStart& start);
  void part_known(Request& request, std::size_t index, std::size_t place, Client& client, Feed& feed,
                  const Feeds::Access& access);
  void part_done(Request& request, std::size_t index, Client& client);
  void release_inbox(const Request& request, Client& client, const Item& item);
  template <class Visit>
  static void for_each_cursor(Request& request, Visit visit);
  void conversation_known(Request& request, Client& client, Item& item, Feed& feed, const Feeds::Access& access);
  chat::Refusal begin_cursor(Client& client, Item& item, Feed& feed, Request& request);
  void set_options(Client& client, session::CursorId cursor, const Item& item);
  void remember(Client& client, Item& item, const Request& request);
  void move_cursor(Client& client, const Item& item, const Request& request);
  [[nodiscard]] mqtt::ReasonCode objection(const Client& client, const Request& request, std::string_view filter);
  /// One of the things that the answer waits for has come about.
  void settle(const RequestPtr& request);
  void stored(const RequestPtr& request, Result<void> outcome);
  void answer(Request& request, Client& client);
  void undo(Request& request, Client& client, chat::Refusal refusal);
  void undo(Client& client, Item& item);
  [[nodiscard]] std::string answer_properties(const Request& request) const;
  Client* client_of(const Request& request);

  Shard& shard_;
};

}  // namespace parley::shard
