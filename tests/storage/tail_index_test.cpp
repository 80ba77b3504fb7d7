#include "storage/tail_index.hpp"

#include "tests/storage/world.hpp"

namespace parley::storage {
namespace {

using test::World;

/// A TailIndex with its two transactions.
class Tail {
 public:
  explicit Tail(World& world)
      : commits_(world.shared_files()), log_(world.files().log()), store_(world.files().store()) {}
  Result<void> follow() {
    EXPECT_TRUE(commits_.read());
    const ReadScope log(log_);
    const ReadScope store(store_);
    return index_.follow(commits_, log_, store_);
  }
  std::vector<std::uint64_t> find(ConversationNumber number, std::uint64_t first, std::uint64_t last) {
    EXPECT_TRUE(follow());
    std::vector<std::uint64_t> positions;
    for (const Lsn position : index_.find(number, {first}, {last})) positions.push_back(position.value);
    return positions;
  }
  TailIndex& operator*() { return index_; }
  TailIndex* operator->() { return &index_; }

 private:
  CommitView commits_;
  ReadTransaction log_;
  ReadTransaction store_;
  TailIndex index_;
};

using Positions = std::vector<std::uint64_t>;

TEST(TailIndex, IsEmptyForAnEmptyLog) {
  World world;
  Tail tail(world);
  ASSERT_TRUE(tail.follow());
  EXPECT_EQ(tail->end(), Lsn{0});
  EXPECT_EQ(tail->find("tea"), std::nullopt);
  EXPECT_TRUE(tail.find({1}, 1, 100).empty());
}

TEST(TailIndex, KnowsWhatIsCreatedAndSaid) {
  World world;
  Tail tail(world);
  const auto tea = world.create("tea");
  const auto milk = world.create("milk");
  world.append({world.records().entry(tea, {1}), world.records().entry(milk, {1}), world.records().entry(tea, {2})});
  ASSERT_TRUE(tail.follow());
  EXPECT_EQ(tail->find("tea"), tea);
  EXPECT_EQ(tail->find("milk"), milk);
  EXPECT_EQ(tail->find(tea)->head(), Seq{2});
  EXPECT_EQ(tail->find(tea)->last_ts, test::Records::time_of({2}));
  EXPECT_EQ(tail.find(tea, 1, 9), (Positions{3, 5}));
  EXPECT_EQ(tail.find(tea, 2, 2), (Positions{5}));
  EXPECT_EQ(tail.find(milk, 0, 9), (Positions{4}));
  EXPECT_TRUE(tail.find(tea, 3, 9).empty());
  EXPECT_TRUE(tail.find(tea, 2, 1).empty());
}

TEST(TailIndex, FollowsTheLogAsItGrows) {
  World world;
  Tail tail(world);
  const auto tea = world.create("tea");
  for (std::uint64_t seq = 1; seq <= 30; ++seq) {
    world.say(tea, seq, seq);
    EXPECT_EQ(tail.find(tea, seq, seq), (Positions{seq + 1}));
    EXPECT_EQ(tail->end(), Lsn{seq + 1});
  }
}

TEST(TailIndex, ForgetsWhatIsMaterialisedAtEveryWatermark) {
  World world;
  Tail tail(world);
  const auto tea = world.create("tea");
  world.say(tea, 1, 20);
  for (std::uint64_t mark = 0; mark <= 21; ++mark) {
    EXPECT_EQ(world.watermark(), Lsn{mark});
    ASSERT_TRUE(tail.follow());
    EXPECT_EQ(tail->watermark(), Lsn{mark});
    EXPECT_EQ(tail->find("tea").has_value(), mark < 1);
    EXPECT_EQ(tail.find(tea, 1, 20).size(), mark < 1 ? 20 : 21 - mark);
    Tail fresh(world);
    EXPECT_EQ(fresh.find(tea, 1, 20), tail.find(tea, 1, 20));
    world.materialise(1, true);
  }
  EXPECT_EQ(tail->find(tea), nullptr);
}

TEST(TailIndex, GoesOnFromTheWatermarkWhenTheStoreIsAhead) {
  World world;
  const auto tea = world.create("tea");
  world.say(tea, 1, 20);
  ReadTransaction log(world.files().log());
  const ReadScope old_log(log);
  world.say(tea, 21, 30);
  world.materialise();
  world.say(tea, 31, 35);
  ReadTransaction store(world.files().store());
  const ReadScope new_store(store);
  TailIndex index;
  ASSERT_TRUE(index.follow(CommitView(world.shared_files()), log, store));
  EXPECT_EQ(index.end(), Lsn{31});
  EXPECT_TRUE(index.find(tea, {1}, {99}).empty());
}

TEST(TailIndex, PassesOverSessionsAndCursors) {
  World world;
  Tail tail(world);
  const auto tea = world.create("tea");
  world.append({world.records().session("c", "s"), world.records().cursor("c", "t", {1}),
                world.records().entry(tea, {1}), world.records().session_end("c")});
  EXPECT_EQ(tail.find(tea, 1, 9), (Positions{4}));
  EXPECT_EQ(tail->end(), Lsn{5});
}

}  // namespace
}  // namespace parley::storage
