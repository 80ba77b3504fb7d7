#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "broker/session/session.hpp"
#include "broker/shard/compact_meta.hpp"
#include "broker/shard/entry_batch.hpp"
#include "broker/shard/feeds.hpp"
#include "broker/shard/inbox.hpp"
#include "broker/shard/plain_journal.hpp"
#include "broker/shard/ports.hpp"
#include "broker/shard/retained_shows.hpp"
#include "broker/shard/throttling.hpp"

namespace parley::shard {

/// A will that waits for its delay. MQTT 5 §3.1.3.2.2.
struct PendingWill {
  session::WillPlan plan;
  Instant due;
  bool publishing = false;  ///< It stays here, and in the session's record, until that is done.
};

/// A client id that this shard knows: with a connection, or a session that waits for one.
struct Client {
  std::uint32_t place = 0;          ///< In Clients; also its SubscriberId.
  std::uint32_t feeds_awaited = 0;  ///< Cursors of a resumed session whose feed isn't there yet.
  std::unique_ptr<session::Session> session;
  Output* output = nullptr;  ///< The connection's; null without one.
  ConnectionId connection;
  std::uint32_t seats = 0;  ///< Followers that are shared subscriptions.
  ConnectionId opening;     ///< Has sent CONNECT and waits for the session's record; see Connecting.
  std::vector<std::unique_ptr<Follower>> following;  ///< While connected: by CursorId, null where there is no feed yet.
  std::vector<Follower*> behind;            ///< Those with entries to send, whose turn comes first at the front.
  std::unique_ptr<CatchUp> catch_up;        ///< Its one page out of the log.
  std::unique_ptr<RetainedWalks> retained;  ///< Retained messages that its new subscriptions are still to get.
  std::unique_ptr<Inbox> inbox;             ///< While connected and subscribed to all conversations of its user.
  NamedSenders named_senders;               ///< On this connection, for Meta::Compact.
  Meta meta = Meta::Full;                   ///< Of this connection.
  Accepted accepted;                        ///< The same.
  Throttle throttle;                        ///< Of this connection.
  std::shared_ptr<UserAccount> account;     ///< While connected, and where something of a user is limited.
  bool awaits_drain = false;                ///< Not read from until its output is empty.
  std::unique_ptr<PendingWill> will;
  std::unique_ptr<ClientQueue> queue;     ///< What is stored of its ordinary messages; null: nothing yet.
  std::uint64_t generation = 0;           ///< In which this node has the session; 0: it was never claimed.
  Instant connected_at;                   ///< While connected.
  Instant expires_at = Instant::max();    ///< While disconnected.
  Timestamp left;                         ///< The same: since when.
  Instant tell_at;                        ///< While restored: not before that its leader is told; see Orphans.
  Duration tell_again{};                  ///< The same: how long after that.
  Instant login_ends = Instant::max();    ///< While connected: when the credentials have expired; see Reauthentication.
  Instant login_notice = Instant::max();  ///< When to tell the client of that.
  std::shared_ptr<LoginExchange> exchange;  ///< Of a re-authentication under way.
  Instant timer_due = Instant::max();       ///< Of the timer that counts; see Shard::schedule.
  bool restored = false;                    ///< At the start, from a replica that may be behind; see Shard::refresh.
  bool persisted = false;                   ///< The log has a record of the session, or one is under way.
  bool record_stale = false;                ///< The last record could not be written.
  bool output_touched = false;              ///< In the turn's list of outputs to flush.
  bool reads_partly = false;                ///< Some filter of its matches what it may not read; see TopicAccess.
  bool moved = false;                       ///< Another node gets what it owes its client.
  bool newest_first = false;                ///< Of those behind the one with the latest entry has its turn first.
  bool quiet = false;                       ///< Gets no presence, typing and marks; of this connection.
  bool is_present = false;                  ///< Counts as a device of its user's; of this connection.
  bool marks_touched = false;               ///< In the list of clients that have acknowledged something.
  bool cursors_touched = false;             ///< In the list of clients whose cursors are to be written.

  /// Its session outlives the connection.
  [[nodiscard]] bool is_lasting() const { return session->expiry_interval() != 0; }
  /// Nothing is read from its connection for now.
  [[nodiscard]] bool is_paused() const { return awaits_drain || throttle.resume_at != Instant::max(); }
  [[nodiscard]] bool awaits_feeds() const { return feeds_awaited != 0; }
};

/// The clients of one shard, by place and by client id. Belongs to its shard's thread; a Client stays where it is until
/// it is removed.
class Clients {
 public:
  /// Null when the place is free or has another session by now.
  Client* find(std::uint32_t place, std::uint64_t identity);
  Client* find_place(std::uint32_t place) { return place < clients_.size() ? clients_[place].get() : nullptr; }
  Client& at(std::uint32_t place) { return *clients_[place]; }
  Client* find(std::string_view client_id);

  Client& add(std::unique_ptr<session::Session> session);
  void remove(Client& client);

  [[nodiscard]] std::size_t size() const { return by_id_.size(); }
  /// Some of which are free.
  [[nodiscard]] std::uint32_t places() const { return static_cast<std::uint32_t>(clients_.size()); }

  /// `visit` may remove the client it is given.
  template <class Visit>
  void for_each(Visit visit) {
    for (std::size_t place = 0; place < clients_.size(); ++place) {
      if (clients_[place]) visit(*clients_[place]);
    }
  }

 private:
  std::vector<std::unique_ptr<Client>> clients_;
  std::vector<std::uint32_t> free_;
  std::unordered_map<std::string_view, std::uint32_t> by_id_;  ///< Keys are views of the sessions' client ids.
};

}  // namespace parley::shard
