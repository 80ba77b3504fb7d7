#include <algorithm>

#include "tests/broker/shard/inbox_scene.hpp"

/// The cursor of a subscription to all conversations, by which another one goes on.
namespace parley::shard {
namespace {

/// The last one that the client was told; empty: none.
std::string token_of(const simulation::Client& client) {
  for (std::size_t i = client.received.size(); i-- > 0;) {
    const auto& one = client.received[i];
    if (one.user("notice") != "cursor") continue;
    const auto begin = one.payload.find("\"cursor\":\"") + 10;
    return one.payload.substr(begin, one.payload.find('"', begin) - begin);
  }
  return "";
}

std::size_t notices(const simulation::Client& client) {
  return static_cast<std::size_t>(
      std::ranges::count_if(client.received, [](const Received& one) { return one.user("notice") == "cursor"; }));
}

class InboxCursors : public testing::TestWithParam<std::uint32_t> {
 protected:
  simulation::Client& told(const std::string& id, const UserProperties& users = {}) {
    auto& client = device(world_, id);
    follow(world_, client, "client/" + id + "/reply");
    EXPECT_EQ(follow(world_, client, kInbox, {.users = users}), ReasonCode::GrantedQos1);
    return client;
  }

  World world_{1, dev(GetParam())};
};
INSTANTIATE_TEST_SUITE_P(Shards, InboxCursors, testing::Values(1U, 3U));

TEST_P(InboxCursors, ResumeEverythingWithOnePacket) {
  auto& ann = owner(world_, "ann");
  for (const auto* name : {"tea", "milk", "beer"}) create(world_, ann, name, {"bob"});
  auto& bob = told("bob.1");
  say(world_, ann, "chat/tea/msg", "one");
  world_.advance(11s);
  const std::string token = token_of(bob);
  ASSERT_FALSE(token.empty());
  bob.disconnect();
  say(world_, ann, "chat/tea/msg", "two");
  say(world_, ann, "chat/milk/msg", "three");
  command(world_, ann, "beer", R"({"op":"remove","user":"bob"})");
  create(world_, ann, "wine", {"bob"});
  world_.crash();
  world_.start();
  auto& other = told("bob.2", {{"cursor", token}});
  auto list = got(other);
  std::ranges::sort(list);
  EXPECT_EQ(list, (Strings{"milk:3", "tea:4", "wine:2"}));
  auto& third = device(world_, "bob.3");
  EXPECT_EQ(follow(world_, third, "$cursor/" + token + "/chat/+/msg"), ReasonCode::GrantedQos1);
  EXPECT_EQ(got(third).size(), 3U);
  auto& cat = device(world_, "cat");
  EXPECT_EQ(follow(world_, cat, kInbox, {.users = {{"cursor", token}}}), ReasonCode::ImplementationSpecificError);
  EXPECT_EQ(cat.answer(PacketType::Suback)->user("error"), "invalid-cursor");
}

TEST_P(InboxCursors, AreToldOnceInAWhile) {
  auto& ann = owner(world_, "ann");
  create(world_, ann, "tea", {"bob"});
  auto& bob = told("bob.1");
  EXPECT_EQ(notices(bob), 1U);
  for (int i = 0; i < 20; ++i) say(world_, ann, "chat/tea/msg", "m");
  EXPECT_EQ(notices(bob), 1U);
  world_.advance(11s);
  EXPECT_EQ(notices(bob), 2U);
  world_.advance(60s);
  EXPECT_EQ(notices(bob), 2U) << "nothing has changed";
  auto& late = told("bob.2", {{"last", "10"}});
  EXPECT_EQ(notices(late), 2U) << "where it began, and when it has caught up";
}

TEST_P(InboxCursors, CountOnlyWhatWasAcknowledged) {
  auto& ann = owner(world_, "ann");
  create(world_, ann, "tea", {"bob"});
  auto& bob = told("bob.1");
  bob.acknowledges = false;
  say(world_, ann, "chat/tea/msg", "one");
  say(world_, ann, "chat/tea/msg", "two");
  bob.acknowledges = true;
  bob.acknowledge(bob.received.back());
  world_.advance(11s);
  const std::string token = token_of(bob);
  auto& other = told("bob.2", {{"cursor", token}});
  EXPECT_EQ(got(other), (Strings{"tea:3", "tea:4"}));
}

TEST(InboxVersions, ThreeOneOneResumesByACursor) {
  World world{1, dev()};
  auto& ann = owner(world, "ann");
  create(world, ann, "tea", {"bob"});
  ConnectOptions old;
  old.version = ProtocolVersion::V3_1_1;
  auto& bob = device(world, "bob.1", old);
  follow(world, bob, "client/bob.1/reply");
  EXPECT_EQ(follow(world, bob, "chat/+/json"), ReasonCode::GrantedQos1);
  const std::string& told = bob.received.back().payload;
  const auto begin = told.find("\"cursor\":\"") + 10;
  ASSERT_TRUE(told.starts_with(R"({"notice":"cursor","filter":"chat/+/json")")) << told;
  const std::string token = told.substr(begin, told.find('"', begin) - begin);
  say(world, ann, "chat/tea/msg", "one");
  say(world, ann, "chat/tea/msg", "two");
  auto& other = device(world, "bob.2", old);
  EXPECT_EQ(follow(world, other, "$cursor/" + token + "/chat/+/json"), ReasonCode::GrantedQos1);
  EXPECT_EQ(other.received.size(), 2U);
  auto& third = device(world, "bob.3", old);
  EXPECT_EQ(follow(world, third, "$since/tea:3/chat/+/json"), ReasonCode::GrantedQos1);
  EXPECT_EQ(third.received.size(), 1U);
  EXPECT_TRUE(mqtt::is_failure(follow(world, third, "$cursor/x/chat/+/json")));
}

}  // namespace
}  // namespace parley::shard
