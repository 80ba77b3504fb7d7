#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.hpp"
#include "broker/chat/marks.hpp"
#include "broker/shard/events.hpp"

namespace parley::shard {

class Shard;
struct Client;
struct Feed;
struct Follower;
struct Hosted;

/// What a hosted conversation keeps of marks in memory: those that have moved lately. All others are in the store.
struct HostedMarks {
  struct Moved {
    format::Mark committed;
    format::Mark wanted;                ///< What was proposed and what waits included.
    bool unwritten = false;             ///< To go into the next record …
    bool under_way = false;             ///< … and in the one that isn't committed yet.
    bool untold = false;                ///< To the followers.
    Instant told{};                     ///< When that was done last.
    Lsn lsn;                            ///< What is committed of it is in the store once that has come as far.
    std::vector<ProposeEvent> waiting;  ///< For the next record.
  };
  std::map<std::string, Moved, std::less<>> users;
  bool writing = false;         ///< A record is under way: one of a conversation at a time.
  bool is_listed = false;       ///< In Marks::busy_.
  std::deque<Seq> no_messages;  ///< Entries of other kinds that may not be materialised.
};

/// Marks of the members of conversations: up to where they have read, and up to where it has come to them. Belongs to
/// its shard's thread.
///
/// At the conversation's home a read mark moves as a record, which is what its sender's acknowledgement waits for;
/// while one is under way the others gather in the next. What clients acknowledge of deliveries is told there once a
/// second, and written as often. Whoever sends has read what it sends: that stands in the log as the entry, and needs
/// no record. A move is told to the followers once a second of each user, the first one at once.
class Marks {
 public:
  explicit Marks(Shard& shard) : shard_(shard) {}

  // -- At the home --
  /// Answered through Shard::send_outcome.
  void read(Hosted& hosted, ProposeEvent event);
  void delivered(Hosted& hosted, const std::vector<chat::UserMarks>& marks);
  /// An entry of the user's is committed.
  void sent(Hosted& hosted, const format::EntryRecord& entry, Lsn lsn);
  /// Of what loading found behind the store.
  void restore(Hosted& hosted, const LogStoreEvents::LoadedConversation& loaded, Lsn lsn);
  /// The store has everything up to `upto`.
  static void materialised(Hosted& hosted, Seq upto);
  /// Another shard or node leads the conversation now.
  void hand_on(Slot slot, Hosted& hosted);
  /// What is committed. Nothing: the user is no member.
  [[nodiscard]] std::optional<format::Mark> find(const Hosted& hosted, std::string_view user) const;
  /// Messages above `read` up to the head.
  [[nodiscard]] std::uint64_t unread(const Hosted& hosted, Seq read) const;
  /// Of all members; empty where there are more than ShardOptions::marks_fanout.
  [[nodiscard]] std::vector<chat::UserMarks> list(const Hosted& hosted) const;
  [[nodiscard]] static bool is_idle(const Hosted& hosted);

  // -- At the followers --
  /// The client has acknowledged something.
  void acknowledged(Client& client);
  /// What it has acknowledged is told now.
  void flush(Client& client);
  void noticed(Feed& feed, const std::vector<chat::UserMarks>& marks);
  /// Sends the client everybody's marks as they are, for its subscription `filter`.
  void show(Client& client, const std::string& filter);
  /// The same, to its listener in this feed, and calls `shown` then.
  void show(Client& client, Feed& feed, const std::string& filter, std::function<void()> shown);
  /// The conversation is led anew: what was told may have been lost.
  void stand_anew(Feed& feed);

  void run_timer();

 private:
  struct Batch;
  [[nodiscard]] bool has_few_members(const Hosted& hosted) const;
  HostedMarks::Moved& move(Hosted& hosted, std::string_view user);
  void write(Hosted& hosted);
  void written(const Batch& batch, Result<void> outcome);
  void tell(Hosted& hosted, bool all);
  void work(Hosted& hosted);
  void list_busy(Hosted& hosted);
  void start_timer();
  void collect(Client& client, std::map<std::string, std::vector<chat::UserMarks>>& to);
  void tell_home(std::map<std::string, std::vector<chat::UserMarks>>& told);

  Shard& shard_;
  bool timer_ = false;
  std::vector<std::string> busy_;                                 ///< Conversations with something to do.
  std::vector<std::pair<std::uint32_t, std::uint64_t>> touched_;  ///< Clients that have acknowledged something.
};

}  // namespace parley::shard
