#include "broker/cluster/formation.hpp"

#include <gtest/gtest.h>

namespace parley::cluster {
namespace {

using namespace std::chrono_literals;
using Sight = Formation::Sight;

const FormationRecord kOwn{.cluster_id = 7, .slots = 256};
const FormationRecord kOther{.cluster_id = 9, .slots = 256};

template <class T>
bool is(const Formation::Step& step) {
  return std::holds_alternative<T>(step);
}

Instant at(Duration time) { return Instant(1h + time); }

TEST(FormationRecord, ReadsBackWhatItWrites) {
  const FormationRecord record{.cluster_id = 0xABC, .slots = 64};
  EXPECT_EQ(encode(record), "1 0000000000000abc 64");
  EXPECT_EQ(read_formation(encode(record)), record);
  for (const char* text : {"", "1", "2 0000000000000abc 64", "1 0000000000000000 64", "1 0000000000000abc 0",
                           "1 0000000000000abc 64 a", "1 0000000000000abc 65537", "1 abc 64 a"}) {
    EXPECT_FALSE(read_formation(text)) << text;
  }
}

TEST(Formation, FormsAfterTwoLeaseTimesWithoutAnybody) {
  Formation formation(kOwn, 3s);
  EXPECT_TRUE(is<Formation::Wait>(formation.next(Sight{}, at(0s))));
  EXPECT_TRUE(is<Formation::Wait>(formation.next(Sight{}, at(5900ms))));
  const auto step = formation.next(Sight{}, at(6s));
  ASSERT_TRUE(is<Formation::Form>(step));
  EXPECT_EQ(std::get<Formation::Form>(step).record, kOwn);
  EXPECT_TRUE(is<Formation::Formed>(formation.next(Sight{.formation = encode(kOwn)}, at(6s))));
}

TEST(Formation, JoinsWhatIsThere) {
  Formation formation(kOwn, 3s);
  const auto step = formation.next(Sight{.formation = encode(kOther)}, at(0s));
  ASSERT_TRUE(is<Formation::Join>(step));
  EXPECT_EQ(std::get<Formation::Join>(step).record, kOther);
}

TEST(Formation, JoinsWhenAnotherWasQuicker) {
  Formation formation(kOwn, 3s);
  formation.next(Sight{}, at(0s));
  EXPECT_TRUE(is<Formation::Form>(formation.next(Sight{}, at(6s))));
  EXPECT_TRUE(is<Formation::Join>(formation.next(Sight{.formation = encode(kOther)}, at(6s))));
}

TEST(Formation, WaitsAsLongAsSomebodyLives) {
  Formation formation(kOwn, 3s);
  formation.next(Sight{}, at(0s));
  EXPECT_TRUE(is<Formation::Wait>(formation.next(Sight{.others_live = true}, at(5s))));
  EXPECT_TRUE(is<Formation::Wait>(formation.next(Sight{}, at(7s))));
  EXPECT_TRUE(is<Formation::Wait>(formation.next(Sight{}, at(12s))));
  EXPECT_TRUE(is<Formation::Form>(formation.next(Sight{}, at(13s))));
}

TEST(Formation, CountsNoTimeInWhichRedisWasAway) {
  Formation formation(kOwn, 3s);
  formation.next(Sight{}, at(0s));
  EXPECT_TRUE(is<Formation::Wait>(formation.next(std::nullopt, at(3s))));
  EXPECT_TRUE(is<Formation::Wait>(formation.next(Sight{}, at(7s))));
  EXPECT_TRUE(is<Formation::Form>(formation.next(Sight{}, at(13s))));
}

TEST(Formation, RefusesAnotherNumberOfSlots) {
  Formation formation(kOwn, 3s);
  FormationRecord record = kOther;
  record.slots = 64;
  const auto step = formation.next(Sight{.formation = encode(record)}, at(0s));
  ASSERT_TRUE(is<Formation::Refuse>(step));
  EXPECT_EQ(std::get<Formation::Refuse>(step).sentence, "cluster.slots is 256, but the cluster was formed with 64");
  EXPECT_TRUE(is<Formation::Refuse>(formation.next(Sight{.formation = "2 from the future"}, at(1s))));
}

}  // namespace
}  // namespace parley::cluster
