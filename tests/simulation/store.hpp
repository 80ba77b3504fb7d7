#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
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
  void committed(Slot slot, Index index) override;
  void read_log(shard::ShardId shard, LogReadRequest request) override;
  void read_snapshot(shard::ShardId shard, SnapshotReadRequest request) override;
  void take_snapshot(shard::ShardId shard, SnapshotTakeRequest request) override;
  void finish_snapshot(shard::ShardId shard, SnapshotFinishRequest request) override;
  void write_plain(shard::PlainBatch batch) override;
  std::uint64_t next_plain_number() override { return next_plain_++; }
  void load_conversation(shard::ShardId shard, std::string name) override;
  void load_session(shard::ShardId shard, std::string client_id) override;
  void list_sessions(shard::ShardId shard, ListSessionsRequest request) override;
  void read_entries(shard::ShardId shard, ReadRequest request) override;
  std::optional<shard::StoredId> find_id(shard::ShardId shard, ConversationNumber conversation, std::string_view from,
                                         std::string_view id) override;
  std::optional<format::MemberRow> find_member(shard::ShardId shard, ConversationNumber conversation,
                                               std::string_view user) override;
  std::vector<shard::StoredMember> list_members(shard::ShardId shard, ConversationNumber conversation,
                                                std::string_view after, std::size_t count_max) override;
  Result<std::optional<format::Mark>> find_mark(shard::ShardId shard, ConversationNumber conversation,
                                                std::string_view user) override;
  shard::StoredTally find_tally(shard::ShardId shard, ConversationNumber conversation, Seq upto) override;
  std::vector<shard::UnfedMember> unfed_members(shard::ShardId shard, Slot slot, std::size_t count_max) override;
  void load_user(shard::ShardId shard, std::string user) override;
  RetentionPage due_retention(shard::ShardId shard, const RetentionRequest& request) override;
  std::vector<shard::StoredErasure> erasures(shard::ShardId shard, Slot slot) override;
  void find_erasure(shard::ShardId shard, ErasureRequest request) override;
  void find_sessions(shard::ShardId shard, SessionsRequest request) override;

  // -- For the world --
  /// Syncs what is due, and hands `shard` the answers that are.
  void work(shard::ShardId shard, shard::LogStoreEvents& events);
  [[nodiscard]] bool idle() const { return waiting_.empty() && plain_waiting_.empty() && answers_.empty(); }
  /// When there is something to do next, if there is.
  [[nodiscard]] std::optional<Instant> next_due() const;
  /// Power fails: of the batches that wait, the first few are durable, the rest is gone, and no answer comes any more.
  void crash();
  /// Slots have other voters, too: what is durable needn't be committed, and a crash forgets how far it was.
  void share_slots() { shared_ = true; }
  /// Called with every record when it is first known to be committed, and again after a crash.
  std::function<void(Slot slot, Index index, const std::string& record)> on_committed;

  // -- Trouble --
  void set_latency(Duration longest) { latency_ = longest; }
  /// From now on every append fails like this, until it is heal()ed.
  void fail_with(StorageError error) { failure_ = error; }
  void heal() { failure_.reset(); }
  void fail_reads(bool fail) { reads_fail_ = fail; }
  void corrupt(const std::string& conversation, Seq seq);
  /// Retention: everything below `oldest` is gone.
  void cut(const std::string& conversation, Seq oldest);
  /// Retention of the log: of each slot it goes away up to a place that is materialised.
  void cut_logs();
  /// The log is found damaged and begun anew: of each slot what is materialised is left, and the terms, in which
  /// nothing was promised yet. After a crash, before the next start.
  void lose_log();
  /// The slots as lose_log() would leave them.
  [[nodiscard]] std::vector<shard::StoredSlot> slots_without_log() const;
  /// Nothing of any slot is lost, or everything is back and materialised.
  [[nodiscard]] bool is_whole() const;
  /// How seldom what is committed is materialised: in one turn of so many.
  void set_materialising(std::uint64_t one_in) { materialises_one_in_ = one_in; }
  /// Restored from a backup: the same entries in another incarnation.
  void renew(const std::string& conversation, Epoch epoch) { conversations_.at(conversation).stored.epoch = epoch; }
  /// find_id learns of entries by itself (default), or only when told.
  void materialise_only_when_told() { materialises_ = false; }
  void materialise();

  // -- Disks and nodes that break their promises; a simulation must find out --
  struct Faults {
    bool answers_before_sync = false;
    bool hides_head = false;  ///< From whoever loads a conversation.
    bool forgets_votes = false;
    bool forgets_losses = false;  ///< What is left of a lost log counts as all that ever was.
  };
  Faults faults;

  // -- What is durable --
  /// Rows of ordinary topics by table and key.
  using PlainRows = std::map<std::pair<shard::PlainTable, std::string>, std::string>;
  [[nodiscard]] const PlainRows& plain() const { return plain_; }
  [[nodiscard]] std::vector<format::EntryPtr> history(const std::string& conversation) const;
  [[nodiscard]] std::optional<shard::StoredConversation> conversation(const std::string& name) const;
  [[nodiscard]] std::vector<shard::StoredSession> sessions() const;
  /// What a start restores: also of records that aren't known to be committed.
  [[nodiscard]] std::vector<shard::StoredSession> restorable_sessions() const;
  [[nodiscard]] std::vector<shard::StoredSlot> slots() const;
  [[nodiscard]] std::size_t records() const { return lsn_; }
  [[nodiscard]] std::size_t reads() const { return reads_; }
  /// How often a slot's log began anew behind another node's history.
  [[nodiscard]] std::size_t snapshots() const { return snapshots_; }
  /// The members by name, as the entries up to `upto` make them.
  using Members = std::map<std::string, format::MemberRow>;
  /// A user's marks as the log has them, its own messages included, up to `upto`.
  [[nodiscard]] format::Mark mark(const std::string& conversation, const std::string& user,
                                  Lsn upto = {~std::uint64_t{0}}) const;
  [[nodiscard]] std::size_t mark_records() const { return mark_records_; }
  [[nodiscard]] Members members(const std::string& conversation, Lsn upto = {~std::uint64_t{0}}) const;
  /// What the user's slot knows of the conversations it is in.
  [[nodiscard]] std::vector<shard::UserConversation> user_conversations(const std::string& user) const;
  /// What should never have been appended.
  [[nodiscard]] const std::vector<std::string>& violations() const { return violations_; }

 private:
  struct StoredEntries {
    shard::StoredConversation stored;
    std::vector<format::EntryPtr> entries;  ///< From seq 1.
    std::vector<Lsn> positions;
    std::set<std::uint64_t> corrupt;
    std::map<std::string, std::vector<std::pair<Lsn, format::Mark>>> marks;  ///< By user, as they were written.
  };
  struct Waiting {
    shard::AppendBatch batch;
    Instant due;
  };
  /// A slot's log as it is read: a later record of a place replaces it and all behind it.
  struct SlotLog {
    struct Record {
      Lsn lsn;
      Term term;
      std::shared_ptr<const std::string> bytes;
    };
    std::vector<Record> records;  ///< From index 1; those up to `base` are in the store only.
    Index base;
    std::map<Index, std::shared_ptr<const std::string>> taken;  ///< Of another node's history, ahead of the log.
    Index commit;
    Index applied;
    Term term;
    NodeId vote;
    Term lost_before;
    shard::StoredSlot::Position lost_upto;
  };
  struct Answer {
    shard::ShardId shard = 0;
    Instant due;
    bool ordered = false;  ///< Due not before the ordered ones of its shard that came earlier.
    std::function<void(shard::LogStoreEvents&)> deliver;
  };

  using Sessions = std::map<std::string, shard::StoredSession>;
  struct PlainWaiting {
    shard::PlainBatch batch;
    Instant due;
  };

  void sync(shard::AppendBatch& batch);
  void sync_plain(const shard::PlainBatch& batch);
  void place(const std::shared_ptr<const std::string>& record);
  void apply(Slot slot, SlotLog& log);
  void apply_body(const format::Record& record, const std::string& bytes, Lsn lsn);
  /// False when the record is about no session.
  static bool apply_session(const format::Record& record, Sessions& sessions);
  static std::vector<shard::StoredSession> list(const Sessions& sessions);
  void apply_user(const format::UserConversationRecord& record);
  void apply_entry(const format::EntryRecord& entry, const std::string& bytes, Lsn lsn);
  void amend(std::vector<format::EntryPtr>& entries, const format::EntryRecord& amendment);
  void forget_commits();
  Index materialised(const SlotLog& log) const;
  static shard::StoredSlot describe(Slot slot, const SlotLog& log);
  [[nodiscard]] SlotLog without_records(SlotLog log) const;
  static bool has_everything_up_to(const SlotLog& log, Index known);
  void keep(const format::HardStateRow& row);
  shard::SnapshotPiece read_piece(const SnapshotReadRequest& request);
  std::string take_piece(const SnapshotTakeRequest& request);
  bool finish_log(const SnapshotFinishRequest& request);
  void answer(shard::ShardId shard, bool ordered, std::function<void(shard::LogStoreEvents&)> deliver);
  void violation(std::string what) { violations_.push_back(std::move(what)); }
  StoredEntries* find(ConversationNumber number);
  shard::LogStoreEvents::LoadedConversation load(const std::string& name) const;
  static format::Mark mark_of(const StoredEntries& conversation, const std::string& user, Lsn from, Lsn upto);
  void apply_marks(const format::MarksRecord& record, Lsn lsn);
  void apply_erasure(Slot slot, const format::ErasureRecord& record, Lsn lsn);
  shard::ErasurePage find_erased(const ErasureRequest& request);
  static Lsn redacted_at(const StoredEntries& conversation, Seq message);
  static Members members_of(const StoredEntries& conversation, Lsn upto);
  /// What is materialised of members and settings.
  void load_members(const StoredEntries& conversation, shard::LogStoreEvents::LoadedConversation& loaded) const;
  shard::ReadPage read(const ReadRequest& request);

  Dice& dice_;
  const Clock& clock_;
  const std::uint32_t shards_;
  Duration latency_{};
  std::optional<StorageError> failure_;
  bool reads_fail_ = false;
  bool materialises_ = true;
  std::uint64_t materialises_one_in_ = 4;

  std::deque<Waiting> waiting_;
  std::vector<Answer> answers_;
  std::map<shard::ShardId, std::uint64_t> failed_generations_;

  std::deque<PlainWaiting> plain_waiting_;
  PlainRows plain_;
  std::uint64_t next_plain_ = 1;
  std::uint64_t lsn_ = 0;
  Lsn materialised_;
  std::map<std::string, StoredEntries> conversations_;
  std::map<ConversationNumber, std::string> names_;
  Sessions sessions_;
  /// By user, then by conversation, the last word on each; and up to which seq the conversation's slot knows of that.
  std::map<std::string, std::map<ConversationNumber, shard::UserConversation>> users_;
  std::map<std::pair<ConversationNumber, std::string>, Seq> fed_;
  /// As they were written: the store knows of those that are materialised.
  std::map<Slot, std::vector<std::pair<Lsn, shard::StoredErasure>>> erasures_;
  std::map<Slot, SlotLog> slots_;
  bool shared_ = false;
  std::size_t reads_ = 0;
  std::size_t snapshots_ = 0;
  std::size_t mark_records_ = 0;
  std::vector<std::string> violations_;
};

}  // namespace parley::simulation
