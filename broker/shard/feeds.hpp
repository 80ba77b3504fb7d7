#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "broker/chat/topic.hpp"
#include "broker/session/session.hpp"
#include "broker/shard/events.hpp"

namespace parley::shard {

class Shard;
struct Client;
struct Feed;

/// One client's cursor on a feed.
struct Follower {
  Client* client = nullptr;
  Feed* feed = nullptr;
  session::CursorId cursor = 0;
  chat::Form form = chat::Form::Message;
  Seq replayed_until;    ///< Entries up to here carry RETAIN: the subscriber asked for the past.
  Seq persisted;         ///< The acknowledged position that was last written to the log.
  std::size_t place = 0;  ///< In Feed::followers.
  std::uint64_t reading = 0;  ///< Token of the read under way; 0: none.
  std::vector<format::EntryPtr> page;  ///< Read from the log and not sent yet, from page_next on.
  std::size_t page_next = 0;
  bool behind = false;  ///< In Client::behind: stopped before the head for want of room.
};

/// What this shard's clients get of one conversation: its committed head and its latest entries.
struct Feed {
  std::string name;
  enum class State : std::uint8_t { Asking, Ready } state = State::Asking;
  FollowedEvent standing;  ///< As the home shard last said it; head moves with the entries.
  std::vector<Follower*> followers;
  std::vector<std::function<void(Feed&)>> waiting;  ///< For Ready.

  /// The latest entries, without a hole up to the head.
  struct Recent {
    format::EntryPtr entry;
    mqtt::MessagePtr message;  ///< Made when first needed.
    mqtt::MessagePtr json;
  };
  std::vector<Recent> recent;
  std::size_t recent_first = 0;  ///< Index of the oldest one kept.
  std::size_t recent_bytes = 0;
};

/// Delivery of conversations by cursor, the same for live subscribers, replays and resumed sessions: from the feed's
/// recent entries where they reach, else from the log. Belongs to its shard's thread.
class Feeds {
 public:
  explicit Feeds(Shard& shard) : shard_(shard) {}

  /// Calls `ready` with the feed once it is known how the conversation stands (perhaps at once). `ready` may find
  /// feed.standing.refusal set. A feed that nobody follows afterwards is dropped.
  void with_feed(std::string_view conversation, std::function<void(Feed&)> ready);
  Follower& add_follower(Feed& feed, Client& client, session::CursorId cursor, chat::Form form, Seq replayed_until);
  /// All of the client's followers, as when it disconnects.
  void remove_followers(Client& client);
  void remove_follower(Client& client, session::CursorId cursor);

  /// Sends what can be sent to this client now: what is to be resent, then every cursor that is behind.
  void pump(Client& client);

  void followed(FollowedEvent& event);
  void committed(CommittedEvent& event);
  void entries_read(std::uint64_t token, Result<ReadPage>& page);

 private:
  enum class Pumped : std::uint8_t { AtHead, NoRoom, Reading };
  Pumped pump(Follower& follower);
  bool resend(Client& client);
  /// False when the entry has to be read first.
  bool send(Follower& follower, Seq seq);
  void skip_unreadable(Follower& follower, Seq first, Seq last, const ReadPage& page);
  void read(Follower& follower, Seq first, Seq last);
  void set_behind(Follower& follower, bool behind);
  void forget_if_unused(Feed& feed);
  Follower* find_follower(Client& client, session::CursorId cursor);
  Feed::Recent* recent(Feed& feed, Seq seq);

  struct Read {
    std::uint32_t client = 0;
    std::uint64_t identity = 0;
    session::CursorId cursor = 0;
    Seq first;
    Seq last;
  };

  Shard& shard_;
  std::unordered_map<std::string, std::unique_ptr<Feed>> feeds_;
  std::unordered_map<std::uint64_t, Read> reads_;
  std::uint64_t next_token_ = 1;
};

}  // namespace parley::shard
