#include "broker/shard/replica_slots.hpp"

#include <algorithm>

#include "base/log.hpp"
#include "broker/replication/messages_codec.hpp"
#include "broker/shard/replica.hpp"

namespace parley::shard {
namespace {

/// What the disk refused is handed to it again after so long.
constexpr Duration kPersistAgain = std::chrono::milliseconds(200);
/// A replica for which the log can't be read is tried again after so long.
constexpr Duration kReadAgain = std::chrono::seconds(1);

/// Whether what earlier leaders have committed is all here: the present one has it, and its first record comes after.
bool is_complete(const replication::Slot& core) {
  return core.lost_before() == Term{} && core.commit() > Index{0} && core.terms().term_at(core.commit()) == core.term();
}

}  // namespace

ReplicaSlots::ReplicaSlots(const World& world, ReplicaEvents& events)
    : world_(world),
      events_(events),
      appends_(world.shard, world.store, world.options.slots),
      sending_(world.shard, world.store, world.nodes, world.options.recent_records_bytes_max),
      snapshot_sending_(world.shard, world.options, world.store, world.nodes),
      snapshot_taking_(world.shard, world.options, world.store, world.nodes) {}

ReplicaSlots::~ReplicaSlots() = default;

// -- The start

void ReplicaSlots::restore(const StoredSlot& stored) {
  if (is_home(stored.slot)) stored_.push_back(stored);
}

replication::SlotState ReplicaSlots::initial_state(const StoredSlot& stored) const {
  replication::SlotState state{.hard = {.term = stored.term, .vote = stored.vote},
                               .base = {.term = stored.base.term, .index = stored.base.index},
                               .terms = {},
                               .last = stored.last,
                               .commit = stored.commit,
                               .replicas = {.index = stored.base.index, .set = {}},
                               .changes = {},
                               .lost_before = stored.lost_before,
                               .lost_upto = {.term = stored.lost_upto.term, .index = stored.lost_upto.index}};
  for (const StoredSlot::Position& run : stored.terms) state.terms.push_back({.term = run.term, .first = run.index});
  const bool base_named = !stored.replicas.empty() && stored.replicas.front().index <= stored.base.index;
  if (!base_named && world_.options.founds_slots) state.replicas.set.voters = {world_.nodes.self()};
  for (const StoredSlot::Replicas& named : stored.replicas) {
    state.changes.push_back({.index = named.index, .set = {.voters = named.voters, .learners = named.learners}});
  }
  if (base_named) {
    state.replicas = std::move(state.changes.front());
    state.changes.erase(state.changes.begin());
  }
  return state;
}

void ReplicaSlots::start() {
  std::ranges::sort(stored_, {}, &StoredSlot::slot);
  auto next = stored_.begin();
  for (Slot slot{world_.shard}; slot.value < world_.options.slots; slot.value += world_.options.shards) {
    StoredSlot stored{
        .slot = slot, .term = {}, .vote = {}, .base = {}, .terms = {}, .last = {}, .commit = {}, .replicas = {}};
    if (next != stored_.end() && next->slot == slot) stored = std::move(*next++);
    const auto place = static_cast<std::uint32_t>(replicas_.size());
    replicas_.push_back(
        std::make_unique<Replica>(place, replication::Slot(slot, world_.nodes.self(), world_.options.replication,
                                                           initial_state(stored), world_.random.next(), now_)));
    // An empty input: what it waits for is noted.
    input(*replicas_.back(), [](replication::Slot&, replication::Actions&) {});
  }
  stored_ = {};
}

// -- The turn

void ReplicaSlots::begin_turn(Instant now) {
  const bool first = now_ == Instant{};
  now_ = now;
  if (first) start();
  while (!due_.empty() && due_.top().first <= now) {
    const Due due = due_.top();
    due_.pop();
    if (replicas_[due.second]->due == due.first) tick(due.second);
  }
  offer_snapshots();
  snapshot_taking_.tick(now);
  deliver();
}

void ReplicaSlots::tick(std::uint32_t place) {
  Replica& replica = *replicas_[place];
  replica.due = Instant::max();
  if (replica.persist_at <= now_) persist(replica);
  if (replica.resume_at <= now_) resume_sending(replica);
  // One that is closed asks nobody for anything; it is ticked when it is open again.
  if (snapshot_taking_.closed(replica.core.slot())) return;
  input(replica, [this](replication::Slot& core, replication::Actions& actions) {
    if (core.deadline() <= now_) core.tick(now_, actions);
  });
}

std::optional<Instant> ReplicaSlots::next_due() const {
  std::optional<Instant> due = due_.empty() ? std::nullopt : std::optional(due_.top().first);
  for (const auto& other : {snapshot_sending_.next_due(), snapshot_taking_.next_due()}) {
    if (other) due = std::min(due.value_or(*other), *other);
  }
  return due;
}

void ReplicaSlots::flush() {
  for (std::size_t i = 0; i < proposed_.size(); ++i) {
    Replica& replica = *proposed_[i];
    replica.proposed = false;
    input(replica, [this](replication::Slot& core, replication::Actions& actions) { core.replicate(now_, actions); });
  }
  proposed_.clear();
  appends_.flush();
}

void ReplicaSlots::appended(std::uint64_t ticket, Result<Lsn> first) {
  if (!first) {
    append_failed(ticket, first.error());
    return;
  }
  disk_error_ = {};
  const AppendQueue::Batch batch = appends_.take(ticket);
  for (const AppendQueue::Run& run : batch.runs) {
    Replica& one = replica(run.slot);
    if (run.generation != one.core.generation()) continue;
    for (WaitingRecord& record : one.waiting.range(run.first, run.last)) {
      record.lsn = {first->value + record.offset};
    }
    input(one, [&](replication::Slot& core, replication::Actions& actions) {
      core.synced(run.generation, run.last, now_, actions);
    });
  }
  // After the records: a follower then acknowledges both in one.
  for (const format::HardStateRow& row : batch.hard_states) {
    input(replica(row.slot), [&](replication::Slot& core, replication::Actions& actions) {
      core.hard_state_synced({.term = row.term, .vote = row.vote}, now_, actions);
    });
  }
  finish_snapshots();
  deliver();
}

/// Nothing of the batch is stored, nor of what came behind it.
void ReplicaSlots::append_failed(std::uint64_t ticket, boost::system::error_code why) {
  const auto failed = appends_.take_failed(ticket);
  if (failed.empty()) return;
  disk_error_ = why;
  for (const AppendQueue::Batch& batch : failed) {
    for (const AppendQueue::Run& run : batch.runs) {
      Replica& one = replica(run.slot);
      if (run.generation != one.core.generation()) continue;  // A later run of a slot that was told already.
      input(one, [&](replication::Slot& core, replication::Actions& actions) { core.append_failed(now_, actions); });
    }
    for (const format::HardStateRow& row : batch.hard_states) {
      Replica& one = replica(row.slot);
      one.persist_at = now_ + kPersistAgain;
      input(one, [](replication::Slot&, replication::Actions&) {});
    }
  }
  finish_snapshots();
  deliver();
}

void ReplicaSlots::persist(Replica& replica) {
  replica.persist_at = Instant::max();
  appends_.add({.slot = replica.core.slot(),
                .term = replica.asked.term,
                .vote = replica.asked.vote,
                .lost_before = replica.core.lost_before(),
                .lost_upto = {.term = replica.core.lost_upto().term, .index = replica.core.lost_upto().index}});
}

// -- Other nodes

template <class Input>
void ReplicaSlots::input_all(Input&& hand_in) {
  for (const auto& one : replicas_) input(*one, hand_in);
  deliver();
}

void ReplicaSlots::node_reachable(NodeId node) {
  input_all([&](replication::Slot& core, replication::Actions& actions) { core.peer_reachable(node, now_, actions); });
}

void ReplicaSlots::node_unreachable(NodeId node) {
  sending_.forget(node);
  snapshot_taking_.node_unreachable(node, now_);
  input_all(
      [&](replication::Slot& core, replication::Actions& actions) { core.peer_unreachable(node, now_, actions); });
}

void ReplicaSlots::node_leads(NodeId node, Slot slot, std::optional<Term> term) {
  if (!is_home(slot) || replicas_.empty()) return;
  input(replica(slot),
        [&](replication::Slot& core, replication::Actions& actions) { core.leadership(node, term, now_, actions); });
  deliver();
}

void ReplicaSlots::node_connected(NodeId node) {
  sending_.forget(node);
  node_writable(node, NodeChannel::Replication);
}

void ReplicaSlots::node_writable(NodeId node, NodeChannel channel) {
  if (channel != NodeChannel::Replication) return;
  input_all([&](replication::Slot& core, replication::Actions& actions) { core.peer_writable(node, now_, actions); });
}

void ReplicaSlots::node_message(NodeId from, std::string_view message) {
  const auto decoded = replication::decode(message);
  const auto* peer = decoded ? std::get_if<replication::PeerMessage>(&*decoded) : nullptr;
  if (peer == nullptr || !is_home(peer->slot) || replicas_.empty()) {
    log::error("a node sends a replica what it can't read, passing over it",
               {{"node", from}, {"error", decoded ? "not for this shard" : decoded.error().message()}});
    return;
  }
  if (snapshot_taking_.closed(peer->slot)) return;
  const auto* append = std::get_if<replication::AppendEntries>(&peer->body);
  if (append != nullptr && !take_records(peer->slot, *append)) {
    log::error("a node sends records that are damaged or of another place, passing over them",
               {{"node", from}, {"slot", peer->slot}, {"first", append->prev.index.next()}});
    return;
  }
  input(replica(peer->slot),
        [&](replication::Slot& core, replication::Actions& actions) { core.receive(from, *peer, now_, actions); });
  received_.clear();
  deliver();
}

/// Each as its place and the message say; they go to the disk as they are.
bool ReplicaSlots::take_records(Slot slot, const replication::AppendEntries& message) {
  received_.clear();
  received_first_ = message.prev.index.next();
  std::string_view records = message.records;
  for (std::uint64_t i = 0; i < message.count; ++i) {
    const std::string_view bytes = replication::next_record(records);
    const auto record = format::decode_record(bytes);
    if (!record) return false;
    const format::RecordPosition place{
        .slot = slot, .term = message.entries_term, .index = {received_first_.value + i}};
    if (record->position != place) return false;
    const auto* named = std::get_if<format::ReplicasRecord>(&record->body);
    if ((named != nullptr) != message.replicas.has_value()) return false;
    if (named != nullptr && (format::nodes_of(named->voters) != message.replicas->voters ||
                             format::nodes_of(named->learners) != message.replicas->learners)) {
      return false;
    }
    received_.push_back(std::make_shared<const std::string>(bytes));
  }
  return true;
}

void ReplicaSlots::log_read(std::uint64_t token, const Result<LogPage>& page) {
  if (const auto unsent = sending_.log_read(token, page)) this->unsent(*unsent);
  deliver();
}

void ReplicaSlots::unsent(const ReplicaSending::Unsent& unsent) {
  Replica& one = replica(unsent.slot);
  one.core.append_unsent(unsent.to, unsent.first);
  if (!unsent.why) return;  // Until the channel is writable.
  // What is committed and can't be found was cut away: another replica gets it as a snapshot.
  const bool gone = unsent.why == make_error_code(StorageError::NotFound) && unsent.first <= one.core.commit();
  if (gone) {
    one.core.cut(unsent.first);
  } else {
    log::warn("the log can't be read for another replica, trying again",
              {{"slot", unsent.slot}, {"node", unsent.to}, {"first", unsent.first}, {"error", unsent.why.message()}});
  }
  one.unread.push_back(unsent.to);
  one.resume_at = gone ? now_ : std::min(one.resume_at, now_ + kReadAgain);
  input(one, [](replication::Slot&, replication::Actions&) {});
}

void ReplicaSlots::resume_sending(Replica& replica) {
  replica.resume_at = Instant::max();
  for (const NodeId node : std::exchange(replica.unread, {})) {
    input(replica,
          [&](replication::Slot& core, replication::Actions& actions) { core.peer_writable(node, now_, actions); });
  }
}

// -- Leading

Leadership ReplicaSlots::leadership(Slot slot) const {
  if (replicas_.empty()) return {};
  const Replica& one = replica(slot);
  if (one.ready) return {.state = Leadership::State::Here, .node = world_.nodes.self(), .term = one.core.term()};
  const NodeId leader = one.core.leader();
  if (leader == NodeId{} || leader == world_.nodes.self()) {
    return {};
  }
  return {.state = Leadership::State::Elsewhere, .node = leader, .term = one.core.term()};
}

Result<format::RecordPosition> ReplicaSlots::propose(Slot slot) {
  if (replicas_.empty()) return replication::ReplicationError::NotLeader;
  Replica& one = replica(slot);
  if (!one.ready) return replication::ReplicationError::NotLeader;
  if (!one.proposed) {
    one.proposed = true;
    proposed_.push_back(&one);
  }
  return one.core.propose(1);
}

void ReplicaSlots::add(const format::RecordPosition& position, std::shared_ptr<const std::string> record,
                       Waiting waiting) {
  Replica& one = replica(position.slot);
  const std::size_t size = record->size();
  waiting_bytes_ += size;
  if (!one.core.peers().empty()) sending_.keep(position.slot, position.index, record);
  const std::uint32_t offset = appends_.add(position.slot, one.core.generation(), position.index, std::move(record));
  one.waiting.add(
      {.lsn = {}, .offset = offset, .size = static_cast<std::uint32_t>(size), .waiting = std::move(waiting)});
}

Result<void> ReplicaSlots::change_replicas(Slot slot, const replication::ReplicaChange& change) {
  if (!is_home(slot) || replicas_.empty()) return replication::ReplicationError::NotLeader;
  Replica& one = replica(slot);
  Result<format::RecordPosition> position = replication::ReplicationError::NotLeader;
  input(one, [&](replication::Slot& core, replication::Actions& actions) {
    position = core.propose_replicas(change, actions);
  });
  if (!position) return position.error();
  const std::string voters = format::nodes_text(one.core.replicas().voters);
  const std::string learners = format::nodes_text(one.core.replicas().learners);
  const format::ReplicasRecord record{.voters = voters, .learners = learners};
  add(*position, std::make_shared<const std::string>(format::encode_record(*position, record)), {});
  if (!std::exchange(one.proposed, true)) proposed_.push_back(&one);
  deliver();
  return {};
}

Result<void> ReplicaSlots::transfer_leadership(Slot slot, NodeId to) {
  if (!is_home(slot) || replicas_.empty()) return replication::ReplicationError::NotLeader;
  Result<void> outcome;
  input(replica(slot),
        [&](replication::Slot& core, replication::Actions& actions) { outcome = core.transfer_to(to, now_, actions); });
  deliver();
  return outcome;
}

std::vector<SlotStatus> ReplicaSlots::status() const {
  std::vector<SlotStatus> list;
  list.reserve(replicas_.size());
  for (const auto& one : replicas_) {
    const replication::Slot& core = one->core;
    list.push_back({.slot = core.slot(),
                    .role = core.role(),
                    .ready = one->ready,
                    .term = core.term(),
                    .leader = core.leader(),
                    .last = core.last().index,
                    .durable = core.durable(),
                    .commit = core.commit(),
                    .replicas = core.replicas(),
                    .replicas_committed = core.replicas_committed(),
                    .whole = core.lost_before() == Term{},
                    .peers = {}});
    for (const replication::Peer& peer : core.peers()) {
      list.back().peers.push_back({.node = peer.node,
                                   .voter = peer.voter,
                                   .progress = peer.progress,
                                   .match = peer.match,
                                   .could_lead = core.could_lead(peer.node)});
    }
  }
  return list;
}

// -- Carrying out

template <class Input>
void ReplicaSlots::input(Replica& replica, Input&& hand_in) {
  actions_.clear();
  hand_in(replica.core, actions_);
  for (const replication::Action& action : actions_) {
    std::visit([&](const auto& one) { carry_out(replica, one); }, action);
  }
  if (!replica.complete && is_complete(replica.core)) {
    replica.complete = true;
    complete_.push_back(replica.core.slot());
  }
  const Instant due = replica.next_due();
  // An earlier one asks again when it comes.
  if (due >= replica.due) return;
  replica.due = due;
  due_.emplace(due, replica.place);
}

void ReplicaSlots::hand_in(Replica& replica,
                           const std::function<void(replication::Slot&, replication::Actions&)>& input_of) {
  input(replica, input_of);
}

void ReplicaSlots::carry_out(Replica& replica, const replication::PersistHardState& action) {
  replica.asked = action.state;
  persist(replica);
}

void ReplicaSlots::carry_out(Replica& replica, const replication::Send& action) {
  const bool sent = sending_.send(action.to, action.message);
  const auto* question = std::get_if<replication::AppendEntries>(&action.message.body);
  if (!sent && question != nullptr) replica.core.append_unsent(action.to, question->prev.index.next());
}

void ReplicaSlots::carry_out(Replica& replica, const replication::SendAppend& action) {
  if (const auto first = sending_.send(action)) replica.core.append_unsent(action.to, *first);
}

void ReplicaSlots::carry_out(Replica& replica, const replication::Truncate& action) {
  sending_.forget_from(replica.core.slot(), action.from);
  give_up(replica, action.from, disk_error_);
}

void ReplicaSlots::carry_out(Replica& replica, const replication::Append& action) {
  // What the disk refused stands before the records of its term.
  if (replica.persist_at != Instant::max()) persist(replica);
  const auto& core = replica.core;
  for (Index index = action.first; index <= action.last; index = index.next()) {
    appends_.add(core.slot(), core.generation(), index, received_.at(index.value - received_first_.value));
  }
}

void ReplicaSlots::carry_out(Replica& replica, const replication::Committed& action) {
  const auto& core = replica.core;
  world_.store.committed(core.slot(), action.upto);
  const std::size_t before = committed_.size();
  replica.waiting.take_until(action.upto, committed_);
  for (std::size_t i = before; i < committed_.size(); ++i) waiting_bytes_ -= committed_[i].size;
  if (replica.ready || core.role() != replication::Role::Leader) return;
  if (core.terms().term_at(action.upto) != core.term()) return;
  replica.ready = true;
  note_change(replica);
}

void ReplicaSlots::carry_out(Replica& replica, const replication::BecameLeader& action) {
  const format::RecordPosition position{.slot = replica.core.slot(), .term = action.term, .index = action.no_op};
  replica.waiting.begin(action.no_op);
  add(position, std::make_shared<const std::string>(format::encode_record(position, format::NoOpRecord{})), {});
  world_.nodes.leading(position.slot, action.term);
}

void ReplicaSlots::carry_out(Replica& replica, const replication::SteppedDown& action) {
  log::debug("replica leads its slot no longer", {{"slot", replica.core.slot()}, {"term", action.term}});
  world_.nodes.leading(replica.core.slot(), std::nullopt);
  sending_.forget(replica.core.slot());
  snapshot_sending_.forget(replica.core.slot());
  replica.ready = false;
  give_up(replica, {}, replication::ReplicationError::NotLeader);
  note_change(replica);
}

void ReplicaSlots::carry_out(Replica& replica, const replication::LeaderChanged& /*action*/) { note_change(replica); }

void ReplicaSlots::carry_out(Replica& replica, const replication::NeedSnapshot& action) {
  snapshot_sending_.needed(replica.core.slot(), action.to, now_);
}

void ReplicaSlots::carry_out(Replica& /*replica*/, const replication::ReplicasChanged& /*action*/) {}

void ReplicaSlots::carry_out(Replica& replica, const replication::Diverged& action) {
  log::error(
      "a node contradicts what is committed here, taking nothing from it: one of the two has lost what it had on disk",
      {{"slot", replica.core.slot()}, {"node", action.from}, {"index", action.index}});
}

void ReplicaSlots::give_up(Replica& replica, Index from, boost::system::error_code why) {
  Refused refused{.why = why, .records = {}};
  replica.waiting.take_from(from, refused.records);
  if (refused.records.empty()) return;
  for (const WaitingRecord& record : refused.records) waiting_bytes_ -= record.size;
  refused_.push_back(std::move(refused));
}

void ReplicaSlots::note_change(Replica& replica) {
  if (std::exchange(replica.changed, true)) return;
  changed_.push_back(&replica);
}

void ReplicaSlots::deliver() {
  if (std::exchange(delivering_, true)) return;
  while (!committed_.empty() || !refused_.empty() || !changed_.empty() || !complete_.empty()) {
    if (!committed_.empty()) {
      std::vector<WaitingRecord> records = std::exchange(committed_, {});
      events_.committed(records);
      if (committed_.empty()) {
        records.clear();
        committed_ = std::move(records);
      }
    }
    for (Refused& refused : std::exchange(refused_, {})) events_.refused(refused.records, refused.why);
    for (Replica* replica : std::exchange(changed_, {})) {
      replica->changed = false;
      const Leadership now = leadership(replica->core.slot());
      if (now == replica->told) continue;
      replica->told = now;
      events_.leadership_changed(replica->core.slot(), now);
    }
    for (const Slot slot : std::exchange(complete_, {})) events_.complete(slot);
  }
  delivering_ = false;
}

}  // namespace parley::shard
