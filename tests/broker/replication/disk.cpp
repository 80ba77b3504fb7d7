#include "tests/broker/replication/disk.hpp"

#include <algorithm>

namespace parley::replication::simulation {

std::optional<Term> Log::term_at(Index index) const {
  if (index == base.index) return base.term;
  if (index < base.index || index > last()) return std::nullopt;
  return at(index).term;
}

bool Log::write(Index first, std::span<const Entry> written) {
  while (first <= base.index && !written.empty()) {
    first = first.next();
    written = written.subspan(1);
  }
  if (written.empty()) return true;
  if (first > last().next()) return false;
  truncate_after({first.value - 1});
  entries.insert(entries.end(), written.begin(), written.end());
  return true;
}

void Log::truncate_after(Index upto) {
  if (upto < last()) entries.resize(upto.value - base.index.value);
}

void Log::cut(Index upto) {
  if (upto <= base.index) return;
  for (Index i = base.index.next(); i <= upto; i = i.next()) {
    if (at(i).replicas) replicas = {i, *at(i).replicas};
  }
  base.term = at(upto).term;
  entries.erase(entries.begin(), entries.begin() + static_cast<std::ptrdiff_t>(upto.value - base.index.value));
  base.index = upto;
}

void Log::reset(LogPosition position, const ReplicasAt& at_position) {
  if (position.index <= base.index) return;
  if (term_at(position.index) == position.term) return cut(position.index);
  base = position;
  replicas = at_position;
  entries.clear();
}

std::span<const Entry> Log::range(Index first, Index last) const {
  return std::span(entries).subspan(first.value - base.index.value - 1, last.value - first.value + 1);
}

std::size_t Log::smallest_set_with(NodeId voter) const {
  std::size_t smallest = kReplicasMax;
  const auto look = [&](const ReplicaSet& set) {
    if (set.has_voter(voter)) smallest = std::min(smallest, set.voters.size());
  };
  look(replicas.set);
  for (const Entry& entry : entries) {
    if (entry.replicas) look(*entry.replicas);
  }
  return smallest;
}

std::size_t Log::largest_set_with(NodeId voter) const {
  std::size_t largest = replicas.set.has_voter(voter) ? replicas.set.voters.size() : 0;
  for (const Entry& entry : entries) {
    if (entry.replicas && entry.replicas->has_voter(voter)) largest = std::max(largest, entry.replicas->voters.size());
  }
  return largest;
}

SlotState StoredSlot::state() const {
  SlotState state{.hard = hard,
                  .base = log.base,
                  .last = log.last(),
                  .commit = commit,
                  .replicas = log.replicas,
                  .lost_before = lost_before,
                  .lost_upto = lost_upto};
  for (Index i = log.base.index.next(); i <= log.last(); i = i.next()) {
    const Entry& entry = log.at(i);
    if (state.terms.empty() || state.terms.back().term != entry.term) state.terms.push_back({entry.term, i});
    if (entry.replicas) state.changes.push_back({i, *entry.replicas});
  }
  return state;
}

bool StoredSlot::whole() const {
  const LogPosition last{log.term_at(log.last()).value(), log.last()};
  return log.term_at(commit) >= lost_before || (lost_upto != LogPosition{} && last >= lost_upto);
}

LogPosition StoredSlot::remembered() const {
  const LogPosition last{log.term_at(log.last()).value(), log.last()};
  return whole() ? last : std::max(last, lost_upto);
}

void Disk::store(const Write& write) {
  StoredSlot& stored = slots_[write.slot];
  if (const auto* hard = std::get_if<HardStateWrite>(&write.what)) {
    stored.hard = hard->state;
  } else if (const auto* append = std::get_if<AppendWrite>(&write.what)) {
    const bool term_known = append->entries.empty() || append->entries.back().term <= stored.hard.term;
    sound_ = stored.log.write(append->first, append->entries) && term_known && sound_;
  } else {
    const Snapshot& snapshot = std::get<SnapshotWrite>(write.what).snapshot;
    stored.log.reset(snapshot.position, snapshot.replicas);
    stored.commit = std::max(stored.commit, snapshot.position.index);
  }
}

void Disk::sync(bool full) {
  const std::size_t some = 1 + dice_.below(waiting_.size());
  std::deque<Write> repeated;
  for (std::size_t i = 0; i < some && !waiting_.empty(); ++i) {
    Write write = std::move(waiting_.front());
    waiting_.pop_front();
    const auto* append = std::get_if<AppendWrite>(&write.what);
    if (append != nullptr && append->generation <= failed_[write.slot]) continue;  // Behind one that failed.
    if (!full) {
      store(write);
      reports_.push_back({write.slot, std::move(write), true});
    } else if (append != nullptr) {
      failed_[write.slot] = append->generation;
      reports_.push_back({write.slot, std::move(write), false});
    } else {
      repeated.push_back(std::move(write));
    }
  }
  waiting_.insert(waiting_.begin(), std::make_move_iterator(repeated.begin()), std::make_move_iterator(repeated.end()));
}

void Disk::lose_logs(bool vaguely) {
  for (StoredSlot& slot : slots_) {
    slot.lost_upto = slot.remembered();
    if (vaguely) slot.lost_upto.index = {slot.lost_upto.index.value + dice_.below(3)};
    slot.log.truncate_after(slot.commit);
    slot.log.cut(slot.commit);
    slot.lost_before = std::max(slot.hard.term, slot.log.base.term).next();
    slot.hard = {.term = slot.lost_before, .vote = {}};
  }
}

void Disk::replace() { std::ranges::fill(slots_, StoredSlot{}); }

void Disk::crash() {
  std::size_t survivors = dice_.below(waiting_.size() + 1);
  while (survivors-- > 0) {
    Write write = std::move(waiting_.front());
    waiting_.pop_front();
    auto* append = std::get_if<AppendWrite>(&write.what);
    if (append != nullptr && append->generation <= failed_[write.slot]) continue;
    if (append != nullptr && survivors == 0) append->entries.resize(dice_.below(append->entries.size() + 1));
    store(write);
  }
  waiting_.clear();
  reports_.clear();
  std::ranges::fill(failed_, LogGeneration{});  // Generations begin anew with the process.
}

}  // namespace parley::replication::simulation
