#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "broker/chat/topic.hpp"
#include "broker/routing/subscription_tree.hpp"
#include "broker/session/session.hpp"
#include "broker/shard/entry_batch.hpp"
#include "broker/shard/events.hpp"
#include "broker/shard/listeners.hpp"
#include "broker/shard/share_members.hpp"

namespace parley::shard {

class Shard;
struct Client;
struct Feed;

/// One client's cursor on a feed. 80 bytes.
struct Follower {
  Client* client = nullptr;
  Feed* feed = nullptr;
  session::CursorId cursor = 0;
  std::uint32_t place = 0;  ///< In Feed::followers.
  Seq replayed_until;       ///< Entries up to here carry RETAIN: the subscriber asked for the past.
  Seq began;                ///< Behind it its deliveries begin.
  Seq delivered;            ///< The acknowledged position that the conversation's home was told.
  Seq persisted;            ///< The acknowledged position that the log knows; kUnwritten: none.
  chat::Form form = chat::Form::Message;
  bool behind = false;   ///< In Client::behind: has entries to send and could not send them yet.
  bool held = false;     ///< Waits for its SUBACK.
  bool aliased = false;  ///< Its topic names the conversation in the user's own way: dm:{other}.
  bool resumed = false;  ///< Goes on where the session left off, and no SUBSCRIBE has come for it since.

  std::unique_ptr<ShareSeat> seat{};  ///< Of a shared subscription: which entries are its own; else null.

  static constexpr Seq kUnwritten{~std::uint64_t{0}};

  /// When the conversation's latest entry was made.
  [[nodiscard]] Timestamp latest() const;
};

/// What a client that is behind reads of the log: one page at a time, whatever number of cursors it has.
struct CatchUp {
  Follower* follower = nullptr;
  std::uint64_t token = 0;  ///< Of the read under way; 0: the page is here.
  Seq first;                ///< What was asked for.
  Seq last;
  std::vector<format::EntryPtr> page;
  std::size_t next = 0;  ///< In `page`.

  [[nodiscard]] bool has_page() const { return token == 0 && next < page.size(); }
};

/// The members of a conversation, for the subscriptions to presence/+ of this shard's clients.
struct Roster {
  std::set<std::string, std::less<>> members;
  /// Of a direct conversation: who hasn't taken part in it, as far as is known; see PresenceQuestions. They are seen by
  /// themselves only.
  std::set<std::string, std::less<>> silent;
  std::uint64_t asked = 0;  ///< The question under way; 0: none.
  bool crowded = false;     ///< Has too many members, and none is here.
  bool shrunk = false;      ///< Somebody has left since that was found.
};

/// What this shard's clients get of one conversation: its committed head and its latest entries.
struct Feed {
  std::string name;
  enum class State : std::uint8_t { Asking, Ready } state = State::Asking;
  bool in_use = false;     ///< Somebody up the stack holds a reference.
  FollowedEvent standing;  ///< As the home shard last said it; head moves with the entries.
  std::vector<Follower*> followers;
  std::vector<Listener> listeners;
  std::unique_ptr<Roster> roster;                   ///< While some listener hears of presence.
  std::vector<std::function<void(Feed&)>> waiting;  ///< For Ready.
  std::uint32_t questions = 0;                      ///< About access or for a page of history, not answered yet.
  std::vector<std::function<void()>> waiting_answers;

  /// The latest entries, without a hole up to the head; messages as their edits and redactions have made them.
  struct Recent {
    format::EntryPtr entry;
    enum Variant : std::uint8_t { Full, Json, Compact, CompactNamed, Bare, kVariants };
    std::array<mqtt::MessagePtr, kVariants> messages{};  ///< Made when first needed.
  };
  std::vector<Recent> recent;
  std::size_t recent_first = 0;  ///< Index of the oldest one kept.
  std::size_t recent_bytes = 0;
};

inline Timestamp Follower::latest() const { return feed->standing.last_ts; }

/// Delivery of conversations by cursor, the same for live subscribers, replays and resumed sessions: from the feed's
/// recent entries where they reach, else from the log. Belongs to its shard's thread.
///
/// Memory: a feed keeps up to 256 entries or 128 KiB; a client that is behind one page (64 KiB) besides its output.
class Feeds {
 public:
  explicit Feeds(Shard& shard) : shard_(shard) {}

  /// Keeps a feed from being dropped while it stands in a scope.
  class Hold {
   public:
    Hold(Feeds& feeds, Feed& feed) : feeds_(feeds), feed_(feed), held_before_(std::exchange(feed.in_use, true)) {}
    ~Hold() {
      feed_.in_use = held_before_;
      feeds_.forget_if_unused(feed_);
    }
    Hold(const Hold&) = delete;
    Hold& operator=(const Hold&) = delete;

   private:
    Feeds& feeds_;
    Feed& feed_;
    bool held_before_;
  };

