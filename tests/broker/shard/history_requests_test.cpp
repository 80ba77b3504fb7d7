#include "broker/shard/history_requests.hpp"

#include "tests/broker/shard/nodes.hpp"

namespace parley::shard {
namespace {

simulation::Client& enter(World& world, const std::string& id, const ConnectOptions& options = {}) {
  auto& client = join(world, id, options);
  follow(world, client, "client/" + id + "/reply");
  return client;
}

void say_many(World& world, simulation::Client& client, int count) {
  for (int i = 1; i <= count; ++i) say(world, client, "chat/room/msg", "m" + std::to_string(i));
}

/// What came to the reply topic since `before`: seqs, then the closing object.
struct Page {
  std::vector<std::uint64_t> seqs;
  std::string end;
};
Page page(const simulation::Client& client, std::size_t before) {
  Page page;
  for (std::size_t i = before; i < client.received.size(); ++i) {
    const Received& one = client.received[i];
    if (one.user("end").empty()) {
      page.seqs.push_back(one.seq());
    } else {
      page.end = one.payload;
    }
  }
  return page;
}
Page ask(World& world, simulation::Client& client, const std::string& json) {
  const std::size_t before = client.received.size();
  EXPECT_EQ(say(world, client, "chat/room/history", json).reason(), ReasonCode::Success) << json;
  return page(client, before);
}
bool has(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

TEST(HistoryRequests, PageBackwardsAndForwards) {
  for (const std::uint32_t shards : {1U, 3U}) {
    World world(1, dev(shards));
    auto& ann = enter(world, "ann");
    say_many(world, ann, 70);
    const Page newest = ask(world, ann, "");
    EXPECT_EQ(newest.seqs, range(21, 70));
    EXPECT_TRUE(has(newest.end, R"({"end":true,"entries":50,"first":21,"last":70,"more":true,"head":70,"oldest":1)"))
        << newest.end;
    const Page before = ask(world, ann, R"({"before":21,"limit":100})");
    EXPECT_EQ(before.seqs, range(1, 20));
    EXPECT_TRUE(has(before.end, R"("more":false)"));
    const Page after = ask(world, ann, R"({"after":10,"limit":5})");
    EXPECT_EQ(after.seqs, range(11, 15));
    EXPECT_TRUE(has(after.end, R"("more":true)"));
    EXPECT_EQ(ask(world, ann, R"({"after":10,"before":13})").seqs, range(11, 12));
    const Page none = ask(world, ann, R"({"after":70})");
    EXPECT_TRUE(none.seqs.empty());
    EXPECT_TRUE(has(none.end, R"("entries":0,"more":false)")) << none.end;
  }
}

TEST(HistoryRequests, SendWhatIsNearestToTheEndOfLargeEntries) {
  World world(1, dev());
  auto& ann = enter(world, "ann");
  for (int i = 0; i < 20; ++i) say(world, ann, "chat/room/msg", std::string(60'000, 'x'));
  const Page newest = ask(world, ann, "");
  ASSERT_FALSE(newest.seqs.empty());
  EXPECT_EQ(newest.seqs.back(), 20U);
  EXPECT_LT(newest.seqs.size(), 10U);
  EXPECT_EQ(newest.seqs, range(newest.seqs.front(), 20));
  EXPECT_TRUE(has(newest.end, R"("more":true)"));
  const Page first = ask(world, ann, R"({"after":0})");
  EXPECT_EQ(first.seqs, range(1, first.seqs.size()));
  EXPECT_TRUE(has(first.end, R"("more":true)"));
}

TEST(HistoryRequests, GoToTheResponseTopicWithTheCorrelationData) {
  World world(1, dev());
  auto& ann = join(world, "ann");
  follow(world, ann, "answers/ann");
  say_many(world, ann, 2);
  const std::size_t before = ann.received.size();
  say(world, ann, "chat/room/history", "", {.response_topic = "answers/ann", .correlation = "c1"});
  ASSERT_EQ(ann.received.size(), before + 3);
  for (std::size_t i = before; i < ann.received.size(); ++i) {
    EXPECT_EQ(ann.received[i].topic, "answers/ann");
    EXPECT_EQ(ann.received[i].correlation, "c1");
  }
  EXPECT_EQ(ann.received[before].payload, "m1");
  EXPECT_EQ(ann.received[before].user("from"), "ann");
}

TEST(HistoryRequests, AreJsonForThoseWhoSeeNoProperties) {
  World world(1, dev());
  ConnectOptions options;
  options.version = ProtocolVersion::V3_1_1;
  auto& ann = enter(world, "ann", options);
  ann.publish("chat/room/msg", "hello");
  world.settle();
  const std::size_t before = ann.received.size();
  ann.publish("chat/room/history", R"({"limit":1})");
  world.settle();
  ASSERT_EQ(ann.received.size(), before + 2);
  EXPECT_TRUE(has(ann.received[before].payload, R"("text":"hello")")) << ann.received[before].payload;
  EXPECT_TRUE(has(ann.received[before + 1].payload, R"({"end":true,"entries":1)"));
}

TEST(HistoryRequests, AreRefusedWithAWord) {
  WorldOptions options = dev();
  World world(1, options);
  auto& ann = enter(world, "ann");
  auto& bob = enter(world, "bob");
  say_many(world, ann, 3);
  const std::vector<std::pair<std::string, std::string>> cases{
      {"[]", "invalid-payload"},
      {R"({"limit":0})", "invalid-argument"},
      {R"({"limit":101})", "invalid-argument"},
      {R"({"before":0})", "invalid-argument"},
      {R"({"after":"x"})", "invalid-argument"},
      {R"({"until":1})", "invalid-argument"},
      {R"({"after":4})", "beyond-head"},
  };
  for (const auto& [json, word] : cases) {
    EXPECT_EQ(say(world, ann, "chat/room/history", json).user("error"), word) << json;
  }
  say(world, ann, "chat/dm:bob/msg", "hi");
  EXPECT_EQ(say(world, bob, "chat/dm:ann/history", "").reason(), ReasonCode::Success);
  auto& cat = enter(world, "cat");
  EXPECT_EQ(say(world, cat, "chat/dm:ann:bob/history", "").user("error"), "not-authorized");
  say(world, ann, "chat/tea/ctl", R"({"op":"create"})");
  EXPECT_EQ(say(world, bob, "chat/tea/history", "").user("error"), "not-authorized");
}

TEST(HistoryRequests, ShowAMemberWhatCameSinceItsJoining) {
  World world(1, dev());
  auto& ann = enter(world, "ann");
  auto& bob = enter(world, "bob");
  say(world, ann, "chat/room/ctl", R"({"op":"create"})");
  say(world, ann, "chat/room/msg", "before");
  say(world, ann, "chat/room/ctl", R"({"op":"add","user":"bob"})");
  say(world, ann, "chat/room/msg", "after");
  EXPECT_EQ(ask(world, bob, "").seqs, range(3, 4));
  EXPECT_EQ(ask(world, bob, R"({"after":0})").seqs, range(3, 4));
  EXPECT_EQ(ask(world, ann, "").seqs, range(1, 4));
}

TEST(HistoryRequests, AreAnsweredFromAnyNode) {
  Nodes nodes(2, dev(2), dev(2));
  auto& ann = join(nodes, 1, "ann");
  follow(nodes, ann, "client/ann/reply");
  for (int i = 1; i <= 5; ++i) say(nodes, ann, "chat/room/msg", "m" + std::to_string(i));
  for (int i = 0; i < 2; ++i) {
    const std::size_t before = ann.received.size();
    EXPECT_EQ(say(nodes, ann, "chat/room/history", R"({"limit":3})").reason(), ReasonCode::Success);
    EXPECT_EQ(page(ann, before).seqs, range(3, 5));
    nodes.advance(2s);
  }
}

}  // namespace
}  // namespace parley::shard
