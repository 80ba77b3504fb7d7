#include "broker/shard/replica_slots.hpp"

#include <algorithm>

#include "base/check.hpp"
#include "base/log.hpp"

namespace parley::shard {
namespace {

/// What the disk refused is handed to it again after so long.
constexpr Duration kPersistAgain = std::chrono::milliseconds(200);

}  // namespace

struct ReplicaSlots::Replica {
  Replica(std::uint32_t at, replication::Slot slot) : place(at), core(std::move(slot)) {}

  const std::uint32_t place;
  replication::Slot core;
  WaitingRecords waiting;
  bool ready = false;     ///< Leads, and its term's first record is committed.
  bool proposed = false;  ///< In `proposed_`.
  bool changed = false;   ///< In `changed_`.
  Leadership told;
  Instant due = Instant::max();  ///< The earliest of its times in `due_`.
  replication::HardState asked;  ///< The last one that was to be made durable.
  Instant persist_at = Instant::max();
};

ReplicaSlots::ReplicaSlots(const World& world, ReplicaEvents& events)
    : world_(world), events_(events), appends_(world.shard, world.store, world.options.slots) {}

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
                               .changes = {}};
  for (const StoredSlot::Position& run : stored.terms) state.terms.push_back({.term = run.term, .first = run.index});
  if (stored.replicas.empty()) {
    if (world_.options.founds_slots) state.replicas.set.voters = {world_.nodes.self()};
    return state;
  }
  for (const StoredSlot::Replicas& named : stored.replicas) {
    state.changes.push_back({.index = named.index, .set = {.voters = named.voters, .learners = named.learners}});
  }
  state.replicas = std::move(state.changes.front());
  state.changes.erase(state.changes.begin());
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
  deliver();
}

void ReplicaSlots::tick(std::uint32_t place) {
  Replica& replica = *replicas_[place];
  replica.due = Instant::max();
  if (replica.persist_at <= now_) persist_again(replica);
  input(replica, [this](replication::Slot& core, replication::Actions& actions) {
    if (core.deadline() <= now_) core.tick(now_, actions);
  });
}

std::optional<Instant> ReplicaSlots::next_due() const {
  return due_.empty() ? std::nullopt : std::optional(due_.top().first);
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
  deliver();
}

void ReplicaSlots::persist_again(Replica& replica) {
  replica.persist_at = Instant::max();
  appends_.add({.slot = replica.core.slot(), .term = replica.asked.term, .vote = replica.asked.vote});
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
  const std::uint32_t offset = appends_.add(position.slot, one.core.generation(), position.index, std::move(record));
  one.waiting.add(
      {.lsn = {}, .offset = offset, .size = static_cast<std::uint32_t>(size), .waiting = std::move(waiting)});
}

// -- Carrying out

template <class Input>
void ReplicaSlots::input(Replica& replica, Input&& hand_in) {
  actions_.clear();
  hand_in(replica.core, actions_);
  for (const replication::Action& action : actions_) {
    std::visit([&](const auto& one) { carry_out(replica, one); }, action);
  }
  const Instant due = std::min(replica.core.deadline(), replica.persist_at);
  // An earlier one asks again when it comes.
  if (due >= replica.due) return;
  replica.due = due;
  due_.emplace(due, replica.place);
}

void ReplicaSlots::carry_out(Replica& replica, const replication::PersistHardState& action) {
  replica.asked = action.state;
  replica.persist_at = Instant::max();
  appends_.add({.slot = replica.core.slot(), .term = action.state.term, .vote = action.state.vote});
}

void ReplicaSlots::carry_out(Replica& /*replica*/, const replication::Send& /*action*/) {}

void ReplicaSlots::carry_out(Replica& replica, const replication::SendAppend& action) {
  replica.core.append_unsent(action.to, action.first);
}

void ReplicaSlots::carry_out(Replica& replica, const replication::Truncate& action) {
  give_up(replica, action.from, disk_error_);
}

void ReplicaSlots::carry_out(Replica& /*replica*/, const replication::Append& /*action*/) {}

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
  replica.ready = false;
  give_up(replica, {}, replication::ReplicationError::NotLeader);
  note_change(replica);
}

void ReplicaSlots::carry_out(Replica& replica, const replication::LeaderChanged& /*action*/) { note_change(replica); }

void ReplicaSlots::carry_out(Replica& replica, const replication::NeedSnapshot& action) {
  log::warn("a replica needs records that the log no longer has", {{"slot", replica.core.slot()}, {"node", action.to}});
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
  while (!committed_.empty() || !refused_.empty() || !changed_.empty()) {
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
  }
  delivering_ = false;
}

}  // namespace parley::shard
