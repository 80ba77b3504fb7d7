#include "broker/shard/session_claims.hpp"

#include "tests/broker/shard/nodes.hpp"

namespace parley::shard {
namespace {

using Texts = std::vector<std::string>;

const simulation::Answer* disconnect_of(const simulation::Client& client) {
  return client.answer(PacketType::Disconnect);
}

/// Two connections of one client id, each to a node of its own.
struct Device {
  simulation::Client& here;
  simulation::Client& there;
};
Device device(Nodes& nodes, std::size_t here, std::size_t there) {
  return {nodes.at(here).client("phone"), nodes.at(there).client("phone")};
}

void connect(Nodes& nodes, simulation::Client& client, const ConnectOptions& options) {
  client.connect(options);
  nodes.advance(200ms);
  ASSERT_TRUE(client.connected());
  ASSERT_NE(client.connack(), nullptr);
  EXPECT_EQ(client.connack()->reason(), ReasonCode::Success);
}

TEST(SessionClaims, TakeAClientOverFromItsOldNode) {
  for (const auto& [from, to] : {std::pair(0, 1), std::pair(1, 0), std::pair(1, 2)}) {
    for (const std::uint32_t expiry : {0U, 3600U}) {
      Nodes nodes(3, dev(2), dev(3));
      const auto phone = device(nodes, static_cast<std::size_t>(from), static_cast<std::size_t>(to));
      connect(nodes, phone.here, lasting(false, expiry));
      connect(nodes, phone.there, lasting(false, expiry));
      EXPECT_FALSE(phone.here.connected()) << from << " to " << to << ", expiry " << expiry;
      ASSERT_NE(disconnect_of(phone.here), nullptr);
      EXPECT_EQ(disconnect_of(phone.here)->reason(), ReasonCode::SessionTakenOver);
      EXPECT_EQ(phone.there.connack()->session_present, expiry != 0);
    }
  }
}

TEST(SessionClaims, GoOnWithTheCursorOnAnotherNode) {
  for (const auto& [from, to] : {std::pair(0, 1), std::pair(1, 0), std::pair(1, 2)}) {
    Nodes nodes(3, dev(2), dev(3));
    auto& alice = join(nodes, 0, "alice");
    const auto phone = device(nodes, static_cast<std::size_t>(from), static_cast<std::size_t>(to));
    connect(nodes, phone.here, lasting());
    EXPECT_EQ(follow(nodes, phone.here, "chat/room/msg"), ReasonCode::GrantedQos1);
    for (int i = 1; i <= 3; ++i) say(nodes, alice, "chat/room/msg", "m" + std::to_string(i));
    phone.here.drop();
    nodes.settle();
    for (int i = 4; i <= 6; ++i) say(nodes, alice, "chat/room/msg", "m" + std::to_string(i));
    connect(nodes, phone.there, lasting());
    EXPECT_TRUE(phone.there.connack()->session_present);
    EXPECT_EQ(phone.here.payloads(), (Texts{"m1", "m2", "m3"}));
    EXPECT_EQ(phone.there.payloads(), (Texts{"m4", "m5", "m6"})) << from << " to " << to;
    say(nodes, alice, "chat/room/msg", "m7");
    EXPECT_EQ(phone.there.payloads().back(), "m7");
    // And back again.
    connect(nodes, phone.here, lasting());
    EXPECT_TRUE(phone.here.connack()->session_present);
    say(nodes, alice, "chat/room/msg", "m8");
    EXPECT_EQ(phone.here.payloads(), (Texts{"m1", "m2", "m3", "m8"}));
    EXPECT_FALSE(phone.there.connected());
  }
}

TEST(SessionClaims, TakeAlongWhatWaitsOnOrdinaryTopics) {
  for (const auto& [from, to] : {std::pair(0, 1), std::pair(1, 0), std::pair(1, 2)}) {
    for (const Qos qos : {Qos::AtLeastOnce, Qos::ExactlyOnce}) {
      Nodes nodes(3, dev(2), dev(3));
      auto& alice = join(nodes, 0, "alice");
      const auto phone = device(nodes, static_cast<std::size_t>(from), static_cast<std::size_t>(to));
      connect(nodes, phone.here, lasting());
      follow(nodes, phone.here, "a/b", {.qos = qos});
      follow(nodes, phone.here, "$share/g/c", {.qos = qos});
      phone.here.drop();
      nodes.settle();
      Texts sent;
      for (int i = 0; i < 10; ++i) {
        sent.push_back("m" + std::to_string(i));
        say(nodes, alice, i % 2 == 0 ? "a/b" : "c", sent.back(), {.qos = qos});
      }
      connect(nodes, phone.there, lasting());
      EXPECT_EQ(phone.there.payloads(), sent) << from << " to " << to;
      EXPECT_TRUE(phone.here.payloads().empty());
      nodes.advance(3s);
      for (const int node : {from, to}) {
        for (const auto& [key, value] : nodes.at(static_cast<std::size_t>(node)).store().plain()) {
          EXPECT_EQ(key.first, PlainTable::Queues) << "nothing is left behind";
        }
      }
      // And back again, with nothing.
      connect(nodes, phone.here, lasting());
      EXPECT_TRUE(phone.here.payloads().empty());
    }
  }
}

/// QoS 2 goes on where it was: a client that has the message answers the same packet id.
TEST(SessionClaims, GoOnWithQosTwoOnAnotherNode) {
  Nodes nodes(2);
  auto& alice = join(nodes, 0, "alice");
  const auto phone = device(nodes, 0, 1);
  connect(nodes, phone.here, lasting());
  follow(nodes, phone.here, "a", {.qos = Qos::ExactlyOnce});
  phone.here.acknowledges = false;
  say(nodes, alice, "a", "once", {.qos = Qos::ExactlyOnce});
  ASSERT_EQ(phone.here.received.size(), 1U);
  phone.there.acknowledges = false;
  connect(nodes, phone.there, lasting());
  ASSERT_EQ(phone.there.received.size(), 1U);
  EXPECT_TRUE(phone.there.received[0].dup);
  EXPECT_EQ(phone.there.received[0].packet_id, phone.here.received[0].packet_id);
  EXPECT_EQ(phone.there.received[0].payload, "once");
}

TEST(SessionClaims, TakePlainSubscriptionsAlong) {
  Nodes nodes(3);
  auto& alice = join(nodes, 0, "alice");
  const auto phone = device(nodes, 1, 2);
  connect(nodes, phone.here, lasting());
  follow(nodes, phone.here, "news/#");
  connect(nodes, phone.there, lasting());
  say(nodes, alice, "news/today", "x");
  EXPECT_EQ(phone.there.payloads(), Texts{"x"});
  EXPECT_TRUE(phone.here.payloads().empty());
}

TEST(SessionClaims, TakeASessionFromANodeThatIsGone) {
  Nodes nodes(3);
  auto& alice = join(nodes, 0, "alice");
  const auto phone = device(nodes, 1, 2);
  connect(nodes, phone.here, lasting());
  follow(nodes, phone.here, "chat/room/msg");
  say(nodes, alice, "chat/room/msg", "m1");
  nodes.advance(2s);  // The cursor is written.
  nodes.disconnect(0, 1);
  nodes.disconnect(1, 2);
  nodes.settle();
  say(nodes, alice, "chat/room/msg", "m2");
  connect(nodes, phone.there, lasting());
  EXPECT_TRUE(phone.there.connack()->session_present);
  EXPECT_EQ(phone.there.payloads(), Texts{"m2"});
  // The old node is back: what it still has is void.
  EXPECT_TRUE(phone.here.connected());
  nodes.connect(0, 1);
  nodes.connect(1, 2);
  nodes.settle();
  say(nodes, alice, "chat/room/msg", "m3");
  nodes.advance(3s);
  EXPECT_FALSE(phone.here.connected()) << "its next write is refused";
  say(nodes, alice, "chat/room/msg", "m4");
  EXPECT_EQ(phone.there.payloads(), (Texts{"m2", "m3", "m4"}));
}

TEST(SessionClaims, BeginAnewWithCleanStart) {
  Nodes nodes(3);
  const auto phone = device(nodes, 1, 2);
  connect(nodes, phone.here, lasting());
  follow(nodes, phone.here, "chat/room/msg");
  connect(nodes, phone.there, lasting(true));
  EXPECT_FALSE(phone.there.connack()->session_present);
  EXPECT_FALSE(phone.here.connected());
  connect(nodes, phone.here, lasting());
  EXPECT_TRUE(phone.here.connack()->session_present);
  auto& alice = join(nodes, 0, "alice");
  say(nodes, alice, "chat/room/msg", "m1");
  EXPECT_TRUE(phone.here.payloads().empty()) << "the subscription went with the old session";
}

TEST(SessionClaims, RefuseAnotherUsersSession) {
  Nodes nodes(2);
  auto& mine = nodes.at(0).client("phone");
  auto options = lasting();
  options.user_name = "ann";
  connect(nodes, mine, options);
  auto& other = nodes.at(1).client("phone");
  options.user_name = "bob";
  other.connect(options);
  nodes.advance(1s);
  ASSERT_NE(other.connack(), nullptr);
  EXPECT_EQ(other.connack()->reason(), ReasonCode::ClientIdentifierNotValid);
  EXPECT_TRUE(mine.connected());
}

TEST(SessionClaims, RefuseWhileNobodyLeads) {
  Nodes nodes(2);
  nodes.disconnect(0, 1);
  nodes.settle();
  auto& phone = nodes.at(1).client("phone");
  phone.connect(lasting());
  nodes.advance(5s);
  ASSERT_NE(phone.connack(), nullptr);
  EXPECT_EQ(phone.connack()->reason(), ReasonCode::ServerUnavailable);
}

TEST(SessionClaims, AskBeforeTheNodeHasMetAnyOther) {
  Nodes nodes(3);
  const auto phone = device(nodes, 1, 2);
  connect(nodes, phone.here, lasting());
  nodes.disconnect(0, 2);
  nodes.disconnect(1, 2);
  nodes.at(2).crash();
  nodes.at(2).start();
  phone.there.connect(lasting());
  nodes.advance(5s);
  ASSERT_NE(phone.there.connack(), nullptr);
  EXPECT_EQ(phone.there.connack()->reason(), ReasonCode::ServerUnavailable);
  EXPECT_TRUE(phone.here.connected());
  nodes.connect(0, 2);
  nodes.connect(1, 2);
  connect(nodes, phone.there, lasting());
  EXPECT_TRUE(phone.there.connack()->session_present);
}

TEST(SessionClaims, BeginNothingAnewWhileTheSessionCantBeRead) {
  Nodes nodes(3);
  const auto phone = device(nodes, 1, 2);
  connect(nodes, phone.here, lasting());
  nodes.at(0).store().fail_reads(true);
  phone.there.connect(lasting());
  nodes.advance(5s);
  ASSERT_NE(phone.there.connack(), nullptr);
  EXPECT_EQ(phone.there.connack()->reason(), ReasonCode::ServerUnavailable);
  nodes.at(0).store().fail_reads(false);
  connect(nodes, phone.there, lasting());
  EXPECT_TRUE(phone.there.connack()->session_present);
}

TEST(SessionClaims, WaitWhileTheLeaderCantBeReached) {
  Nodes nodes(3);
  const auto phone = device(nodes, 1, 2);
  connect(nodes, phone.here, lasting());
  nodes.disconnect(0, 2);
  phone.there.connect(lasting());
  nodes.advance(1s);
  EXPECT_EQ(phone.there.connack(), nullptr);
  nodes.connect(0, 2);
  nodes.advance(1s);
  ASSERT_NE(phone.there.connack(), nullptr);
  EXPECT_TRUE(phone.there.connack()->session_present);
}

TEST(SessionClaims, TakeNothingForAConnectionThatIsGone) {
  Nodes nodes(3);
  const auto phone = device(nodes, 1, 2);
  connect(nodes, phone.here, lasting());
  nodes.disconnect(0, 2);
  phone.there.connect(lasting());
  nodes.advance(500ms);
  phone.there.drop();
  nodes.advance(200ms);
  nodes.connect(0, 2);
  nodes.advance(1s);
  EXPECT_TRUE(phone.here.connected()) << "the client went on here";
}

TEST(SessionClaims, ForgetSessionsThatEndWithTheirConnection) {
  Nodes nodes(3);
  const auto phone = device(nodes, 1, 2);
  connect(nodes, phone.here, {});
  phone.here.disconnect();
  nodes.advance(1s);
  // Nobody has to be asked to yield, so this needs no time.
  nodes.disconnect(1, 2);
  phone.there.connect({});
  nodes.settle();
  ASSERT_NE(phone.there.connack(), nullptr);
  EXPECT_EQ(phone.there.connack()->reason(), ReasonCode::Success);
}

TEST(SessionClaims, SurviveAConnectionThatBreaksAtAnyStep) {
  for (int broken_at = 0; broken_at < 10; ++broken_at) {
    Nodes nodes(3);
    auto& alice = join(nodes, 0, "alice");
    const auto phone = device(nodes, 1, 2);
    connect(nodes, phone.here, lasting());
    follow(nodes, phone.here, "chat/room/msg");
    say(nodes, alice, "chat/room/msg", "m1");
    phone.there.connect(lasting());
    for (int i = 0; i < 10; ++i) {
      if (i == broken_at) nodes.disconnect(0, broken_at % 2 == 0 ? 1 : 2);
      if (i == broken_at + 2) nodes.connect(0, broken_at % 2 == 0 ? 1 : 2);
      nodes.step();
    }
    nodes.connect(0, 1);
    nodes.connect(0, 2);
    nodes.advance(4s);
    ASSERT_NE(phone.there.connack(), nullptr) << broken_at;
    EXPECT_EQ(phone.there.connack()->reason(), ReasonCode::Success) << broken_at;
    EXPECT_TRUE(phone.there.connack()->session_present) << broken_at;
    EXPECT_FALSE(phone.here.connected()) << broken_at;
    say(nodes, alice, "chat/room/msg", "m2");
    EXPECT_EQ(phone.there.payloads().back(), "m2") << broken_at;
  }
}

TEST(SessionClaims, ManyAtOnceEndWithOneConnection) {
  Nodes nodes(3, dev(2), dev(2));
  for (int round = 0; round < 4; ++round) {
    for (std::size_t i = 0; i < 3; ++i) nodes.at(i).client("phone").connect(lasting());
    nodes.advance(3s);
    int connected = 0;
    for (std::size_t i = 0; i < 3; ++i) connected += nodes.at(i).client("phone").connected() ? 1 : 0;
    EXPECT_EQ(connected, 1) << round;
  }
}

}  // namespace
}  // namespace parley::shard
