#include "broker/shard/snapshot_taking.hpp"

#include <gtest/gtest.h>

#include <deque>

namespace parley::shard {
namespace {

using namespace std::chrono_literals;

constexpr NodeId kLeader{2};

/// Notes what is asked of it.
class TakingStore final : public LogStore {
 public:
  void append(AppendBatch /*batch*/) override {}
  void committed(Slot /*slot*/, Index /*index*/) override {}
  void read_log(ShardId /*shard*/, LogReadRequest /*request*/) override {}
  void write_plain(PlainBatch /*batch*/) override {}
  std::uint64_t next_plain_number() override { return 0; }
  void load_conversation(ShardId /*shard*/, std::string /*name*/) override {}
  void read_entries(ShardId /*shard*/, ReadRequest /*request*/) override {}
  std::optional<StoredId> find_id(ShardId /*shard*/, ConversationNumber /*conversation*/, std::string_view /*from*/,
                                  std::string_view /*id*/) override {
    return std::nullopt;
  }
  void take_snapshot(ShardId /*shard*/, SnapshotTakeRequest request) override { taken.push_back(std::move(request)); }
  void finish_snapshot(ShardId /*shard*/, SnapshotFinishRequest request) override {
    finished.push_back(std::move(request));
  }
  std::deque<SnapshotTakeRequest> taken;
  std::deque<SnapshotFinishRequest> finished;
};

struct Question {
  NodeId to;
  Slot slot;
  std::uint64_t token = 0;
  std::string position;
  std::string known;
};

class AskedNodes final : public PeerNodes {
 public:
  [[nodiscard]] NodeId self() const override { return {1}; }
  bool send(NodeId node, NodeChannel /*channel*/, std::string message) override {
    const auto event = remote::decode(std::string_view(message).substr(2));
    const auto& read = std::get<remote::SnapshotRead>(*event);
    asked.push_back({node, read.slot, read.token, std::string(read.position), std::string(read.known)});
    return true;
  }
  void drop(NodeId /*node*/) override {}
  void leading(Slot /*slot*/, std::optional<Term> /*term*/) override {}
  std::deque<Question> asked;
};

struct SnapshotTakingTest : testing::Test {
  SnapshotTakingTest() { options.snapshot_bytes_per_second = 0; }

  void offer(std::uint64_t slot, std::uint64_t term = 5, NodeId from = kLeader) {
    taking.offered(from, {.slot = {slot}, .term = {term}}, now);
  }
  /// The store answers what it was asked first.
  void take(Result<std::string> known = std::string("known")) {
    const std::uint64_t token = store.taken.front().token;
    store.taken.pop_front();
    taking.taken(token, known, now);
  }
  /// The leader answers what it was asked first.
  void answer(std::string_view bytes, std::string_view next, std::uint64_t index = 100,
              remote::Status status = remote::Status::Done) {
    const Question question = nodes.asked.front();
    nodes.asked.pop_front();
    const std::string voters = format::nodes_text(std::vector<NodeId>{{1}, {2}});
    taking.page(question.to,
                {.slot = question.slot,
                 .token = question.token,
                 .status = status,
                 .term = {4},
                 .index = {index},
                 .named = {7},
                 .voters = voters,
                 .learners = {},
                 .next = next,
                 .bytes = bytes},
                now);
  }

