#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "broker/chat/share_group.hpp"
#include "broker/shard/events.hpp"
#include "broker/shard/share_command.hpp"

namespace parley::shard {

class Shard;
struct Hosted;

/// What a hosted conversation knows of its groups: those that somebody takes part in, or has lately.
struct HostedShares {
  struct Member {
    std::string name;
    std::string user;
    NodeId node;  ///< 0: this one.
    ShardId shard = 0;
    std::size_t window = 0;
    bool lasts = false;
  };
  struct Group {
    explicit Group(Seq cursor) : entries(cursor) {}

    /// What the log has, or is about to have.
    enum class State : std::uint8_t { Beginning, There, Ending, Gone } state = State::Beginning;
    chat::ShareGroup entries;
    std::map<chat::ShareGroup::MemberId, Member> members;
    std::set<std::string, std::less<>> away;  ///< Names of members that may come back.
    Seq written;                              ///< The cursor in its last record.
    std::size_t writing = 0;                  ///< Records that aren't committed yet.
    Lsn lsn;                                  ///< What is committed is in the store once that has come as far.
    std::deque<ProposeEvent> waiting;         ///< Until it is there, or gone.
    Instant all_known;                        ///< By then all members from before should have said that they are.
    bool ends = false;                        ///< The last one that is known has ended, before that time.
  };
  std::map<std::string, Group, std::less<>> groups;
  /// What loading found behind the store.
  std::map<std::string, format::Mark, std::less<>> unmaterialised;
  bool is_listed = false;  ///< In ShareHomes::busy_.
};

/// Groups of shared subscriptions on the conversations of this shard. Belongs to its shard's thread.
///
/// Who is a member is told by proposals, and which entries it gets goes straight to its shard, on whatever node. The
/// group's cursor stands in the conversation's slot, as a mark in the group's name: written when the group begins, once
/// a second while it moves, and taken away when its last member ends. A member whose client is away keeps it. Nobody
/// knows the members of a group that was there before: it isn't taken away before they had time to come.
class ShareHomes {
 public:
  explicit ShareHomes(Shard& shard) : shard_(shard) {}

  /// A proposal with Purpose::Share. Answered through Shard::send_outcome; `seq` is the group's cursor then.
  void take(Hosted& hosted, ProposeEvent event);
  /// What members' clients have acknowledged; passed on where another node leads.
  void done(ShareDoneEvent event);
  /// There are new entries.
  void committed(Hosted& hosted, const std::vector<format::EntryPtr>& entries);
  void retained(Hosted& hosted, Seq oldest);
  /// Of what loading found behind the store.
  void restore(Hosted& hosted, const std::vector<chat::UserMarks>& marks);
  /// Another shard or node leads the conversation now.
  void hand_on(Slot slot, Hosted& hosted);
  [[nodiscard]] static bool is_idle(const Hosted& hosted);

  /// What was said over the connection before may be lost: its members come again.
  void node_connected(NodeId node);
  /// Its members get nothing until it can be reached again, and others get what they have.
  void node_unreachable(NodeId node);
  void node_reachable(NodeId node);

  void run_timer();

 private:
  using Group = HostedShares::Group;
  using GroupPlace = std::map<std::string, Group, std::less<>>::iterator;

  Result<GroupPlace> find_or_load(Hosted& hosted, const std::string& name);
  void join(Hosted& hosted, const ShareCommand& command, ProposeEvent event);
  void begin(Hosted& hosted, const ShareCommand& command, Seq visible_from, ProposeEvent event);
  void enter(Hosted& hosted, Group& group, const ShareCommand& command, Seq visible_from, const ProposeEvent& event);
  void leave(Hosted& hosted, const ShareCommand& command, NodeId from);
  bool leave_waiting(Group& group, const ShareCommand& command, NodeId from);
  void drop(Group& group, chat::ShareGroup::MemberId id);
  void hand_out(Hosted& hosted, Group& group);
  void write(Hosted& hosted, GroupPlace place, const format::Mark& mark);
  void end(Hosted& hosted, GroupPlace place);
  void written(const std::string& conversation, Slot slot, const std::shared_ptr<HostedShares>& of,
               const std::string& name, Group::State what, Seq cursor, Result<void> outcome);
  void go_on(Hosted& hosted, GroupPlace place);
  void check_members(Hosted& hosted);
  bool work(Hosted& hosted);
  void list_busy(Hosted& hosted);
  void start_timer();
  template <class Visit>
  void for_each_group(Visit visit);

  Shard& shard_;
  bool timer_ = false;
  std::vector<std::string> busy_;        ///< Conversations with something to do.
  std::vector<ShareDoneEvent> untold_;   ///< Their leader can't be reached now.
  std::set<std::string> conversations_;  ///< With groups in memory.
};

}  // namespace parley::shard
