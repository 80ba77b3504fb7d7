#include "broker/cluster/state_values.hpp"

#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "broker/cluster/redis_slots.hpp"
#include "broker/cluster/state_keys.hpp"

namespace parley::cluster {
namespace {

const NodeLease kLease{.node = {0xabc},
                       .name = "node a",
                       .host = "::1",
                       .port = 7000,
                       .incarnation = 99,
                       .version = "0.1.0",
                       .load = 250,
                       .draining = true};
const SlotClaim kClaim{.slot = {7}, .term = {12}, .leader = {0xab}, .replicas = {{0xab}, {0xcd}}};
const SessionLocation kLocation{.generation = 1, .node = {0xab}, .incarnation = 3};
const FilterHint kHint{.node = {0xab}, .from = 3, .to = 4, .added = {"a/+", "x\n+1:y", ""}, .removed = {"-3:#"}};

TEST(StateValues, AreExactlyTheseTexts) {
  EXPECT_EQ(encode(kLease), "1\n0000000000000abc\nnode a\n::1\n7000\n0000000000000063\n0.1.0\n250\ndraining");
  EXPECT_EQ(encode(kClaim), "00000000000000000012 00000000000000ab 00000000000000ab,00000000000000cd");
  EXPECT_EQ(encode(kLocation), "00000000000000000001 00000000000000ab 0000000000000003");
  EXPECT_EQ(encode(kHint), "filters 00000000000000ab 3 4+3:a/++6:x\n+1:y+0:-4:-3:#");
}

TEST(StateValues, ReadBackAsTheyWere) {
  EXPECT_EQ(read_lease(encode(kLease)), kLease);
  EXPECT_EQ(read_claim({7}, encode(kClaim)), kClaim);
  EXPECT_EQ(read_location(encode(kLocation)), kLocation);
  EXPECT_EQ(read_filter_hint(encode(kHint)), kHint);
  const SlotClaim highest{.slot = {7}, .term = {UINT64_MAX}, .leader = {UINT64_MAX}, .replicas = {}};
  EXPECT_EQ(read_claim({7}, encode(highest)), highest);
  const FilterHint empty{.node = {1}, .from = 5, .to = 5, .added = {}, .removed = {}};
  EXPECT_EQ(read_filter_hint(encode(empty)), empty);
  EXPECT_EQ(read_lease(encode(kLease) + "\nfrom a newer version"), kLease);
}

TEST(StateValues, CompareLikeTheirTerms) {
  std::string before;
  for (const std::uint64_t term : {0ULL, 9ULL, 10ULL, 99ULL, 9'999'999'999ULL, 10'000'000'000ULL, ~0ULL}) {
    SlotClaim claim = kClaim;
    claim.term = {term};
    EXPECT_LT(before, encode(claim));
    before = encode(claim);
  }
}

TEST(StateValues, AreNothingWhenCutAnywhere) {
  for (std::size_t size = 0; size < encode(kLease).size(); ++size)
    EXPECT_FALSE(read_lease(encode(kLease).substr(0, size)));
  const std::string location = encode(kLocation);
  for (std::size_t size = 0; size < location.size(); ++size) EXPECT_FALSE(read_location(location.substr(0, size)));
  const std::string claim = encode(kClaim);
  for (std::size_t size = 0; size < claim.size(); ++size) {
    const auto read = read_claim({7}, claim.substr(0, size));
    // A list of replicas that is cut between two of them can't be told from a shorter one.
    EXPECT_EQ(read.has_value(), size == 38 || size == 54) << size;
  }
}

TEST(StateValues, AreNothingWhenTheyAreNonsense) {
  for (const char* text :
       {"", " ", "x", "1 2 3", "00000000000000000001 0000000000000000 ", "0000000000000000000x 00000000000000ab ",
        "00000000000000000001 00000000000000AB x", "99999999999999999999 00000000000000ab "}) {
    EXPECT_FALSE(read_claim({7}, text)) << text;
  }
  for (const char* text : {"filters", "filters 00000000000000ab 1", "filters 00000000000000ab 1 2+5:abc",
                           "filters 00000000000000ab 1 2+:abc", "filters 00000000000000ab 1 2+99999999999999999999:a",
                           "filters 00000000000000ab 1 2+1:abc", "filters 0000000000000000 1 2", "slots", "nodes",
                           "filters 00000000000000ab 1 2+-1:a"}) {
    EXPECT_FALSE(read_filter_hint(text)) << text;
  }
}

TEST(StateKeys, KeepAClusterTogetherAndSpreadItsSessions) {
  const StateKeys keys("chat.example");
  EXPECT_EQ(keys.lease({0xabc}), "parley:{chat.example}:node:0000000000000abc");
  EXPECT_EQ(keys.filters({1}), "parley:{chat.example}:filters:0000000000000001");
  EXPECT_EQ(keys.sessions({17}), "parley:{chat.example.17}:sessions");
  for (const std::string& key : {keys.nodes, keys.mark, keys.slots_version, keys.filter_versions, keys.lease({1}),
                                 keys.filters({1}), keys.filters_next({1})}) {
    EXPECT_EQ(redis_slot(key), redis_slot(keys.slots)) << key;
  }
  EXPECT_NE(redis_slot(keys.sessions({1})), redis_slot(keys.sessions({2})));
}

TEST(StateKeys, LetNoClusterNameMakeAHashTag) {
  EXPECT_EQ(StateKeys("a{b}%").nodes, "parley:{a%7Bb%7D%25}:nodes");
  EXPECT_NE(StateKeys("a%7B").nodes, StateKeys("a{").nodes);
}

TEST(RedisSlot, IsThatOfTheSpecification) {
  EXPECT_EQ(redis_slot("123456789"), 0x31C3 % kRedisSlots);
  EXPECT_EQ(redis_slot("foo"), 12182);
  EXPECT_EQ(redis_slot("{user1000}.following"), redis_slot("user1000"));
  EXPECT_EQ(redis_slot("foo{}{bar}"), redis_slot("foo{}{bar}"));
  EXPECT_NE(redis_slot("foo{}{bar}"), redis_slot("bar"));
  EXPECT_EQ(redis_slot("foo{{bar}}zap"), redis_slot("{bar"));
  EXPECT_EQ(redis_slot("foo{bar}{zap}"), redis_slot("bar"));
  EXPECT_NE(redis_slot("foo{bar"), redis_slot("bar"));
}

RedisReply integer(std::int64_t number) { return {.kind = RedisReply::Kind::Integer, .integer = number}; }
RedisReply text(std::string words) { return {.kind = RedisReply::Kind::Text, .text = std::move(words)}; }
RedisReply array(std::vector<RedisReply> of) { return {.kind = RedisReply::Kind::Array, .elements = std::move(of)}; }
RedisReply error(std::string words) { return {.kind = RedisReply::Kind::Error, .text = std::move(words)}; }

TEST(RedisSlots, ReadWhoHasWhat) {
  const RedisAddress asked{.host = "10.0.0.9", .port = 1};
  const auto reply = array({array({integer(0), integer(12'000), array({text("10.0.0.1"), integer(7000), text("id")})}),
                            array({integer(12'182), integer(12'182), array({text(""), integer(7001), text("id")})})});
  auto slots = RedisSlots::read(reply, asked);
  ASSERT_TRUE(slots);
  EXPECT_EQ(slots->find("parley"), (RedisAddress{"10.0.0.1", 7000})) << redis_slot("parley");
  EXPECT_EQ(slots->find("foo"), (RedisAddress{"10.0.0.9", 7001})) << "an empty host is the one that was asked";
  EXPECT_EQ(slots->find("123456789"), std::nullopt) << "12,739 has no server";
  slots->move(12'739, {.host = "10.0.0.3", .port = 7002});
  EXPECT_EQ(slots->find("123456789"), (RedisAddress{"10.0.0.3", 7002}));
}

TEST(RedisSlots, RefuseRangesThatAreNone) {
  const auto node = array({text("10.0.0.1"), integer(7000)});
  const std::vector<RedisReply> table{
      integer(3),
      error("ERR This instance has cluster support disabled"),
      array({integer(1)}),
      array({array({integer(0), integer(16'384), node})}),
      array({array({integer(-1), integer(5), node})}),
      array({array({integer(0), integer(5)})}),
      array({array({integer(0), integer(5), array({text("10.0.0.1")})})}),
      array({array({integer(0), integer(5), array({text("10.0.0.1"), integer(0)})})}),
      array({array({integer(0), integer(5), array({text("10.0.0.1"), integer(65'536)})})}),
  };
  for (const RedisReply& reply : table) EXPECT_FALSE(RedisSlots::read(reply, {}));
}

TEST(RedisRedirect, NamesWhereToGo) {
  const RedisAddress asked{.host = "10.0.0.9", .port = 1};
  const auto moved = read_redirect(error("MOVED 3999 10.0.0.2:6381"), asked);
  ASSERT_TRUE(moved);
  EXPECT_FALSE(moved->ask);
  EXPECT_EQ(moved->slot, 3999);
  EXPECT_EQ(moved->to, (RedisAddress{"10.0.0.2", 6381}));
  EXPECT_TRUE(read_redirect(error("ASK 1 fe80::1:6381"), asked)->ask);
  EXPECT_EQ(read_redirect(error("ASK 1 fe80::1:6381"), asked)->to.host, "fe80::1");
  EXPECT_EQ(read_redirect(error("MOVED 1 :6381"), asked)->to.host, "10.0.0.9");
  for (const char* words : {"MOVED", "MOVED ", "MOVED 1", "MOVED 16384 a:1", "MOVED x a:1", "MOVED 1 a:0",
                            "MOVED 1 a:x", "MOVED 1 a:70000", "ERR MOVED 1 a:1"}) {
    EXPECT_FALSE(read_redirect(error(words), asked)) << words;
  }
}

}  // namespace
}  // namespace parley::cluster
