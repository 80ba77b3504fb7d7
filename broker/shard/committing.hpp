#pragma once

#include <deque>
#include <string>
#include <vector>

#include "broker/chat/refusal.hpp"
#include "broker/shard/events.hpp"

namespace parley::shard {

class Shard;
struct EntryWaiting;
struct Hosted;
struct WaitingRecord;

/// What becomes of the entries that were proposed here: committed, they are everybody's who follows the conversation;
/// refused, all is as if they had never been; and whoever proposed one is told. Belongs to its shard's thread.
///
/// Memory: each client's id of an entry until the store has it, by which a repeat of it is known.
class Committing {
 public:
  explicit Committing(Shard& shard) : shard_(shard) {}

  // -- See ReplicaEvents --
  void committed(const std::vector<WaitingRecord>& records);
  void refused(const std::vector<WaitingRecord>& records, chat::Refusal refusal);

  /// A conversation was loaded when the log ended there.
  void loaded(Lsn log_end);
  /// It has an entry that the store may not have yet.
  void restore(const Hosted& hosted, const format::EntryRecord& entry);
  /// The store has everything up to there.
  void materialised(Lsn upto);

  /// At least the log's end when the last commit was heard of.
  [[nodiscard]] Lsn log_end() const { return last_; }
  /// The store has everything up to there.
  [[nodiscard]] Lsn materialised_end() const { return materialised_; }

 private:
  /// Of a conversation, what was refused.
  struct RolledBack {
    Hosted* hosted = nullptr;
    bool creation = false;
    Seq tip;  ///< Below the first entry of it.
  };
  static std::vector<RolledBack> rolled_back(const std::vector<WaitingRecord>& records);
  void tell_followers(Hosted& hosted, const std::vector<format::EntryPtr>& entries);
  void release_repeats(Hosted& hosted);
  void propose_again(const EntryWaiting& waiting);

  /// Ids that find_id will know once their record is materialised.
  struct UnmaterialisedId {
    Lsn lsn;
    std::string conversation;
    std::string from;
    std::string id;
    Seq seq;
  };
  void keep(const Hosted& hosted, const format::EntryRecord& entry, Lsn lsn);

  Shard& shard_;
  std::deque<UnmaterialisedId> unmaterialised_;  ///< About by ascending lsn.
  Lsn materialised_;
  Lsn last_;  ///< At least the log's end when the last of these was seen.
};

}  // namespace parley::shard
