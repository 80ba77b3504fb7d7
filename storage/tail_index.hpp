#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/number.hpp"
#include "base/result.hpp"
#include "base/time.hpp"
#include "storage/format/record.hpp"
#include "storage/log_walk.hpp"
#include "storage/slot_queues.hpp"
#include "storage/tail_users.hpp"

namespace parley::storage {

class CommitView;
class ReadTransaction;

/// The part of a conversation's history that is committed and in log.mdb but not yet in store.mdb. Format:
/// docs/formats/log.md.
///
/// Belongs to one thread; each thread that reads history has its own.
/// Memory: 8 bytes an entry and about 100 a conversation, bounded by the materialiser's lag, and 48 bytes a record that
/// isn't committed.
class TailIndex {
 public:
  /// A conversation that was created or has grown in the tail.
  struct Conversation {
    struct Creation {
      Lsn position;
      std::string name;
      Epoch epoch;
      Timestamp created;
      format::ConversationType type = format::ConversationType::Group;
      format::Visibility visibility = format::Visibility::Public;
      std::string creator;
    };
    std::optional<Creation> creation;  ///< Set when the tail holds the conversation's creation.
    Seq first;                         ///< Of `positions`; means nothing when there are none.
    std::vector<Lsn> positions;        ///< Of first, first + 1, …; 0 for a seq whose record is lost.
    Timestamp last_ts;                 ///< Of the last entry.
    std::vector<Lsn> changes;          ///< Of the entries of kind member and settings.
    /// The last edit and the redaction of a message, or 0.
    struct Amendment {
      Lsn edit;
      Lsn redaction;
    };
    std::unordered_map<std::uint64_t, Amendment> amendments;  ///< By the message's seq, which may be in the store.

    [[nodiscard]] Seq head() const { return {first.value + positions.size() - 1}; }
  };

  /// Drops what `store` has by now, reads every record of `log` after the last one seen, and takes in what is committed
  /// of what it has seen. `commits` were read before `log` was begun, `store` was begun after it: then no record is in
  /// neither of them, whatever is materialised or cut in between. O(new records), and O(conversations in the tail) when
  /// the store has grown; nothing new costs no read.
  ///
  /// A damaged record is reported once, with its position, and passed over. Where its fields still say plainly whose
  /// next entry it is, that seq counts as given, so that it is never given again. Fails with NewerFormat, Failed; what
  /// came before stays usable.
  Result<void> follow(const CommitView& commits, ReadTransaction& log, ReadTransaction& store);
  /// Whether follow() would need to know what is committed: `log` has something new, or something still waits.
  [[nodiscard]] bool waits() const { return !waiting_.empty(); }
  [[nodiscard]] bool is_new(const ReadTransaction& log) const { return log.version() != log_version_; }

  /// Log positions of `conversation`'s entries in [first, last], ascending; empty when the tail has none. Zero stands
  /// for an entry whose record is lost. Valid until the next follow().
  [[nodiscard]] std::span<const Lsn> find(ConversationNumber conversation, Seq first, Seq last) const;
  /// Null when the tail has nothing of it. Valid until the next follow().
  [[nodiscard]] const Conversation* find(ConversationNumber conversation) const;
  /// Of a conversation that was created in the tail.
  [[nodiscard]] std::optional<ConversationNumber> find(std::string_view name) const;

  /// Log positions of the conversation's records of marks, ascending. Valid until the next follow().
  [[nodiscard]] std::span<const Lsn> marks(ConversationNumber conversation) const;

  [[nodiscard]] const TailUsers& users() const { return users_; }

  /// The store has everything up to here.
  [[nodiscard]] Lsn watermark() const { return watermark_; }
  /// The last record of the log, or the watermark if that is further.
  [[nodiscard]] Lsn end() const { return walk_.end(); }
  /// Another number each time there may be more to see.
  [[nodiscard]] std::uint64_t changes() const { return changes_; }

 private:
  enum class Kind : std::uint8_t { Other, Creation, Entry, DamagedEntry, User, Marks };
  /// What is needed of a record that waits.
  struct Note {
    Kind kind = Kind::Other;
    ConversationNumber conversation;
    Seq seq;
    Timestamp ts;
    Seq ref;
    format::EntryKind entry_kind = format::EntryKind::Message;
  };

  Result<void> drop_materialised(ReadTransaction& store);
  Result<void> take_user(Lsn position, ReadTransaction& log);
  Result<void> queue(Lsn position, std::string_view bytes, ReadTransaction& store);
  Result<void> queue_damaged(Lsn position, std::string_view bytes, ReadTransaction& store);
  Result<void> begin_slot(Slot slot, ReadTransaction& store);
  Result<void> take_committed(const CommitView& commits, ReadTransaction& log, ReadTransaction& store);
  Result<void> take(Lsn position, const Note& note, ReadTransaction& log, ReadTransaction& store);
  Result<void> take_creation(Lsn position, ReadTransaction& log);
  void take_entry(Lsn position, const Note& note);
  Result<bool> is_next(const Note& entry, ReadTransaction& store) const;
  void drop_conversations();
  /// The store has everything of the slot up to there.
  [[nodiscard]] Lsn materialised(Slot slot) const;
  void forget();

  std::unordered_map<ConversationNumber, Conversation> conversations_;
  std::unordered_map<std::string, ConversationNumber> created_;
  std::unordered_map<ConversationNumber, std::vector<Lsn>> marks_;
  SlotQueues<Note> waiting_;
  LogWalk walk_;
  TailUsers users_;
  Lsn watermark_;
  std::unordered_map<Slot, Lsn> ahead_;  ///< Slots of which the store has more than the watermark says.
  std::uint64_t changes_ = 0;
  std::uint64_t log_version_ = 0;
  std::uint64_t store_version_ = 0;
};

}  // namespace parley::storage
