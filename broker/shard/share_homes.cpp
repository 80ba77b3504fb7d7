#include "broker/shard/share_homes.hpp"

#include <algorithm>
#include <utility>

#include "base/log.hpp"
#include "broker/shard/node_events.hpp"
#include "broker/shard/shard.hpp"

namespace parley::shard {
namespace {

using chat::Refusal;
using MemberId = chat::ShareGroup::MemberId;
using State = HostedShares::Group::State;

constexpr Duration kInterval = std::chrono::seconds(1);
/// Acknowledgements that wait for a leader which can't be reached; more are forgotten, and their entries come again.
constexpr std::size_t kUntoldMax = 10'000;

/// Members join again as soon as they hear of a new leader; whose channel is full, or node is cut off, later.
constexpr Duration kComeAgain = std::chrono::seconds(10);

std::string mark_name(std::string_view group) { return std::string(format::kSharePrefix).append(group); }

/// A group's mark has the first seq that isn't done.
format::Mark mark_at(Seq cursor) { return {{}, cursor.next()}; }
Seq cursor_of(const format::Mark& mark) { return {mark.delivered.value - 1}; }

/// Where a group begins that isn't there yet.
Result<Seq> first_cursor(const ShareCommand& command, const FollowedEvent& standing, Seq visible_from) {
  using Kind = chat::StartPosition::Kind;
  const Seq oldest = std::max(standing.oldest, visible_from);
  const Seq before{oldest.value - 1};
  switch (command.start.kind) {
    case Kind::Live: return standing.head;
    case Kind::SinceLast: return before;
    case Kind::Last:
      return Seq{standing.head.value -
                 std::min(command.start.value, standing.head.value - std::min(before, standing.head).value)};
    case Kind::Since: break;
  }
  if (command.start_epoch != Epoch{} && command.start_epoch != standing.epoch) return Refusal::OtherEpoch;
  if (command.start.value > standing.head.value) return Refusal::BeyondHead;
  return std::max(Seq{command.start.value}, std::min(before, standing.head));
}

NodeId node_of(const ProposeEvent& event) { return event.origin.other_node ? event.origin.other_node->node : NodeId{}; }

HostedShares::Member member_of(const ShareCommand& joins, const ProposeEvent& event) {
  return {.name = joins.member,
          .user = event.from,
          .node = node_of(event),
          .shard = static_cast<ShardId>(joins.shard),
          .window = joins.window,
          .lasts = joins.lasts};
}

/// Whether that is who goes. A shard says everything in order, so what it said of the member before is over, too.
bool means(const ShareCommand& leaves, NodeId from, MemberId id, const HostedShares::Member& member) {
  if (member.name != leaves.member) return false;
  return id == leaves.token || (member.node == from && member.shard == leaves.shard);
}

/// Nothing: it isn't this member any more.
void grant(Shard& shard, const HostedShares::Member& member, MemberId id, std::vector<Seq> seqs) {
  if (member.node == NodeId{}) {
    shard.send(member.shard, PeerEvent{ShareGrantEvent{.token = id, .seqs = std::move(seqs)}});
  } else {
    shard.nodes().send(member.node, NodeChannel::Entries,
                       remote::encode_for_shard(member.shard, remote::ShareGrant{id, std::move(seqs)}));
  }
}

}  // namespace

// -- What there is --

Result<ShareHomes::GroupPlace> ShareHomes::find_or_load(Hosted& hosted, const std::string& name) {
  if (!hosted.shares) hosted.shares = std::make_shared<HostedShares>();
  HostedShares& shares = *hosted.shares;
  if (const auto known = shares.groups.find(name); known != shares.groups.end()) return known;
  const std::string mark_of = mark_name(name);
  std::optional<format::Mark> mark;
  if (const auto found = shares.unmaterialised.find(mark_of); found != shares.unmaterialised.end()) {
    mark = found->second;
    shares.unmaterialised.erase(found);
  } else {
    PARLEY_TRY(mark, shard_.store().find_mark(shard_.id(), hosted.conversation->state().number, mark_of));
  }
  const bool there = mark && *mark != format::Mark{};
  const auto place = shares.groups.emplace(name, Group(there ? cursor_of(*mark) : Seq{})).first;
  Group& group = place->second;
  group.state = there ? State::There : State::Gone;
  if (there) group.all_known = shard_.now() + kComeAgain;
  group.written = group.entries.cursor();
  group.entries.begin_at(hosted.conversation->state().oldest);
  group.lsn = shard_.committing().log_end();
  conversations_.insert(hosted.name);
  list_busy(hosted);
  return place;
}

void ShareHomes::restore(Hosted& hosted, const std::vector<chat::UserMarks>& marks) {
  for (const chat::UserMarks& one : marks) {
    if (!format::is_share(one.user)) continue;
    if (!hosted.shares) hosted.shares = std::make_shared<HostedShares>();
    hosted.shares->unmaterialised[one.user] = one.mark;
  }
}

bool ShareHomes::is_idle(const Hosted& hosted) { return !hosted.shares || hosted.shares->groups.empty(); }

template <class Visit>
void ShareHomes::for_each_group(Visit visit) {
  for (auto next = conversations_.begin(); next != conversations_.end();) {
    const auto name = next++;
    Hosted* hosted = shard_.hosting().find(*name);
    if (hosted == nullptr || is_idle(*hosted)) {
      conversations_.erase(name);
      continue;
    }
    for (auto& [group_name, group] : hosted->shares->groups) visit(*hosted, group);
  }
}

// -- Members --

void ShareHomes::take(Hosted& hosted, ProposeEvent event) {
  const auto command = decode_share_command(event.payload);
  const bool joins = command && command->op == ShareCommand::Op::Joins;
  if (!command) {
    shard_.send_outcome(event.origin, {.refusal = Refusal::InvalidPayload});
  } else if (hosted.state != Hosted::State::Ready) {
    shard_.send_outcome(event.origin, {.refusal = joins ? Refusal::NotAuthorized : Refusal::None});
  } else if (joins) {
    join(hosted, *command, std::move(event));
  } else {
    leave(hosted, *command, node_of(event));
    shard_.send_outcome(event.origin, {});
  }
}

void ShareHomes::join(Hosted& hosted, const ShareCommand& command, ProposeEvent event) {
  const auto access = shard_.groups().access(
      hosted, {.conversation = hosted.name, .number = {}, .user = event.from, .shard = 0, .token = 0});
  if (access.refusal != Refusal::None) {
    shard_.send_outcome(event.origin, {.refusal = access.refusal});
    return;
  }
  const auto place = find_or_load(hosted, command.group);
  if (!place) {
    shard_.send_outcome(event.origin, {.refusal = Refusal::StorageFailed});
    return;
  }
  Group& group = (*place)->second;
  switch (group.state) {
    case State::Beginning:
    case State::Ending: group.waiting.push_back(std::move(event)); return;
    case State::Gone: begin(hosted, command, access.visible_from, std::move(event)); return;
    case State::There: enter(hosted, group, command, access.visible_from, event); return;
  }
}

/// Nobody is told that there is a group before that is committed.
void ShareHomes::begin(Hosted& hosted, const ShareCommand& command, Seq visible_from, ProposeEvent event) {
  FollowedEvent standing;
  copy_standing(standing, hosted.conversation->state());
  const auto cursor = first_cursor(command, standing, visible_from);
  if (!cursor) {
    shard_.send_outcome(event.origin, {.refusal = refusal_of(cursor.error())});
    return;
  }
  const auto place = hosted.shares->groups.find(command.group);
  Group& group = place->second;
  group.entries = chat::ShareGroup(*cursor);
  group.state = State::Beginning;
  group.all_known = {};
  group.waiting.push_back(std::move(event));
  write(hosted, place, mark_at(*cursor));
}

void ShareHomes::enter(Hosted& hosted, Group& group, const ShareCommand& command, Seq visible_from,
                       const ProposeEvent& event) {
  if (!group.entries.has(command.token)) {
    // What it was before is over, wherever that was.
    std::vector<MemberId> earlier;
    for (const auto& [id, member] : group.members) {
      if (member.name == command.member) earlier.push_back(id);
    }
    for (const MemberId id : earlier) {
      const HostedShares::Member member = group.members.at(id);
      drop(group, id);
      // If it is there still it comes again.
      grant(shard_, member, id, {});
    }
    group.away.erase(command.member);
    group.ends = false;
    group.members[command.token] = member_of(command, event);
    group.entries.add(command.token, command.window, visible_from, command.held, hosted.conversation->head());
    // It could be reached when it asked.
    const NodeId node = node_of(event);
    if (node != NodeId{} && !shard_.nodes().connected(node)) group.entries.pause(command.token);
  }
  shard_.send_outcome(event.origin, {.seq = group.entries.cursor()});
  hand_out(hosted, group);
}

/// Its entries are for others.
void ShareHomes::drop(Group& group, MemberId id) {
  group.entries.remove(id);
  group.members.erase(id);
}

/// One that goes while the group begins or ends isn't to become a member.
bool ShareHomes::leave_waiting(Group& group, const ShareCommand& command, NodeId from) {
  std::vector<Origin> gone;
  std::erase_if(group.waiting, [&](const ProposeEvent& event) {
    const auto joins = decode_share_command(event.payload);
    if (!joins || !means(command, from, joins->token, member_of(*joins, event))) return false;
    gone.push_back(event.origin);
    return true;
  });
  // Nobody hears it any more; but a refusal wouldn't count if its node has said all this again meanwhile.
  for (const Origin& origin : gone) shard_.send_outcome(origin, {});
  return !gone.empty();
}

void ShareHomes::leave(Hosted& hosted, const ShareCommand& command, NodeId from) {
  if (!hosted.shares) return;
  const auto place = hosted.shares->groups.find(command.group);
  if (place == hosted.shares->groups.end()) return;
  Group& group = place->second;
  bool was_member = leave_waiting(group, command, from);
  const auto found =
      std::ranges::find_if(group.members, [&](const auto& one) { return means(command, from, one.first, one.second); });
  if (found != group.members.end()) {
    drop(group, found->first);
    was_member = true;
  }
  if (command.op == ShareCommand::Op::Away) {
    // One that was never told of its membership doesn't come back as a member; and a group that ends has none.
    if (was_member && command.lasts && group.state != State::Ending) group.away.insert(command.member);
  } else if (group.away.erase(command.member) != 0) {
    was_member = true;
  }
  if (!was_member) return;
  list_busy(hosted);
  const bool over = command.op == ShareCommand::Op::Ends && group.members.empty() && group.away.empty();
  if (!over || group.state != State::There) {
    hand_out(hosted, group);
  } else if (group.all_known <= shard_.now()) {
    end(hosted, place);
  } else {
    group.ends = true;
  }
}

/// A change of the members or of who may read: whoever may not any more has no part in it.
void ShareHomes::check_members(Hosted& hosted) {
  for (auto& [name, group] : hosted.shares->groups) {
    std::vector<MemberId> ended;
    for (const auto& [id, member] : group.members) {
      const auto access = shard_.groups().access(
          hosted, {.conversation = hosted.name, .number = {}, .user = member.user, .shard = 0, .token = 0});
      if (access.refusal != Refusal::None) ended.push_back(id);
    }
    // Its shard ends it in a moment: until then it counts as one that is away.
    for (const MemberId id : ended) {
      group.away.insert(group.members.at(id).name);
      drop(group, id);
    }
  }
}

// -- Entries --

void ShareHomes::committed(Hosted& hosted, const std::vector<format::EntryPtr>& entries) {
  if (is_idle(hosted)) return;
  const auto changes = [](const format::EntryPtr& entry) {
    return (*entry)->kind == format::EntryKind::Member || (*entry)->kind == format::EntryKind::Settings;
  };
  if (std::ranges::any_of(entries, changes)) check_members(hosted);
  for (auto& [name, group] : hosted.shares->groups) {
    if (group.state == State::There) hand_out(hosted, group);
  }
}

void ShareHomes::retained(Hosted& hosted, Seq oldest) {
  if (is_idle(hosted)) return;
  for (auto& [name, group] : hosted.shares->groups) group.entries.begin_at(oldest);
  list_busy(hosted);
}

void ShareHomes::hand_out(Hosted& hosted, Group& group) {
  std::vector<chat::ShareGroup::Grant> grants;
  group.entries.hand_out(hosted.conversation->head(), grants);
  std::map<MemberId, std::vector<Seq>> of_member;
  for (const auto& grant : grants) of_member[grant.member].push_back(grant.seq);
  // Who is told may at once acknowledge: that comes with the end of the turn.
  for (auto& [id, seqs] : of_member) {
    // Telling another one may have ended this one.
    const auto found = group.members.find(id);
    if (found == group.members.end()) continue;
    grant(shard_, HostedShares::Member(found->second), id, std::move(seqs));
  }
}

void ShareHomes::done(ShareDoneEvent event) {
  const Slot slot = slot_of_name(event.conversation, shard_.options());
  if (Hosted* hosted = shard_.hosting().find(event.conversation)) {
    if (!hosted->shares) return;
    const auto found = hosted->shares->groups.find(event.group);
    if (found == hosted->shares->groups.end()) return;
    Group& group = found->second;
    for (const Seq seq : event.seqs) group.entries.acknowledged(event.token, seq);
    list_busy(*hosted);
    hand_out(*hosted, group);
    return;
  }
  // Whoever leads next is told by whom entries are held, or hands them out anew.
  const auto leadership = shard_.replicas().leadership(slot);
  if (leadership.state != Leadership::State::Elsewhere) return;
  if (shard_.nodes().connected(leadership.node)) {
    shard_.nodes().send(
        leadership.node, NodeChannel::Entries,
        remote::encode_for(slot, remote::ShareDone{event.conversation, event.group, event.token, event.seqs}));
  } else if (untold_.size() < kUntoldMax) {
    untold_.push_back(std::move(event));
    start_timer();
  }
}

// -- The record --

void ShareHomes::write(Hosted& hosted, GroupPlace place, const format::Mark& mark) {
  Group& group = place->second;
  const Seq cursor = mark == format::Mark{} ? Seq{} : cursor_of(mark);
  const std::string name = mark_name(place->first);
  const format::UserMark one{name, mark};
  const std::string text = format::marks_text({&one, 1});
  ++group.writing;
  list_busy(hosted);
  std::function<void(Result<void>)> done = [this, conversation = hosted.name, slot = hosted.slot, of = hosted.shares,
                                            name = place->first, what = group.state, cursor](Result<void> outcome) {
    written(conversation, slot, of, name, what, cursor, outcome);
  };
  const format::MarksRecord record{.conversation = hosted.conversation->state().number, .marks = text};
  if (!shard_.appending().append_here(hosted.slot, record, done)) done(Refusal::NotLeader);
}

void ShareHomes::end(Hosted& hosted, GroupPlace place) {
  place->second.state = State::Ending;
  place->second.ends = false;
  write(hosted, place, {});
}

/// `what`: the group's state when that was written.
void ShareHomes::written(const std::string& conversation, Slot slot, const std::shared_ptr<HostedShares>& of,
                         const std::string& name, State what, Seq cursor, Result<void> outcome) {
  const auto place = of->groups.find(name);
  if (place == of->groups.end()) return;
  Group& group = place->second;
  --group.writing;
  Hosted* hosted = shard_.hosting().find(conversation);
  const bool hosts = hosted != nullptr && hosted->shares == of;
  if (outcome) {
    group.lsn = shard_.committing().log_end();
    group.written = cursor;
    // A cursor may have been written shortly before the end.
    if (what == State::There) return;
    group.state = what == State::Beginning ? State::There : State::Gone;
    if (hosts) go_on(*hosted, place);
    return;
  }
  if (what == State::There) return;
  // What couldn't begin isn't there, and what couldn't end is.
  group.state = what == State::Beginning ? State::Gone : State::There;
  if (group.state == State::Gone) group.away.clear();
  const auto refusal = refusal_of(outcome.error());
  while (!group.waiting.empty()) {
    ProposeEvent event = std::move(group.waiting.front());
    group.waiting.pop_front();
    if (refusal == Refusal::NotLeader && !event.origin.other_node) {
      shard_.remote_homes().propose(slot, std::move(event), true);
    } else {
      shard_.send_outcome(event.origin, {.refusal = refusal});
    }
  }
}

/// The group has begun, or is gone. One by one: who is answered may take back what waits further behind.
void ShareHomes::go_on(Hosted& hosted, GroupPlace place) {
  Group& group = place->second;
  const bool began = group.state == State::There;
  while (!group.waiting.empty() && (group.state == State::There || group.state == State::Gone)) {
    ProposeEvent event = std::move(group.waiting.front());
    group.waiting.pop_front();
    take(hosted, std::move(event));
  }
  // Whoever wanted it has gone meanwhile.
  const bool unused = group.members.empty() && group.away.empty();
  if (began && unused && group.state == State::There) end(hosted, place);
}

void ShareHomes::hand_on(Slot slot, Hosted& hosted) {
  if (!hosted.shares) return;
  for (auto& [name, group] : hosted.shares->groups) {
    for (ProposeEvent& event : std::exchange(group.waiting, {})) {
      shard_.hosting().propose_elsewhere(slot, std::move(event));
    }
  }
}

// -- Once a second --

void ShareHomes::list_busy(Hosted& hosted) {
  if (std::exchange(hosted.shares->is_listed, true)) return;
  busy_.push_back(hosted.name);
  start_timer();
}

void ShareHomes::start_timer() {
  if (std::exchange(timer_, true)) return;
  shard_.timers().add({.due = shard_.now() + kInterval, .kind = TimerKind::Shares});
}

void ShareHomes::run_timer() {
  timer_ = false;
  for (const std::string& name : std::exchange(busy_, {})) {
    Hosted* hosted = shard_.hosting().find(name);
    if (hosted == nullptr || !hosted->shares) continue;
    hosted->shares->is_listed = false;
    if (work(*hosted)) list_busy(*hosted);
  }
  for (ShareDoneEvent& event : std::exchange(untold_, {})) done(std::move(event));
}

/// True while there is something to come back for.
bool ShareHomes::work(Hosted& hosted) {
  bool comes_back = false;
  const Lsn materialised = shard_.committing().materialised_end();
  auto& groups = hosted.shares->groups;
  for (auto place = groups.begin(); place != groups.end();) {
    Group& group = place->second;
    const Seq cursor = group.entries.cursor();
    const bool moves = group.state == State::There && group.writing == 0 && cursor != group.written;
    if (moves) write(hosted, place, mark_at(cursor));
    const bool unused = group.members.empty() && group.away.empty() && group.waiting.empty();
    if (group.ends && group.state == State::There && group.all_known <= shard_.now()) end(hosted, place);
    const bool settled = group.writing == 0 && !group.ends && group.lsn <= materialised;
    comes_back = comes_back || group.writing != 0 || (unused && !settled);
    place = unused && settled ? groups.erase(place) : std::next(place);
  }
  return comes_back;
}

// -- Other nodes --

void ShareHomes::node_connected(NodeId node) {
  shard_.hosting().forget_shares_of(node);
  for_each_group([&](Hosted& hosted, Group& group) {
    std::vector<MemberId> gone;
    for (const auto& [id, member] : group.members) {
      if (member.node == node) gone.push_back(id);
    }
    // What waits from before is sent again.
    std::erase_if(group.waiting, [&](const ProposeEvent& event) {
      return event.origin.other_node && event.origin.other_node->node == node;
    });
    for (const MemberId id : gone) {
      if (group.members.at(id).lasts) group.away.insert(group.members.at(id).name);
      drop(group, id);
    }
    if (gone.empty()) return;
    list_busy(hosted);
    hand_out(hosted, group);
  });
}

void ShareHomes::node_unreachable(NodeId node) {
  for_each_group([&](Hosted& hosted, Group& group) {
    bool some = false;
    for (const auto& [id, member] : group.members) {
      if (member.node != node) continue;
      group.entries.pause(id);
      some = true;
    }
    if (some) hand_out(hosted, group);
  });
}

void ShareHomes::node_reachable(NodeId node) {
  for_each_group([&](Hosted& hosted, Group& group) {
    for (const auto& [id, member] : group.members) {
      if (member.node == node) group.entries.go_on(id, member.window);
    }
    hand_out(hosted, group);
  });
}

}  // namespace parley::shard
