#include "broker/routing/shared_groups.hpp"

#include <gtest/gtest.h>

#include <map>
#include <vector>

namespace parley::routing {
namespace {

using mqtt::Qos;

std::vector<SubscriberId> chosen(SharedGroups& groups, std::string_view topic,
                                 const std::vector<SubscriberId>& away = {}) {
  std::vector<SubscriberId> list;
  for (const SubscriberId member : away) groups.set_ready("g", topic, member, false);
  groups.match(topic, [&](const SharedGroups::Member& member, const SharedGroups::Name& name) {
    EXPECT_TRUE(name->starts_with("$share/"));
    list.push_back(member.subscriber);
  });
  for (const SubscriberId member : away) groups.set_ready("g", topic, member, true);
  return list;
}

using List = std::vector<SubscriberId>;

TEST(SharedGroups, GiveEachMessageToOneMemberInTurn) {
  SharedGroups groups;
  EXPECT_TRUE(groups.empty());
  EXPECT_TRUE(groups.add("g", "a/+", {.subscriber = 1}));
  EXPECT_FALSE(groups.add("g", "a/+", {.subscriber = 2}));
  EXPECT_FALSE(groups.add("g", "a/+", {.subscriber = 3}));
  EXPECT_FALSE(groups.empty());
  std::map<SubscriberId, int> counts;
  for (int i = 0; i < 300; ++i) {
    const auto list = chosen(groups, "a/b");
    ASSERT_EQ(list.size(), 1U);
    ++counts[list[0]];
  }
  EXPECT_EQ(counts, (std::map<SubscriberId, int>{{1, 100}, {2, 100}, {3, 100}}));
  EXPECT_TRUE(chosen(groups, "b/b").empty());
}

TEST(SharedGroups, PreferMembersThatAreReady) {
  SharedGroups groups;
  for (const SubscriberId member : {1U, 2U, 3U}) groups.add("g", "a", {.subscriber = member});
  EXPECT_EQ(chosen(groups, "a", {1}), List{2});
  EXPECT_EQ(chosen(groups, "a", {1}), List{3});
  EXPECT_EQ(chosen(groups, "a", {1}), List{2});
  EXPECT_EQ(chosen(groups, "a", {2, 3}), List{1});
  // With nobody ready it is simply the next one's.
  EXPECT_EQ(chosen(groups, "a", {1, 2, 3}), List{2});
  EXPECT_EQ(chosen(groups, "a", {1, 2, 3}), List{3});
}

TEST(SharedGroups, AreServedOneByOneWhereSeveralMatch) {
  SharedGroups groups;
  groups.add("g", "a/b", {.subscriber = 1});
  groups.add("h", "a/b", {.subscriber = 1});
  groups.add("g", "a/#", {.subscriber = 2});
  auto list = chosen(groups, "a/b");
  std::sort(list.begin(), list.end());
  EXPECT_EQ(list, (List{1, 1, 2}));
}

TEST(SharedGroups, GoWithTheirLastMember) {
  SharedGroups groups;
  groups.add("g", "a", {.subscriber = 1});
  groups.add("g", "a", {.subscriber = 2});
  EXPECT_FALSE(groups.remove("g", "a", 3));
  EXPECT_FALSE(groups.remove("h", "a", 1));
  EXPECT_FALSE(groups.remove("g", "b", 1));
  EXPECT_FALSE(groups.remove("g", "a", 1));
  EXPECT_EQ(chosen(groups, "a"), List{2});
  EXPECT_TRUE(groups.remove("g", "a", 2));
  EXPECT_TRUE(groups.empty());
  EXPECT_TRUE(chosen(groups, "a").empty());
  EXPECT_FALSE(groups.remove("g", "a", 2));
  EXPECT_TRUE(groups.add("g", "a", {.subscriber = 4}));
  EXPECT_EQ(chosen(groups, "a"), List{4});
}

TEST(SharedGroups, RememberTheLatestOptionsOfAMember) {
  SharedGroups groups;
  groups.add("g", "a", {.subscriber = 1, .options = {.qos = Qos::AtMostOnce}, .subscription_id = 1});
  groups.add("g", "a", {.subscriber = 1, .options = {.qos = Qos::ExactlyOnce}, .subscription_id = 2});
  int taken = 0;
  groups.match("a", [&](const SharedGroups::Member& member, const SharedGroups::Name& name) {
    ++taken;
    EXPECT_EQ(*name, "$share/g/a");
    EXPECT_EQ(member.options.qos, Qos::ExactlyOnce);
    EXPECT_EQ(member.subscription_id, 2U);
  });
  EXPECT_EQ(taken, 1);
}

TEST(SharedGroups, ChooseForOneGroupAlone) {
  SharedGroups groups;
  EXPECT_EQ(groups.choose("g", "a"), nullptr);
  groups.add("g", "a", {.subscriber = 1, .ready = false});
  groups.add("g", "a", {.subscriber = 2});
  groups.add("h", "a", {.subscriber = 3});
  for (int i = 0; i < 3; ++i) EXPECT_EQ(groups.choose("g", "a")->subscriber, 2U);
  groups.set_ready("g", "a", 2, false);
  groups.set_ready("g", "a", 1, true);
  EXPECT_EQ(groups.choose("g", "a")->subscriber, 1U);
}

TEST(SharedGroups, GoOnAfterMembersLeave) {
  SharedGroups groups;
  for (SubscriberId member = 1; member <= 5; ++member) groups.add("g", "a", {.subscriber = member});
  for (int i = 0; i < 5; ++i) chosen(groups, "a");
  for (SubscriberId member = 1; member <= 4; ++member) {
    groups.remove("g", "a", member);
    EXPECT_EQ(chosen(groups, "a").size(), 1U);
  }
  EXPECT_EQ(chosen(groups, "a"), List{5});
}

}  // namespace
}  // namespace parley::routing
