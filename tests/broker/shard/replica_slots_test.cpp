#include "broker/shard/replica_slots.hpp"

#include <gtest/gtest.h>

#include <optional>

#include "broker/replication/messages_codec.hpp"
#include "broker/shard/lone_node.hpp"
#include "broker/shard/node_events.hpp"
#include "broker/shard/replica_sending.hpp"
#include "tests/simulation/dice.hpp"

/// A standalone broker's slots: one voter, no messages. Several nodes: tests/simulation.
namespace parley::shard {
namespace {

using namespace std::chrono_literals;
using replication::ReplicationError;

class NotingStore final : public LogStore {
 public:
  void append(AppendBatch batch) override { batches.push_back(std::move(batch)); }
  void committed(Slot slot, Index index) override { commits.emplace_back(slot, index); }
  void read_log(ShardId /*shard*/, LogReadRequest /*request*/) override {}
  void write_plain(PlainBatch /*batch*/) override {}
  std::uint64_t next_plain_number() override { return 0; }
  void load_conversation(ShardId /*shard*/, std::string /*name*/) override {}
  void read_entries(ShardId /*shard*/, ReadRequest /*request*/) override {}
  std::optional<StoredId> find_id(ShardId /*shard*/, ConversationNumber /*conversation*/, std::string_view /*from*/,
                                  std::string_view /*id*/) override {
    return std::nullopt;
  }
  std::vector<AppendBatch> batches;
  std::vector<std::pair<Slot, Index>> commits;
};

struct ReplicaSlotsTest : testing::Test, ReplicaEvents {
  ReplicaSlotsTest() {
    options.shards = 2;
    options.slots = 6;
  }

  void begin() { slots.emplace(ReplicaSlots::World{1, options, store, nodes, dice}, *this); }
  void turn(Duration later = 0ms) {
    now += later;
    slots->begin_turn(now);
    slots->flush();
  }
  /// The disk answers the oldest batch that it hasn't answered.
  void answer(Result<Lsn> first) {
    slots->begin_turn(now);
    slots->appended(store.batches.at(answered++).ticket, first);
    slots->flush();
  }
  void lead() {
    begin();
    turn();
    answer(Lsn{1});
    answer(Lsn{1});
  }
  format::RecordPosition propose(std::uint64_t slot, int mark) {
    const auto position = slots->propose({slot});
    EXPECT_TRUE(position.has_value());
    if (!position) return {};
    slots->add(*position, std::make_shared<const std::string>("record"),
               [this, mark](Result<void> outcome) { outcomes.emplace_back(mark, outcome.error()); });
    return *position;
  }

  void committed(std::vector<WaitingRecord>& records) override { settle(records, {}); }
  void refused(std::vector<WaitingRecord>& records, boost::system::error_code why) override { settle(records, why); }
  void leadership_changed(Slot slot, const Leadership& leadership) override { changes.emplace_back(slot, leadership); }
  void settle(std::vector<WaitingRecord>& records, boost::system::error_code why) {
    for (WaitingRecord& record : records) {
      const auto& callback = std::get<CallbackWaiting>(record.waiting);
      if (!callback) continue;
      lsns.push_back(record.lsn.value);
      callback(why ? Result<void>(why) : Result<void>());
    }
  }

