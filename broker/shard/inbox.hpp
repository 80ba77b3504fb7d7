#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "broker/chat/topic.hpp"
#include "broker/session/session.hpp"
#include "broker/shard/feeds.hpp"
#include "broker/shard/user_feeds.hpp"

namespace parley::shard {

class Shard;
struct Client;

/// What a connected client has to do with the conversations of its user as a whole.
struct Inbox {
  std::uint32_t opening = 0;               ///< Conversations that are to be followed and whose feeds aren't there yet.
  bool resuming = false;                   ///< The session came back, and not all of its conversations are there yet.
  std::uint32_t subscribing = 0;           ///< SUBSCRIBEs under way.
  bool list_awaited = false;               ///< The session came back, and the user's list isn't there yet.
  std::vector<session::CursorId> entered;  ///< Held until nothing is opening any more.
  std::vector<std::function<void()>> waiting;  ///< For the SUBSCRIBEs under way.
  struct Unopened {
    chat::Form form = chat::Form::Message;
    UserConversation conversation;
  };
  std::vector<Unopened> unopened;  ///< Can't be followed for now, and is tried again.

  // -- Of the cursor that the client is told --
  bool moved = false;        ///< Since it was told the last time; a timer will come.
  bool catching_up = false;  ///< It is told when everything is acknowledged.
  std::string told;          ///< The last one.
};

/// Subscriptions to {root}/+/msg and /json: a cursor for each conversation of the client's user, which comes and goes
/// with the membership. Belongs to its shard's thread.
///
/// The session has the subscription, and a cursor by the topic of each conversation like those of subscriptions to it;
/// where there is one of these, too, both share the cursor. So what a session must remember, and what it is sent, again
/// or for the first time, is the business of Feeds and SessionRecords alone. A conversation that the user enters begins
/// with the entry that made it a member. While the client is away nothing is done for it: when it comes back the user's
/// list says what has come and gone.
///
/// Deliveries begin when it is known of every conversation how it stands, and the newest one comes first.
class Inboxes final : public UserFeeds::Watcher {
 public:
  explicit Inboxes(Shard& shard);

  /// The subscription that means all conversations.
  [[nodiscard]] const std::string& filter(chat::Form form) const;
  [[nodiscard]] const session::Subscription* find(const session::Session& session, chat::Form form) const;
  /// A stored session's cursors among `stored` that its inbox has.
  void take_up(session::Session& session, const session::Subscription& subscription, const StoredSession& stored);
  /// The subscriptions' QoS and identifiers, for a cursor that exists. `covered`: the inbox has it.
  void set_options(session::Session& session, session::CursorId cursor, bool covered);

  /// A session came back: its cursors go on.
  void resume(Client& client);
  /// The connection is gone.
  void detach(Client& client);

  using Known = std::function<void(Client&, const UserFeeds::List*, chat::Refusal)>;
  /// For a SUBSCRIBE: calls `known` with the user's conversations, or (null) why they can't be had. end_subscribe()
  /// follows.
  void begin_subscribe(Client& client, Known known);
  void end_subscribe(Client& client);
  /// Calls `then` when no SUBSCRIBE to an inbox is under way (perhaps at once).
  void after_subscribe(Client& client, std::function<void()> then);
  /// The subscription is gone: its cursors go, but for those that others have.
  void leave(Client& client, chat::Form form);
  /// The subscription to one conversation is gone; true when the inbox keeps its cursor.
  bool keeps(Client& client, session::CursorId cursor);
  /// Entry `seq` has ended what the user may read of the conversation.
  void ended(Client& client, const std::string& conversation, chat::Form form, Seq seq);

  /// Something was sent to the client, or acknowledged by it.
  void moved(Client& client);

  void sweep();
  /// `client` null: what could not be followed is tried again.
  void run_timer(Client* client);

  // -- UserFeeds::Watcher --
  void user_known(const std::string& user) override;
  void user_unknown(const std::string& user, chat::Refusal why) override;
  void user_changed(const std::string& user, const UserConversation& change) override;

 private:
  struct Waiting {
    ConnectionId connection;
    Known known;
  };
  struct User {
    std::vector<ConnectionId> clients;
    std::vector<Waiting> waiting;
  };

  void open(Client& client);
  void resume_known(Client& client);
  void follow(Client& client, chat::Form form, const UserConversation& conversation, bool resumes);
  void enter(Client& client, chat::Form form, const UserConversation& conversation, bool resumes, Feed& feed,
             const Feeds::Access& access);
  void finish_one(Client& client);
  void try_again(Client& client, chat::Form form, const UserConversation& conversation);
  void drop_unlisted(Client& client, const UserFeeds::List& list);
  void remove(Client& client, session::CursorId cursor);
  void left(Client& client, chat::Form form, const UserConversation& change);
  void begin_telling(Client& client);
  void tell_cursor(Client& client);
  [[nodiscard]] std::string make_cursor(Client& client, chat::Form form);
  void run_waiting(const std::string& user, chat::Refusal refusal);
  [[nodiscard]] std::string topic_of(std::string_view conversation, chat::Form form) const;

  Shard& shard_;
  std::unordered_map<std::string, User> users_;
  /// What users have left, while the entries that say so aren't here yet.
  std::vector<std::pair<ConnectionId, Inbox::Unopened>> leaving_;
  std::string message_filter_;
  std::string json_filter_;
  bool timer_ = false;
  std::size_t positions_max_ = 10'000;  ///< Of a cursor; fewer once one was too large.
};

}  // namespace parley::shard
