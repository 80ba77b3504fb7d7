#include "broker/shard/erasures.hpp"

#include <algorithm>

#include "tests/broker/shard/group_scene.hpp"
#include "tests/broker/shard/nodes.hpp"

/// What a user has said, and where it was, goes for good. docs/PROTOCOL.md "Erasing a user".
namespace parley::shard {
namespace {

using State = format::ErasureState;

/// Once the shard leads the user's slot; an operator says it again until then.
void erase(World& world, const std::string& user) {
  world.settle();
  world.shard(world.home(user)).erasures().begin(user);
  world.settle();
}

/// As the user's slot has it; Open also while there is nothing.
State state(World& world, const std::string& user) {
  const Slot slot = slot_of_name(user, world.options().shard);
  for (const StoredErasure& row : world.store().erasures(world.home(user), slot)) {
    if (row.user == user) return row.state;
  }
  return State::Open;
}

bool finish(World& world, const std::string& user) {
  for (int i = 0; i < 300 && state(world, user) != State::Finished; ++i) world.advance(1s);
  return state(world, user) == State::Finished;
}

/// "who: what", or "who -" for what is redacted; messages only.
std::vector<std::string> messages(World& world, const std::string& conversation) {
  std::vector<std::string> list;
  for (const auto& entry : world.store().history(conversation)) {
    if ((*entry)->kind != format::EntryKind::Message) continue;
    list.push_back(std::string((*entry)->from) + ((*entry)->redacted ? " -" : ": " + std::string((*entry)->payload)));
  }
  return list;
}

using Texts = std::vector<std::string>;

TEST(Erasures, RedactMessagesEverywhereAndNobodyElses) {
  World world(1, dev(3));
  auto& ann = enter(world, "ann");
  auto& bob = enter(world, "bob");
  create(world, ann, {"bob"});
  say(world, ann, "chat/tea/msg", "one");
  say(world, bob, "chat/tea/msg", "two");
  command(world, ann, "tea", R"({"op":"edit","seq":3,"text":"one, edited"})");
  say(world, ann, "chat/lobby/msg", "as a guest");
  say(world, bob, "chat/lobby/msg", "welcome");
  say(world, ann, "chat/dm:bob/msg", "psst");
  say(world, bob, "chat/dm:ann/msg", "what?");
  follow(world, bob, "chat/tea/msg");
  erase(world, "ann");
  ASSERT_TRUE(finish(world, "ann"));
  EXPECT_EQ(messages(world, "tea"), (Texts{"ann -", "bob: two"}));
  EXPECT_EQ(messages(world, "lobby"), (Texts{"ann -", "bob: welcome"}));
  EXPECT_EQ(messages(world, "dm:ann:bob"), (Texts{"ann -", "bob: what?"}));
  const auto edit = world.store().history("tea")[4];
  EXPECT_EQ((*edit)->kind, format::EntryKind::Edit);
  EXPECT_TRUE((*edit)->redacted);
  EXPECT_FALSE(bob.seqs("chat/tea/msg").empty()) << "members see the redaction";
  EXPECT_TRUE(world.store().violations().empty());
}

TEST(Erasures, EndMembershipAndLeaveAnOwnerBehind) {
  World world(1, closed(2));
  auto& ann = enter(world, "ann");
  create(world, ann, {"bob", "cat"});
  command(world, ann, "tea", R"({"op":"role","user":"cat","role":"moderator"})");
  world.advance(31s);
  ASSERT_EQ(world.store().user_conversations("ann").size(), 1U);
  erase(world, "ann");
  ASSERT_TRUE(finish(world, "ann"));
  world.advance(31s);
  const auto members = world.store().members("tea");
  EXPECT_FALSE(members.contains("ann"));
  EXPECT_EQ(members.at("cat").role, format::Role::Owner) << "the moderator";
  EXPECT_EQ(members.at("bob").role, format::Role::Member);
  EXPECT_TRUE(world.store().user_conversations("ann").empty());
  EXPECT_EQ(world.store().user_conversations("bob").size(), 1U);
}

TEST(Erasures, EndSessionsAndConnections) {
  World world(1, dev(2));
  auto& ann = join(world, "ann");
  ConnectOptions away = lasting();
  away.user_name = "ann";
  auto& phone = join(world, "phone", away);
  follow(world, phone, "chat/tea/msg");
  phone.drop();
  world.settle();
  auto& bob = join(world, "bob", lasting());
  follow(world, bob, "chat/tea/msg");
  ASSERT_EQ(world.store().sessions().size(), 2U);
  erase(world, "ann");
  ASSERT_TRUE(finish(world, "ann"));
  EXPECT_FALSE(ann.connected());
  EXPECT_TRUE(bob.connected());
  ASSERT_EQ(world.store().sessions().size(), 1U);
  EXPECT_EQ(world.store().sessions().front().user, "bob");
}

TEST(Erasures, OfSomebodyUnknownAreOverAtOnceAndMayComeAgain) {
  World world(1, dev(1));
  erase(world, "ann");
  ASSERT_TRUE(finish(world, "ann"));
  auto& ann = join(world, "ann");
  EXPECT_EQ(say(world, ann, "chat/tea/msg", "I am back").reason(), ReasonCode::Success);
  world.advance(5s);
  EXPECT_EQ(messages(world, "tea"), Texts{"ann: I am back"});
  erase(world, "ann");
  for (int i = 0; i < 60 && state(world, "ann") != State::Open; ++i) world.advance(1s);
  ASSERT_EQ(state(world, "ann"), State::Open);
  ASSERT_TRUE(finish(world, "ann"));
  EXPECT_EQ(messages(world, "tea"), Texts{"ann -"});
}

TEST(Erasures, AreRememberedForAMonth) {
  World world(1, dev(1));
  erase(world, "ann");
  ASSERT_TRUE(finish(world, "ann"));
  world.clock().advance(31 * 24h);
  world.advance(10s);
  std::size_t rows = 0;
  for (std::uint32_t slot = 0; slot < world.options().shard.slots; ++slot) {
    rows += world.store().erasures(0, {slot}).size();
  }
  EXPECT_EQ(rows, 0U);
}

TEST(Erasures, TakeInWhatOtherNodesHave) {
  Nodes nodes(2, dev(2), dev(3));
  auto& ann = enter(nodes, 1, "ann");
  auto& bob = enter(nodes, 0, "bob");
  command(nodes, ann, "tea", R"({"op":"create"})");
  command(nodes, ann, "tea", R"({"op":"add","user":"bob"})");
  say(nodes, ann, "chat/tea/msg", "one");
  say(nodes, bob, "chat/tea/msg", "two");
  // Told to a node that leads nothing; a word that is lost is repeated by whoever asks.
  World& world = nodes.at(1);
  world.shard(world.home("ann")).erasures().begin("ann");
  for (int i = 0; i < 60 && state(nodes.at(0), "ann") != State::Finished; ++i) nodes.advance(1s);
  EXPECT_EQ(state(nodes.at(0), "ann"), State::Finished);
  EXPECT_EQ(messages(nodes.at(0), "tea"), (Texts{"ann -", "bob: two"}));
  EXPECT_FALSE(nodes.at(0).store().members("tea").contains("ann"));
}

// -- Anything, and the broker dies at any time --

void check_history(std::uint64_t seed) {
  WorldOptions options = dev(1 + static_cast<std::uint32_t>(seed % 3));
  options.store_latency = seed % 2 == 0 ? 0ms : 30ms;
  World world(seed, options);
  auto& dice = world.dice();
  const std::vector<std::string> users{"ann", "bob", "cat"};
  const std::vector<std::string> conversations{"tea", "milk", "water", "dm:ann:bob"};
  std::map<std::string, Texts> wanted;
  int number = 0;
  const auto talk = [&](std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) {
      const std::string& user = users[dice.below(users.size())];
      const std::string& conversation = conversations[dice.below(conversations.size())];
      if (conversation.starts_with("dm:") && user == "cat") continue;
      auto& client = world.client(user);
      if (!client.connected()) join(world, user, {.clean_start = true});
      if (!conversation.starts_with("dm:") && dice.one_in(6)) {
        client.publish("chat/" + conversation + "/ctl", R"({"op":"join"})");
      }
      const std::string text = std::to_string(++number);
      say(world, client, "chat/" + conversation + "/msg", text);
      wanted[conversation].push_back(user + ": " + text);
      if (dice.one_in(5)) {
        const auto seq = world.store().conversation(conversation)->head.value;
        client.publish("chat/" + conversation + "/ctl",
                       R"({"op":"edit","seq":)" + std::to_string(seq) + R"(,"text":"edited"})");
        world.settle();
        if (seq == world.store().conversation(conversation)->head.value - 1) {
          wanted[conversation].back() = user + ": edited";
        }
      }
    }
  };
  talk(60);
  // What is said until now is to go.
  for (auto& [conversation, texts] : wanted) {
    for (std::string& text : texts) {
      if (text.starts_with("ann: ")) text = "ann -";
    }
  }
  erase(world, "ann");
  for (int i = 0; i < 12; ++i) {
    world.advance(std::chrono::milliseconds(dice.below(1'500)));
    if (dice.one_in(3)) {
      for (std::size_t steps = dice.below(20); steps > 0; --steps) world.step();
      world.crash();
      world.start();
      world.settle();
    }
    // The operator says it again until it has begun, and it isn't over before everything is.
    if (i == 0 || world.store().erasures(world.home("ann"), slot_of_name("ann", options.shard)).empty()) {
      erase(world, "ann");
    }
  }
  ASSERT_TRUE(finish(world, "ann")) << "seed " << seed;
  for (const auto& [conversation, texts] : wanted) EXPECT_EQ(messages(world, conversation), texts) << "seed " << seed;
  for (const std::string& conversation : conversations) {
    EXPECT_FALSE(world.store().members(conversation).contains("ann")) << "seed " << seed;
  }
  for (const std::string& one : world.store().violations()) ADD_FAILURE() << one << ", seed " << seed;
}

TEST(ErasuresModel, NothingIsLeftWhateverDies) {
  for (std::uint64_t seed = 1; seed <= 40 && !testing::Test::HasFailure(); ++seed) check_history(seed);
}

}  // namespace
}  // namespace parley::shard
