#include "broker/shard/client_views.hpp"

#include "tests/broker/shard/nodes.hpp"
#include "tests/broker/shard/scene.hpp"

/// docs/SECURITY.md "Who is connected".
namespace parley::shard {
namespace {

using Found = std::optional<ClientViews::Found>;

std::string ids(const std::vector<ClientView>& views) {
  std::string text;
  for (const ClientView& view : views) text.append(text.empty() ? "" : " ").append(view.client_id);
  return text;
}

ConnectOptions as(const std::string& user) {
  ConnectOptions options;
  options.user_name = user;
  return options;
}

class ClientViewsTest : public testing::Test {
 protected:
  /// What find() says, once the world has come to rest; nothing: it says nothing.
  std::optional<Found> find(const std::string& client_id, const ClientOrder& order = {}) {
    std::optional<Found> answer;
    world.shard(0).client_views().find(client_id, order, [&](Found found) { answer = std::move(found); });
    world.settle();
    return answer;
  }
  World world{1, dev(1)};
  ClientViews& views = world.shard(0).client_views();
};

TEST_F(ClientViewsTest, ListClientsInPages) {
  for (const char* id : {"d", "a", "c1", "b", "c2"}) join(world, id);
  EXPECT_EQ(ids(views.list({.limit = 10})), "a b c1 c2 d");
  EXPECT_EQ(ids(views.list({.limit = 2})), "a b");
  EXPECT_EQ(ids(views.list({.after = "b", .limit = 2})), "c1 c2");
  EXPECT_EQ(ids(views.list({.after = "c2", .limit = 2})), "d");
  EXPECT_EQ(ids(views.list({.after = "d", .limit = 2})), "");
  EXPECT_EQ(ids(views.list({.prefix = "c", .limit = 2})), "c1 c2");
  EXPECT_EQ(ids(views.list({.prefix = "c", .limit = 1})), "c1");
  EXPECT_EQ(ids(views.list({.limit = 0})), "");
}

TEST_F(ClientViewsTest, ListWhoIsConnectedUnlessAskedForOthers) {
  join(world, "here");
  join(world, "away", lasting()).disconnect();
  world.settle();
  EXPECT_EQ(ids(views.list({.limit = 10})), "here");
  EXPECT_EQ(ids(views.list({.limit = 10, .absent = true})), "away here");
}

TEST_F(ClientViewsTest, ListTheClientsOfAUser) {
  join(world, "a1", as("ann"));
  join(world, "b1", as("bob"));
  join(world, "a2", as("ann"));
  EXPECT_EQ(ids(views.list({.user = "ann", .limit = 10})), "a1 a2");
  EXPECT_EQ(ids(views.list({.user = "nobody", .limit = 10})), "");
}

TEST_F(ClientViewsTest, ShowAClient) {
  ConnectOptions options = lasting();
  options.receive_maximum = 1;
  options.user_name = "ann";
  auto& phone = join(world, "phone", options);
  follow(world, phone, "a");
  follow(world, phone, "b/#");
  phone.acknowledges = false;
  auto& other = join(world, "other");
  for (int i = 0; i < 3; ++i) say(world, other, "a", "x");
  world.advance(90s);
  const auto found = find("phone");
  ASSERT_TRUE(found && *found);
  const ClientView& view = (**found).view;
  EXPECT_EQ(view.user, "ann");
  EXPECT_TRUE(view.connected);
  EXPECT_TRUE(view.address.starts_with("wire:"));
  EXPECT_EQ(view.version, 5U);
  EXPECT_EQ(view.seconds, 90U);
  EXPECT_EQ(view.subscriptions, 2U);
  EXPECT_EQ(view.under_way, 1U);
  EXPECT_EQ(view.queued, 2U);
  EXPECT_EQ(view.expiry, 3'600U);
  phone.drop();
  world.settle();
  const auto absent = find("phone");
  ASSERT_TRUE(absent && *absent);
  EXPECT_FALSE((**absent).view.connected);
  EXPECT_EQ((**absent).view.address, "");
  const auto nobody = find("nobody");
  ASSERT_TRUE(nobody);
  EXPECT_FALSE(*nobody);
}

TEST_F(ClientViewsTest, KickAClient) {
  auto& phone = join(world, "phone", lasting());
  const auto found = find("phone", {.kick = true, .reason = "too loud"});
  ASSERT_TRUE(found && *found);
  EXPECT_FALSE(phone.connected());
  const auto* goodbye = phone.answer(PacketType::Disconnect);
  ASSERT_NE(goodbye, nullptr);
  EXPECT_EQ(goodbye->reason(), ReasonCode::AdministrativeAction);
  EXPECT_EQ(goodbye->text, "too loud");
  join(world, "phone", lasting());  // Its session is still there, and it may come again.
  EXPECT_TRUE(phone.connack()->session_present);
  (void)find("phone", {.kick = true, .reason = std::string(1'000, 'x')});
  EXPECT_EQ(phone.answer(PacketType::Disconnect)->text, "");
  auto& old = world.client("old");
  old.connect({.version = ProtocolVersion::V3_1_1});
  world.settle();
  (void)find("old", {.kick = true});
  EXPECT_FALSE(old.connected());
  EXPECT_EQ(old.answer(PacketType::Disconnect), nullptr);
}

TEST(ClientViewsOfNodes, FindAndKickAClientWhereverItIs) {
  Nodes nodes(3);
  auto& phone = nodes.at(2).client("phone");
  phone.connect(lasting());
  nodes.settle();
  ASSERT_TRUE(phone.connected());
  for (const bool kick : {false, true}) {
    std::optional<Found> answer;
    nodes.at(1).shard(0).client_views().find("phone", {.kick = kick, .reason = "go"},
                                             [&](Found found) { answer = std::move(found); });
    nodes.settle();
    ASSERT_TRUE(answer && *answer);
    EXPECT_EQ((**answer).node, NodeId{3});
    EXPECT_EQ((**answer).view.client_id, "phone");
    EXPECT_TRUE((**answer).view.connected);
    EXPECT_EQ(phone.connected(), !kick);
  }
  EXPECT_EQ(phone.answer(PacketType::Disconnect)->text, "go");
}

TEST(ClientViewsOfNodes, SayThatThereIsNoneOnceAllHaveAnsweredOrGone) {
  Nodes nodes(3);
  std::optional<Found> answer;
  const auto ask = [&] {
    answer.reset();
    nodes.at(1).shard(0).client_views().find("nobody", {}, [&](Found found) { answer = std::move(found); });
  };
  ask();
  nodes.settle();
  ASSERT_TRUE(answer);
  EXPECT_FALSE(*answer);
  ask();
  nodes.disconnect(0, 1);
  nodes.disconnect(1, 2);
  nodes.settle();
  ASSERT_TRUE(answer);
  EXPECT_FALSE(*answer);
}

}  // namespace
}  // namespace parley::shard
