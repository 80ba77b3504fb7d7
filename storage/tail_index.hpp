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
    /// Set when the tail holds its creation.
    struct Creation {
      std::string name;
      Epoch epoch;
      Timestamp created;
      format::ConversationType type = format::ConversationType::Group;
      format::Visibility visibility = format::Visibility::Public;
      std::string creator;
    };
    std::optional<Creation> creation;
    Lsn created_at;           ///< Where the creation stands.
    Seq first;                ///< Of `positions`; meaningless when there are none.
    std::vector<Lsn> positions;  ///< Of first, first + 1, …; 0 for a seq whose record is lost.
    Timestamp last_ts;        ///< Of the last entry.

    [[nodiscard]] Seq head() const { return {first.value + positions.size() - 1}; }
  };

  /// Drops what the store has by now and reads every record after the last one seen. O(new records) and, when the
  /// watermark moved, O(conversations). `watermark` is that of a store snapshot taken after `log` was.
  /// A record with a wrong checksum is reported once, with its position, and passed over; where its fields still say
  /// plainly whose next entry it was, its seq counts as given. Fails with NewerFormat, Failed; what came before stays
  /// usable.
  Result<void> follow(ReadTransaction& log, Lsn watermark);

  /// Log positions of `conversation`'s entries in [first, last], ascending; empty when the tail has none. Zero stands for
  /// an entry whose record is lost. Valid until the next follow().
  [[nodiscard]] std::span<const Lsn> find(ConversationNumber conversation, Seq first, Seq last) const;
  /// Null when the tail has nothing of it. Valid until the next follow().
  [[nodiscard]] const Conversation* find(ConversationNumber conversation) const;
  /// Of a conversation that was created in the tail.
  [[nodiscard]] std::optional<ConversationNumber> find(std::string_view name) const;

  [[nodiscard]] Lsn watermark() const { return watermark_; }
  /// The last record seen, or the watermark if that is further.
  [[nodiscard]] Lsn end() const { return end_; }

 private:
  void take(Lsn position, std::string_view bytes, const format::Record& record, bool damaged);
  void take_entry(Lsn position, const format::EntryRecord& entry, bool damaged);
  void drop_materialised();

  std::unordered_map<ConversationNumber, Conversation> conversations_;
  std::unordered_map<std::string, ConversationNumber> created_;
  Lsn watermark_;
  Lsn end_;
};

}  // namespace parley::storage
