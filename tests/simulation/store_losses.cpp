#include <algorithm>
#include <utility>

#include "tests/simulation/store.hpp"

/// The part of the store whose log is lost.
namespace parley::simulation {

void Store::lose_log() {
  for (auto& [slot, log] : slots_) log = without_records(std::move(log));
  lsn_ = materialised_.value;
  // What readers see is built again, of what is left.
  forget_commits();
}

/// What the slot has taken of another node's history stands in the store, and stays.
Store::SlotLog Store::without_records(SlotLog log) const {
  const Index kept = materialised(log);
  const shard::StoredSlot::Position end{.term = log.records.empty() ? Term{} : log.records.back().term,
                                        .index = {log.records.size()}};
  const bool later =
      end.term > log.lost_upto.term || (end.term == log.lost_upto.term && end.index > log.lost_upto.index);
  if (log.lost_before == Term{} || later) log.lost_upto = end;
  log.records.resize(kept.value);
  log.base = log.commit = kept;
  log.applied = std::min(log.applied, kept);
  const Term last = log.records.empty() ? Term{} : log.records.back().term;
  log.lost_before = std::max(log.term, last).next();
  log.term = log.lost_before;
  log.vote = {};
  return log;
}

std::vector<shard::StoredSlot> Store::slots_without_log() const {
  std::vector<shard::StoredSlot> list;
  for (const auto& [slot, log] : slots_) list.push_back(describe(slot, without_records(log)));
  return list;
}

bool Store::is_whole() const {
  return std::ranges::all_of(
      slots_, [this](const auto& one) { return has_everything_up_to(one.second, materialised(one.second)); });
}

/// When everything up to `known` is committed. Or it has as much as it had.
bool Store::has_everything_up_to(const SlotLog& log, Index known) {
  const auto& upto = log.lost_upto;
  const Term last = log.records.empty() ? Term{} : log.records.back().term;
  const bool ends_there =
      upto.index > Index{0} && (last > upto.term || (last == upto.term && log.records.size() >= upto.index.value));
  return log.lost_before == Term{} || ends_there ||
         (known > Index{0} && log.records[known.value - 1].term >= log.lost_before);
}

}  // namespace parley::simulation
