#include <gtest/gtest.h>

#include <map>
#include <random>

#include "broker/session/connection.hpp"
#include "broker/session/inbound_ids.hpp"
#include "broker/session/outbound_flow.hpp"

namespace parley::session {
namespace {

TEST(InboundIds, AgreeWithAMap) {
  std::mt19937_64 random(3);
  InboundIds ids;
  std::map<mqtt::PacketId, InboundIds::State> naive;
  for (int step = 0; step < 50'000; ++step) {
    const auto id = static_cast<mqtt::PacketId>(1 + random() % 100 * 655);
    if (random() % 2 == 0) {
      const auto state = random() % 2 == 0 ? InboundIds::State::Pending : InboundIds::State::Received;
      ids.set(id, state);
      naive[id] = state;
    } else {
      ids.erase(id);
      naive.erase(id);
    }
    const auto probe = static_cast<mqtt::PacketId>(1 + random() % 100 * 655);
    const auto found = naive.find(probe);
    ASSERT_EQ(ids.state(probe), found == naive.end() ? InboundIds::State::Unknown : found->second);
    ASSERT_EQ(ids.size(), naive.size());
    ASSERT_EQ(ids.items().size(), naive.size());
  }
}

TEST(OutboundFlow, FindsEachMessageByItsPacketId) {
  std::mt19937_64 random(5);
  OutboundFlow flow;
  std::uint64_t first = 0;  // How many have left.
  std::uint64_t next = 0;
  for (int step = 0; step < 400'000; ++step) {
    if (flow.size() < 300 && random() % 2 == 0) {
      flow.push({.seq = {next++}});
      ASSERT_EQ(flow.id_at(flow.size() - 1), (next - 1) % 65'535 + 1);
    } else if (!flow.empty()) {
      ASSERT_EQ(flow[0].seq.value, first);
      flow.pop();
      ++first;
    }
    ASSERT_EQ(flow.size(), next - first);
    if (flow.empty()) {
      ASSERT_EQ(flow.find(1), std::nullopt);
      continue;
    }
    const std::size_t place = random() % flow.size();
    ASSERT_EQ(flow.find(flow.id_at(place)), place);
    ASSERT_EQ(flow[place].seq.value, first + place);
    ASSERT_EQ(flow.find(static_cast<mqtt::PacketId>((first + 65'535 - 1) % 65'535 + 1)), std::nullopt);
    ASSERT_EQ(flow.find(0), std::nullopt);
  }
  EXPECT_GT(first, 65'535U * 2);
}

TEST(OutboundAliases, AreWithinTheirCountAndKnownOnceSet) {
  for (const unsigned wanted : {1U, 2U, 16U, 65'535U}) {
    const auto count = static_cast<std::uint16_t>(wanted);
    OutboundAliases aliases(count);
    for (int i = 0; i < 200; ++i) {
      const std::string topic = "topic/" + std::to_string(i);
      const auto alias = aliases.find(topic);
      EXPECT_GE(alias.number, 1);
      EXPECT_LE(alias.number, count);
      EXPECT_FALSE(alias.known);
      aliases.set(alias, topic);
      EXPECT_TRUE(aliases.find(topic).known);
      EXPECT_EQ(aliases.find(topic).number, alias.number);
    }
  }
}

/// So that as many topics as there are aliases each keep theirs. MQTT 5 §3.3.2.3.4
TEST(OutboundAliases, AreGivenInOrderUntilAllAreTaken) {
  OutboundAliases aliases(16);
  const auto topic = [](int i) { return "topic/" + std::to_string(i); };
  for (int i = 1; i <= 16; ++i) {
    const auto alias = aliases.find(topic(i));
    EXPECT_EQ(alias.number, i);
    EXPECT_EQ(aliases.find(topic(i)).number, i) << "what wasn't sent takes no place";
    aliases.set(alias, topic(i));
  }
  for (int i = 1; i <= 16; ++i) {
    EXPECT_TRUE(aliases.find(topic(i)).known);
    EXPECT_EQ(aliases.find(topic(i)).number, i);
  }
  const auto taken = aliases.find("further");
  aliases.set(taken, "further");
  EXPECT_FALSE(aliases.find(topic(taken.number)).known);
}

}  // namespace
}  // namespace parley::session
