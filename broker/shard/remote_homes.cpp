#include "broker/shard/remote_homes.hpp"

#include <algorithm>
#include <optional>
#include <utility>

#include "base/log.hpp"
#include "broker/shard/shard.hpp"

namespace parley::shard {
namespace {

constexpr Duration kLookAgain = std::chrono::milliseconds(100);
/// How often this node's replica is asked whether it has got further.
constexpr Duration kLoadAgain = std::chrono::seconds(1);

std::size_t size_of(const ProposeEvent& proposal) {
  return sizeof(ProposeEvent) + proposal.payload.size() + proposal.properties.size();
}

/// Nothing when one of them is damaged.
std::optional<std::vector<format::EntryPtr>> read_entries(const std::vector<std::string_view>& records) {
  std::vector<format::EntryPtr> entries;
  entries.reserve(records.size());
  for (const std::string_view record : records) {
    auto entry = format::Entry::from_bytes(std::string(record));
    if (!entry) return std::nullopt;
    entries.push_back(*std::move(entry));
  }
  return entries;
}

template <class T>
void add_once(std::vector<T>& list, const T& value) {
  if (std::ranges::find(list, value) == list.end()) list.push_back(value);
}

/// Not 0, and with room for more than there will ever be.
std::uint64_t first_number(Shard& shard) { return (shard.random().next() >> 8) + 1; }

}  // namespace

// -- Lines --

RemoteHomes::Line* RemoteHomes::find(Slot slot) {
  if (lines_.empty()) return nullptr;
  const auto found = lines_.find(slot);
  return found == lines_.end() ? nullptr : &found->second;
}

RemoteHomes::RemoteHomes(Shard& shard)
    : shard_(shard),
      next_number_(first_number(shard)),
      next_stream_(first_number(shard)),
      next_follow_(first_number(shard)),
      next_token_(first_number(shard)) {}

RemoteHomes::Line& RemoteHomes::line(Slot slot) {
  if (Line* found = find(slot)) return *found;
  Line& added = lines_[slot];
  const auto leadership = shard_.replicas().leadership(slot);
  if (leadership.state == Leadership::State::Elsewhere) {
    start_stream(slot, added, leadership.node);
  } else {
    added.stuck_since = shard_.now();
  }
  return added;
}

bool RemoteHomes::holds(Slot slot) const {
  if (lines_.empty()) return false;
  const auto found = lines_.find(slot);
  return found != lines_.end() && !found->second.items.empty();
}

void RemoteHomes::forget_if_unused(Slot slot) {
  const auto found = lines_.find(slot);
  if (found == lines_.end() || !found->second.items.empty() || !found->second.conversations.empty()) return;
  if (!found->second.questions.empty() || !found->second.asked.empty()) return;
  lines_.erase(found);
}

void RemoteHomes::set_timer(Slot slot, Line& line) {
  if (std::exchange(line.timer, true)) return;
  shard_.timers().add({.due = shard_.now() + kLookAgain,
                       .kind = TimerKind::LeaderWait,
                       .client = static_cast<std::uint32_t>(slot.value)});
}

void RemoteHomes::run_timer(Slot slot) {
  Line* line = find(slot);
  if (line == nullptr) return;
  line->timer = false;
  const auto leadership = shard_.replicas().leadership(slot);
  if (leadership.state == Leadership::State::Here) {
    hand_over(slot);
    return;
  }
  if (leadership.state == Leadership::State::Elsewhere && line->target == NodeId{}) {
    start_stream(slot, *line, leadership.node);
  }
  pump(slot, *line);
  ask_all(slot, *line);
  const bool stuck = line->stuck_since != Instant::max();
  if (stuck && line->stuck_since + shard_.options().leader_wait <= shard_.now()) {
    const auto error = shard_.replicas().disk_error();
    refuse_all(slot, *line, error ? error : make_error_code(chat::Refusal::NoMajority));
  }
  // What refuses may have added or taken away.
  line = find(slot);
  if (line == nullptr) return;
  const auto unanswered = [](const auto& one) {
    return !one.second.waiting.empty() || !one.second.reads.empty() || one.second.follow == 0;
  };
  if (line->sent < line->items.size() || stuck || !line->questions.empty() ||
      std::ranges::any_of(line->conversations, unanswered)) {
    set_timer(slot, *line);
  }
  forget_if_unused(slot);
}

void RemoteHomes::leadership_changed(Slot slot, const Leadership& leadership) {
  Line* line = find(slot);
  if (line == nullptr) return;
  if (leadership.state == Leadership::State::Here) {
    hand_over(slot);
    return;
  }
  stop_stream(slot, *line);
  if (leadership.state == Leadership::State::Elsewhere) start_stream(slot, *line, leadership.node);
  set_timer(slot, *line);
  forget_if_unused(slot);
}

// -- Items --

void RemoteHomes::propose(Slot slot, ProposeEvent proposal, bool tried) {
  // At most once, and that was it.
  if (tried && !proposal.id_from_client) {
    shard_.send_outcome(proposal.origin, {.refusal = chat::Refusal::NoMajority});
    return;
  }
  const std::size_t bytes = size_of(proposal);
  add(slot, {.number = 0, .bytes = bytes, .tries = tried ? 1U : 0U, .settled = false, .what = std::move(proposal)});
}

void RemoteHomes::append(Slot slot, std::string record, std::uint64_t generation, Done done) {
  const std::size_t bytes = sizeof(Item) + record.size();
  add(slot, {.number = 0,
             .bytes = bytes,
             .tries = 0,
             .settled = false,
             .what = Record{std::move(record), generation, std::move(done)}});
}

void RemoteHomes::add(Slot slot, Item item) {
  if (bytes_ + item.bytes > shard_.options().pending_bytes_max) {
    refuse(item, chat::Refusal::Busy);
    return;
  }
  item.number = next_number_++;
  bytes_ += item.bytes;
  ++waiting_;
  Line& to = line(slot);
  to.items.push_back(std::move(item));
  pump(slot, to);
  if (to.sent < to.items.size()) set_timer(slot, to);
}

void RemoteHomes::refuse(const Item& item, boost::system::error_code why) {
  if (const auto* proposal = std::get_if<ProposeEvent>(&item.what)) {
    shard_.send_outcome(proposal->origin, {.refusal = refusal_of(why)});
  } else if (const auto& record = std::get<Record>(item.what); record.done) {
    record.done(why);
  }
}

void RemoteHomes::refuse_all(Slot slot, Line& line, boost::system::error_code why) {
  std::deque<Item> items = std::exchange(line.items, {});
  line.sent = 0;
  answer_here(line);
  for (auto& [name, conversation] : line.conversations) {
    if (!conversation.waiting.empty()) load(name, conversation);
  }
  for (Item& item : items) {
    if (item.settled) continue;
    bytes_ -= item.bytes;
    --waiting_;
    refuse(item, why);
  }
  forget_if_unused(slot);
}

/// This node leads now: everything goes where it belongs, in its order.
void RemoteHomes::hand_over(Slot slot) {
  const auto found = lines_.find(slot);
  if (found == lines_.end()) return;
  Line line = std::move(found->second);
  lines_.erase(found);
  for (auto& [name, conversation] : line.conversations) {
    if (conversation.loading) shard_.hosting().expect_stale_load(name);
    for (const ReadEvent& read : conversation.reads) {
      shard_.send(read.shard, PeerEvent{ReadHereEvent{.token = read.token}});
    }
    for (const auto* list : {&conversation.followers, &conversation.waiting}) {
      for (const ShardId follower : *list) shard_.hosting().follow(name, follower);
    }
  }
  for (auto& [token, question] : line.asked) line.questions.push_back(std::move(question));
  for (AccessEvent& question : line.questions) shard_.hosting().access(std::move(question));
  for (auto& [token, read] : std::exchange(reads_, {})) {
    if (read.slot == slot) {
      shard_.send(read.event.shard, PeerEvent{ReadHereEvent{.token = read.event.token}});
    } else {
      reads_.emplace(token, std::move(read));
    }
  }
  for (Item& item : line.items) {
    if (item.settled) continue;
    bytes_ -= item.bytes;
    --waiting_;
    if (auto* proposal = std::get_if<ProposeEvent>(&item.what)) {
      if (item.tries > 0 && !proposal->id_from_client) {
        shard_.send_outcome(proposal->origin, {.refusal = chat::Refusal::NoMajority});
      } else {
        shard_.hosting().propose(std::move(*proposal));
      }
    } else {
      auto& record = std::get<Record>(item.what);
      const auto decoded = format::decode_trusted_record(record.bytes);
      shard_.append(slot, decoded->body, record.generation, std::move(record.done));
    }
  }
}

// -- The stream --

void RemoteHomes::start_stream(Slot slot, Line& line, NodeId target) {
  line.target = target;
  line.stream = next_stream_++;
  line.sent = 0;
  if (shard_.nodes().connected(target)) {
    line.stuck_since = Instant::max();
  } else if (line.stuck_since == Instant::max()) {
    line.stuck_since = shard_.now();
  }
  pump(slot, line);
  ask_all(slot, line);
}

void RemoteHomes::stop_stream(Slot slot, Line& line) {
  line.target = {};
  line.sent = 0;
  if (line.stuck_since == Instant::max()) line.stuck_since = shard_.now();
  for (auto& [name, conversation] : line.conversations) {
    conversation.follow = 0;
    conversation.standing_known = false;
  }
  for (auto& [token, question] : std::exchange(line.asked, {})) line.questions.push_back(std::move(question));
  // What is at most once and was sent is no longer this node's.
  std::vector<Item> given_up;
  std::erase_if(line.items, [&](Item& item) {
    if (item.settled) return true;
    const auto* proposal = std::get_if<ProposeEvent>(&item.what);
    if (item.tries == 0 || proposal == nullptr || proposal->id_from_client) return false;
    given_up.push_back(std::move(item));
    return true;
  });
  for (auto& [token, read] : std::exchange(reads_, {})) {
    if (read.slot != slot) {
      reads_.emplace(token, std::move(read));
    } else if (const auto found = line.conversations.find(read.event.conversation); found != line.conversations.end()) {
      found->second.reads.push_back(std::move(read.event));
    }
  }
  for (const Item& item : given_up) {
    bytes_ -= item.bytes;
    --waiting_;
    refuse(item, chat::Refusal::NoMajority);
  }
}

void RemoteHomes::pump(Slot slot, Line& line) {
  if (line.target == NodeId{}) return;
  if (!shard_.nodes().connected(line.target)) {
    if (line.stuck_since == Instant::max()) line.stuck_since = shard_.now();
    return;
  }
  while (line.sent < line.items.size()) {
    Item& item = line.items[line.sent];
    if (!item.settled && !send(slot, line, item)) return;
    ++line.sent;
  }
  line.stuck_since = Instant::max();
}

bool RemoteHomes::send(Slot slot, const Line& line, Item& item) {
  NodeLinks& nodes = shard_.nodes();
  if (!nodes.writable(line.target, NodeChannel::Proposals)) return false;
  std::string message;
  if (const auto* proposal = std::get_if<ProposeEvent>(&item.what)) {
    message = remote::encode_for(slot, remote::Propose{.stream = line.stream,
                                                       .number = item.number,
                                                       .conversation = proposal->conversation,
                                                       .kind = proposal->kind,
                                                       .id_from_client = proposal->id_from_client,
                                                       .from = proposal->from,
                                                       .id = proposal->id,
                                                       .properties = proposal->properties,
                                                       .payload = proposal->payload,
                                                       .purpose = static_cast<std::uint64_t>(proposal->purpose)});
  } else {
    const auto& record = std::get<Record>(item.what);
    message = remote::encode_for(slot, remote::Write{.slot = slot,
                                                     .stream = line.stream,
                                                     .number = item.number,
                                                     .generation = record.generation,
                                                     .client_id = {},
                                                     .records = {record.bytes}});
  }
  if (!nodes.try_send(line.target, NodeChannel::Proposals, std::move(message))) return false;
  ++item.tries;
  return true;
}

RemoteHomes::Item* RemoteHomes::find_item(Line& line, std::uint64_t number) {
  const auto found = std::ranges::lower_bound(line.items, number, {}, &Item::number);
  return found == line.items.end() || found->number != number || found->settled ? nullptr : &*found;
}

void RemoteHomes::proposed(NodeId from, const remote::Proposed& event) {
  Line* line = find(event.slot);
  if (line == nullptr || from != line->target) return;
  const bool current = event.stream == line->stream;
  Item* item = find_item(*line, event.number);
  const auto* proposal = item != nullptr ? std::get_if<ProposeEvent>(&item->what) : nullptr;
  if (event.status == remote::Status::NotLeader) {
    if (current) restart_later(event.slot, *line);
    return;
  }
  // A refusal of an earlier stream isn't the last word, since the proposal was sent again.
  if (proposal == nullptr || (!current && event.status != remote::Status::Done)) return;
  Outcome outcome{.refusal = event.refusal, .seq = event.seq, .ts = event.ts, .id = std::string(event.id)};
  outcome.detail = event.detail;
  outcome.duplicate = event.duplicate && item->tries < 2;
  const Origin origin = proposal->origin;
  settle(*line, *item);
  forget_if_unused(event.slot);
  shard_.send_outcome(origin, std::move(outcome));
}

void RemoteHomes::written(NodeId from, const remote::Written& event) {
  Line* line = find(event.slot);
  if (line == nullptr || from != line->target) return;
  const bool current = event.stream == line->stream;
  if (event.status == remote::Status::NotLeader) {
    if (current) restart_later(event.slot, *line);
    return;
  }
  Item* item = find_item(*line, event.number);
  auto* record = item != nullptr ? std::get_if<Record>(&item->what) : nullptr;
  if (record == nullptr || (!current && event.status != remote::Status::Done)) return;
  const Done done = std::move(record->done);
  const Record written{std::move(record->bytes), record->generation, nullptr};
  settle(*line, *item);
  forget_if_unused(event.slot);
  if (event.status == remote::Status::Refused) {
    const auto decoded = format::decode_trusted_record(written.bytes);
    shard_.session_claims().lost(std::string(client_of(decoded->body)), written.generation);
  }
  if (!done) return;
  switch (event.status) {
    case remote::Status::Done: done({}); return;
    case remote::Status::Refused: done(chat::Refusal::NotAuthorized); return;
    default: done(StorageError::Failed); return;
  }
}

void RemoteHomes::settle(Line& line, Item& item) {
  line.refused_since = Instant::max();
  bytes_ -= item.bytes;
  --waiting_;
  item.settled = true;
  while (!line.items.empty() && line.items.front().settled) {
    line.items.pop_front();
    if (line.sent > 0) --line.sent;
  }
}

/// The leader says that it isn't: it may be so soon, or another one will say so.
void RemoteHomes::restart_later(Slot slot, Line& line) {
  line.refused_since = std::min(line.refused_since, shard_.now());
  stop_stream(slot, line);
  set_timer(slot, line);
  if (line.refused_since + shard_.options().leader_wait > shard_.now()) return;
  line.refused_since = Instant::max();
  refuse_all(slot, line, chat::Refusal::NoMajority);
}

// -- Conversations --

void RemoteHomes::follow(Slot slot, const std::string& conversation, ShardId follower) {
  Line& to = line(slot);
  Conversation& followed = to.conversations[conversation];
  std::erase(followed.followers, follower);
  if (followed.standing_known) {
    followed.followers.push_back(follower);
    shard_.send(follower, PeerEvent{FollowedEvent(followed.standing)});
    return;
  }
  add_once(followed.waiting, follower);
  ask(slot, to, conversation, followed);
  if (followed.follow == 0) set_timer(slot, to);
}

void RemoteHomes::follow_again(Slot slot, const std::string& conversation, ShardId follower) {
  Line& to = line(slot);
  Conversation& followed = to.conversations[conversation];
  add_once(followed.followers, follower);
  ask(slot, to, conversation, followed);
  if (followed.follow == 0) set_timer(slot, to);
}

void RemoteHomes::unfollow(Slot slot, const std::string& conversation, ShardId follower) {
  Line* line = find(slot);
  if (line == nullptr) return;
  const auto found = line->conversations.find(conversation);
  if (found == line->conversations.end()) return;
  Conversation& followed = found->second;
  std::erase(followed.followers, follower);
  std::erase(followed.waiting, follower);
  std::erase_if(followed.reads, [&](const ReadEvent& read) { return read.shard == follower; });
  if (!followed.followers.empty() || !followed.waiting.empty()) return;
  if (followed.follow != 0) {
    shard_.nodes().send(line->target, NodeChannel::Entries,
                        remote::encode_for(slot, remote::Unfollow{followed.follow, conversation}));
  }
  followed.follow = 0;
  followed.standing_known = false;
  drop_if_unfollowed(slot, conversation);
}

void RemoteHomes::ask(Slot slot, const Line& line, const std::string& name, Conversation& conversation) {
  const bool wanted = !conversation.followers.empty() || !conversation.waiting.empty();
  if (!wanted || conversation.follow != 0 || line.target == NodeId{}) return;
  const std::uint64_t follow = next_follow_++;
  const bool sent = shard_.nodes().try_send(line.target, NodeChannel::Entries,
                                            remote::encode_for(slot, remote::Follow{follow, name}));
  if (sent) conversation.follow = follow;
}

void RemoteHomes::ask_all(Slot slot, Line& line) {
  for (auto& [name, conversation] : line.conversations) {
    ask(slot, line, name, conversation);
    send_reads(line, name, conversation);
  }
  send_questions(slot, line);
}

RemoteHomes::Conversation* RemoteHomes::find_followed(NodeId from, std::string_view name, std::uint64_t follow) {
  Line* line = find(slot_of_name(name, shard_.options()));
  if (line == nullptr || line->target != from) return nullptr;
  const auto found = line->conversations.find(std::string(name));
  return found == line->conversations.end() || found->second.follow != follow ? nullptr : &found->second;
}

void RemoteHomes::followed(NodeId from, const remote::Followed& event) {
  Conversation* conversation = find_followed(from, event.conversation, event.follow);
  if (conversation == nullptr) return;
  const std::string name(event.conversation);
  const Slot slot = slot_of_name(name, shard_.options());
  if (event.status == remote::Status::NotLeader) {
    conversation->follow = 0;
    conversation->standing_known = false;
    set_timer(slot, *find(slot));
    return;
  }
  FollowedEvent standing{.conversation = name, .refusal = event.refusal, .remote = true};
  copy_standing(standing, event);
  if (event.refusal != chat::Refusal::None) {
    // The leader has forgotten this wish with its answer.
    conversation->follow = 0;
    for (const ShardId follower : std::exchange(conversation->waiting, {})) {
      shard_.send(follower, PeerEvent{FollowedEvent(standing)});
    }
    drop_if_unfollowed(slot, name);
    return;
  }
  conversation->standing = standing;
  conversation->standing_known = true;
  for (const ShardId follower : std::exchange(conversation->waiting, {})) add_once(conversation->followers, follower);
  // Whoever is told may unfollow at once.
  for (const ShardId follower : std::vector(conversation->followers)) {
    shard_.send(follower, PeerEvent{FollowedEvent(standing)});
  }
}

void RemoteHomes::drop_if_unfollowed(Slot slot, const std::string& name) {
  Line* line = find(slot);
  if (line == nullptr) return;
  const auto found = line->conversations.find(name);
  if (found == line->conversations.end()) return;
  if (!found->second.followers.empty() || !found->second.waiting.empty() || found->second.loading) return;
  line->conversations.erase(found);
  forget_if_unused(slot);
}

void RemoteHomes::committed(NodeId from, const remote::Committed& event) {
  Conversation* conversation = find_followed(from, event.conversation, event.follow);
  if (conversation == nullptr || !conversation->standing_known) return;
  const std::string name(event.conversation);
  const Slot slot = slot_of_name(name, shard_.options());
  auto entries = read_entries(event.records);
  bool sound = entries.has_value() && !entries->empty();
  Seq head = conversation->standing.head;
  for (std::size_t i = 0; sound && i < entries->size(); ++i) {
    const format::EntryRecord& entry = **(*entries)[i];
    sound = entry.conversation == conversation->standing.number && entry.seq <= head.next();
    head = std::max(head, entry.seq);
  }
  if (!sound) {
    log::error("another node's entries can't be read, asking for them again", {{"node", from}, {"conversation", name}});
    shard_.nodes().send(from, NodeChannel::Entries,
                        remote::encode_for(slot, remote::Unfollow{conversation->follow, name}));
    conversation->follow = 0;
    conversation->standing_known = false;
    set_timer(slot, *find(slot));
    return;
  }
  conversation->standing.head = head;
  for (const ShardId follower : std::vector(conversation->followers)) {
    shard_.send(follower, PeerEvent{CommittedEvent{name, *entries}});
  }
}

void RemoteHomes::noticed(NodeId from, const remote::Notice& event) {
  const Conversation* conversation = find_followed(from, event.conversation, event.follow);
  if (conversation == nullptr || !conversation->standing_known) return;
  const NoticeEvent notice{.conversation = std::string(event.conversation),
                           .typing = std::string(event.typing),
                           .marks = remote::local_marks(event.marks)};
  for (const ShardId follower : std::vector(conversation->followers)) {
    shard_.send(follower, PeerEvent{NoticeEvent(notice)});
  }
}

void RemoteHomes::delivered(const DeliveredEvent& event) {
  const Slot slot = slot_of_name(event.conversation, shard_.options());
  const Line* line = find(slot);
  if (line == nullptr || line->target == NodeId{}) return;
  const remote::Delivered message{event.conversation, remote::remote_marks(event.marks)};
  shard_.nodes().try_send(line->target, NodeChannel::Entries, remote::encode_for(slot, message));
}

// -- This node's replica --

void RemoteHomes::load(const std::string& name, Conversation& conversation) {
  if (std::exchange(conversation.loading, true)) return;
  conversation.here_at = shard_.now();
  shard_.store().load_conversation(shard_.id(), name);
}

bool RemoteHomes::loaded(const std::string& name, const LogStoreEvents::LoadedConversation* loaded) {
  Line* line = find(slot_of_name(name, shard_.options()));
  if (line == nullptr) return false;
  const auto found = line->conversations.find(name);
  if (found == line->conversations.end() || !found->second.loading) return false;
  Conversation& conversation = found->second;
  conversation.loading = false;
  conversation.here = {};
  if (loaded != nullptr && loaded->conversation) {
    conversation.here = loaded->conversation->head;
    conversation.epoch_here = loaded->conversation->epoch;
  }
  send_reads(*line, name, conversation);
  if (line->stuck_since != Instant::max() && line->stuck_since + shard_.options().leader_wait <= shard_.now()) {
    serve_here(name, conversation, loaded);
  }
  drop_if_unfollowed(slot_of_name(name, shard_.options()), name);
  return true;
}

/// Nobody leads: whoever waits gets what this node has, or is refused.
void RemoteHomes::serve_here(const std::string& name, Conversation& conversation,
                             const LogStoreEvents::LoadedConversation* loaded) {
  FollowedEvent standing{.conversation = name, .refusal = chat::Refusal::NoMajority};
  const bool here = loaded != nullptr && loaded->conversation;
  if (here) {
    standing.refusal = chat::Refusal::None;
    copy_standing(standing, *loaded->conversation);
  }
  const std::vector<ShardId> waiting = std::exchange(conversation.waiting, {});
  if (here) {
    for (const ShardId follower : waiting) add_once(conversation.followers, follower);
  }
  // Whoever is told may unfollow at once, and with the last one the conversation goes.
  for (const ShardId follower : waiting) shard_.send(follower, PeerEvent{FollowedEvent(standing)});
}

// -- Pages --

void RemoteHomes::read(ReadEvent event) {
  const Slot slot = slot_of_name(event.conversation, shard_.options());
  Line* line = find(slot);
  const auto found =
      line != nullptr ? line->conversations.find(event.conversation) : decltype(line->conversations.end()){};
  if (line == nullptr || found == line->conversations.end()) {
    // It is led here by now.
    shard_.send(event.shard, PeerEvent{ReadHereEvent{.token = event.token}});
    return;
  }
  Conversation& conversation = found->second;
  conversation.reads.push_back(std::move(event));
  send_reads(*line, found->first, conversation);
  if (!conversation.reads.empty()) set_timer(slot, *line);
}

/// From this node's replica where that has got far enough, else from the leader.
void RemoteHomes::send_reads(Line& line, const std::string& name, Conversation& conversation) {
  if (conversation.reads.empty() || conversation.loading) return;
  const bool same_epoch = conversation.epoch_here == conversation.standing.epoch;
  const auto reaches = [&](const ReadEvent& read) { return same_epoch && read.last <= conversation.here; };
  if (!std::ranges::all_of(conversation.reads, reaches) &&
      (conversation.here_at == Instant{} || conversation.here_at + kLoadAgain <= shard_.now())) {
    load(name, conversation);
    return;
  }
  for (ReadEvent& read : std::exchange(conversation.reads, {})) {
    if (reaches(read)) {
      shard_.send(read.shard, PeerEvent{ReadHereEvent{.token = read.token}});
    } else if (!ask_for_page(line, read)) {
      conversation.reads.push_back(std::move(read));
    }
  }
}

bool RemoteHomes::ask_for_page(const Line& line, ReadEvent& read) {
  if (line.target == NodeId{}) return false;
  const Slot slot = slot_of_name(read.conversation, shard_.options());
  const std::uint64_t token = next_token_;
  const bool sent = shard_.nodes().try_send(line.target, NodeChannel::Pages,
                                            remote::encode_for(slot, remote::Read{.token = token,
                                                                                  .conversation = read.number,
                                                                                  .first = read.first,
                                                                                  .last = read.last,
                                                                                  .entries_max = read.entries_max,
                                                                                  .bytes_max = read.bytes_max}));
  if (!sent) return false;
  ++next_token_;
  reads_.emplace(token, PendingRead{line.target, slot, std::move(read)});
  return true;
}

void RemoteHomes::page(NodeId from, const remote::Page& event) {
  const auto found = reads_.find(event.token);
  if (found == reads_.end() || found->second.node != from) return;
  ReadEvent read = std::move(found->second.event);
  const Slot slot = found->second.slot;
  reads_.erase(found);
  auto entries = event.status == remote::Status::Done ? read_entries(event.records) : std::nullopt;
  if (!entries) {
    // Once more, later, from whoever leads then.
    Line* line = find(slot);
    if (line == nullptr) return;
    const auto followed = line->conversations.find(read.conversation);
    if (followed == line->conversations.end()) return;
    followed->second.reads.push_back(std::move(read));
    set_timer(slot, *line);
    return;
  }
  shard_.send(read.shard, PeerEvent{PageEvent{.token = read.token, .page = {*std::move(entries), event.corrupt}}});
}

// -- Access --

void RemoteHomes::access(Slot slot, AccessEvent event) {
  Line& to = line(slot);
  to.questions.push_back(std::move(event));
  send_questions(slot, to);
  if (!to.questions.empty()) set_timer(slot, to);
}

void RemoteHomes::send_questions(Slot slot, Line& line) {
  if (line.target == NodeId{} || line.questions.empty()) return;
  std::erase_if(line.questions, [&](AccessEvent& question) {
    const std::uint64_t token = next_token_;
    const remote::Access asked{token, question.conversation, question.user, question.marks};
    if (!shard_.nodes().try_send(line.target, NodeChannel::Entries, remote::encode_for(slot, asked))) return false;
    ++next_token_;
    line.asked.emplace(token, std::move(question));
    return true;
  });
}

void RemoteHomes::accessed(NodeId from, const remote::Accessed& event) {
  Line* line = find(event.slot);
  if (line == nullptr || line->target != from) return;
  const auto found = line->asked.find(event.token);
  if (found == line->asked.end()) return;
  AccessEvent question = std::move(found->second);
  line->asked.erase(found);
  if (event.status == remote::Status::NotLeader) {
    line->questions.push_back(std::move(question));
    set_timer(event.slot, *line);
    return;
  }
  forget_if_unused(event.slot);
  shard_.send(question.shard, PeerEvent{AccessedEvent{question.token, event.refusal, event.visible_from,
                                                           remote::local_marks(event.marks)}});
}

/// Nobody leads: who is a member as far as this node knows may read what it has.
void RemoteHomes::answer_here(Line& line) {
  for (const AccessEvent& question : std::exchange(line.questions, {})) {
    AccessedEvent answer{.token = question.token, .refusal = chat::Refusal::NoMajority};
    if (const auto member = shard_.store().find_member(shard_.id(), question.number, question.user)) {
      answer.refusal = chat::Refusal::None;
      answer.visible_from = member->joined;
    }
    shard_.send(question.shard, PeerEvent{std::move(answer)});
  }
}

// -- Nodes --

void RemoteHomes::node_connected(NodeId node) {
  std::vector<Slot> slots;
  for (auto& [slot, line] : lines_) {
    if (line.target == node) slots.push_back(slot);
  }
  for (const Slot slot : slots) {
    Line* line = find(slot);
    if (line == nullptr) continue;
    stop_stream(slot, *line);
    start_stream(slot, *line, node);
    set_timer(slot, *line);
  }
}

void RemoteHomes::node_writable(NodeId node) {
  for (auto& [slot, line] : lines_) {
    if (line.target != node) continue;
    pump(slot, line);
    ask_all(slot, line);
  }
}

}  // namespace parley::shard
