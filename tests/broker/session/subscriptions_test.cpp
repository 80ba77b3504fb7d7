#include <gtest/gtest.h>

#include <map>
#include <random>
#include <string>

#include "broker/session/session.hpp"

namespace parley::session {
namespace {

const Limits kLimits;

TEST(SessionSubscriptions, AreFoundAddedAndRemovedHoweverManyThereAre) {
  Counters counters;
  auto session = std::make_unique<Session>("c", "u", 1, kLimits, &counters);
  std::map<std::string, std::uint32_t> expected;
  std::mt19937 random(7);
  for (int i = 0; i < 20'000; ++i) {
    // It grows to some hundreds, and falls to nothing at the end.
    const std::string filter = (random() % 4 == 0 ? "$share/g/" : "f/") + std::to_string(random() % 300);
    if (i > 15'000 || random() % 3 == 0) {
      EXPECT_EQ(session->remove_subscription(filter), expected.erase(filter) != 0) << filter;
    } else {
      EXPECT_EQ(session->add_subscription({filter, {}, static_cast<std::uint32_t>(i)}),
                expected.insert_or_assign(filter, i).second)
          << filter;
    }
    const auto* found = session->find_subscription(filter);
    ASSERT_EQ(found != nullptr, expected.contains(filter));
    if (found != nullptr) {
      EXPECT_EQ(found->subscription_id, expected.at(filter));
    }
    ASSERT_EQ(session->subscriptions().size(), expected.size());
  }
  for (const auto& [filter, id] : expected) EXPECT_EQ(session->find_subscription(filter)->subscription_id, id);
  Totals totals;
  totals += counters;
  EXPECT_EQ(totals[Metric::Subscriptions], expected.size());
  auto restored = Session::decode_state("c", "u", 2, 60, session->encode_state(), kLimits, &counters);
  ASSERT_TRUE(restored);
  EXPECT_EQ((*restored)->subscriptions().size(), expected.size());
  restored->reset();
  session.reset();
  totals = {};
  totals += counters;
  EXPECT_EQ(totals[Metric::Subscriptions], 0U);
  EXPECT_EQ(totals[Metric::SharedSubscriptions], 0U);
}

}  // namespace
}  // namespace parley::session
