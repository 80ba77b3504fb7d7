#include "broker/routing/subscription_tree.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <optional>
#include <set>

#include "mqtt/topic.hpp"
#include "tests/broker/routing/topics.hpp"

namespace parley::routing {
namespace {

using mqtt::Qos;

std::vector<std::uint32_t> ids_of(const Matches& matches, const Match& match) {
  std::vector<std::uint32_t> ids;
  if (match.subscription_id != 0) ids.push_back(match.subscription_id);
  ids.insert(ids.end(), matches.more_ids.begin() + match.more_begin, matches.more_ids.begin() + match.more_end);
  std::sort(ids.begin(), ids.end());
  return ids;
}

TEST(SubscriptionTree, IsEmptyAtFirst) {
  const SubscriptionTree tree;
  Matches matches;
  tree.match("a", matches);
  EXPECT_TRUE(matches.list.empty());
  EXPECT_TRUE(tree.empty());
  EXPECT_FALSE(tree.has_match("a"));
}

TEST(SubscriptionTree, ReplacesASubscriptionToTheSameFilter) {
  SubscriptionTree tree;
  for (const std::string_view filter : {"a", "a/+", "#"}) {
    EXPECT_TRUE(tree.add(filter, 1, {.qos = Qos::AtMostOnce}, 5));
    EXPECT_FALSE(tree.add(filter, 1, {.qos = Qos::ExactlyOnce}, 6));
    Matches matches;
    tree.match(filter == "a/+" ? "a/b" : "a", matches);
    ASSERT_EQ(matches.list.size(), 1U);
    EXPECT_EQ(matches.list[0].options.qos, Qos::ExactlyOnce);
    EXPECT_EQ(ids_of(matches, matches.list[0]), std::vector<std::uint32_t>{6});
    EXPECT_TRUE(tree.remove(filter, 1));
    EXPECT_TRUE(tree.empty());
  }
}

TEST(SubscriptionTree, RemovesOnlyWhatIsThere) {
  SubscriptionTree tree;
  tree.add("a/+/c", 1, {}, 0);
  tree.add("a", 1, {}, 0);
  for (const std::string_view filter : {"a/+", "a/+/c/d", "a/+/+", "b", "#", "a/b"})
    EXPECT_FALSE(tree.remove(filter, 1)) << filter;
  EXPECT_FALSE(tree.remove("a/+/c", 2));
  EXPECT_FALSE(tree.remove("a", 2));
  EXPECT_EQ(tree.size(), 2U);
}

TEST(SubscriptionTree, BranchesWithinLevelsThatWereOneBranch) {
  struct Case {
    std::string_view description;
    std::vector<std::string_view> filters;  ///< In order of their coming; the n-th is subscriber n's.
    std::vector<std::pair<std::string_view, std::vector<SubscriberId>>> topics;
  };
  const std::vector<Case> cases{
      {"one branches off in the middle",
       {"a/b/+/d/#", "a/b/c/+"},
       {{"a/b/c/d", {0, 1}}, {"a/b/c/d/e", {0}}, {"a/b/c", {}}, {"a/b/x/d", {0}}, {"a/b/c/x", {1}}}},
      {"one ends in the middle", {"a/+/c/d", "a/+"}, {{"a/x/c/d", {0}}, {"a/x", {1}}, {"a/x/c", {}}}},
      {"one goes on", {"a/+", "a/+/c/+"}, {{"a/b", {0}}, {"a/b/c/d", {1}}, {"a/b/c", {}}}},
      {"a level begins like another", {"a/+/bc/d", "a/+/b/d"}, {{"a/x/bc/d", {0}}, {"a/x/b/d", {1}}, {"a/x/b", {}}}},
      {"# within the tail matches the level above", {"a/b/c/#"}, {{"a/b/c", {0}}, {"a/b/c/", {0}}, {"a/b", {}}}},
      {"# branches off", {"a/+/c", "a/#"}, {{"a", {1}}, {"a/b", {1}}, {"a/b/c", {0, 1}}}},
      {"empty levels", {"a//+/", "a//+"}, {{"a//x/", {0}}, {"a//x", {1}}, {"a/x/", {}}, {"a//", {1}}, {"a///", {0}}}},
      {"system topics", {"$SYS/a/+/b", "+/a/+/b", "#"}, {{"$SYS/a/x/b", {0}}, {"x/a/x/b", {1, 2}}}},
  };
  for (const Case& one : cases) {
    std::vector<std::size_t> order(one.filters.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    do {
      SubscriptionTree tree;
      std::set<SubscriberId> there;
      const auto check = [&] {
        for (const auto& [topic, wanted] : one.topics) {
          Matches matches;
          tree.match(topic, matches);
          std::vector<SubscriberId> got;
          for (const Match& match : matches.list) got.push_back(match.subscriber);
          std::ranges::sort(got);
          std::vector<SubscriberId> expected;
          std::ranges::copy_if(wanted, std::back_inserter(expected), [&](auto id) { return there.contains(id); });
          EXPECT_EQ(got, expected) << one.description << ": " << topic;
        }
      };
      for (const auto at : order) {
        EXPECT_TRUE(tree.add(one.filters[at], static_cast<SubscriberId>(at), {}, 0));
        there.insert(static_cast<SubscriberId>(at));
        check();
      }
      for (const auto at : order) {
        EXPECT_TRUE(tree.remove(one.filters[at], static_cast<SubscriberId>(at)));
        there.erase(static_cast<SubscriberId>(at));
        check();
      }
      EXPECT_TRUE(tree.empty());
    } while (std::ranges::next_permutation(order).found);
  }
}

TEST(SubscriptionTree, BringsOverlappingSubscriptionsTogether) {
  SubscriptionTree tree;  // [MQTT-3.3.4-2], [MQTT-3.3.4-4]
  tree.add("a/b", 1, {.qos = Qos::AtMostOnce, .no_local = true, .retain_as_published = true}, 3);
  tree.add("a/+", 1, {.qos = Qos::ExactlyOnce, .no_local = true}, 0);
  tree.add("a/#", 1, {.qos = Qos::AtLeastOnce, .no_local = false}, 9);
  tree.add("#", 1, {}, 300);
  tree.add("+/b", 2, {.qos = Qos::AtLeastOnce, .no_local = true}, 0);
  tree.add("a/b", 2, {.no_local = true}, 4);
  tree.add("a/b", 3, {}, 0);
  Matches matches;
  tree.match("a/b", matches);
  ASSERT_EQ(matches.list.size(), 3U);
  EXPECT_EQ(matches.list[0].subscriber, 1U);
  EXPECT_EQ(matches.list[0].options.qos, Qos::ExactlyOnce);
  EXPECT_FALSE(matches.list[0].options.no_local);
  EXPECT_TRUE(matches.list[0].options.retain_as_published);
  EXPECT_EQ(ids_of(matches, matches.list[0]), (std::vector<std::uint32_t>{3, 9, 300}));
  EXPECT_EQ(matches.list[1].options.qos, Qos::AtLeastOnce);
  EXPECT_TRUE(matches.list[1].options.no_local);
  EXPECT_EQ(ids_of(matches, matches.list[1]), std::vector<std::uint32_t>{4});
  EXPECT_EQ(ids_of(matches, matches.list[2]), std::vector<std::uint32_t>{});
}

TEST(SubscriptionTree, ClearsWhatAnEarlierMatchLeft) {
  SubscriptionTree tree;
  tree.add("a", 1, {}, 1);
  tree.add("#", 1, {}, 2);
  Matches matches;
  tree.match("a", matches);
  tree.match("b", matches);
  ASSERT_EQ(matches.list.size(), 1U);
  EXPECT_EQ(ids_of(matches, matches.list[0]), std::vector<std::uint32_t>{2});
  EXPECT_TRUE(matches.more_ids.empty());
}

TEST(SubscriptionTree, HoldsTheDeepestFilterThereMayBe) {
  SubscriptionTree tree;
  std::string filter;
  for (std::size_t i = 1; i < mqtt::kFilterLevelsMax; ++i) filter += "+/";
  filter += "#";
  ASSERT_TRUE(mqtt::is_topic_filter(filter));
  tree.add(filter, 1, {}, 0);
  EXPECT_TRUE(tree.has_match(std::string(65'535, '/')));
  EXPECT_FALSE(tree.has_match("a"));
  EXPECT_TRUE(tree.remove(filter, 1));
}

TEST(SubscriptionTree, TakesNoDeeperFilterThanItWalks) {
  SubscriptionTree tree;
  std::string filter;
  for (std::size_t i = 0; i < mqtt::kFilterLevelsMax; ++i) filter += "+/";
  filter += "#";
  EXPECT_FALSE(tree.add(filter, 1, {}, 0));
  EXPECT_FALSE(tree.has_match(std::string(65'535, '/')));
  EXPECT_FALSE(tree.remove(filter, 1));
  const std::string exact(65'535, '/');
  EXPECT_TRUE(tree.add(exact, 1, {}, 0));
  EXPECT_TRUE(tree.has_match(exact));
  EXPECT_TRUE(tree.remove(exact, 1));
}

/// One subscriber's filters as a list that is searched from end to end.
struct Naive {
  struct Value {
    mqtt::SubscriptionOptions options;
    std::uint32_t id;
  };
  std::map<std::pair<std::string, SubscriberId>, Value> all;

  struct Wanted {
    Qos qos = Qos::AtMostOnce;
    bool no_local = true;
    bool retain_as_published = false;
    std::multiset<std::uint32_t> ids;
  };
  [[nodiscard]] std::map<SubscriberId, Wanted> match(std::string_view topic, SubscriberId publisher) const {
    std::map<SubscriberId, Wanted> wanted;
    for (const auto& [key, value] : all) {
      if (!mqtt::matches(key.first, topic) || (value.options.no_local && key.second == publisher)) continue;
      Wanted& one = wanted[key.second];
      one.qos = std::max(one.qos, value.options.qos);
      one.no_local = one.no_local && value.options.no_local;
      one.retain_as_published = one.retain_as_published || value.options.retain_as_published;
      if (value.id != 0) one.ids.insert(value.id);
    }
    return wanted;
  }
};

constexpr SubscriberId kNobody = 99;

void expect_same(const SubscriptionTree& tree, const Naive& naive, std::string_view topic, Matches& matches,
                 SubscriberId publisher = kNobody) {
  const auto wanted = naive.match(topic, publisher);
  tree.match(topic, matches, [&](SubscriberId subscriber) { return subscriber == publisher; });
  ASSERT_EQ(matches.list.size(), wanted.size()) << topic;
  ASSERT_EQ(tree.has_match(topic), !naive.match(topic, kNobody).empty()) << topic;
  for (const Match& match : matches.list) {
    const auto found = wanted.find(match.subscriber);
    ASSERT_NE(found, wanted.end()) << topic;
    EXPECT_EQ(match.options.qos, found->second.qos);
    EXPECT_EQ(match.options.no_local, found->second.no_local);
    EXPECT_EQ(match.options.retain_as_published, found->second.retain_as_published);
    const auto ids = ids_of(matches, match);
    EXPECT_EQ(std::multiset<std::uint32_t>(ids.begin(), ids.end()), found->second.ids);
  }
}

TEST(SubscriptionTree, AgreesWithAListOfFilters) {
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    Topics topics(seed);
    SubscriptionTree tree;
    Naive naive;
    Matches matches;
    for (int step = 0; step < 200; ++step) {
      const std::string filter = topics.filter();
      const auto subscriber = static_cast<SubscriberId>(topics.below(5));
      if (topics.below(3) != 0) {
        const mqtt::SubscriptionOptions options{.qos = static_cast<Qos>(topics.below(3)),
                                                .no_local = topics.below(2) == 0,
                                                .retain_as_published = topics.below(2) == 0};
        const auto id = static_cast<std::uint32_t>(topics.below(4));
        const bool added = naive.all.insert_or_assign({filter, subscriber}, Naive::Value{options, id}).second;
        ASSERT_EQ(tree.add(filter, subscriber, options, id), added);
      } else {
        ASSERT_EQ(tree.remove(filter, subscriber), naive.all.erase({filter, subscriber}) != 0);
      }
      ASSERT_EQ(tree.size(), naive.all.size());
      expect_same(tree, naive, topics.topic(), matches, step % 2 == 0 ? kNobody : subscriber);
      if (HasFatalFailure()) FAIL() << "seed " << seed;
    }
    while (!naive.all.empty()) {
      const auto [filter, subscriber] = naive.all.begin()->first;
      naive.all.erase(naive.all.begin());
      ASSERT_TRUE(tree.remove(filter, subscriber));
      expect_same(tree, naive, topics.topic(), matches);
    }
    ASSERT_TRUE(tree.empty());
    ASSERT_EQ(tree.size(), 0U);
  }
}

}  // namespace
}  // namespace parley::routing
