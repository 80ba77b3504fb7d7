#include "broker/shard/remote_homes.hpp"

#include <algorithm>
#include <utility>

#include "broker/shard/shard.hpp"

namespace parley::shard {
namespace {

constexpr Duration kLookAgain = std::chrono::milliseconds(100);
constexpr std::size_t kSettledKept = 100;  ///< Of a line, before it is worth looking through.

std::size_t size_of(const ProposeEvent& proposal) {
  return sizeof(ProposeEvent) + proposal.payload.size() + proposal.properties.size();
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

std::size_t RemoteHomes::kept(Slot slot) const {
  const auto found = lines_.find(slot);
  return found == lines_.end() ? 0 : found->second.items.size();
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
  refuse_those();
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
  refuse_those();
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
  // One alone is taken, however large: it would be told forever to come again.
  if (bytes_ != 0 && bytes_ + item.bytes > shard_.options().pending_bytes_max) {
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
  refuse_those();
}

void RemoteHomes::refuse(const Item& item, boost::system::error_code why) {
  if (const auto* proposal = std::get_if<ProposeEvent>(&item.what)) {
    shard_.send_outcome(proposal->origin, {.refusal = refusal_of(why)});
  } else if (const auto& record = std::get<Record>(item.what); record.done) {
    record.done(why);
  }
}

void RemoteHomes::refuse_later(Item item, boost::system::error_code why) {
  refused_.emplace_back(std::move(item), why);
}

/// No line is touched behind this.
void RemoteHomes::refuse_those() {
  for (const auto& [item, why] : std::exchange(refused_, {})) refuse(item, why);
}

/// The line may be gone then.
void RemoteHomes::refuse_all(Slot slot, Line& line, boost::system::error_code why) {
  std::deque<Item> items = std::exchange(line.items, {});
  line.sent = 0;
  line.settled = 0;
  for (auto& [name, conversation] : line.conversations) {
    if (!conversation.waiting.empty()) load(name, conversation);
  }
  answer_here(std::exchange(line.questions, {}));
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
      shard_.appending().append(slot, decoded->body, record.generation, std::move(record.done));
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
  std::erase_if(line.items, [&](Item& item) {
    if (item.settled) return true;
    const auto* proposal = std::get_if<ProposeEvent>(&item.what);
    if (item.tries == 0 || proposal == nullptr || proposal->id_from_client) return false;
    bytes_ -= item.bytes;
    --waiting_;
    refuse_later(std::move(item), chat::Refusal::NoMajority);
    return true;
  });
  line.settled = 0;
  for (auto& [token, read] : std::exchange(reads_, {})) {
    if (read.slot != slot) {
      reads_.emplace(token, std::move(read));
    } else if (const auto found = line.conversations.find(read.event.conversation); found != line.conversations.end()) {
      found->second.reads.push_back(std::move(read.event));
    }
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
    const auto refusal = item.settled ? chat::Refusal::None : objection(line, item);
    if (refusal != chat::Refusal::None) {
      // It asks again, or is told that it can't be had.
      refuse_later({.what = std::move(item.what)}, refusal);
      ++line.sent;
      settle(line, item);
      continue;
    }
    if (!item.settled && !send(slot, line, item)) return;
    ++line.sent;
  }
  line.stuck_since = Instant::max();
}

/// Why the leader can't take it, now or ever.
chat::Refusal RemoteHomes::objection(const Line& line, const Item& item) const {
  constexpr std::size_t kAround = 1024;
  const bool is_large = item.bytes > NodeLinks::kAlwaysTaken;
  if (is_large && !shard_.nodes().takes(line.target, item.bytes + kAround)) return chat::Refusal::TooLarge;
  const auto* proposal = std::get_if<ProposeEvent>(&item.what);
  if (proposal == nullptr || proposal->purpose != ProposeEvent::Purpose::Share) return chat::Refusal::None;
  // A leader of an earlier version has no shared subscriptions.
  const bool known = shard_.nodes().peer(line.target).version >= kSharesVersion;
  return known ? chat::Refusal::None : chat::Refusal::Unsupported;
}

bool RemoteHomes::send(Slot slot, const Line& line, Item& item) {
  NodeLinks& nodes = shard_.nodes();
  if (!nodes.writable(line.target, NodeChannel::Proposals)) return false;
  std::string message;
  if (const auto* proposal = std::get_if<ProposeEvent>(&item.what)) {
    const bool names_publisher = nodes.peer(line.target).version >= kPublisherVersion;
    message = remote::encode_for(slot, remote::Propose{.stream = line.stream,
                                                       .number = item.number,
                                                       .conversation = proposal->conversation,
                                                       .kind = proposal->kind,
                                                       .id_from_client = proposal->id_from_client,
                                                       .from = proposal->from,
                                                       .id = proposal->id,
                                                       .properties = proposal->properties,
                                                       .payload = proposal->payload,
                                                       .purpose = static_cast<std::uint64_t>(proposal->purpose),
                                                       .publisher = names_publisher ? proposal->publisher : 0});
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
  item.what = Record{};
  ++line.settled;
  sweep(line);
}

/// Takes away what is settled: at the front at once, behind an item that waits when it is most of what there is.
void RemoteHomes::sweep(Line& line) {
  while (!line.items.empty() && line.items.front().settled) {
    line.items.pop_front();
    --line.settled;
    if (line.sent > 0) --line.sent;
  }
  if (line.settled <= kSettledKept || line.settled * 2 <= line.items.size()) return;
  const auto sent = line.items.begin() + static_cast<std::ptrdiff_t>(line.sent);
  line.sent =
      static_cast<std::size_t>(std::count_if(line.items.begin(), sent, [](const Item& item) { return !item.settled; }));
  std::erase_if(line.items, [](const Item& item) { return item.settled; });
  line.settled = 0;
}

/// The leader says that it isn't: it may be so soon, or another one will say so.
void RemoteHomes::restart_later(Slot slot, Line& line) {
  line.refused_since = std::min(line.refused_since, shard_.now());
  stop_stream(slot, line);
  set_timer(slot, line);
  if (line.refused_since + shard_.options().leader_wait <= shard_.now()) {
    line.refused_since = Instant::max();
    refuse_all(slot, line, chat::Refusal::NoMajority);
  }
  refuse_those();
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
  refuse_those();
}

void RemoteHomes::node_writable(NodeId node) {
  for (auto& [slot, line] : lines_) {
    if (line.target != node) continue;
    pump(slot, line);
    ask_all(slot, line);
  }
  refuse_those();
}

}  // namespace parley::shard
