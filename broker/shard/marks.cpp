#include "broker/shard/marks.hpp"

#include <algorithm>
#include <utility>

#include "base/log.hpp"
#include "broker/shard/entry_message.hpp"
#include "broker/shard/shard.hpp"

namespace parley::shard {
namespace {

using chat::Refusal;
using chat::UserMarks;
using format::Mark;

constexpr Duration kInterval = std::chrono::seconds(1);
/// Marks in one record.
constexpr std::size_t kMarksMax = 500;

HostedMarks& marks_of(Hosted& hosted) {
  if (!hosted.marks) hosted.marks = std::make_shared<HostedMarks>();
  return *hosted.marks;
}

}  // namespace

/// A record on its way.
struct Marks::Batch {
  std::string conversation;
  Slot slot;
  std::shared_ptr<HostedMarks> of;
  std::vector<UserMarks> marks;
  std::vector<ProposeEvent> waiting;
};

// -- How they stand --

std::optional<Mark> Marks::find(const Hosted& hosted, std::string_view user) const {
  const auto& state = hosted.conversation->state();
  Mark mark;
  if (state.type == format::ConversationType::Direct) {
    const auto users = format::direct_users(hosted.name);
    if (!users || (users->first != user && users->second != user)) return std::nullopt;
  } else {
    const auto member = shard_.groups().find(hosted, user, hosted.conversation->head());
    if (!member) return std::nullopt;
    // What came before its joining isn't unread.
    mark.read = mark.delivered = member->joined;
  }
  const auto stored = shard_.store().find_mark(shard_.id(), state.number, user);
  if (stored && *stored) mark = further(mark, **stored);
  if (!hosted.marks) return mark;
  const auto moved = hosted.marks->users.find(user);
  return moved == hosted.marks->users.end() ? mark : further(mark, moved->second.committed);
}

std::uint64_t Marks::unread(const Hosted& hosted, Seq read) const {
  const auto& state = hosted.conversation->state();
  const Seq from = std::max(read, Seq{state.oldest.value - 1});
  if (from >= state.head) return 0;
  const auto others = [&](Seq upto) {
    auto tally = shard_.store().find_tally(shard_.id(), state.number, upto);
    if (!hosted.marks) return tally.count;
    for (const Seq seq : hosted.marks->no_messages) tally.count += seq > tally.seq && seq <= upto ? 1 : 0;
    return tally.count;
  };
  return state.head.value - from.value - (others(state.head) - others(from));
}

bool Marks::has_few_members(const Hosted& hosted) const {
  return hosted.conversation->state().type == format::ConversationType::Direct ||
         hosted.group->standing(hosted.conversation->head()).members <= shard_.options().marks_fanout;
}

std::vector<UserMarks> Marks::list(const Hosted& hosted) const {
  std::vector<UserMarks> list;
  if (!has_few_members(hosted)) return list;
  const auto add = [&](std::string_view user) {
    if (const auto mark = find(hosted, user)) list.push_back({std::string(user), *mark});
  };
  if (hosted.conversation->state().type == format::ConversationType::Direct) {
    if (const auto users = format::direct_users(hosted.name)) {
      add(users->first);
      add(users->second);
    }
    return list;
  }
  for (const StoredMember& member : shard_.groups().page(hosted, "", shard_.options().marks_fanout).members) {
    add(member.user);
  }
  return list;
}

bool Marks::is_idle(const Hosted& hosted) {
  return !hosted.marks || (hosted.marks->users.empty() && hosted.marks->no_messages.empty() && !hosted.marks->writing);
}

// -- How they move --

HostedMarks::Moved& Marks::move(Hosted& hosted, std::string_view user) {
  HostedMarks& marks = marks_of(hosted);
  list_busy(hosted);
  const auto found = marks.users.find(user);
  return found != marks.users.end() ? found->second : marks.users.try_emplace(std::string(user)).first->second;
}

void Marks::read(Hosted& hosted, ProposeEvent event) {
  const auto refuse = [&](Refusal refusal) { shard_.send_outcome(event.origin, {.refusal = refusal}); };
  const auto upto = chat::read_decimal(event.payload);
  if (!upto) return refuse(Refusal::InvalidPayload);
  if (hosted.state != Hosted::State::Ready) return refuse(Refusal::NotAuthorized);
  const Seq head = hosted.conversation->head();
  if (!chat::may(chat::Right::Read, shard_.groups().request(hosted, event.from, head))) {
    return refuse(Refusal::NotAuthorized);
  }
  const auto now = find(hosted, event.from);
  if (!now) return refuse(Refusal::NotMember);
  if (*upto > head.value) return refuse(Refusal::BeyondHead);
  if (*upto <= now->read.value) {
    shard_.send_outcome(event.origin, {});
    return;
  }
  HostedMarks::Moved& moved = move(hosted, event.from);
  moved.wanted = further(moved.wanted, {Seq{*upto}, {}});
  moved.unwritten = true;
  const bool waits = event.origin.other_node || event.origin.ticket.qos != mqtt::Qos::AtMostOnce;
  moved.waiting.push_back(std::move(event));
  if (waits) write(hosted);
}

void Marks::delivered(Hosted& hosted, const std::vector<UserMarks>& marks) {
  if (hosted.state != Hosted::State::Ready) return;
  const Seq head = hosted.conversation->head();
  for (const UserMarks& one : marks) {
    const auto now = find(hosted, one.user);
    if (!now || one.mark.delivered <= now->delivered || one.mark.delivered > head) continue;
    HostedMarks::Moved& moved = move(hosted, one.user);
    if (one.mark.delivered <= moved.wanted.delivered) continue;
    moved.wanted.delivered = one.mark.delivered;
    moved.unwritten = true;
  }
}

void Marks::sent(Hosted& hosted, const format::EntryRecord& entry, Lsn lsn) {
  if (entry.kind != format::EntryKind::Message) {
    marks_of(hosted).no_messages.push_back(entry.seq);
    return;
  }
  HostedMarks::Moved& moved = move(hosted, entry.from);
  moved.committed = further(moved.committed, {entry.seq, entry.seq});
  moved.wanted = further(moved.wanted, moved.committed);
  moved.lsn = lsn;
  moved.untold = true;
}

void Marks::restore(Hosted& hosted, const LogStoreEvents::LoadedConversation& loaded, Lsn lsn) {
  for (const UserMarks& one : loaded.marks) {
    if (format::is_share(one.user)) continue;
    HostedMarks::Moved& moved = move(hosted, one.user);
    moved.committed = moved.wanted = one.mark;
    moved.lsn = lsn;
  }
  for (const auto& entry : loaded.unmaterialised) {
    if ((*entry)->kind != format::EntryKind::Message) marks_of(hosted).no_messages.push_back((*entry)->seq);
  }
}

void Marks::materialised(Hosted& hosted, Seq upto) {
  if (!hosted.marks) return;
  auto& list = hosted.marks->no_messages;
  while (!list.empty() && list.front() <= upto) list.pop_front();
}

// -- The record --

void Marks::write(Hosted& hosted) {
  HostedMarks& marks = marks_of(hosted);
  if (marks.writing) return;
  auto batch = std::make_shared<Batch>(
      Batch{.conversation = hosted.name, .slot = hosted.slot, .of = hosted.marks, .marks = {}, .waiting = {}});
  std::vector<format::UserMark> written;
  for (auto& [user, moved] : marks.users) {
    if (!moved.unwritten) continue;
    moved.unwritten = false;
    moved.under_way = true;
    written.push_back({user, moved.wanted});
    batch->marks.push_back({user, moved.wanted});
    for (ProposeEvent& event : std::exchange(moved.waiting, {})) batch->waiting.push_back(std::move(event));
    if (written.size() >= kMarksMax) break;
  }
  if (written.empty()) return;
  marks.writing = true;
  std::function<void(Result<void>)> done = [this, batch](Result<void> outcome) { this->written(*batch, outcome); };
  const std::string text = format::marks_text(written);
  const format::MarksRecord record{.conversation = hosted.conversation->state().number, .marks = text};
  if (!shard_.appending().append_here(hosted.slot, record, done)) done(Refusal::NotLeader);
}

void Marks::written(const Batch& batch, Result<void> outcome) {
  HostedMarks& marks = *batch.of;
  marks.writing = false;
  for (const UserMarks& one : batch.marks) {
    HostedMarks::Moved& moved = marks.users[one.user];
    moved.under_way = false;
    if (outcome) {
      moved.committed = further(moved.committed, one.mark);
      moved.untold = true;
      moved.lsn = shard_.committing().log_end();
    } else {
      moved.unwritten = true;
    }
  }
  const auto refusal = outcome ? Refusal::None : refusal_of(outcome.error());
  for (const ProposeEvent& event : batch.waiting) {
    if (refusal == Refusal::NotLeader && !event.origin.other_node) {
      // The next leader may have it or not; it moves forward only.
      shard_.remote_homes().propose(batch.slot, event, true);
    } else {
      shard_.send_outcome(event.origin, {.refusal = refusal});
    }
  }
  Hosted* hosted = shard_.hosting().find(batch.conversation);
  if (!outcome || hosted == nullptr || hosted->marks != batch.of) return;
  tell(*hosted, false);
  const auto waits = [](const auto& one) { return !one.second.waiting.empty(); };
  if (std::ranges::any_of(marks.users, waits)) write(*hosted);
}

/// `all`: those, too, that were told a moment ago.
void Marks::tell(Hosted& hosted, bool all) {
  HostedMarks& marks = *hosted.marks;
  const bool few = has_few_members(hosted);
  NoticeEvent notice{.conversation = hosted.name, .typing = {}, .marks = {}};
  for (auto& [user, moved] : marks.users) {
    if (!moved.untold || (!all && moved.told + kInterval > shard_.now())) continue;
    moved.untold = false;
    moved.told = shard_.now();
    if (!few || hosted.followers.empty()) continue;
    if (const auto mark = find(hosted, user)) notice.marks.push_back({user, *mark});
  }
  if (notice.marks.empty()) return;
  for (const ShardId follower : std::vector(hosted.followers)) {
    shard_.send(follower, PeerEvent{NoticeEvent(notice)});
  }
}

void Marks::hand_on(Slot slot, Hosted& hosted) {
  if (!hosted.marks) return;
  for (auto& [user, moved] : hosted.marks->users) {
    for (ProposeEvent& event : std::exchange(moved.waiting, {})) {
      shard_.hosting().propose_elsewhere(slot, std::move(event));
    }
  }
}

// -- Once a second --

void Marks::list_busy(Hosted& hosted) {
  if (std::exchange(marks_of(hosted).is_listed, true)) return;
  busy_.push_back(hosted.name);
  start_timer();
}

void Marks::start_timer() {
  if (std::exchange(timer_, true)) return;
  shard_.timers().add({.due = shard_.now() + kInterval, .kind = TimerKind::Marks});
}

void Marks::run_timer() {
  timer_ = false;
  std::map<std::string, std::vector<UserMarks>> told;
  for (const auto& [place, identity] : std::exchange(touched_, {})) {
    Client* client = shard_.clients().find(place, identity);
    if (client == nullptr || !std::exchange(client->marks_touched, false)) continue;
    collect(*client, told);
  }
  tell_home(told);
  for (const std::string& name : std::exchange(busy_, {})) {
    Hosted* hosted = shard_.hosting().find(name);
    if (hosted == nullptr || !hosted->marks) continue;
    hosted->marks->is_listed = false;
    work(*hosted);
  }
}

void Marks::work(Hosted& hosted) {
  HostedMarks& marks = *hosted.marks;
  write(hosted);
  tell(hosted, true);
  const Lsn materialised = shard_.committing().materialised_end();
  std::erase_if(marks.users, [&](const auto& one) {
    const HostedMarks::Moved& moved = one.second;
    return !moved.unwritten && !moved.under_way && !moved.untold && moved.lsn <= materialised;
  });
  if (!marks.users.empty()) list_busy(hosted);
}

// -- Followers --

void Marks::acknowledged(Client& client) {
  if (std::exchange(client.marks_touched, true)) return;
  touched_.emplace_back(client.place, client.session->identity());
  start_timer();
}

void Marks::flush(Client& client) {
  if (!std::exchange(client.marks_touched, false)) return;
  std::map<std::string, std::vector<UserMarks>> told;
  collect(client, told);
  tell_home(told);
}

void Marks::collect(Client& client, std::map<std::string, std::vector<UserMarks>>& to) {
  for (const auto& follower : client.following) {
    if (!follower) continue;
    const auto cursor = client.session->cursor(follower->cursor);
    if (cursor.qos == mqtt::Qos::AtMostOnce || cursor.acknowledged <= follower->delivered) continue;
    follower->delivered = cursor.acknowledged;
    to[follower->feed->name].push_back({client.session->user(), {{}, cursor.acknowledged}});
  }
}

void Marks::tell_home(std::map<std::string, std::vector<UserMarks>>& told) {
  for (auto& [conversation, marks] : told) {
    shard_.send(home_of_name(conversation, shard_.options()),
                PeerEvent{DeliveredEvent{conversation, std::move(marks)}});
  }
}

void Marks::noticed(Feed& feed, const std::vector<UserMarks>& marks) {
  if (!Listeners::any(feed, Hearing::Read)) return;
  for (const UserMarks& one : marks) {
    shard_.listeners().send(feed, Hearing::Read,
                            [&](std::string_view name) { return marks_message(shard_.options().root, name, one); });
  }
}

void Marks::show(Client& client, const std::string& filter) {
  const auto parts = chat::read_topic(shard_.options().root, filter);
  const auto conversation =
      parts ? chat::conversation_meant(parts->conversation, client.session->user()) : std::nullopt;
  if (Feed* feed = conversation ? shard_.feeds().find(*conversation) : nullptr) show(client, *feed, filter, nullptr);
}

void Marks::show(Client& client, Feed& feed, const std::string& filter, std::function<void()> shown) {
  shard_.feeds().with_marks(
      feed, client.session->user(),
      [this, filter, connection = client.connection, then = std::move(shown)](Feed& of, const Feeds::Access& all) {
        const Client* owner = shard_.client_of(connection);
        const auto listener = std::ranges::find_if(
            of.listeners, [&](const Listener& one) { return one.client == owner && one.filter == filter; });
        if (owner != nullptr && listener != of.listeners.end()) {
          for (const UserMarks& one : all.marks) {
            shard_.listeners().send(*listener, marks_message(shard_.options().root, listener->name, one), true);
          }
        }
        if (then) then();
      });
}

void Marks::stand_anew(Feed& feed) {
  for (Follower* follower : feed.followers) {
    if (follower->delivered == follower->began) continue;
    follower->delivered = follower->began;
    acknowledged(*follower->client);
  }
  const auto listener = std::ranges::find(feed.listeners, Hearing::Read, &Listener::hearing);
  if (listener == feed.listeners.end()) return;
  // Once for all of them.
  shard_.feeds().with_marks(feed, listener->client->session->user(), [this](Feed& of, const Feeds::Access& all) {
    for (const UserMarks& one : all.marks) {
      const auto make = [&](std::string_view name) { return marks_message(shard_.options().root, name, one); };
      shard_.listeners().send(of, Hearing::Read, make, true);
    }
  });
}

}  // namespace parley::shard
