#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "broker/shard/ports.hpp"
#include "tests/simulation/dice.hpp"

namespace parley::simulation {

/// A LogStore that keeps its promises and no more: answers come late and mixed up, appends may fail, and a crash loses
/// what wasn't synced. What it is given to append it checks as a reader of the log would: see `violations`.
class Store final : public shard::LogStore {
 public:
  Store(Dice& dice, const Clock& clock, std::uint32_t shards) : dice_(dice), clock_(clock), shards_(shards) {}

  // -- LogStore --
  void append(shard::AppendBatch batch) override;
  void load_conversation(shard::ShardId shard, std::string name) override;
  void read_entries(shard::ShardId shard, ReadRequest request) override;
  std::optional<shard::StoredId> find_id(shard::ShardId shard, ConversationNumber conversation, std::string_view from,
                                         std::string_view id) override;

  // -- For the world --
  /// Syncs what is due, and hands `shard` the answers that are.
  void work(shard::ShardId shard, shard::LogStoreEvents& events);
  [[nodiscard]] bool idle() const { return waiting_.empty() && answers_.empty(); }
  /// When there is something to do next, if there is.
  [[nodiscard]] std::optional<Instant> next_due() const;
  /// Power fails: of the batches that wait, the first few are durable, the rest is gone, and no answer comes any more.
  void crash();

  // -- Trouble --
  void set_latency(Duration longest) { latency_ = longest; }
  /// From now on every append fails like this, until it is heal()ed.
  void fail_with(StorageError error) { failure_ = error; }
  void heal() { failure_.reset(); }
  void fail_reads(bool fail) { reads_fail_ = fail; }
  void corrupt(const std::string& conversation, Seq seq);
  /// Retention: everything below `oldest` is gone.
  void cut(const std::string& conversation, Seq oldest);
  /// Restored from a backup: the same entries in another incarnation.
  void renew(const std::string& conversation, Epoch epoch) { conversations_.at(conversation).stored.epoch = epoch; }
  /// find_id learns of entries by itself (default), or only when told.
  void materialise_only_when_told() { materialises_ = false; }
  void materialise();

  // -- What is durable --
  [[nodiscard]] std::vector<format::EntryPtr> history(const std::string& conversation) const;
  [[nodiscard]] std::optional<shard::StoredConversation> conversation(const std::string& name) const;
  [[nodiscard]] std::vector<shard::StoredSession> sessions() const;
  struct SlotEnd {
    Slot slot;
    Term term;
    Index last;
  };
  [[nodiscard]] std::vector<SlotEnd> slot_ends() const;
  [[nodiscard]] std::size_t records() const { return lsn_; }
  [[nodiscard]] std::size_t reads() const { return reads_; }
  /// What should never have been appended.
  [[nodiscard]] const std::vector<std::string>& violations() const { return violations_; }

 private:
  struct StoredEntries {
    shard::StoredConversation stored;
    std::vector<format::EntryPtr> entries;  ///< From seq 1.
    std::vector<Lsn> positions;
    std::set<std::uint64_t> corrupt;
  };
  struct Waiting {
    shard::AppendBatch batch;
    Instant due;
  };
  struct Answer {
    shard::ShardId shard = 0;
    Instant due;
    bool ordered = false;  ///< Due not before the ordered ones of its shard that came earlier.
    std::function<void(shard::LogStoreEvents&)> deliver;
  };

  void sync(shard::AppendBatch& batch);
  void apply(const std::string& record);
  void apply_body(const format::Record& record, const std::string& bytes);
  void apply_entry(const format::EntryRecord& entry, const std::string& bytes);
  void answer(shard::ShardId shard, bool ordered, std::function<void(shard::LogStoreEvents&)> deliver);
  void violation(std::string what) { violations_.push_back(std::move(what)); }
  StoredEntries* find(ConversationNumber number);
  shard::LogStoreEvents::LoadedConversation load(const std::string& name) const;
  shard::ReadPage read(const ReadRequest& request);

  Dice& dice_;
  const Clock& clock_;
  const std::uint32_t shards_;
  Duration latency_{};
  std::optional<StorageError> failure_;
  bool reads_fail_ = false;
  bool materialises_ = true;

  std::deque<Waiting> waiting_;
  std::vector<Answer> answers_;
  std::map<shard::ShardId, std::uint64_t> failed_generations_;

  std::uint64_t lsn_ = 0;
  Lsn materialised_;
  std::map<std::string, StoredEntries> conversations_;
  std::map<ConversationNumber, std::string> names_;
  std::map<std::string, shard::StoredSession> sessions_;
  std::map<std::uint64_t, SlotEnd> slots_;
  std::size_t reads_ = 0;
  std::vector<std::string> violations_;
};

}  // namespace parley::simulation
