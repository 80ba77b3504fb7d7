#include "mqtt/topic.hpp"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "tests/mqtt/notation.hpp"

namespace parley::mqtt {
namespace {

struct FilterCase {
  std::string_view filter;
  bool good;
};

/// MQTT 5 §4.7.1, §4.8.2.
constexpr FilterCase kFilters[] = {
    {"", false},
    {"a", true},
    {"/", true},
    {"//", true},
    {"/a", true},
    {"a/", true},
    {"a b/c", true},
    {"#", true},
    {"/#", true},
    {"a/#", true},
    {"a#", false},
    {"#a", false},
    {"a/#/b", false},
    {"a/b#", false},
    {"##", false},
    {"#/", false},
    {"#/#", false},
    {"a/##", false},
    {"+", true},
    {"+/+", true},
    {"/+", true},
    {"+/", true},
    {"+/a/#", true},
    {"a/+/b", true},
    {"a+", false},
    {"+a", false},
    {"a/+b", false},
    {"++", false},
    {"a/++/b", false},
    {"+#", false},
    {"#+", false},
    {"a/+#", false},
    {"$SYS/#", true},
    {"$SYS/+", true},
    {"$", true},
    {"$share", true},
    {"$share/", false},
    {"$share//", false},
    {"$share/g", false},
    {"$share/g/", false},
    {"$share/g//", true},
    {"$share//a", false},
    {"$share/g/a", true},
    {"$share/g/#", true},
    {"$share/g/+/a", true},
    {"$share/g/a#", false},
    {"$share/g/a/#/b", false},
    {"$share/+/a", false},
    {"$share/#/a", false},
    {"$share/#", false},
    {"$share/g+/a", false},
    {"$share/g#/a", false},
    {"$share/+", false},
    {"$share/g/$SYS/#", true},
    {"$SHARE/g", true},
    {"$shared/a", true},
    {"$share/g/$share/h/a", true},
    {"$since/5/chat/x/msg", true},
    {"$last/5/chat/+/msg", true},
};

TEST(TopicFilter, IsTakenOrRefusedAsTheTableSays) {
  for (const FilterCase& one : kFilters) EXPECT_EQ(is_topic_filter(one.filter), one.good) << one.filter;
}

TEST(TopicFilter, IsWellFormedAndNotTooLong) {
  EXPECT_FALSE(is_topic_filter(bytes("'a' 00")));
  EXPECT_FALSE(is_topic_filter(bytes("'a/' ED A0 80")));
  EXPECT_TRUE(is_topic_filter(std::string(65'535, 'a')));
  EXPECT_FALSE(is_topic_filter(std::string(65'536, 'a')));
}

TEST(TopicFilter, HasAnyNumberOfLevels) {
  const std::string deep(65'535, '/');
  EXPECT_TRUE(is_topic_filter(deep));
  EXPECT_EQ(level_count(deep), 65'536U);
  EXPECT_EQ(level_count("a"), 1U);
  EXPECT_EQ(level_count("a//b"), 3U);
}

TEST(TopicName, HasOneCharacterAtLeastAndNoWildcard) {
  for (const std::string_view good : {"a", "/", "//", "a/b", " ", "$SYS/x", "$share/g/a", "a b"}) {
    EXPECT_TRUE(is_topic_name(good)) << good;
  }
  for (const std::string_view bad : {"", "+", "#", "a/+", "a/#", "a+b", "a#b"}) EXPECT_FALSE(is_topic_name(bad)) << bad;
  EXPECT_FALSE(is_topic_name(std::string_view("a\0b", 3)));
  EXPECT_FALSE(is_topic_name("\xC0\x80"));
  EXPECT_TRUE(is_topic_name(std::string(65'535, 'a')));
  EXPECT_FALSE(is_topic_name(std::string(65'536, 'a')));
}

TEST(SharedFilterParts, AreGroupAndFilter) {
  const auto parts = shared_filter("$share/group/a/+/#");
  ASSERT_TRUE(parts);
  EXPECT_EQ(parts->group, "group");
  EXPECT_EQ(parts->filter, "a/+/#");
  for (const std::string_view none :
       {"", "a", "$share", "$share/", "$share/g", "$share/g/", "$share//a", "a/$share/g/b"}) {
    EXPECT_FALSE(shared_filter(none)) << none;
  }
}

struct MatchCase {
  std::string_view filter;
  std::string_view topic;
  bool matches;
};

/// MQTT 5 §4.7.1.2, §4.7.1.3, §4.7.2.
constexpr MatchCase kMatches[] = {
    {"a", "a", true},           {"a", "b", false},          {"a", "A", false},       {"a", "a/", false},
    {"a", "/a", false},         {"a/b", "a/b", true},       {"a/b", "a", false},     {"a", "a/b", false},
    {"#", "a", true},           {"#", "a/b/c", true},       {"#", "/", true},        {"#", "$SYS", false},
    {"#", "$SYS/x", false},     {"+/x", "$SYS/x", false},   {"+", "$SYS", false},    {"$SYS/#", "$SYS/x", true},
    {"$SYS/#", "$SYS", true},   {"$SYS/+", "$SYS/x", true}, {"$+", "$SYS", false},   {"+/+", "/a", true},
    {"/+", "/a", true},         {"+", "/a", false},         {"+", "", true},         {"+", "a", true},
    {"+", "a/", false},         {"+/", "a/", true},         {"+/+", "a/", true},     {"a/+", "a/b", true},
    {"a/+", "a", false},        {"a/+", "a/", true},        {"a/+", "a/b/c", false}, {"a/#", "a", true},
    {"a/#", "a/", true},        {"a/#", "a/b/c", true},     {"a/#", "ab", false},    {"a/#", "b", false},
    {"a/+/c", "a/b/c", true},   {"a/+/c", "a//c", true},    {"a/+/c", "a/c", false}, {"+/b/#", "a/b", true},
    {"+/b/#", "a/b/c/d", true}, {"+/b/#", "a/c", false},    {"a//b", "a//b", true},  {"a//b", "a/b", false},
    {"a/$x", "a/$x", true},     {"a/+", "a/$x", true},      {"a/#", "a/$x/y", true}, {"/#", "/", true},
    {"/#", "", true},           {"/#", "a", false},
};

TEST(Matching, GoesAsTheTableSays) {
  for (const MatchCase& one : kMatches) {
    EXPECT_EQ(matches(one.filter, one.topic), one.matches) << one.filter << " against " << one.topic;
  }
}

std::vector<std::string_view> split(std::string_view topic) {
  std::vector<std::string_view> levels;
  while (true) {
    const auto slash = topic.find('/');
    levels.push_back(topic.substr(0, slash));
    if (slash == std::string_view::npos) return levels;
    topic.remove_prefix(slash + 1);
  }
}

TEST(Matching, AgreesWithAComparisonLevelByLevel) {
  std::mt19937_64 random(7);
  constexpr std::string_view kLevels[] = {"a", "b", "", "$SYS", "+", "#"};
  const auto path = [&](std::size_t kinds) {
    std::string text;
    const std::size_t count = 1 + random() % 4;
    for (std::size_t i = 0; i < count; ++i) text.append(i == 0 ? "" : "/").append(kLevels[random() % kinds]);
    return text;
  };
  int matching = 0;
  for (int round = 0; round < 100'000; ++round) {
    const std::string filter = path(6);
    const std::string topic = path(4);
    if (topic.empty() || !is_topic_filter(filter)) continue;
    const auto want = split(filter);
    const auto have = split(topic);
    bool expected = !(topic.starts_with('$') && (want[0] == "+" || want[0] == "#"));
    const bool open = want.back() == "#";
    const std::size_t fixed = open ? want.size() - 1 : want.size();
    expected = expected && (open ? have.size() >= fixed : have.size() == fixed);
    for (std::size_t i = 0; expected && i < fixed; ++i) expected = want[i] == "+" || want[i] == have[i];
    ASSERT_EQ(matches(filter, topic), expected) << filter << " against " << topic;
    matching += expected ? 1 : 0;
  }
  EXPECT_GT(matching, 1'000);
}

TEST(TopicLevels, AreTakenOneByOne) {
  for (const std::string_view topic : {"", "/", "a", "a/", "/a", "a//b", "a/b/c"}) {
    Levels levels(topic);
    for (const auto expected : split(topic)) EXPECT_EQ(levels.next(), expected) << topic;
    EXPECT_EQ(levels.next(), std::nullopt) << topic;
    EXPECT_EQ(levels.next(), std::nullopt) << topic;
  }
}

TEST(Wildcards, AreSeen) {
  EXPECT_TRUE(has_wildcard("a/+"));
  EXPECT_TRUE(has_wildcard("#"));
  EXPECT_FALSE(has_wildcard("a/b"));
  EXPECT_FALSE(has_wildcard(""));
}

}  // namespace
}  // namespace parley::mqtt
