#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/number.hpp"
#include "base/result.hpp"
#include "base/time.hpp"
#include "storage/format/record.hpp"

/// Rows of log.mdb and store.mdb that are no records: each with checksum and version, like those. Entries, sessions and
/// cursors are stored as their records. Formats: docs/formats/log.md, docs/formats/store.md.
namespace parley::format {

/// Table `conversations`; views live as long as the decoded bytes.
struct ConversationRow {
  std::string_view name;
  Epoch epoch;
  Seq oldest{1};
  Seq head;
  Timestamp created;
  Timestamp last_ts;
  ConversationType type = ConversationType::Group;
  Visibility visibility = Visibility::Public;
  std::string_view creator;

  /// Ids for idempotence are kept in generations: a new one begins once the current one covers 24 hours and 1,000
  /// entries, and only the current one and the one before are kept.
  struct Ids {
    std::uint32_t generation = 0;
    Seq first{1};        ///< Of the current generation.
    Timestamp started;   ///< ts of that entry.
    Seq previous_first;  ///< Of the generation before; 0 when there is none.
    friend bool operator==(const Ids&, const Ids&) = default;
  } ids;
};

/// Table `slots`.
struct SlotRow {
  Term term;    ///< Of the last record that is materialised …
  Index last;   ///< … its index …
  Lsn through;  ///< … and where it stands: whatever the log has of the slot up to there is materialised or replaced.
  struct Position {
    Term term;
    Index index;
    friend bool operator==(const Position&, const Position&) = default;
  };
  /// What comes after it could be found in the log by table `slot_index` when this was written; `last` when the slot
  /// isn't in that table.
  Position base;
  std::vector<Position> terms;  ///< Where each term's records above the base begin, ascending.
  struct Replicas {
    Index index;
    std::vector<NodeId> voters;
    std::vector<NodeId> learners;
    friend bool operator==(const Replicas&, const Replicas&) = default;
  };
  std::vector<Replicas> replicas;  ///< In force at the base, if any was named, then those that were named above it.

  /// Moves the base to `index`, which is between it and `last`.
  void begin_behind(Index index);
  /// Whose record it is that stands at `index`, above the base.
  [[nodiscard]] Term term_at(Index index) const;
  friend bool operator==(const SlotRow&, const SlotRow&) = default;
};

/// In log.mdb: what a slot's replica promises over restarts. Raft figure 2, persistent state.
struct HardStateRow {
  Slot slot;
  Term term;
  NodeId vote;                       ///< Whom this node voted for in `term`; 0: nobody yet.
  Term lost_before = {};             ///< See replication::SlotState; 0: nothing is lost.
  SlotRow::Position lost_upto = {};  ///< The same; {0, 0}: not known.
  friend bool operator==(const HardStateRow&, const HardStateRow&) = default;
};

/// Table `ids`; it has no checksum of its own, the entry that it points to tells whether it is right.
struct IdRow {
  Seq seq;
  Timestamp ts;
};

void encode_row(std::string& to, const ConversationRow& row);
void encode_row(std::string& to, const SlotRow& row);
void encode_row(std::string& to, const HardStateRow& row);
void encode_row(std::string& to, const IdRow& row);

/// They fail like decode_record.
Result<ConversationRow> decode_conversation_row(std::string_view bytes);
Result<SlotRow> decode_slot_row(std::string_view bytes);
Result<HardStateRow> decode_hard_state_row(std::string_view bytes);
Result<IdRow> decode_id_row(std::string_view bytes);

}  // namespace parley::format
