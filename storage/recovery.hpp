#pragma once

#include <functional>
#include <string_view>
#include <vector>

#include "base/number.hpp"
#include "base/result.hpp"
#include "storage/format/record.hpp"
#include "storage/format/rows.hpp"

/// What a broker must know when it starts, from store and unmaterialised log together. Nothing is replayed: the
/// materialiser goes on from the watermark by itself.
namespace parley::storage {

class Files;

/// Where a slot's log ends.
struct SlotEnd {
  Slot slot;
  Term term;
  Index last;
  friend bool operator==(const SlotEnd&, const SlotEnd&) = default;
};

/// In order of slots; slots that were never written are not there. A damaged record counts where its fields still say
/// plainly that it is its slot's next. O(slots + unmaterialised records).
Result<std::vector<SlotEnd>> find_slot_ends(Files& files);

/// Every slot's term and vote, in order of slots; slots that never had one are not there. O(slots). Fails with
/// CorruptRecord, NewerFormat: a node that doesn't know for whom it voted must not vote.
Result<std::vector<format::HardStateRow>> find_hard_states(Files& files);

/// A persistent session with its cursors; views live until the visitor returns.
struct StoredSessionView {
  format::SessionRecord session;
  std::vector<format::CursorRecord> cursors;
};
/// Every session that has not ended. Damaged ones are reported and passed over. O(sessions + unmaterialised records).
Result<void> for_each_session(Files& files, const std::function<void(const StoredSessionView&)>& visit);

}  // namespace parley::storage
