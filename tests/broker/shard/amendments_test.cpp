#include "broker/shard/amendments.hpp"

#include "tests/broker/shard/group_scene.hpp"

/// Edits and redactions over MQTT. docs/PROTOCOL.md "Edits and redactions".
namespace parley::shard {
namespace {

/// The refusal's word, or "ok", or "unchanged".
std::string outcome(World& world, simulation::Client& client, const std::string& conversation,
                    const std::string& json) {
  const std::string answer = command(world, client, conversation, json);
  return has(answer, "\"changed\":false") ? "unchanged" : word_of(answer);
}

std::string edit(std::uint64_t seq, const std::string& text) {
  return R"({"op":"edit","seq":)" + std::to_string(seq) + R"(,"text":")" + text + "\"}";
}
std::string redact(std::uint64_t seq) { return R"({"op":"redact","seq":)" + std::to_string(seq) + "}"; }

std::vector<std::string> payloads(const simulation::Client& client, const std::string& topic) {
  std::vector<std::string> list;
  for (const Received& one : client.received) {
    if (one.topic == topic) list.push_back(one.payload);
  }
  return list;
}

/// "seq[ kind][ >ref][ edited][ redacted] payload" of what came on `topic`.
std::vector<std::string> described(const simulation::Client& client, const std::string& topic) {
  std::vector<std::string> list;
  for (const Received& one : client.received) {
    if (one.topic != topic) continue;
    std::string text = one.user("seq");
    if (!one.user("kind").empty()) text += ' ' + one.user("kind") + '>' + one.user("ref");
    if (one.user("edited") == "1") text += " edited";
    if (one.user("redacted") == "1") text += " redacted";
    list.push_back(text + ' ' + one.payload);
  }
  return list;
}

class AmendmentVersions : public BothVersions {};
INSTANTIATE_TEST_SUITE_P(Amendments, AmendmentVersions, testing::Values(ProtocolVersion::V5, ProtocolVersion::V3_1_1));

TEST_P(AmendmentVersions, AreEntriesThatLiveMembersSee) {
  World world(1, dev(2));
  auto& ann = enter(world, "ann", as());
  auto& bob = enter(world, "bob", as());
  follow(world, bob, "chat/tea/json");
  say(world, ann, "chat/tea/msg", "helo");
  EXPECT_EQ(outcome(world, ann, "tea", edit(1, "hello")), "ok");
  EXPECT_EQ(outcome(world, ann, "tea", redact(1)), "ok");
  const auto seen = payloads(bob, "chat/tea/json");
  ASSERT_EQ(seen.size(), 3U);
  EXPECT_NE(seen[0].find(R"("kind":"message","text":"helo"})"), std::string::npos) << seen[0];
  EXPECT_NE(seen[1].find(R"("kind":"edit","text":"hello","ref":1})"), std::string::npos) << seen[1];
  EXPECT_NE(seen[2].find(R"("kind":"redact","ref":1})"), std::string::npos) << seen[2];
}

TEST_P(AmendmentVersions, ReplaysShowWhatAMessageHasBecome) {
  World world(1, dev(2));
  auto& ann = enter(world, "ann", as());
  say(world, ann, "chat/tea/msg", "helo");
  say(world, ann, "chat/tea/msg", "secret");
  EXPECT_EQ(outcome(world, ann, "tea", edit(1, "hello")), "ok");
  EXPECT_EQ(outcome(world, ann, "tea", edit(2, "secret, too")), "ok");
  EXPECT_EQ(outcome(world, ann, "tea", redact(2)), "ok");
  for (const bool restarted : {false, true}) {
    if (restarted) {
      world.crash();
      world.start();
    }
    auto& bob = enter(world, restarted ? "bob2" : "bob", as());
    follow(world, bob, "$since/0/chat/tea/json");
    const auto seen = payloads(bob, "chat/tea/json");
    ASSERT_EQ(seen.size(), 5U);
    EXPECT_NE(seen[0].find(R"("kind":"message","text":"hello","edited":true})"), std::string::npos) << seen[0];
    EXPECT_NE(seen[1].find(R"("kind":"message","redacted":true})"), std::string::npos) << seen[1];
    EXPECT_NE(seen[2].find(R"("kind":"edit","text":"hello","ref":1})"), std::string::npos) << seen[2];
    EXPECT_NE(seen[3].find(R"("kind":"edit","ref":2,"redacted":true})"), std::string::npos) << seen[3];
    bob.publish("chat/tea/history", "{}");
    world.settle();
    const auto page = payloads(bob, restarted ? "client/bob2/reply" : "client/bob/reply");
    ASSERT_EQ(page.size(), 6U);
    for (const std::string& one : page) EXPECT_EQ(one.find("secret"), std::string::npos) << one;
  }
}

TEST_P(AmendmentVersions, AreRefusedWithAWord) {
  WorldOptions options = dev();
  options.shard.message_size_max = 1'000;
  World world(1, options);
  auto& ann = enter(world, "ann", as());
  auto& bob = enter(world, "bob", as());
  say(world, ann, "chat/tea/msg", "one");                           // 1
  say(world, bob, "chat/tea/msg", "two");                           // 2
  EXPECT_EQ(outcome(world, ann, "tea", edit(1, "uno")), "ok");      // 3
  say(world, ann, "chat/tea/msg", "gone");                          // 4
  EXPECT_EQ(outcome(world, ann, "tea", redact(4)), "ok");           // 5
  EXPECT_EQ(outcome(world, bob, "tea", R"({"op":"join"})"), "ok");  // 6
  const std::vector<std::pair<std::string, std::string>> cases{
      {R"({"op":"edit","text":"x"})", "invalid-argument"},
      {R"({"op":"edit","seq":1})", "invalid-argument"},
      {R"({"op":"edit","seq":1,"text":"x","data":"eA=="})", "invalid-argument"},
      {R"({"op":"edit","seq":1,"data":"?"})", "invalid-argument"},
      {R"({"op":"edit","seq":1,"text":7})", "invalid-argument"},
      {R"({"op":"edit","seq":"1","text":"x"})", "invalid-argument"},
      {R"({"op":"edit","seq":0,"text":"x"})", "invalid-argument"},
      {R"({"op":"edit","seq":1,"text":"x","user":"bob"})", "invalid-argument"},
      {R"({"op":"redact"})", "invalid-argument"},
      {R"({"op":"redact","seq":1,"text":"x"})", "invalid-argument"},
      {R"({"op":"redact","seq":-1})", "invalid-argument"},
      {edit(1, std::string(1'001, 'x')), "too-large"},
      {edit(1, std::string(9'000, 'x')), "too-large"},
      {edit(2, "x"), "not-authorized"},
      {edit(3, "x"), "not-found"},
      {edit(4, "x"), "not-found"},
      {edit(5, "x"), "not-found"},
      {edit(6, "x"), "not-found"},
      {edit(7, "x"), "not-found"},
      {edit(18'446'744'073'709'551'615U, "x"), "not-found"},
      {redact(2), "not-authorized"},
      {redact(3), "not-found"},
      {redact(4), "unchanged"},
      {redact(6), "not-found"},
      {redact(7), "not-found"},
  };
  for (const auto& [json, word] : cases) EXPECT_EQ(outcome(world, ann, "tea", json), word) << json;
  EXPECT_EQ(world.store().history("tea").size(), 6U);
  EXPECT_EQ(outcome(world, ann, "nowhere", edit(1, "x")), "not-authorized");
  EXPECT_EQ(outcome(world, ann, "tea", edit(1, std::string(1'000, 'x'))), "ok");
  EXPECT_TRUE(world.store().violations().empty());
}

TEST(Amendments, DescribeThemselvesInUserProperties) {
  World world(1, dev());
  auto& ann = enter(world, "ann");
  auto& bob = enter(world, "bob");
  follow(world, bob, "chat/tea/msg");
  say(world, ann, "chat/tea/msg", "helo", {.users = {{"thread", "t1"}}});
  EXPECT_EQ(outcome(world, ann, "tea", edit(1, "hello")), "ok");
  EXPECT_EQ(outcome(world, ann, "tea", R"({"op":"edit","seq":1,"data":"aGk=","content_type":"text/x"})"), "ok");
  EXPECT_EQ(described(bob, "chat/tea/msg"), (std::vector<std::string>{"1 helo", "2 edit>1 hello", "3 edit>1 hi"}));
  auto& cat = enter(world, "cat");
  follow(world, cat, "chat/tea/msg", {.users = since(0)});
  EXPECT_EQ(described(cat, "chat/tea/msg"), (std::vector<std::string>{"1 edited hi", "2 edit>1 hello", "3 edit>1 hi"}));
  EXPECT_EQ(cat.received[0].user("thread"), "t1") << "the sender's own properties stay";
  EXPECT_EQ(outcome(world, ann, "tea", redact(1)), "ok");
  auto& dan = enter(world, "dan");
  follow(world, dan, "chat/tea/msg", {.users = since(0)});
  EXPECT_EQ(described(dan, "chat/tea/msg"),
            (std::vector<std::string>{"1 redacted ", "2 edit>1 redacted ", "3 edit>1 redacted ", "4 redact>1 "}));
  EXPECT_EQ(dan.received[0].user("thread"), "");
}

TEST(Amendments, AreShownToASessionThatComesBack) {
  World world(1, dev());
  auto& ann = enter(world, "ann");
  auto& bob = join(world, "bob", lasting());
  follow(world, bob, "chat/tea/msg");
  bob.drop();
  world.settle();
  for (int i = 0; i < 300; ++i) say(world, ann, "chat/tea/msg", "text " + std::to_string(i));
  EXPECT_EQ(outcome(world, ann, "tea", edit(1, "far back")), "ok");
  EXPECT_EQ(outcome(world, ann, "tea", edit(300, "in memory")), "ok");
  EXPECT_EQ(outcome(world, ann, "tea", redact(2)), "ok");
  join(world, "bob", lasting());
  const auto seen = described(bob, "chat/tea/msg");
  ASSERT_EQ(seen.size(), 303U);
  EXPECT_EQ(seen[0], "1 edited far back");
  EXPECT_EQ(seen[1], "2 redacted ");
  EXPECT_EQ(seen[299], "300 edited in memory");
}

TEST(Amendments, CanBeEditedForAWhileOnly) {
  WorldOptions options = dev();
  options.shard.edit_window = 1min;
  World world(1, options);
  auto& ann = enter(world, "ann");
  say(world, ann, "chat/tea/msg", "one");
  EXPECT_EQ(outcome(world, ann, "tea", edit(1, "two")), "ok");
  world.advance(2min);
  EXPECT_EQ(outcome(world, ann, "tea", edit(1, "three")), "too-late");
  EXPECT_EQ(outcome(world, ann, "tea", redact(1)), "ok") << "there is no limit to that";
}

TEST(Amendments, CannotBeWhereEditingIsSwitchedOff) {
  WorldOptions options = dev();
  options.shard.edit_window = 0s;
  World world(1, options);
  auto& ann = enter(world, "ann");
  say(world, ann, "chat/tea/msg", "one");
  EXPECT_EQ(outcome(world, ann, "tea", edit(1, "two")), "too-late");
}

TEST(Amendments, ModeratorsRedactWhatOthersHaveSaid) {
  World world(1, dev());
  auto& ann = enter(world, "ann");
  auto& bob = enter(world, "bob");
  auto& cat = enter(world, "cat");
  ASSERT_EQ(outcome(world, ann, "tea", R"({"op":"create","history":"joined"})"), "ok");  // 1, 2
  say(world, ann, "chat/tea/msg", "before bob");                                         // 2
  ASSERT_EQ(outcome(world, ann, "tea", R"({"op":"add","user":"bob","role":"moderator"})"), "ok");
  ASSERT_EQ(outcome(world, ann, "tea", R"({"op":"add","user":"cat"})"), "ok");
  const auto said = say(world, cat, "chat/tea/msg", "rude");
  const auto seq = std::stoull(said.user("seq"));
  EXPECT_EQ(outcome(world, bob, "tea", edit(seq, "polite")), "not-authorized");
  EXPECT_EQ(outcome(world, bob, "tea", redact(2)), "not-found") << "he doesn't see that";
  EXPECT_EQ(outcome(world, bob, "tea", redact(seq)), "ok");
  EXPECT_EQ(outcome(world, cat, "tea", redact(seq)), "unchanged");
  EXPECT_EQ(outcome(world, cat, "tea", edit(seq, "polite")), "not-found");
  auto& dan = enter(world, "dan");
  EXPECT_EQ(outcome(world, dan, "tea", redact(2)), "not-authorized") << "a private one is hidden";
}

TEST(Amendments, OfADirectConversationAreTheSendersAlone) {
  World world(1, dev());
  auto& ann = enter(world, "ann");
  auto& bob = enter(world, "bob");
  say(world, ann, "chat/dm:bob/msg", "hi");
  EXPECT_EQ(outcome(world, bob, "dm:ann", redact(1)), "not-authorized");
  EXPECT_EQ(outcome(world, bob, "dm:ann", edit(1, "ho")), "not-authorized");
  EXPECT_EQ(outcome(world, ann, "dm:bob", edit(1, "ho")), "ok");
  EXPECT_EQ(outcome(world, ann, "dm:bob", redact(1)), "ok");
}

TEST(Amendments, CountOnceWhenTheyAreSentAgain) {
  World world(1, dev());
  auto& ann = enter(world, "ann");
  say(world, ann, "chat/tea/msg", "one");
  const std::string json = R"({"op":"edit","id":"e1","seq":1,"text":"two"})";
  EXPECT_EQ(say(world, ann, "chat/tea/ctl", json).user("seq"), "2");
  EXPECT_EQ(say(world, ann, "chat/tea/ctl", json).user("dup"), "1");
  ann.publish("chat/tea/ctl", R"({"op":"redact","id":"r1","seq":1})");
  ann.publish("chat/tea/ctl", R"({"op":"redact","id":"r1","seq":1})");
  ann.publish("chat/tea/ctl", R"({"op":"redact","id":"r2","seq":1})");
  ann.publish("chat/tea/ctl", edit(1, "three"));
  world.settle();
  EXPECT_EQ(world.store().history("tea").size(), 3U);
  EXPECT_TRUE(world.store().violations().empty());
}

TEST(Amendments, AreDecidedInTheOrderOfTheLogHoweverLateTheDiskAnswers) {
  for (const std::uint64_t seed : simulation::seeds(30)) {
    World world(seed, dev(1 + static_cast<std::uint32_t>(seed % 3)));
    auto& ann = enter(world, "ann");
    for (int i = 0; i < 5; ++i) say(world, ann, "chat/tea/msg", "text");
    world.store().set_latency(50ms);
    for (int i = 0; i < 60; ++i) {
      const std::uint64_t seq = 1 + world.dice().below(5);
      ann.publish("chat/tea/ctl", world.dice().one_in(3) ? redact(seq) : edit(seq, "new"));
      if (world.dice().one_in(4)) world.advance(std::chrono::milliseconds(world.dice().below(60)));
    }
    world.store().set_latency({});
    world.advance(1s);
    world.settle();
    ASSERT_TRUE(world.store().violations().empty())
        << world.store().violations().front() << " replay: PARLEY_SEED=" << seed;
  }
}

TEST(Amendments, AreRefusedWhenTheMessageCannotBeRead) {
  World world(1, dev());
  auto& ann = enter(world, "ann");
  say(world, ann, "chat/tea/msg", "one");
  world.store().fail_reads(true);
  EXPECT_EQ(outcome(world, ann, "tea", redact(1)), "storage-failed");
  world.store().fail_reads(false);
  EXPECT_EQ(outcome(world, ann, "tea", redact(1)), "ok");
}

}  // namespace
}  // namespace parley::shard
