#include "broker/shard/node_links.hpp"

#include <gtest/gtest.h>

namespace parley::shard {
namespace {

class NarrowNodes final : public PeerNodes {
 public:
  [[nodiscard]] NodeId self() const override { return {1}; }
  bool send(NodeId /*node*/, NodeChannel /*channel*/, std::string message) override {
    if (full) return false;
    sent.push_back(std::move(message));
    return true;
  }
  void drop(NodeId node) override { dropped.push_back(node); }
  void leading(Slot /*slot*/, std::optional<Term> /*term*/) override {}
  [[nodiscard]] PeerState peer(NodeId node) const override {
    const auto found = takes.find(node);
    return {.message_max = found == takes.end() ? 0 : found->second};
  }
  bool full = false;
  std::map<NodeId, std::size_t> takes;
  std::vector<std::string> sent;
  std::vector<NodeId> dropped;
};

constexpr NodeId kOther{2};

TEST(NodeLinks, KeepWhatAFullChannelDoesntTakeInItsOrder) {
  NarrowNodes nodes;
  NodeLinks links(nodes);
  links.node_connected(kOther);
  nodes.full = true;
  links.send(kOther, NodeChannel::Proposals, "waits");
  links.send(kOther, NodeChannel::Proposals, "waits too");
  EXPECT_FALSE(links.writable(kOther, NodeChannel::Proposals));
  nodes.full = false;
  EXPECT_TRUE(links.node_writable(kOther, NodeChannel::Proposals));
  EXPECT_TRUE(links.try_send(kOther, NodeChannel::Proposals, "goes"));
  EXPECT_EQ(nodes.sent, (std::vector<std::string>{"waits", "waits too", "goes"}));
}

TEST(NodeLinks, SendNothingOfAnEarlierConnection) {
  NarrowNodes nodes;
  NodeLinks links(nodes);
  links.node_connected(kOther);
  nodes.full = true;
  links.send(kOther, NodeChannel::Proposals, "lost");
  links.node_unreachable(kOther);
  EXPECT_FALSE(links.connected(kOther));
  nodes.full = false;
  EXPECT_FALSE(links.node_writable(kOther, NodeChannel::Proposals));
  links.send(kOther, NodeChannel::Proposals, "lost, too");
  EXPECT_FALSE(links.try_send(kOther, NodeChannel::Proposals, "not taken"));
  links.node_connected(kOther);
  links.send(kOther, NodeChannel::Proposals, "anew");
  EXPECT_EQ(nodes.sent, (std::vector<std::string>{"anew"}));
}

/// What can't be kept isn't dropped in silence: with the connection all is said anew.
TEST(NodeLinks, EndAConnectionThatTakesTooLittle) {
  NarrowNodes nodes;
  NodeLinks links(nodes);
  links.node_connected(kOther);
  nodes.full = true;
  const std::string large(NodeLinks::kQueuedBytesMax / 4, 'x');
  for (int i = 0; i < 4; ++i) links.send(kOther, NodeChannel::Entries, large);
  EXPECT_TRUE(nodes.dropped.empty());
  links.send(kOther, NodeChannel::Entries, "one more");
  EXPECT_EQ(nodes.dropped, (std::vector<NodeId>{kOther}));
  EXPECT_FALSE(links.connected(kOther));
  links.send(kOther, NodeChannel::Entries, "and another");
  EXPECT_EQ(nodes.dropped.size(), 1U) << "once for a connection";
  nodes.full = false;
  links.node_connected(kOther);
  EXPECT_TRUE(links.try_send(kOther, NodeChannel::Entries, "anew"));
  EXPECT_EQ(nodes.sent, (std::vector<std::string>{"anew"}));
}

/// A message that is alone may be larger than what a queue keeps.
TEST(NodeLinks, KeepOneMessageHoweverLarge) {
  NarrowNodes nodes;
  NodeLinks links(nodes);
  links.node_connected(kOther);
  nodes.full = true;
  links.send(kOther, NodeChannel::Pages, std::string(NodeLinks::kQueuedBytesMax + 1, 'x'));
  EXPECT_TRUE(nodes.dropped.empty());
  links.send(kOther, NodeChannel::Pages, "one more");
  EXPECT_EQ(nodes.dropped, (std::vector<NodeId>{kOther}));
}

TEST(NodeLinks, KnowHowMuchTheOthersTake) {
  NarrowNodes nodes;
  NodeLinks links(nodes);
  EXPECT_EQ(links.message_max(), std::numeric_limits<std::size_t>::max());
  links.node_connected(kOther);
  EXPECT_TRUE(links.takes(kOther, 1'000'000)) << "it isn't known";
  nodes.takes = {{kOther, 1000}, {NodeId{3}, 500}};
  links.node_connected(kOther);
  EXPECT_EQ(links.message_max(), 1000U);
  links.node_connected({3});
  EXPECT_EQ(links.message_max(), 500U);
  EXPECT_TRUE(links.takes(kOther, 1000));
  EXPECT_FALSE(links.takes(kOther, 1001));
  links.node_unreachable({3});
  EXPECT_EQ(links.message_max(), 500U) << "it comes back";
  nodes.takes[NodeId{3}] = 2000;
  links.node_connected({3});
  EXPECT_EQ(links.message_max(), 1000U);
}

}  // namespace
}  // namespace parley::shard
