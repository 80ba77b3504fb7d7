#include "broker/shard/topic_access.hpp"

#include "tests/broker/shard/scene.hpp"

namespace parley::shard {
namespace {

constexpr std::string_view kRules =
    "deny  readwrite all      plant/secret/#\n"
    "allow read      user ann plant/#\n"
    "allow read      user bob plant/#\n"
    "allow write     user bob plant/#\n"
    "allow readwrite all      home/%u/#\n"
    "allow readwrite all      dev/%c/#\n";

std::shared_ptr<const auth::AccessRules> rules_of(std::string_view text) {
  return std::get<std::shared_ptr<const auth::AccessRules>>(auth::AccessRules::read(text));
}

void set_rules(World& world, std::string_view text) {
  const auto rules = rules_of(text);
  for (ShardId id = 0; id < world.options().shard.shards; ++id) world.shard(id).access().set(rules);
}

TEST(TopicAccess, IsAskedBeforeAPublish) {
  World world(1, dev(2));
  set_rules(world, kRules);
  auto& ann = join(world, "ann");
  auto& bob = join(world, "bob");
  EXPECT_EQ(say(world, ann, "plant/1", "x").reason(), ReasonCode::NotAuthorized);
  EXPECT_EQ(say(world, bob, "plant/1", "x").reason(), ReasonCode::NoMatchingSubscribers);
  EXPECT_EQ(say(world, bob, "plant/secret/1", "x").reason(), ReasonCode::NotAuthorized);
  EXPECT_EQ(say(world, ann, "home/ann/x", "x").reason(), ReasonCode::NoMatchingSubscribers);
  EXPECT_EQ(say(world, ann, "home/bob/x", "x").reason(), ReasonCode::NotAuthorized);
  EXPECT_EQ(say(world, ann, "home/bob/x", "x", {.qos = Qos::ExactlyOnce}).reason(), ReasonCode::NotAuthorized);
  EXPECT_EQ(say(world, ann, "dev/ann/x", "x").reason(), ReasonCode::NoMatchingSubscribers);
  EXPECT_EQ(say(world, ann, "chat/room/msg", "x").reason(), ReasonCode::Success) << "conversations are another matter";
}

TEST(TopicAccess, HoldsForQosZeroAndForRetainedMessages) {
  World world(1, dev());
  auto& bob = join(world, "bob");
  follow(world, bob, "#");
  set_rules(world, kRules);
  auto& ann = join(world, "ann");
  ann.publish("plant/1", "x", {.qos = Qos::AtMostOnce, .retain = true});
  world.settle();
  EXPECT_TRUE(bob.received.empty());
  auto& late = join(world, "bob2", {.user_name = "bob"});
  follow(world, late, "plant/#");
  EXPECT_TRUE(late.received.empty());
}

TEST(TopicAccess, RefusesAnOldClientAsSettingsSay) {
  World world(1, dev());
  set_rules(world, kRules);
  auto& ann = join(world, "ann", {.version = ProtocolVersion::V3_1_1});
  follow(world, ann, "client/ann/reply");
  EXPECT_EQ(say(world, ann, "plant/1", "x").reason(), ReasonCode::Success);
  ASSERT_EQ(ann.received.size(), 1U);
  EXPECT_NE(ann.received[0].payload.find("not-authorized"), std::string::npos);
}

TEST(TopicAccess, RefusesFiltersThatMatchNothingReadable) {
  World world(1, dev());
  set_rules(world, kRules);
  auto& ann = join(world, "ann");
  EXPECT_EQ(follow(world, ann, "plant/1"), ReasonCode::GrantedQos1);
  EXPECT_EQ(follow(world, ann, "#"), ReasonCode::GrantedQos1);
  EXPECT_EQ(follow(world, ann, "plant/secret/1"), ReasonCode::NotAuthorized);
  EXPECT_EQ(follow(world, ann, "home/bob/#"), ReasonCode::NotAuthorized);
  EXPECT_EQ(follow(world, ann, "$SYS/#"), ReasonCode::NotAuthorized);
  EXPECT_EQ(follow(world, ann, "client/ann/reply"), ReasonCode::GrantedQos1);
  EXPECT_EQ(follow(world, ann, "client/bob/reply"), ReasonCode::NotAuthorized);
  EXPECT_EQ(follow(world, ann, "$share/g/plant/#"), ReasonCode::NotAuthorized) << "only part of it may be read";
  EXPECT_EQ(follow(world, ann, "$share/g/plant/1"), ReasonCode::GrantedQos1);
}

TEST(TopicAccess, DeliversOnlyWhatMayBeRead) {
  World world(1, dev(2));
  auto& root = join(world, "root");
  for (const char* topic : {"plant/1", "plant/secret/1", "other"}) say(world, root, topic, topic, {.retain = true});
  set_rules(world, kRules);
  auto& ann = join(world, "ann");
  follow(world, ann, "#");
  EXPECT_EQ(ann.payloads(), (std::vector<std::string>{"plant/1"})) << "of the retained ones";
  set_rules(world, std::string(kRules) + "allow write all #\n");
  for (const char* topic : {"plant/2", "home/ann/x", "home/bob/x"}) say(world, root, topic, topic);
  EXPECT_EQ(ann.payloads(), (std::vector<std::string>{"plant/1", "plant/2", "home/ann/x"}));
}

TEST(TopicAccess, IsAskedAboutWills) {
  World world(1, dev());
  set_rules(world, kRules);
  auto& ann = world.client("ann");
  ann.connect({.will = {{.topic = "plant/1", .payload = "gone"}}});
  world.settle();
  ASSERT_NE(ann.connack(), nullptr);
  EXPECT_EQ(ann.connack()->reason(), ReasonCode::NotAuthorized);
  // Granted at first, and not any more when its time has come.
  auto& bob = join(world, "bob", {.will = {{.topic = "plant/1", .payload = "gone"}}});
  auto& listener = join(world, "bob2", {.user_name = "bob"});
  follow(world, listener, "plant/#");
  set_rules(world, "allow read user bob plant/#\n");
  bob.drop();
  world.settle();
  EXPECT_TRUE(listener.received.empty());
}

TEST(TopicAccess, IsAskedAboutWhereReceiptsGo) {
  World world(1, dev());
  set_rules(world, kRules);
  auto& bob = join(world, "bob");
  follow(world, bob, "plant/#");
  auto& ann = join(world, "ann");
  follow(world, ann, "home/ann/#");
  say(world, ann, "chat/room/msg", "x", {.response_topic = "plant/1"});
  say(world, ann, "chat/room/msg", "x", {.response_topic = "home/ann/r"});
  EXPECT_TRUE(bob.received.empty());
  EXPECT_EQ(ann.received.size(), 1U);
}

TEST(TopicAccess, CountsAnewWhenItChanges) {
  World world(1, dev(2));
  auto& ann = join(world, "ann", lasting());
  follow(world, ann, "plant/#");
  follow(world, ann, "$share/g/plant/#");
  auto& bob = join(world, "bob");
  set_rules(world, std::string(kRules) + "allow write all #\n");
  say(world, bob, "plant/1", "one");
  EXPECT_EQ(ann.payloads(), (std::vector<std::string>{"one"})) << "she has left the group, and may read this";
  set_rules(world, "allow write all #\n");
  say(world, bob, "plant/1", "two");
  EXPECT_EQ(ann.received.size(), 1U);
  world.advance(2s);  // What she has acknowledged is written.
  // Also for a session that comes back from disk.
  world.crash();
  world.start();
  set_rules(world, kRules);
  auto& again = join(world, "bob");
  say(world, again, "plant/1", "three");
  join(world, "ann", lasting());
  world.settle();
  EXPECT_EQ(ann.payloads(), (std::vector<std::string>{"one", "three"}));
}

TEST(TopicAccess, CountsForSessionsThatAreTakenUp) {
  World world(1, dev(2));
  auto& ann = join(world, "ann", lasting());
  follow(world, ann, "plant/1");
  follow(world, ann, "home/#");
  follow(world, ann, "$share/g/plant/2");
  world.advance(2s);
  world.crash();
  world.start(rules_of("allow write all #\nallow read all home/#\n"));
  auto& bob = join(world, "bob");
  say(world, bob, "plant/1", "while she is away");
  say(world, bob, "plant/2", "while she is away");
  join(world, "ann", lasting());
  for (const char* topic : {"plant/1", "plant/2", "home/1"}) say(world, bob, topic, "now");
  EXPECT_EQ(ann.payloads(), (std::vector<std::string>{"now"}));
  EXPECT_EQ(ann.received.at(0).topic, "home/1");
  world.shut_down();
  world.start(rules_of("allow readwrite all #\n"));
  join(world, "ann", lasting());
  auto& again = join(world, "bob");
  for (const char* topic : {"plant/1", "plant/2"}) say(world, again, topic, topic);
  EXPECT_EQ(ann.payloads(), (std::vector<std::string>{"now", "plant/1"})) << "the shared one has ended";
}

TEST(TopicAccess, CountsForWhatHasWaited) {
  World world(1, dev(2));
  ConnectOptions one_by_one = lasting();
  one_by_one.receive_maximum = 1;
  auto& ann = join(world, "ann", one_by_one);
  follow(world, ann, "#", {.qos = Qos::ExactlyOnce});
  ann.drop();
  world.settle();
  const auto say_all = [&] {
    auto& bob = join(world, "bob");
    for (const char* topic : {"plant/1", "home/1", "plant/2"}) say(world, bob, topic, topic);
    say(world, bob, "plant/3", "plant/3", {.qos = Qos::ExactlyOnce});
    say(world, bob, "home/2", "home/2", {.qos = Qos::ExactlyOnce});
  };
  say_all();
  set_rules(world, "allow write all #\nallow read all home/#\n");
  join(world, "ann", one_by_one);
  world.settle();
  EXPECT_EQ(ann.payloads(), (std::vector<std::string>{"home/1", "home/2"}));
  // Also of those from before a crash.
  set_rules(world, "allow readwrite all #\n");
  ann.drop();
  world.settle();
  say_all();
  world.advance(2s);
  world.crash();
  world.start(rules_of("allow write all #\nallow read all home/#\n"));
  join(world, "ann", one_by_one);
  world.settle();
  EXPECT_EQ(ann.payloads(), (std::vector<std::string>{"home/1", "home/2", "home/1", "home/2"}));
  // Nothing of it is left.
  world.advance(2s);
  world.shut_down();
  world.start(rules_of("allow readwrite all #\n"));
  join(world, "ann", lasting());
  world.settle();
  EXPECT_EQ(ann.received.size(), 4U);
}

}  // namespace
}  // namespace parley::shard
