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
      {R"({"limit":1.0})", "invalid-argument"},
      {R"({"limit":1e1})", "invalid-argument"},
      {R"({"limit":null})", "invalid-argument"},
      {R"({"limit":5,"limit":0})", "invalid-argument"},
      {R"({"limit":0,"limit":5})", ""},
      {R"({"after":-1})", "invalid-argument"},
      {R"({"json":1})", "invalid-argument"},
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
  EXPECT_EQ(ask(world, bob, R"({"after":0})").seqs, range(3, 4)) << "and no word of what came before";
  EXPECT_TRUE(ask(world, bob, R"({"before":2})").seqs.empty());
  EXPECT_EQ(ask(world, ann, "").seqs, range(1, 4));
}

TEST(HistoryRequests, ComeInPiecesAndAreAcknowledgedBehindTheirEnd) {
  for (const std::uint32_t shards : {1U, 3U}) {
    WorldOptions options = dev(shards);
    options.shard.limits.queued_messages_max = 20;
    World world(1, options);
    say_many(world, join(world, "ann"), 120);
    auto& bob = enter(world, "bob", {.receive_maximum = 1});
    std::vector<mqtt::PacketId> asked;
    for (int i = 0; i < 15; ++i) asked.push_back(bob.publish("chat/room/history", R"({"limit":100})"));
    world.settle();
    std::vector<std::uint64_t> seqs;
    std::size_t ends = 0;
    for (const Received& one : bob.received) {
      if (one.user("end").empty()) {
        seqs.push_back(one.seq());
        continue;
      }
      EXPECT_EQ(seqs, range(21, 120)) << "page " << ends;
      EXPECT_EQ(one.user("end"), "100");
      seqs.clear();
      const auto* ack = bob.answer(PacketType::Puback, asked.at(ends++));
      ASSERT_NE(ack, nullptr);
      EXPECT_EQ(ack->reason(), ReasonCode::Success);
      EXPECT_GT(ack->place, one.place);
    }
    EXPECT_EQ(ends, asked.size());
  }
}

TEST(HistoryRequests, ComeWithoutAcknowledgementsAsFastAsTheyAreRead) {
  WorldOptions options = dev();
  options.shard.limits.output_max = 4096;
  World world(1, options);
  say_many(world, join(world, "ann"), 100);
  auto& bob = join(world, "bob");
  follow(world, bob, "client/bob/reply", {.qos = Qos::AtMostOnce});
  bob.room = 2048;
  for (int i = 0; i < 20; ++i) bob.publish("chat/room/history", R"({"limit":100})");
  world.settle();
  const auto ends = std::ranges::count_if(bob.received, [](const Received& one) { return !one.user("end").empty(); });
  EXPECT_EQ(ends, 20);
  EXPECT_EQ(bob.received.size(), 20U * 101U);
}

/// A client that has asked for a page and acknowledges nothing of it.
simulation::Client& stuck(World& world, const std::string& id, const ConnectOptions& options = {.receive_maximum = 1}) {
  auto& client = enter(world, id, options);
  client.acknowledges = false;
  client.publish("chat/room/history", "");
  world.settle();
  EXPECT_EQ(client.received.size(), 1U);
  return client;
}

void go_on(World& world, simulation::Client& client) {
  client.acknowledges = true;
  client.acknowledge(client.received.back());
  world.settle();
}

TEST(HistoryRequests, LeaveTheQueueToOthers) {
  WorldOptions options = dev();
  options.shard.limits.queued_messages_max = 4;
  World world(1, options);
  auto& ann = join(world, "ann");
  say_many(world, ann, 30);
  auto& bob = stuck(world, "bob");
  follow(world, bob, "chat/live/msg");
  follow(world, bob, "plain");
  for (int i = 0; i < 3; ++i) bob.publish("chat/room/msg", "x", {.response_topic = "client/bob/reply"});
  say(world, ann, "plain", "for bob");
  say(world, ann, "chat/live/msg", "for bob");
  EXPECT_EQ(bob.received.size(), 1U);
  go_on(world, bob);
  std::size_t receipts = 0;
  for (const Received& one : bob.received) receipts += has(one.payload, R"({"ok":true,"seq":)") ? 1 : 0;
  EXPECT_EQ(receipts, 3U);
  EXPECT_EQ(bob.seqs("chat/live/msg"), range(1, 1));
  EXPECT_EQ(std::ranges::count(bob.received, "plain", &Received::topic), 1);
  EXPECT_EQ(page(bob, 0).seqs.size(), 30U + 3U + 1U + 1U);
  EXPECT_TRUE(has(page(bob, 0).end, R"({"end":true,"entries":30)"));
}

TEST(HistoryRequests, OfOneClientAreLimited) {
  World world(1, dev());
  say_many(world, join(world, "ann"), 2);
  auto& bob = stuck(world, "bob");
  for (std::size_t i = 1; i < HistoryRequests::kOfClientMax; ++i) bob.publish("chat/room/history", "");
  const auto last = bob.publish("chat/room/history", "");
  world.settle();
  EXPECT_EQ(bob.answer(PacketType::Puback), nullptr);
  go_on(world, bob);
  EXPECT_EQ(bob.answer(PacketType::Puback, last)->reason(), ReasonCode::QuotaExceeded);
  EXPECT_EQ(bob.answer(PacketType::Puback, last)->user("error"), "busy");
  EXPECT_EQ(bob.answer(PacketType::Puback, last)->user("retry-after"), "1");
  const auto ends = std::ranges::count_if(bob.received, [](const Received& one) { return !one.user("end").empty(); });
  EXPECT_EQ(static_cast<std::size_t>(ends), HistoryRequests::kOfClientMax);
}

