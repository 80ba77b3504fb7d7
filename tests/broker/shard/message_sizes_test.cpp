#include "base/metrics.hpp"
#include "tests/broker/shard/nodes.hpp"

/// What is larger than another node takes: nothing of it is promised, and nothing waits behind it.
namespace parley::shard {
namespace {

using Texts = std::vector<std::string>;

constexpr std::size_t kTakes = 1024 * 1024;

WorldOptions large() {
  WorldOptions options = dev();
  options.shard.message_size_max = 2 * kTakes;
  options.shard.subscriptions_max = 100'000;
  options.shard.limits.filters_max = 100'000;
  return options;
}

/// Two nodes with these settings, of which one takes less.
struct Uneven {
  explicit Uneven(std::size_t smaller) {
    nodes.takes(smaller, kTakes);
    nodes.reconnect(0, 1);
    nodes.settle();
  }
  ~Uneven() { EXPECT_EQ(nodes.too_large(), 0U) << "it was sent all the same"; }
  Nodes nodes{2, large(), large()};
};

TEST(MessageSizes, CoverWhateverTheSettingsLetIn) {
  ShardOptions options;
  options.limits.packet_size_max = 1024;
  options.packet_size_before_connect_max = 256U * 1024 * 1024;  // A will.
  EXPECT_GT(record_size_max(node_message_max(options)), options.packet_size_before_connect_max);
  options.packet_size_before_connect_max = 1024;
  options.limits.packet_size_max = 2 * kTakes;
  options.message_size_max = 64 * kTakes;  // Properties of a message, and the content of its edit.
  EXPECT_GT(record_size_max(node_message_max(options)), 4 * kTakes);
  options.message_size_max = 1;
  EXPECT_GT(record_size_max(node_message_max(options)), 2 * kTakes);
}

TEST(MessageSizes, RefuseAnEntryThatAnotherNodeCouldNotHave) {
  for (const std::size_t smaller : {0U, 1U}) {
    Uneven uneven(smaller);
    Nodes& nodes = uneven.nodes;
    auto& ann = join(nodes, 0, "ann");
    auto& bob = join(nodes, 1, "bob");
    follow(nodes, ann, "chat/room/msg");
    follow(nodes, bob, "chat/room/msg");
    for (auto* sender : {&ann, &bob}) {
      const bool knows_it = smaller == 1 || sender == &bob;  // A node knows its own limit from its settings.
      if (knows_it) {
        const auto refused = say(nodes, *sender, "chat/room/msg", std::string(900'000, 'x'));
        EXPECT_EQ(refused.reason(), ReasonCode::QuotaExceeded);
        EXPECT_EQ(refused.user("error"), "too-large");
        EXPECT_EQ(refused.user("retry-after"), "");
      }
      EXPECT_EQ(say(nodes, *sender, "chat/room/msg", "small").reason(), ReasonCode::Success);
    }
    EXPECT_EQ(ann.payloads(), (Texts{"small", "small"}));
    EXPECT_EQ(bob.payloads(), (Texts{"small", "small"}));
  }
}

/// Content and properties stand in one record.
TEST(MessageSizes, CountPropertiesAndContentTogether) {
  Uneven uneven(1);
  auto& ann = join(uneven.nodes, 0, "ann");
  UserProperties users;
  for (int i = 0; i < 8; ++i) users.emplace_back("a", std::string(60'000, 'p'));
  const auto refused = say(uneven.nodes, ann, "chat/room/msg", std::string(400'000, 'x'), {.users = users});
  EXPECT_EQ(refused.user("error"), "too-large");
  EXPECT_EQ(say(uneven.nodes, ann, "chat/room/msg", std::string(400'000, 'x')).reason(), ReasonCode::Success);
  EXPECT_EQ(say(uneven.nodes, ann, "chat/room/msg", "x", {.users = users}).reason(), ReasonCode::Success);
}

/// It waited for a leader, which then takes less than was known.
TEST(MessageSizes, RefuseWhatTheNextLeaderDoesNotTake) {
  Nodes nodes(2, large(), large());
  auto& bob = join(nodes, 1, "bob");
  follow(nodes, bob, "chat/room/msg");
  nodes.block(1, NodeChannel::Proposals);
  const auto large_one = bob.publish("chat/room/msg", std::string(1'200'000, 'x'));
  const auto small_one = bob.publish("chat/room/msg", "small");
  nodes.settle();
  nodes.disconnect(0, 1);
  nodes.takes(0, kTakes);
  nodes.open(1, NodeChannel::Proposals);
  nodes.connect(0, 1);
  nodes.advance(1s);
  const auto* refused = bob.answer(PacketType::Puback, large_one);
  ASSERT_NE(refused, nullptr);
  EXPECT_EQ(refused->user("error"), "too-large");
  const auto* taken = bob.answer(PacketType::Puback, small_one);
  ASSERT_NE(taken, nullptr);
  EXPECT_EQ(taken->reason(), ReasonCode::Success);
  EXPECT_EQ(nodes.too_large(), 0U);
}

TEST(MessageSizes, DropAnOrdinaryMessageAndCountIt) {
  Metrics metrics{1};
  WorldOptions options = large();
  options.shard.metrics = &metrics;
  Nodes nodes(2, options, large());
  nodes.takes(1, kTakes);
  nodes.reconnect(0, 1);
  nodes.settle();
  auto& ann = join(nodes, 0, "ann");
  auto& bob = join(nodes, 1, "bob");
  auto& cat = join(nodes, 1, "cat");
  follow(nodes, bob, "plain/#", {.qos = Qos::ExactlyOnce});
  follow(nodes, cat, "$share/g/shared/#");
  const std::string too_large(1'100'000, 'x');
  std::uint64_t dropped = 0;
  std::size_t behind = 0;
  for (const Qos qos : {Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce}) {
    for (const bool retain : {false, true}) {
      ann.publish("plain/1", too_large, {.qos = qos, .retain = retain});
      ann.publish("plain/2", "behind", {.qos = qos});
      nodes.settle();
      EXPECT_EQ(metrics.sum()[Metric::PublishesDropped], ++dropped) << int(qos) << retain;
      EXPECT_EQ(bob.payloads(), Texts(++behind, "behind"));
    }
    ann.publish("shared/1", too_large, {.qos = qos});
    ann.publish("shared/2", "behind", {.qos = qos});
    nodes.settle();
    EXPECT_EQ(metrics.sum()[Metric::PublishesDropped], ++dropped) << int(qos);
    EXPECT_EQ(cat.payloads(), Texts(std::size_t(qos) + 1, "behind"));
  }
  // What is retained is told to a node that comes; this one can't be.
  nodes.reconnect(0, 1);
  nodes.settle();
  EXPECT_EQ(metrics.sum()[Metric::PublishesDropped], dropped + 1);
  EXPECT_EQ(say(nodes, ann, "plain/3", "goes on").reason(), ReasonCode::Success);
  EXPECT_EQ(bob.payloads().back(), "goes on");
  EXPECT_EQ(nodes.too_large(), 0U);
}

/// They are more than one message may have.
TEST(MessageSizes, TellManyFiltersInPieces) {
  Uneven uneven(0);
  Nodes& nodes = uneven.nodes;
  auto& ann = join(nodes, 0, "ann");
  auto& bob = join(nodes, 1, "bob");
  std::vector<std::string> filters;
  for (int i = 0; i < 15'000; ++i) filters.push_back(std::string(80, 'f') + "/" + std::to_string(i));
  for (auto next = filters.begin(); next != filters.end(); next += 1'000) {
    bob.subscribe(std::vector<std::string>(next, next + 1'000));
    nodes.settle();
  }
  const auto wanted = [&](std::size_t i) { return say(nodes, ann, filters[i], "x").reason() == ReasonCode::Success; };
  EXPECT_TRUE(wanted(0) && wanted(filters.size() - 1));
  nodes.disconnect(0, 1);
  nodes.settle();
  bob.unsubscribe(filters.front());
  nodes.settle();
  nodes.connect(0, 1);
  nodes.settle();
  EXPECT_FALSE(wanted(0)) << "it was unsubscribed meanwhile";
  for (const std::size_t i : {1U, 7'000U, 14'999U}) EXPECT_TRUE(wanted(i)) << i;
}

/// What a node wanted before counts until it has said all that it wants now.
TEST(MessageSizes, MissNothingBetweenTwoPieces) {
  Nodes nodes(2);
  auto& ann = join(nodes, 0, "ann");
  auto& bob = join(nodes, 1, "bob");
  follow(nodes, bob, "a/b");
  follow(nodes, bob, "c/d");
  const auto hear = [&](const remote::Filters& piece) {
    nodes.at(0).shard(0).node_message({2}, NodeChannel::Messages, remote::encode_for(Slot{0}, piece).substr(2));
    nodes.settle();
  };
  const auto wanted = [&](const std::string& topic) {
    return say(nodes, ann, topic, "x").reason() == ReasonCode::Success;
  };
  const std::string full(65'535, 'f');
  const std::string full_too(65'535, 'g');
  hear({.token = 1, .replaces = true, .added = {full, full_too, "c/d"}, .removed = {}});
  EXPECT_TRUE(wanted("a/b") && wanted("c/d")) << "there is more to come";
  hear({.token = 2, .replaces = false, .added = {full, full_too, "e/f"}, .removed = {}});
  EXPECT_TRUE(wanted("a/b") && wanted("c/d") && wanted("e/f"));
  hear({.token = 3, .replaces = false, .added = {}, .removed = {}});
  EXPECT_FALSE(wanted("a/b")) << "it isn't in the new list";
  EXPECT_TRUE(wanted("c/d") && wanted("e/f"));
  hear({.token = 4, .replaces = true, .added = {"e/f"}, .removed = {}});
  EXPECT_FALSE(wanted("c/d")) << "one piece is a whole list";
  EXPECT_TRUE(wanted("e/f"));
}

TEST(MessageSizes, RefuseASubscriptionThatMakesASessionTooLarge) {
  Uneven uneven(1);
  Nodes& nodes = uneven.nodes;
  auto& ann = join(nodes, 0, "ann", lasting());
  std::size_t granted = 0;
  const auto filter = [](std::size_t i) { return std::to_string(i) + "/" + std::string(20'000, 'f'); };
  while (granted < 100 && follow(nodes, ann, filter(granted)) == ReasonCode::GrantedQos1) ++granted;
  EXPECT_GT(granted, 10U);
  EXPECT_LT(granted, 60U) << "half of what the other node takes";
  EXPECT_EQ(ann.answers.back().reason(), ReasonCode::QuotaExceeded);
  EXPECT_EQ(ann.answers.back().user("error"), "too-many");
  EXPECT_EQ(follow(nodes, ann, "short"), ReasonCode::GrantedQos1);
  EXPECT_EQ(say(nodes, ann, filter(granted), "x").reason(), ReasonCode::NoMatchingSubscribers);
  // And it goes on at the other node.
  ann.drop();
  nodes.settle();
  auto& back = join(nodes, 1, "ann", lasting());
  EXPECT_TRUE(back.connack()->session_present);
  say(nodes, back, filter(0), "x");
  EXPECT_EQ(back.payloads(), Texts{"x"});
  // Of a session that ends with its connection nobody is told.
  auto& bob = join(nodes, 0, "bob");
  for (std::size_t i = 0; i < 80; ++i) EXPECT_EQ(follow(nodes, bob, filter(i)), ReasonCode::GrantedQos1);
}

}  // namespace
}  // namespace parley::shard