  ShardOptions options;
  TakingStore store;
  AskedNodes nodes;
  Instant now{1h};
  SnapshotTaking taking{0, options, store, nodes};
};

TEST_F(SnapshotTakingTest, AsksForPieceAfterPieceAndGoesOnFromTheFirstOnesPlace) {
  offer(3);
  ASSERT_EQ(store.taken.size(), 1U);
  EXPECT_EQ(store.taken[0].piece, "") << "it is only asked what it has";
  EXPECT_TRUE(nodes.asked.empty());
  take(std::string("nothing"));
  ASSERT_EQ(nodes.asked.size(), 1U);
  EXPECT_EQ(nodes.asked[0].to, kLeader);
  EXPECT_EQ(nodes.asked[0].position, "");
  EXPECT_EQ(nodes.asked[0].known, "nothing");
  answer("piece 1", "there", 100);
  ASSERT_EQ(store.taken.size(), 1U);
  EXPECT_EQ(store.taken[0].piece, "piece 1");
  EXPECT_EQ(store.taken[0].next, "there");
  offer(3);  // The leader doesn't know how far it is.
  take(std::string("something"));
  EXPECT_EQ(nodes.asked[0].position, "there");
  EXPECT_EQ(nodes.asked[0].known, "something");
  answer("piece 2", "", 120);
  EXPECT_TRUE(taking.complete().empty());
  take();
  ASSERT_EQ(taking.complete().size(), 1U);
  EXPECT_EQ(taking.complete()[0].at, (replication::LogPosition{{4}, {100}}));
  EXPECT_FALSE(taking.closed({3}));
  taking.finish({3});
  EXPECT_TRUE(taking.closed({3}));
  ASSERT_EQ(store.finished.size(), 1U);
  EXPECT_EQ(store.finished[0].base.index, Index{100});
  EXPECT_EQ(store.finished[0].replicas.voters, (std::vector<NodeId>{{1}, {2}}));
  EXPECT_FALSE(taking.finished(store.finished[0].token + 1, now));
  const auto done = taking.finished(store.finished[0].token, now);
  ASSERT_TRUE(done);
  EXPECT_EQ(done->leader, kLeader);
  EXPECT_EQ(done->replicas.index, Index{7});
  EXPECT_FALSE(taking.closed({3}));
}

TEST_F(SnapshotTakingTest, BringsUpAFewSlotsAtATime) {
  for (std::uint64_t slot = 0; slot < 5; ++slot) offer(slot);
  EXPECT_EQ(store.taken.size(), SnapshotTaking::kTransfersMax);
  while (!store.taken.empty()) {
    take();
    if (nodes.asked.empty()) continue;
    answer("", "");
    take();
    EXPECT_LE(store.taken.size(), SnapshotTaking::kTransfersMax);
    for (const auto& one : taking.complete()) taking.drop(one.slot, now);
  }
  EXPECT_EQ(taking.next_due(), std::nullopt);
}

TEST_F(SnapshotTakingTest, KeepsToTheRate) {
  options.snapshot_bytes_per_second = 1'000;
  offer(1);
  offer(2);
  take();
  take();
  answer(std::string(500, 'x'), "on");
  take();
  EXPECT_EQ(nodes.asked.size(), 1U) << "only the other slot's question";
  EXPECT_EQ(taking.next_due(), now + 500ms);
  answer(std::string(500, 'x'), "on");
  take();
  EXPECT_TRUE(nodes.asked.empty());
  now += 500ms;
  taking.tick(now);
  EXPECT_TRUE(nodes.asked.empty()) << "all slots together";
  now += 500ms;
  taking.tick(now);
  EXPECT_EQ(nodes.asked.size(), 2U);
}

TEST_F(SnapshotTakingTest, AsksAgainAndThenWaitsForAnOffer) {
  offer(1);
  take();
  std::size_t asked = 0;
  for (int i = 0; i < 100 && taking.next_due(); ++i) {
    now = *taking.next_due();
    taking.tick(now);
    asked = nodes.asked.size();
  }
  EXPECT_EQ(asked, 4U);
  EXPECT_EQ(taking.next_due(), std::nullopt);
  // A late answer is to a question that isn't asked any more.
  answer("late", "on");
  EXPECT_TRUE(store.taken.empty());
  offer(1);
  EXPECT_EQ(store.taken.size(), 1U);
}

TEST_F(SnapshotTakingTest, BeginsAnewWithAnotherLeader) {
  offer(1, 5);
  take();
  answer("piece", "on", 100);
  offer(1, 4, {3});  // One that has been overtaken.
  take();
  EXPECT_EQ(nodes.asked.front().to, kLeader);
  offer(1, 6, {3});
  take();
  nodes.asked.pop_front();
  EXPECT_EQ(nodes.asked.front().to, NodeId{3});
  EXPECT_EQ(nodes.asked.front().position, "");
  nodes.asked.clear();
  taking.node_unreachable({3}, now);
  EXPECT_EQ(taking.next_due(), std::nullopt);
  offer(1, 7);
  take();
  answer("", "", 0, remote::Status::NotLeader);
  EXPECT_EQ(taking.next_due(), std::nullopt);
}

TEST_F(SnapshotTakingTest, DropsWhatTheStoreDoesntTake) {
  offer(1);
  take(StorageError::DiskFull);
  EXPECT_EQ(taking.next_due(), std::nullopt);
  EXPECT_TRUE(nodes.asked.empty());
  offer(1);
  take();
  EXPECT_EQ(nodes.asked.size(), 1U);
}

}  // namespace
}  // namespace parley::shard
