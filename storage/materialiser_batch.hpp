#pragma once

#include <cstddef>
#include <map>
#include <span>
#include <string_view>
#include <vector>

#include "base/number.hpp"
#include "base/result.hpp"
#include "storage/environment.hpp"
#include "storage/erasures.hpp"
#include "storage/format/keyed_hash.hpp"
#include "storage/format/record.hpp"
#include "storage/format/rows.hpp"
#include "storage/mark_changes.hpp"
#include "storage/materialiser.hpp"
#include "storage/member_changes.hpp"
#include "storage/session_changes.hpp"

namespace parley::storage {

/// What records of the log say that are next to be materialised, sorted the way the store wants it. Views the log's
/// bytes, so it is good for as long as the snapshot that it was read from.
class Materialiser::Batch {
 public:
  struct Item {
    ConversationNumber conversation;
    Seq seq;
    Timestamp ts;
    std::uint64_t id_hash = 0;
    bool has_id = false;  ///< To be kept for idempotence.
    std::string_view bytes;
  };
  struct Created {
    Lsn position;
    ConversationNumber number;
    format::ConversationRecord record;
  };
  /// A damaged record. Whether its seq, if it looks like an entry, counts as given depends on what the store has.
  struct Damaged {
    Lsn position;
    ConversationNumber conversation;  ///< 0: it says nothing.
    Seq seq;
    std::string_view bytes;
  };

  /// An edit or redaction, also one whose content is gone.
  struct Amendment {
    ConversationNumber conversation;
    format::EntryRecord entry;
  };

  struct Place {
    Index index;
    Lsn position;
  };

  /// Reads what is committed of `waiting`, in the order of the log, up to the limits. Fails with NewerFormat, Failed.
  Result<void> read(ReadTransaction& log, const Waiting& waiting, const CommitView& commits, const Limits& limits,
                    const format::HashKey& hash_key);
  /// The same for records of one slot that come without a log, as they are in a snapshot; views them. Fails with
  /// CorruptRecord, too, when one is of another slot.
  Result<void> read_snapshot(std::span<const std::string_view> records, Slot slot, const format::HashKey& hash_key);
  /// Adds a damaged record's seq to the given ones.
  void count(const Damaged& damaged) {
    items_.push_back({damaged.conversation, damaged.seq, {}, 0, false, damaged.bytes});
  }
  /// By conversation and seq; an entry that stands twice keeps the order of the log.
  void sort();
  /// The highest seq of `conversation` that was read, before sorting; 0: none.
  [[nodiscard]] Seq highest(ConversationNumber conversation) const;

  [[nodiscard]] const std::vector<Item>& items() const { return items_; }
  /// By conversation and seq once it is sorted.
  [[nodiscard]] const std::vector<Amendment>& amendments() const { return amendments_; }
  /// In the order of the log.
  [[nodiscard]] const std::vector<format::RetentionRecord>& retentions() const { return retentions_; }
  [[nodiscard]] const std::vector<Created>& created() const { return created_; }
  [[nodiscard]] const std::vector<Damaged>& damaged() const { return damaged_; }
  [[nodiscard]] const SessionChanges& sessions() const { return sessions_; }
  [[nodiscard]] const MemberChanges& members() const { return members_; }
  [[nodiscard]] const MarkChanges& marks() const { return marks_; }
  [[nodiscard]] const ErasureChanges& erasures() const { return erasures_; }
  /// Of each slot that was read of: its last record, where its terms begin, and the replicas that were named.
  [[nodiscard]] const std::map<Slot, format::SlotRow>& slots() const { return slots_; }
  /// Where the slot's records stand, ascending.
  [[nodiscard]] std::span<const Place> places(Slot slot) const {
    const auto found = places_.find(slot);
    return found == places_.end() ? std::span<const Place>() : std::span<const Place>(found->second);
  }
  [[nodiscard]] std::size_t records() const { return records_; }
  [[nodiscard]] std::size_t bytes() const { return bytes_; }
  /// How many of a slot's waiting records were read.
  [[nodiscard]] const std::map<Slot, std::size_t>& counts() const { return counts_; }

 private:
  struct Next;
  void clear();
  Result<void> take(Slot slot, const Waiting::Item& item, std::string_view bytes, const format::HashKey& hash_key);
  void take_damaged(Lsn position, std::string_view bytes);

  std::vector<Item> items_;
  std::vector<Amendment> amendments_;
  std::vector<format::RetentionRecord> retentions_;
  std::vector<Created> created_;
  std::vector<Damaged> damaged_;
  SessionChanges sessions_;
  MemberChanges members_;
  MarkChanges marks_;
  ErasureChanges erasures_;
  std::map<Slot, format::SlotRow> slots_;
  std::map<Slot, std::vector<Place>> places_;
  std::map<Slot, std::size_t> counts_;
  std::size_t records_ = 0;
  std::size_t bytes_ = 0;
};

}  // namespace parley::storage