  /// Calls `ready` with the feed once it is known how the conversation stands (perhaps at once). `ready` may find
  /// feed.standing.refusal set. A feed that nobody follows afterwards is dropped.
  void with_feed(std::string_view conversation, std::function<void(Feed&)> ready);
  /// The same once it is known, too, whether `user` may read it. Of a private conversation the home shard says so.
  struct Access {
    chat::Refusal refusal = chat::Refusal::None;
    Seq visible_from{1};                 ///< What came before it is not for this user.
    std::vector<chat::UserMarks> marks;  ///< Where they were asked for.
  };
  using AccessKnown = std::function<void(Feed&, const Access&)>;
  void with_access(std::string_view conversation, const std::string& user, AccessKnown ready);
  /// Asks the home for it in any case, and for the members' marks. The feed has to be there.
  void with_marks(Feed& feed, const std::string& user, AccessKnown ready) { ask(feed, user, std::move(ready), true); }
  void accessed(const AccessedEvent& event);
  /// Null when there is none, or not yet.
  Feed* find(std::string_view conversation);
  /// The feed stays until it is let go as often.
  void keep(const std::string& conversation) { ++feeds_.at(conversation)->questions; }
  void let_go(const std::string& conversation);
  /// Calls `then` when everything is done that waits for the conversation's feed at this moment (perhaps at once).
  void after_feed(std::string_view conversation, std::function<void()> then);

  /// The cursor must exist and have no follower. `held` until release().
  Follower& add_follower(Feed& feed, Client& client, session::CursorId cursor, chat::Form form);
  void release(Client& client, Follower& follower);
  /// All of them that are held, at once.
  void release(Client& client, const std::vector<session::CursorId>& cursors);
  Follower* find_follower(Client& client, session::CursorId cursor);
  /// Its conversation's topic, as its client named it.
  static std::string_view topic_of(const Follower& follower);
  void remove_follower(Client& client, session::CursorId cursor);
  /// All of the client's followers, as when it disconnects.
  void remove_followers(Client& client);

  /// Lets a cursor of a resumed session go on, or begin anew when the conversation has another epoch by now. Ends the
  /// subscription when its user may not read any more.
  /// `stays_held`: a release() follows.
  void resume(Feed& feed, const Access& access, Client& client, const std::string& topic, bool stays_held = false);

  /// There is more for a shared subscription.
  void pump_granted(Follower& follower);

  /// Sends what can be sent to this client now: what is to be resent, then the cursors that are behind, in turn.
  void pump(Client& client);

  void followed(FollowedEvent& event);
  void committed(const std::string& conversation, std::span<const format::EntryPtr> entries);
  void noticed(const NoticeEvent& event);
  void entries_read(std::uint64_t token, Result<ReadPage>& page);
  /// The page that `token` stands for can be read here.
  void read_here(std::uint64_t token);

 private:
  void stand_anew(Feed& feed, FollowedEvent& event);
  void begin_anew(Feed& feed, FollowedEvent& event);
  void ask(Feed& feed, const std::string& user, AccessKnown ready, bool marks = false);
  void pump_followers(Feed& feed);
  void take_change(Feed& feed, const format::EntryRecord& entry);
  static void amend(Feed& feed, const format::EntryRecord& amendment);
  void end_of(Feed& feed, std::string_view user, Seq seq, bool inbox_only = false);
  void end_subscription(Client& client, session::CursorId cursor);
  bool pump(Follower& follower);
  bool pump_seat(Follower& follower);
  bool skip_granted(Follower& follower, Seq first, Seq last);
  void pump_in_turn(Client& client);
  void pump_newest_first(Client& client);
  static bool may_read(const Client& client, const Follower& follower);
  static bool is_own(const Follower& follower, const format::EntryRecord& entry);
  bool resend(Client& client);
  bool send(Follower& follower, Seq seq);
  bool send_batch(Follower& follower, Seq first);
  bool send_batch_again(Follower& follower, const session::Session::Wanted& wanted);
  mqtt::MessagePtr finish_batch(const Follower& follower, const EntryBatch& batch) const;
  void sent(Client& client);
  Feed::Recent::Variant variant_for(const Follower& follower, const format::EntryRecord& entry) const;
  mqtt::MessagePtr make_message(std::string_view name, const format::Entry& entry, Feed::Recent::Variant variant) const;
  const format::EntryPtr* find_in_page(Follower& follower, Seq seq);
  void read(Follower& follower, Seq first, Seq last);
  CatchUp* find_read(std::uint64_t token);
  bool tell_gap(Follower& follower, Seq first, Seq last);
  void skip_unreadable(Follower& follower, const CatchUp& catch_up, const ReadPage& page);
  void set_behind(Follower& follower);
  void detach(Follower& follower);
  void trim(Feed& feed);
  void run_waiting(Feed& feed);
  void forget_if_unused(Feed& feed);
  static Feed::Recent* recent(Feed& feed, Seq seq);

  Shard& shard_;
  std::unordered_map<std::string, std::unique_ptr<Feed>, routing::StringHash, std::equal_to<>> feeds_;
  std::uint64_t next_token_ = 1;
  struct Question {
    std::string conversation;
    AccessKnown ready;
  };
  std::unordered_map<std::uint64_t, Question> questions_;
  std::uint64_t next_question_ = 1;
};

}  // namespace parley::shard
