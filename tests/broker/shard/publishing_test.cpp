#include "broker/shard/publishing.hpp"

#include "tests/broker/shard/scene.hpp"

namespace parley::shard {
namespace {

TEST(Publishing, AcknowledgesAnEntryWithItsReceiptOnlyOnceItIsDurable) {
  World world(1, dev());
  world.store().set_latency(1s);
  auto& alice = join(world, "alice");
  const auto packet_id = alice.publish("chat/room/msg", "hello", {.id = "m1"});
  for (int i = 0; i < 100 && world.store().history("room").empty(); ++i) {
    world.step();
    alice.read();
    ASSERT_EQ(alice.answer(PacketType::Puback), nullptr);
    world.clock().advance(10ms);
  }
  world.settle();
  const auto* ack = alice.answer(PacketType::Puback, packet_id);
  ASSERT_NE(ack, nullptr);
  EXPECT_EQ(ack->reason(), ReasonCode::Success);
  EXPECT_EQ(ack->user("seq"), "1");
  EXPECT_EQ(ack->user("id"), "m1");
  EXPECT_FALSE(ack->user("ts").empty());
  EXPECT_EQ(ack->user("dup"), "");
  ASSERT_EQ(world.store().history("room").size(), 1U);
  EXPECT_EQ((*world.store().history("room")[0])->payload, "hello");
}

TEST(Publishing, MakesUpAnIdWhereTheSenderGivesNone) {
  World world(1, dev());
  auto& alice = join(world, "alice");
  const auto first = say(world, alice, "chat/room/msg", "a").user("id");
  const auto second = say(world, alice, "chat/room/msg", "b").user("id");
  EXPECT_EQ(first.size(), 13U);
  EXPECT_NE(first, second);
}

TEST(Publishing, DeliversToEverybodyIncludingTheSender) {
  World world(1, dev());
  auto& alice = join(world, "alice");
  auto& bob = join(world, "bob");
  follow(world, alice, "chat/room/msg");
  follow(world, bob, "chat/room/msg");
  say(world, alice, "chat/room/msg", "hello", {.id = "m1", .users = {{"mood", "good"}, {"seq", "99"}}});
  for (const simulation::Client* client : {&alice, &bob}) {
    ASSERT_EQ(client->received.size(), 1U);
    const Received& one = client->received[0];
    EXPECT_EQ(one.topic, "chat/room/msg");
    EXPECT_EQ(one.payload, "hello");
    EXPECT_EQ(one.user("seq"), "1") << "the sender can't set what only the server sets";
    EXPECT_EQ(one.user("from"), "alice");
    EXPECT_EQ(one.user("id"), "m1");
    EXPECT_EQ(one.user("mood"), "good");
    EXPECT_FALSE(one.retain);
    EXPECT_EQ(one.qos, Qos::AtLeastOnce);
  }
}

TEST(Publishing, ShowsOneLogAsMessagesAndAsJson) {
  World world(1, dev());
  auto& alice = join(world, "alice");
  follow(world, alice, "chat/room/msg");
  follow(world, alice, "chat/room/json");
  say(world, alice, "chat/room/json", R"({"id":"j1","text":"from json"})");
  say(world, alice, "chat/room/msg", "plain");
  ASSERT_EQ(alice.received.size(), 4U);
  EXPECT_EQ(alice.received[0].payload, "from json");
  EXPECT_EQ(alice.received[0].user("id"), "j1");
  EXPECT_NE(alice.received[1].payload.find(R"("text":"from json")"), std::string::npos);
  EXPECT_NE(alice.received[3].payload.find(R"("seq":2)"), std::string::npos);
}

TEST(Publishing, SendsTheReceiptToTheResponseTopicToo) {
  World world(1, dev());
  auto& alice = join(world, "alice");
  follow(world, alice, "client/alice/reply");
  say(world, alice, "chat/room/msg", "hello",
      {.id = "m1", .response_topic = "client/alice/reply", .correlation = "c1"});
  ASSERT_EQ(alice.received.size(), 1U);
  EXPECT_EQ(alice.received[0].correlation, "c1");
  EXPECT_EQ(alice.received[0].user("seq"), "1");
  EXPECT_NE(alice.received[0].payload.find(R"("ok":true,"seq":1)"), std::string::npos);
}

TEST(Publishing, SendsReceiptsForQosZeroToTheResponseTopic) {
  World world(1, dev());
  auto& alice = join(world, "alice");
  auto& monitor = join(world, "monitor");
  follow(world, monitor, "receipts/alice");
  alice.publish("chat/room/msg", "hello", {.qos = Qos::AtMostOnce, .response_topic = "receipts/alice"});
  world.settle();
  ASSERT_EQ(monitor.received.size(), 1U);
}

TEST(Publishing, LeavesTheReceiptOutWhereTheClientForbidsIt) {
  World world(1, dev());
  auto& quiet = join(world, "quiet", {.problem_information = false});
  EXPECT_TRUE(say(world, quiet, "chat/room/msg", "a").users.empty());
  auto& small = join(world, "small", {.packet_size_max = 30});
  const auto ack = say(world, small, "chat/room/msg", "b");
  EXPECT_EQ(ack.reason(), ReasonCode::Success);
  EXPECT_TRUE(ack.users.empty());
}

struct RefusedCase {
  const char* what;
  std::string topic;
  std::string payload;
  PublishOptions options;
  ReasonCode reason;
  const char* word;
};

TEST(Publishing, RefusesWithAReasonAndAWord) {
  auto options = dev();
  options.shard.message_size_max = 10;
  const std::vector<RefusedCase> cases{
      {"no form", "chat/room", "x", {}, ReasonCode::TopicNameInvalid, "invalid-topic"},
      {"unknown form", "chat/room/other", "x", {}, ReasonCode::TopicNameInvalid, "invalid-topic"},
      {"too deep", "chat/room/msg/more", "x", {}, ReasonCode::TopicNameInvalid, "invalid-topic"},
      {"name with a dollar", "chat/$room/msg", "x", {}, ReasonCode::TopicNameInvalid, "invalid-topic"},
      {"too large", "chat/room/msg", "12345678901", {}, ReasonCode::QuotaExceeded, "too-large"},
      {"too large a text", "chat/room/json", R"({"text":"12345678901"})", {}, ReasonCode::QuotaExceeded, "too-large"},
      {"too large properties",
       "chat/room/msg",
       "x",
       {.users = {{"k", "1234567"}}},
       ReasonCode::QuotaExceeded,
       "too-large"},
      {"no JSON", "chat/room/json", "hello", {}, ReasonCode::PayloadFormatInvalid, "invalid-payload"},
      {"id of control characters",
       "chat/room/msg",
       "x",
       {.id = "a\tb"},
       ReasonCode::PayloadFormatInvalid,
       "invalid-id"},
      {"long id", "chat/room/msg", "x", {.id = std::string(129, 'i')}, ReasonCode::PayloadFormatInvalid, "invalid-id"},
      {"empty id", "chat/room/msg", "x", {.users = {{"id", ""}}}, ReasonCode::PayloadFormatInvalid, "invalid-id"},
      {"no number", "chat/room/read", "x", {}, ReasonCode::PayloadFormatInvalid, "invalid-payload"},
  };
  for (const RefusedCase& one : cases) {
    World world(1, options);
    auto& alice = join(world, "alice");
    const auto ack = say(world, alice, one.topic, one.payload, one.options);
    EXPECT_EQ(ack.reason(), one.reason) << one.what;
    EXPECT_EQ(ack.user("error"), one.word) << one.what;
    EXPECT_FALSE(ack.text.empty()) << one.what;
    EXPECT_TRUE(world.store().history("room").empty()) << one.what;
    EXPECT_TRUE(alice.connected()) << one.what;
  }
}

/// It is the text that counts, however much JSON is around it.
TEST(Publishing, TakesATextOfTheSameSizeInBothForms) {
  auto options = dev();
  options.shard.message_size_max = 10;
  World world(1, options);
  auto& alice = join(world, "alice");
  EXPECT_EQ(say(world, alice, "chat/room/msg", "1234567890").reason(), ReasonCode::Success);
  EXPECT_EQ(say(world, alice, "chat/room/json", R"({"text":"1234567890"})").reason(), ReasonCode::Success);
}

TEST(Publishing, RefusesConversationsThatNobodyCreatedUnlessTheyAppearByThemselves) {
  World world(1);
  auto& alice = join(world, "alice");
  const auto records = world.store().records();
  EXPECT_EQ(say(world, alice, "chat/room/msg", "x").reason(), ReasonCode::NotAuthorized);
  EXPECT_EQ(follow(world, alice, "chat/room/msg"), ReasonCode::NotAuthorized);
  EXPECT_EQ(world.store().records(), records);
}

TEST(Publishing, KeepsClientsFromSpeakingForTheBroker) {
  World world(1, dev());
  auto& alice = join(world, "alice");
  EXPECT_EQ(say(world, alice, "$SYS/broker/load", "x").reason(), ReasonCode::NotAuthorized);
  EXPECT_EQ(say(world, alice, "client/bob/reply", "x").reason(), ReasonCode::NotAuthorized);
}

TEST(Publishing, DropsWhatOnlyTheServerSays) {
  const std::vector<std::string> names{"seq",      "ts",     "from",   "id",    "kind",   "ref",     "dup",
                                       "epoch",    "error",  "edited", "batch", "notice", "end",     "head",
                                       "redacted", "oldest", "filter", "first", "last",   "expires", "retry-after"};
  World world(1, dev());
  auto& alice = join(world, "alice");
  follow(world, alice, "client/alice/reply");
  UserProperties users{{"colour", "red"}};
  for (const std::string& name : names) users.emplace_back(name, "forged");
  say(world, alice, "chat/room/msg", "x", {.users = users});
  EXPECT_EQ(say(world, alice, "chat/room/history", "").reason(), ReasonCode::Success);
  ASSERT_EQ(alice.received.size(), 2U);
  EXPECT_EQ(alice.received[0].user("colour"), "red");
  EXPECT_EQ(alice.received[0].user("from"), "alice");
  for (const auto& [name, value] : alice.received[0].users) EXPECT_TRUE(name == "id" || value != "forged") << name;
}

TEST(Publishing, SaysWhenTheAnswerIsLargerThanTheClientTakes) {
  World world(1, dev());
  auto& alice = join(world, "alice", {.packet_size_max = 200});
  follow(world, alice, "client/alice/reply");
  const auto id = std::string(128, 'i');
  EXPECT_EQ(say(world, alice, "chat/room/msg", "x", {.id = id, .response_topic = "client/alice/reply"}).reason(),
            ReasonCode::Success);
  ASSERT_EQ(alice.received.size(), 1U);
  EXPECT_EQ(alice.received[0].payload, R"({"ok":true,"seq":1})");
  const auto info = say(world, alice, "chat/room/ctl", R"({"op":"info"})", {.correlation = "c"});
  EXPECT_EQ(info.reason(), ReasonCode::QuotaExceeded);
  EXPECT_EQ(info.user("error"), "too-large");
  ASSERT_EQ(alice.received.size(), 2U);
  EXPECT_EQ(alice.received[1].payload, R"({"ok":false,"error":"too-large"})");
  EXPECT_EQ(alice.received[1].correlation, "c");
}

TEST(Publishing, TellsThreeOneOneClientsOfPermanentRefusalsOnTheirReplyTopic) {
  World world(1, dev());
  auto& alice = join(world, "alice", {.version = ProtocolVersion::V3_1_1});
  follow(world, alice, "client/alice/reply");
  say(world, alice, "chat/room/read", "x");
  EXPECT_TRUE(alice.connected());
  ASSERT_EQ(alice.received.size(), 1U);
  EXPECT_NE(alice.received[0].payload.find(R"("error":"invalid-payload")"), std::string::npos);
}

TEST(Publishing, TellsThreeOneOneClientsOfRefusalsOfOrdinaryTopics) {
  for (const bool closes : {false, true}) {
    auto options = dev();
    options.shard.v3_refuse_closes = closes;
    options.shard.filter_levels_max = 3;
    World world(1, options);
    const std::vector<std::pair<std::string, std::string>> cases{{"$x/y", "not-authorized"},
                                                                 {"client/other/reply", "not-authorized"},
                                                                 {"client/other/mode", "not-authorized"},
                                                                 {"a/b/c/d", "invalid-topic"}};
    for (const auto& [topic, word] : cases) {
      for (const Qos qos : {Qos::AtLeastOnce, Qos::ExactlyOnce}) {
        auto& alice = join(world, "alice", {.version = ProtocolVersion::V3_1_1});
        alice.received.clear();
        follow(world, alice, "client/alice/reply");
        const auto id = alice.publish(topic, "x", {.qos = qos});
        world.settle();
        EXPECT_EQ(alice.connected(), !closes) << topic;
        if (closes) continue;
        EXPECT_NE(alice.answer(qos == Qos::AtLeastOnce ? PacketType::Puback : PacketType::Pubrec, id), nullptr);
        ASSERT_EQ(alice.received.size(), 1U) << topic;
        EXPECT_NE(alice.received[0].payload.find("\"error\":\"" + word + "\""), std::string::npos);
      }
    }
  }
}

TEST(Publishing, ReservesRepliesOfClientsOnly) {
  World world(1, dev());
  auto& alice = join(world, "alice");
  follow(world, alice, "client/#");
  for (const char* topic : {"client/reply", "client/mode", "client/x/replies", "client"}) {
    EXPECT_EQ(say(world, alice, topic, topic).reason(), ReasonCode::Success) << topic;
  }
  EXPECT_EQ(alice.received.size(), 4U);
  const auto refused = say(world, alice, "client/x/reply", "x");
  EXPECT_EQ(refused.reason(), ReasonCode::NotAuthorized);
  EXPECT_EQ(refused.user("error"), "not-authorized");
}

TEST(Publishing, ClosesOnThreeOneOneClientsWhenARefusalWillPass) {
  World world(1, dev());
  auto& alice = join(world, "alice", {.version = ProtocolVersion::V3_1_1});
  say(world, alice, "chat/room/msg", "stored");
  world.store().fail_with(StorageError::DiskFull);
  const auto id = alice.publish("chat/room/msg", "lost");
  world.settle();
  EXPECT_EQ(alice.answer(PacketType::Puback, id), nullptr);
  EXPECT_FALSE(alice.connected());
}

TEST(Publishing, ClosesOnAnyRefusalOfThreeOneOneWhenItIsSetSo) {
  auto options = dev();
  options.shard.v3_refuse_closes = true;
  World world(1, options);
  auto& alice = join(world, "alice", {.version = ProtocolVersion::V3_1_1});
  alice.publish("chat/room/read", "x");
  world.settle();
  EXPECT_FALSE(alice.connected());
}

TEST(Publishing, AcknowledgesInTheOrderOfArrival) {
  World world(1, dev());  // MQTT 5 §4.6: an ordinary message waits for the entry before it.
  auto& alice = join(world, "alice");
  world.store().set_latency(1s);
  const auto first = alice.publish("chat/room/msg", "slow");
  const auto second = alice.publish("plain", "quick");
  world.settle();
  std::vector<mqtt::PacketId> order;
  for (const auto& answer : alice.answers) {
    if (answer.type == PacketType::Puback) order.push_back(answer.packet_id);
  }
  EXPECT_EQ(order, (std::vector{first, second}));
}

TEST(Publishing, AppendsAQosTwoMessageOnceOverReconnects) {
  World world(1, dev());
  auto& alice = join(world, "alice", lasting());
  alice.acknowledges = false;
  const auto id = alice.publish("chat/room/msg", "once", {.qos = Qos::ExactlyOnce});
  world.settle();
  ASSERT_NE(alice.answer(PacketType::Pubrec, id), nullptr);
  alice.drop();
  world.settle();
  join(world, "alice", lasting());
  EXPECT_TRUE(alice.connack()->session_present);
  alice.answers.clear();
  alice.publish("chat/room/msg", "once", {.qos = Qos::ExactlyOnce, .dup = true, .packet_id = id});
  world.settle();
  EXPECT_NE(alice.answer(PacketType::Pubrec, id), nullptr);
  alice.release(id);
  world.settle();
  EXPECT_NE(alice.answer(PacketType::Pubcomp, id), nullptr);
  EXPECT_EQ(world.store().history("room").size(), 1U);
}

TEST(Publishing, GivesNobodyAFallingTimeWhenTheClockJumpsBack) {
  World world(1, dev());
  auto& alice = join(world, "alice");
  const auto before = say(world, alice, "chat/room/msg", "a").user("ts");
  world.clock().wall.milliseconds -= 3'600'000;
  EXPECT_EQ(say(world, alice, "chat/room/msg", "b").user("ts"), before);
  world.crash();
  world.start();
  auto& again = join(world, "alice");
  EXPECT_EQ(say(world, again, "chat/room/msg", "c").user("ts"), before);
  EXPECT_TRUE(world.store().violations().empty());
}

}  // namespace
}  // namespace parley::shard
