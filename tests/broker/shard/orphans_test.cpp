#include "broker/shard/orphans.hpp"

#include "tests/broker/shard/nodes.hpp"

/// What becomes of the wills and sessions of nodes that have died. The first node leads all slots.
namespace parley::shard {
namespace {

using Texts = std::vector<std::string>;

ConnectOptions with_will(std::uint32_t delay, std::uint32_t expiry, const std::string& topic = "chat/room/msg") {
  ConnectOptions options = lasting(false, expiry);
  options.will = {.topic = topic, .payload = "gone", .qos = Qos::AtLeastOnce, .delay = delay};
  return options;
}

void connect(Nodes& nodes, simulation::Client& client, const ConnectOptions& options) {
  client.connect(options);
  nodes.advance(200ms);
  ASSERT_TRUE(client.connected());
  ASSERT_NE(client.connack(), nullptr);
  EXPECT_EQ(client.connack()->reason(), ReasonCode::Success);
}

struct OrphansTest : testing::Test {
  Nodes nodes{3, dev(2), dev(2)};
  simulation::Client& watcher = join(nodes, 0, "watcher");
  simulation::Client& phone = nodes.at(1).client("phone");
  OrphansTest() {
    follow(nodes, watcher, "chat/room/msg");
    follow(nodes, watcher, "wills");
  }
  std::size_t stored() { return nodes.at(0).store().sessions().size(); }
};

TEST_F(OrphansTest, HaveTheirWillsPublishedOnce) {
  for (const std::uint32_t expiry : {0U, 3600U}) {
    for (const char* topic : {"chat/room/msg", "wills"}) {
      watcher.received.clear();
      connect(nodes, phone, with_will(0, expiry, topic));
      nodes.crash(1);
      nodes.advance(500ms);
      EXPECT_TRUE(watcher.received.empty()) << "the node may be back";
      nodes.advance(1s);
      EXPECT_EQ(watcher.payloads(), Texts{"gone"}) << topic << ", expiry " << expiry;
      EXPECT_EQ(stored(), expiry == 0 ? 0U : 1U);
      nodes.start(1);
      nodes.advance(10s);
      EXPECT_EQ(watcher.payloads(), Texts{"gone"}) << topic << ", expiry " << expiry;
    }
  }
}

TEST_F(OrphansTest, HaveNoWillAfterDisconnect) {
  for (const std::uint32_t expiry : {0U, 3600U}) {
    connect(nodes, phone, with_will(0, expiry));
    phone.disconnect();
    nodes.settle();
    nodes.crash(1);
    nodes.advance(5s);
    EXPECT_TRUE(watcher.received.empty()) << expiry;
    nodes.start(1);
    nodes.settle();
  }
}

TEST_F(OrphansTest, WaitForTheDelay) {
  connect(nodes, phone, with_will(5, 3600));
  nodes.crash(1);
  nodes.advance(4s);
  EXPECT_TRUE(watcher.received.empty());
  nodes.advance(2s);
  EXPECT_EQ(watcher.payloads(), Texts{"gone"});
}

TEST_F(OrphansTest, HaveTheirWillPublishedWithTheEndOfTheSession) {
  connect(nodes, phone, with_will(100, 5));
  nodes.crash(1);
  nodes.advance(4s);
  EXPECT_TRUE(watcher.received.empty());
  nodes.advance(2s);
  EXPECT_EQ(watcher.payloads(), Texts{"gone"});
  EXPECT_EQ(stored(), 0U);
}

TEST_F(OrphansTest, AreNoneWhenTheClientComesBackElsewhere) {
  connect(nodes, phone, with_will(5, 3600));
  nodes.crash(1);
  nodes.advance(2s);
  auto& there = nodes.at(2).client("phone");
  connect(nodes, there, lasting());
  EXPECT_TRUE(there.connack()->session_present);
  nodes.advance(60s);
  EXPECT_TRUE(watcher.received.empty());
  EXPECT_EQ(nodes.at(0).shard(0).orphans().size() + nodes.at(0).shard(1).orphans().size(), 0U);
}

/// Before the leader has done anything.
TEST_F(OrphansTest, HaveTheirWillPublishedByTheNextNodeOfTheClient) {
  for (const std::uint32_t expiry : {0U, 3600U}) {
    watcher.received.clear();
    connect(nodes, phone, with_will(0, expiry));
    nodes.crash(1);
    nodes.advance(200ms);
    auto& there = nodes.at(2).client("phone");
    connect(nodes, there, lasting(false, expiry));
    EXPECT_EQ(there.connack()->session_present, expiry != 0);
    nodes.advance(10s);
    EXPECT_EQ(watcher.payloads(), Texts{"gone"}) << expiry;
    there.disconnect();
    nodes.start(1);
    nodes.settle();
  }
}

TEST_F(OrphansTest, ExpireAfterTheDeathOfTheirNode) {
  connect(nodes, phone, lasting(false, 10));
  auto& absent = nodes.at(1).client("absent");
  connect(nodes, absent, lasting(false, 10));
  absent.drop();
  nodes.advance(5s);
  ASSERT_EQ(stored(), 2U);
  nodes.crash(1);
  nodes.advance(6s);
  EXPECT_EQ(stored(), 1U) << "it had left before";
  nodes.advance(5s);
  EXPECT_EQ(stored(), 0U);
  auto& there = nodes.at(2).client("phone");
  connect(nodes, there, lasting());
  EXPECT_FALSE(there.connack()->session_present);
}

TEST_F(OrphansTest, AreLeftAloneWhenTheirNodeWasOnlyCutOff) {
  connect(nodes, phone, with_will(0, 3));
  nodes.disconnect(0, 1);
  nodes.advance(500ms);
  nodes.connect(0, 1);
  nodes.advance(10s);
  EXPECT_TRUE(watcher.received.empty());
  EXPECT_TRUE(phone.connected());
  EXPECT_EQ(stored(), 1U);
}

/// The leader has been started anew meanwhile, and sees the node for the first time.
TEST_F(OrphansTest, AreLeftAloneWhenTheLeaderOnlyCameLater) {
  connect(nodes, phone, with_will(0, 3));
  nodes.crash(0);
  nodes.start(0, {1});
  nodes.advance(500ms);
  EXPECT_TRUE(nodes.at(0).store().history("room").empty()) << "a link that is broken is no death";
  nodes.connect(0, 1);
  nodes.advance(10s);
  EXPECT_TRUE(nodes.at(0).store().history("room").empty());
  EXPECT_TRUE(phone.connected());
  EXPECT_EQ(stored(), 1U);
  phone.drop();
  nodes.advance(1s);
  EXPECT_EQ(nodes.at(0).store().history("room").size(), 1U);
}

/// It is as if it had died; and what it still says of them is refused.
TEST_F(OrphansTest, EndWhenTheirNodeIsCutOffForLong) {
  connect(nodes, phone, with_will(0, 3));
  nodes.disconnect(0, 1);
  nodes.disconnect(1, 2);
  nodes.advance(5s);
  EXPECT_EQ(watcher.payloads(), Texts{"gone"});
  EXPECT_EQ(stored(), 0U);
  nodes.connect(0, 1);
  nodes.connect(1, 2);
  nodes.settle();
  phone.subscribe("a/b");
  nodes.advance(3s);
  EXPECT_FALSE(phone.connected());
  EXPECT_EQ(watcher.payloads(), Texts{"gone"});
  EXPECT_EQ(stored(), 0U);
}

/// The node that leads has died itself.
TEST_F(OrphansTest, AreALeadersOwnAfterItsStart) {
  auto& here = nodes.at(0).client("here");
  connect(nodes, here, with_will(0, 0));
  auto& later = nodes.at(0).client("later");
  connect(nodes, later, with_will(5, 10));
  auto& back = nodes.at(0).client("back");
  connect(nodes, back, with_will(5, 10));
  nodes.crash(0);
  nodes.start(0);
  nodes.advance(3s);
  EXPECT_EQ(nodes.at(0).store().history("room").size(), 1U);
  EXPECT_EQ(stored(), 2U);
  connect(nodes, back, lasting());
  EXPECT_TRUE(back.connack()->session_present);
  nodes.advance(4s);
  EXPECT_EQ(nodes.at(0).store().history("room").size(), 2U);
  nodes.advance(6s);
  EXPECT_EQ(stored(), 1U);
  EXPECT_EQ(nodes.at(0).shard(0).clients().size() + nodes.at(0).shard(1).clients().size(), 1U);
  EXPECT_EQ(nodes.at(0).store().history("room").size(), 2U);
}

TEST_F(OrphansTest, AreSettledWhenWillsCantBePublishedAtOnce) {
  connect(nodes, phone, with_will(0, 3600));
  nodes.crash(1);
  nodes.at(0).store().fail_with(StorageError::DiskFull);
  nodes.advance(4s);
  EXPECT_TRUE(watcher.received.empty());
  nodes.at(0).store().heal();
  nodes.advance(3s);
  EXPECT_EQ(watcher.payloads(), Texts{"gone"});
}

TEST_F(OrphansTest, AreFoundWhenReadingHasFailedBefore) {
  connect(nodes, phone, with_will(0, 3600));
  nodes.at(0).store().fail_reads(true);
  nodes.crash(1);
  nodes.advance(3s);
  nodes.at(0).store().fail_reads(false);
  nodes.advance(5s);
  EXPECT_EQ(watcher.payloads(), Texts{"gone"});
}

/// While a node doesn't know of wills in records, none is written.
TEST_F(OrphansTest, HaveWillsOnceAllNodesKnowOfThem) {
  nodes.disconnect(0, 2);
  nodes.disconnect(1, 2);
  nodes.speak(2, 1);
  nodes.connect(0, 2);
  nodes.connect(1, 2);
  nodes.settle();
  connect(nodes, phone, with_will(0, 0));
  EXPECT_EQ(stored(), 0U);
  nodes.disconnect(0, 2);
  nodes.disconnect(1, 2);
  nodes.speak(2, 2);
  nodes.connect(0, 2);
  nodes.connect(1, 2);
  nodes.settle();
  EXPECT_EQ(stored(), 1U) << "of those that were connected, too";
  nodes.crash(1);
  nodes.advance(3s);
  EXPECT_EQ(watcher.payloads(), Texts{"gone"});
}

TEST_F(OrphansTest, TellANodeThatKnowsNoWillsOfNone) {
  connect(nodes, phone, with_will(0, 3600));
  nodes.disconnect(0, 2);
  nodes.speak(2, 1);
  nodes.connect(0, 2);
  nodes.crash(1);
  nodes.advance(200ms);
  auto& there = nodes.at(2).client("phone");
  connect(nodes, there, lasting());
  EXPECT_TRUE(there.connack()->session_present);
  nodes.advance(5s);
  EXPECT_EQ(watcher.payloads(), Texts{"gone"});
}

}  // namespace
}  // namespace parley::shard