TEST(HistoryRequests, ThatStandStillMakeRoomForOthers) {
  World world(1, dev());
  say_many(world, join(world, "ann"), 2);
  stuck(world, "slow0");
  world.advance(1s);
  for (std::size_t i = 1; i < HistoryRequests::kPagesMax; ++i) stuck(world, "slow" + std::to_string(i));
  auto& bob = enter(world, "bob");
  EXPECT_EQ(say(world, bob, "chat/room/history", "").user("error"), "busy");
  world.advance(HistoryRequests::kPatience);
  EXPECT_EQ(ask(world, bob, "").seqs, range(1, 2));
  auto& slow = world.client("slow0");
  EXPECT_EQ(slow.answer(PacketType::Puback)->user("error"), "busy") << "a page that is cut is never acknowledged";
  go_on(world, slow);
  EXPECT_TRUE(has(slow.received.back().payload, R"("error":"busy")")) << slow.received.back().payload;
  go_on(world, world.client("slow1"));
  EXPECT_TRUE(has(world.client("slow1").received.back().payload, R"({"end":true,"entries":2)"));
}

TEST(HistoryRequests, EndWithTheConnection) {
  for (const ProtocolVersion version : {ProtocolVersion::V5, ProtocolVersion::V3_1_1}) {
    WorldOptions one_at_a_time = dev();
    one_at_a_time.shard.limits.inflight_max = 1;
    World world(1, one_at_a_time);
    say_many(world, join(world, "ann"), 5);
    ConnectOptions options = lasting();
    options.version = version;
    auto& bob = enter(world, "bob", options);
    bob.acknowledges = false;
    const auto id = bob.publish("chat/room/history", "", {.qos = Qos::ExactlyOnce});
    world.settle();
    EXPECT_EQ(bob.received.size(), 1U);
    bob.drop();
    world.settle();
    bob.acknowledges = true;
    join(world, "bob", options);
    EXPECT_EQ(bob.received.size(), 2U) << "what was under way comes again, and no more of the page";
    bob.received.clear();
    bob.publish("chat/room/history", "", {.qos = Qos::ExactlyOnce, .dup = true, .packet_id = id});
    world.settle();
    ASSERT_EQ(bob.received.size(), 6U);
    EXPECT_TRUE(has(bob.received.back().payload, R"({"end":true,"entries":5)")) << bob.received.back().payload;
    EXPECT_EQ(bob.answer(PacketType::Pubrec, id)->reason(), ReasonCode::Success);
  }
}

TEST(HistoryRequests, SayWhatIsLargerThanTheClientTakes) {
  World world(1, dev());
  auto& ann = join(world, "ann");
  say(world, ann, "chat/room/msg", "small");
  say(world, ann, "chat/room/msg", std::string(500, 'x'));
  say(world, ann, "chat/room/msg", "small, too");
  auto& bob = enter(world, "bob", {.packet_size_max = 300});
  EXPECT_EQ(ask(world, bob, "").seqs, (std::vector<std::uint64_t>{1, 0, 3}));
  ASSERT_EQ(bob.received.size(), 4U);
  EXPECT_EQ(bob.received[1].payload, R"({"kind":"gap","first":2,"last":2})");
  EXPECT_EQ(bob.received[1].user("kind"), "gap");
  EXPECT_TRUE(has(bob.received[3].payload, R"({"end":true,"entries":2,"first":1,"last":3)"));
  auto& cat = enter(world, "cat", {.packet_size_max = 150});
  const auto ack = say(world, cat, "chat/room/history", R"({"limit":1})");
  EXPECT_EQ(ack.reason(), ReasonCode::QuotaExceeded);
  EXPECT_EQ(ack.user("error"), "too-large");
  EXPECT_EQ(cat.received.back().payload, R"({"ok":false,"error":"too-large"})");
}

TEST(HistoryRequests, TellOfWhatRetentionHasRemoved) {
  World world(1, dev());
  say_many(world, join(world, "ann"), 40);
  world.store().cut("room", {20});
  world.store().corrupt("room", {25});
  world.crash();
  world.start();
  auto& bob = enter(world, "bob");
  const auto told = [&](const std::string& json) {
    const std::size_t before = bob.received.size();
    EXPECT_EQ(say(world, bob, "chat/room/history", json).reason(), ReasonCode::Success) << json;
    std::vector<std::string> list;
    for (std::size_t i = before; i < bob.received.size(); ++i) {
      const Received& one = bob.received[i];
      if (one.user("kind") == "gap") list.push_back("gap " + one.user("first") + "-" + one.user("last"));
      if (one.seq() != 0) list.push_back(one.user("seq"));
      if (!one.user("end").empty()) list.push_back("end " + one.user("end"));
    }
    return list;
  };
  using Strings = std::vector<std::string>;
  EXPECT_EQ(told(R"({"after":5,"limit":3})"), (Strings{"gap 6-19", "20", "21", "22", "end 3"}));
  EXPECT_EQ(told(R"({"after":5,"before":10})"), (Strings{"gap 6-9", "end 0"}));
  EXPECT_EQ(told(R"({"before":15,"limit":10})"), (Strings{"gap 5-14", "end 0"}));
  EXPECT_EQ(told(R"({"before":5,"limit":10})"), (Strings{"gap 1-4", "end 0"}));
  EXPECT_EQ(told(R"({"before":22})"), (Strings{"20", "21", "end 2"}));
  EXPECT_EQ(told(R"({"after":23,"limit":3})"), (Strings{"24", "gap 25-25", "26", "end 2"}));
  EXPECT_EQ(told(R"({"before":26,"limit":2})"), (Strings{"24", "gap 25-25", "end 1"}));
  EXPECT_EQ(told(R"({"after":40})"), (Strings{"end 0"}));
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
