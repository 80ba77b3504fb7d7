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

namespace parley::storage {

class ReadTransaction;

/// The part of a conversation's history that is in log.mdb but not yet in store.mdb. Format: docs/formats/log.md.
///
/// Belongs to one thread; each thread that reads history has its own.
/// Memory: 8 bytes an entry and about 100 a conversation, bounded by the materialiser's lag.
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

    [[nodiscard]] Seq head() const { return {first.value + positions.size() - 1}; }
  };

  /// Drops what `store` has by now and reads every record of `log` after the last one seen. `store` was begun after
  /// `log`: then no record is in neither of them, whatever is materialised or cut in between. O(new records), and
  /// O(conversations in the tail) when the watermark has moved; nothing new costs no read.
  ///
  /// A damaged record is reported once, with its position, and passed over. Where its fields still say plainly whose
  /// next entry it is, that seq counts as given, so that it is never given again. Fails with NewerFormat, Failed; what
  /// came before stays usable.
  Result<void> follow(ReadTransaction& log, ReadTransaction& store);

  /// Log positions of `conversation`'s entries in [first, last], ascending; empty when the tail has none. Zero stands
  /// for an entry whose record is lost. Valid until the next follow().
  [[nodiscard]] std::span<const Lsn> find(ConversationNumber conversation, Seq first, Seq last) const;
  /// Null when the tail has nothing of it. Valid until the next follow().
  [[nodiscard]] const Conversation* find(ConversationNumber conversation) const;
  /// Of a conversation that was created in the tail.
  [[nodiscard]] std::optional<ConversationNumber> find(std::string_view name) const;

  /// The store has everything up to here.
  [[nodiscard]] Lsn watermark() const { return watermark_; }
  /// The last record of the log, or the watermark if that is further.
  [[nodiscard]] Lsn end() const { return end_; }

 private:
  Result<void> take(Lsn position, std::string_view bytes, ReadTransaction& store);
  void take_creation(Lsn position, const format::Record& record);
  void take_entry(Lsn position, const format::EntryRecord& entry);
  Result<bool> is_next(const format::EntryRecord& entry, ReadTransaction& store) const;
  void drop_materialised();

  std::unordered_map<ConversationNumber, Conversation> conversations_;
  std::unordered_map<std::string, ConversationNumber> created_;
  Lsn watermark_;
  Lsn end_;
  std::uint64_t log_version_ = 0;
  std::uint64_t store_version_ = 0;
};

}  // namespace parley::storage