  ShardOptions options;
  NotingStore store;
  LoneNode nodes;
  simulation::Dice dice{1};
  Instant now{1h};
  std::optional<ReplicaSlots> slots;
  std::size_t answered = 0;
  std::vector<std::pair<int, boost::system::error_code>> outcomes;
  std::vector<std::uint64_t> lsns;
  std::vector<std::pair<Slot, Leadership>> changes;
};

TEST_F(ReplicaSlotsTest, LeadTheSlotsOfTheirHomeAfterTwoCommits) {
  begin();
  turn();
  ASSERT_EQ(store.batches.size(), 1U);
  EXPECT_EQ(store.batches[0].hard_states.size(), 3U) << "slots 1, 3 and 5";
  EXPECT_EQ(store.batches[0].hard_states[0], (format::HardStateRow{{1}, {1}, {1}}));
  EXPECT_EQ(slots->leadership({3}).state, Leadership::State::Nobody);
  EXPECT_FALSE(slots->propose({3}).has_value());
  answer(Lsn{1});
  ASSERT_EQ(store.batches.size(), 2U);
  ASSERT_EQ(store.batches[1].records.size(), 3U);
  const auto record = format::decode_record(*store.batches[1].records[1]);
  ASSERT_TRUE(record.has_value());
  EXPECT_EQ(record->position, (format::RecordPosition{{3}, {1}, {1}}));
  EXPECT_TRUE(std::holds_alternative<format::NoOpRecord>(record->body));
  EXPECT_EQ(slots->leadership({3}).state, Leadership::State::Nobody) << "it doesn't know yet what is committed";
  EXPECT_TRUE(changes.empty());
  answer(Lsn{1});
  EXPECT_EQ(slots->leadership({3}), (Leadership{Leadership::State::Here, {1}, {1}}));
  EXPECT_EQ(changes.size(), 3U);
  EXPECT_EQ(store.commits.size(), 3U);
  EXPECT_TRUE(slots->idle());
  turn(10s);
  EXPECT_FALSE(slots->next_due().has_value()) << "a quiet slot has nothing to do";
}

TEST_F(ReplicaSlotsTest, SettleWhatIsCommitted) {
  lead();
  EXPECT_EQ(propose(1, 1).index, Index{2});
  EXPECT_EQ(propose(3, 2).index, Index{2});
  EXPECT_EQ(propose(1, 3).index, Index{3});
  EXPECT_EQ(slots->waiting_bytes(), 18U);
  turn();
  EXPECT_TRUE(outcomes.empty());
  answer(Lsn{11});
  EXPECT_EQ(outcomes.size(), 3U);
  EXPECT_EQ(lsns, (std::vector<std::uint64_t>{11, 13, 12})) << "one slot after the other";
  EXPECT_EQ(store.commits.back(), (std::pair{Slot{3}, Index{2}}));
  EXPECT_EQ(slots->waiting_bytes(), 0U);
}

TEST_F(ReplicaSlotsTest, GivePlacesAgainThatTheDiskRefused) {
  lead();
  propose(1, 1);
  turn();
  propose(1, 2);
  propose(5, 3);
  turn();
  answer(Lsn{4});
  propose(1, 4);  // Not handed over yet.
  answer(StorageError::DiskFull);
  const auto full = make_error_code(StorageError::DiskFull);
  EXPECT_EQ(outcomes,
            (std::vector<std::pair<int, boost::system::error_code>>{{1, {}}, {2, full}, {4, full}, {3, full}}));
  EXPECT_EQ(slots->disk_error(), full);
  EXPECT_TRUE(slots->idle());
  EXPECT_EQ(slots->leadership({1}).state, Leadership::State::Here);
  EXPECT_EQ(propose(1, 5).index, Index{3});
  EXPECT_EQ(propose(5, 6).index, Index{2});
  turn();
  EXPECT_EQ(store.batches.back().generation, 2U);
  answer(Lsn{5});
  EXPECT_EQ(outcomes.size(), 6U);
  EXPECT_FALSE(slots->disk_error());
}

TEST_F(ReplicaSlotsTest, AskADiskAgainThatRefusedATerm) {
  begin();
  turn();
  answer(StorageError::Failed);
  EXPECT_TRUE(slots->idle());
  ASSERT_TRUE(slots->next_due().has_value());
  turn(*slots->next_due() - now);
  ASSERT_EQ(store.batches.size(), 2U);
  EXPECT_EQ(store.batches[1].hard_states.size(), 3U);
  answer(Lsn{1});
  answer(StorageError::Failed);  // The first records of the term.
  EXPECT_EQ(slots->leadership({1}).state, Leadership::State::Nobody);
  for (int i = 0; i < 200 && slots->leadership({1}).state != Leadership::State::Here; ++i) {
    turn(100ms);
    while (answered < store.batches.size()) answer(Lsn{1});
  }
  EXPECT_EQ(slots->leadership({1}), (Leadership{Leadership::State::Here, {1}, {2}}));
}

TEST_F(ReplicaSlotsTest, GoOnWhereTheLogEnds) {
  begin();
  slots->restore({.slot = {3},
                  .term = {7},
                  .vote = {1},
                  .base = {{6}, {40}},
                  .terms = {{{7}, {41}}},
                  .last = {44},
                  .commit = {42},
                  .replicas = {}});
  slots->restore(
      {.slot = {2}, .term = {9}, .vote = {}, .base = {}, .terms = {}, .last = {}, .commit = {}, .replicas = {}});
  turn();
  answer(Lsn{1});
  answer(Lsn{1});
  EXPECT_EQ(slots->leadership({3}).term, Term{8});
  EXPECT_EQ(propose(3, 1), (format::RecordPosition{{3}, {8}, {46}}));
  EXPECT_EQ(propose(1, 2), (format::RecordPosition{{1}, {1}, {2}}));
}

TEST_F(ReplicaSlotsTest, LeadNothingThatOthersFounded) {
  options.founds_slots = false;
  begin();
  turn();
  turn(10s);
  EXPECT_TRUE(store.batches.empty());
  EXPECT_EQ(slots->propose({1}).error(), make_error_code(ReplicationError::NotLeader));
}

struct NotingNodes final : PeerNodes {
  [[nodiscard]] NodeId self() const override { return {1}; }
  bool send(NodeId node, NodeChannel /*channel*/, std::string message) override {
    sent.emplace_back(node, std::move(message));
    return true;
  }
  void drop(NodeId /*node*/) override {}
  void leading(Slot /*slot*/, std::optional<Term> /*term*/) override {}
  std::vector<std::pair<NodeId, std::string>> sent;
};

/// One of the replicas of a slot, whose log was lost when its term was 7; it knows nobody.
struct LostReplicaTest : ReplicaSlotsTest {
  LostReplicaTest() {
    options.founds_slots = false;
    slots.emplace(ReplicaSlots::World{1, options, store, others, dice}, *this);
    slots->restore({.slot = {3},
                    .term = {8},
                    .vote = {},
                    .base = {},
                    .terms = {},
                    .last = {},
                    .commit = {},
                    .replicas = {},
                    .lost_before = {8}});
    turn();
  }
  void receive(Term term, replication::PeerMessage::Body body) {
    std::string bytes;
    replication::encode({.slot = {3}, .term = term, .body = std::move(body)}, bytes);
    slots->node_message({2}, bytes);
    slots->flush();
  }
  NotingNodes others;
};

TEST_F(LostReplicaTest, SaysSoWithEachTermUntilEverythingIsBack) {
  receive({9}, replication::CommitHint{});
  const format::HardStateRow row{.slot = {3}, .term = {9}, .vote = {}, .lost_before = {8}};
  ASSERT_EQ(store.batches.size(), 1U);
  EXPECT_EQ(store.batches[0].hard_states, std::vector{row});
  answer(StorageError::DiskFull);
  turn(1s);
  ASSERT_EQ(store.batches.size(), 2U);
  EXPECT_EQ(store.batches[1].hard_states, std::vector{row}) << "the disk is asked again";
}

TEST_F(LostReplicaTest, WritesATermThatWasRefusedWithItsFirstRecords) {
  receive({9}, replication::CommitHint{});
  answer(StorageError::DiskFull);
  const format::RecordPosition place{.slot = {3}, .term = {9}, .index = {1}};
  std::string records;
  replication::append_record(records, format::encode_record(place, format::NoOpRecord{}));
  receive({9}, replication::AppendEntries{
                   .prev = {}, .entries_term = {9}, .count = 1, .commit = {}, .replicas = {}, .records = records});
  ASSERT_EQ(store.batches.size(), 2U);
  EXPECT_EQ(store.batches[1].records.size(), 1U);
  ASSERT_EQ(store.batches[1].hard_states.size(), 1U);
  EXPECT_EQ(store.batches[1].hard_states[0].term, Term{9});
}

TEST_F(LostReplicaTest, TellsWhoOffersHistoryInAnEarlierTerm) {
  slots->snapshot({2}, remote::SnapshotOffer{.slot = {3}, .term = {7}});
  ASSERT_EQ(others.sent.size(), 1U);
  EXPECT_EQ(others.sent[0].first, NodeId{2});
  std::string_view message = others.sent[0].second;
  message.remove_prefix(2);  // To a slot, and its number.
  const auto decoded = replication::decode(message);
  ASSERT_TRUE(decoded.has_value());
  const auto& reply = std::get<replication::PeerMessage>(*decoded);
  EXPECT_EQ(reply.term, Term{8});
  EXPECT_TRUE(std::holds_alternative<replication::AppendEntriesReply>(reply.body));
}

/// What was kept is of no use any more, and gone: an error of memory, which AddressSanitizer sees.
TEST_F(ReplicaSlotsTest, KeepsRecordsThatComeBehindAHole) {
  ReplicaSending sending(1, store, nodes, 1 << 20);
  const auto record = std::make_shared<const std::string>("record");
  for (const std::uint64_t index : {1U, 2U, 7U, 8U, 3U, 4U}) sending.keep({1}, {index}, record);
  EXPECT_EQ(record.use_count(), 3) << "3 and 4";
}

}  // namespace
}  // namespace parley::shard
