#pragma once

#include <functional>
#include <string_view>
#include <vector>

#include "base/number.hpp"
#include "base/result.hpp"
#include "storage/commit_indexes.hpp"
#include "storage/format/record.hpp"
#include "storage/format/rows.hpp"
#include "storage/session_finder.hpp"

/// What a broker must know when it starts, from store and unmaterialised log together. Nothing is replayed: the
/// materialiser goes on from the watermark by itself.
namespace parley::storage {

class Files;
class LogPlaces;

/// Where a slot's log ends.
struct SlotEnd {
  Slot slot;
  Term term;
  Index last;
  friend bool operator==(const SlotEnd&, const SlotEnd&) = default;
};

/// In order of slots; slots that were never written are not there. Of two records for one place the later one counts,
/// and ends the log. A damaged record counts where its fields still say plainly that it is its slot's next. O(slots +
/// unmaterialised records).
Result<std::vector<SlotEnd>> find_slot_ends(Files& files);

/// The same of a log in which records are damaged or missing, as it was before: where the end isn't sure, a place that
/// is not before it. Slots that have a hard state only are there, too. Fails as find_slot_ends and find_hard_states.
Result<std::vector<SlotEnd>> find_latest_slot_ends(Files& files);

/// A slot's replica as it was left. Its records above the base are in the log.
struct SlotState {
  format::HardStateRow hard;
  format::SlotRow::Position base;
  std::vector<format::SlotRow::Position> terms;     ///< Where each term's records above the base begin, ascending.
  Index last;                                       ///< Committed or not.
  Index materialised;                               ///< Committed.
  std::vector<format::SlotRow::Replicas> replicas;  ///< In force at the base, then those that were named above it.
};
/// In order of slots: those that have a record or a hard state. Of slots whose records aren't indexed
/// (Materialiser::Options) the base is what is materialised. Fails as find_slot_ends and find_hard_states. O(slots +
/// unmaterialised records).
Result<std::vector<SlotState>> find_slot_states(Files& files);

/// Adds what the log has and the store hasn't. O(slots + unmaterialised records).
Result<void> find_log_places(Files& files, LogPlaces& places);

/// What is surely committed, for CommitIndexes::open_to_write: what the store has; and the whole log of a slot without
/// a hard state, since no other node has ever had a part in it. In order of slots.
Result<std::vector<CommitBounds>> find_commit_bounds(Files& files);

/// Every slot's term and vote, in order of slots; slots that never had one are not there. O(slots). Fails with
/// CorruptRecord, NewerFormat: a node that doesn't know for whom it voted must not vote.
Result<std::vector<format::HardStateRow>> find_hard_states(Files& files);

/// Every session that has not ended, by all that is durable: what isn't known to be committed counts, too, unless it
/// was replaced. Damaged ones are reported and passed over. O(sessions + unmaterialised records).
Result<void> for_each_session(Files& files, const std::function<void(const StoredSessionView&)>& visit);
/// The same without their cursors. Also while the broker runs, from any thread.
Result<void> for_each_session_record(Files& files, const std::function<void(const StoredSessionView&)>& visit);

}  // namespace parley::storage
