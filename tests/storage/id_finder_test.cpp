#include "storage/id_finder.hpp"

#include "tests/storage/world.hpp"

namespace parley::storage {
namespace {

using test::must;
using test::World;

TEST(IdFinder, FindsWhatIsMaterialised) {
  World world;
  const auto tea = world.create("tea");
  const auto milk = world.create("milk");
  world.say(tea, 1, 3);
  IdFinder finder(world.shared_files());
  EXPECT_FALSE(must(finder.find(tea, "ann", "id2")));
  world.materialise();
  const auto use = must(finder.find(tea, "ann", "id2"));
  ASSERT_TRUE(use);
  EXPECT_EQ(use->seq, Seq{2});
  EXPECT_EQ(use->ts, test::Records::time_of({2}));
  EXPECT_EQ(use->kind, format::EntryKind::Message);
  EXPECT_FALSE(must(finder.find(tea, "bob", "id2")));
  EXPECT_FALSE(must(finder.find(tea, "ann", "id4")));
  EXPECT_FALSE(must(finder.find(milk, "ann", "id2")));
  EXPECT_FALSE(must(finder.find({99}, "ann", "id2")));
}

TEST(IdFinder, PassesOverIdsThatTheBrokerMadeUp) {
  World world;
  const auto tea = world.create("tea");
  world.append({format::encode_record(
      {test::kSlot, {1}, {9}},
      format::EntryRecord{.conversation = tea, .seq = {1}, .ts = {5}, .from = "ann", .id = "made"})});
  world.materialise();
  EXPECT_FALSE(must(IdFinder(world.shared_files()).find(tea, "ann", "made")));
}

TEST(IdFinder, AsksTheEntryWhenHashesMeet) {
  World world;
  const auto tea = world.create("tea");
  world.say(tea, 1, 2);
  world.materialise();
  // As if the hash of "stranger" were that of id 1.
  const auto hash = format::id_hash(world.files().hash_key(), "ann", "stranger");
  std::string row;
  append_big_endian(row, std::uint64_t{1});
  append_big_endian(row, std::uint64_t{10});
  world.overwrite(world.files().store(), kIds, format::id_key(tea, 0, hash), row);
  EXPECT_FALSE(must(IdFinder(world.shared_files()).find(tea, "ann", "stranger")));
}

TEST(IdFinder, BelievesTheHashOfADamagedEntry) {
  World world;
  const auto tea = world.create("tea");
  world.say(tea, 1, 2);
  world.materialise();
  world.damage(world.files().store(), kEntries, format::entry_key(tea, {1}));
  EXPECT_EQ(must(IdFinder(world.shared_files()).find(tea, "ann", "id1"))->seq, Seq{1});
}

}  // namespace
}  // namespace parley::storage
