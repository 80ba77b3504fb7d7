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
  void leading(Slot /*slot*/, std::optional<Term> /*term*/) override {}
  bool full = false;
  std::vector<std::string> sent;
};

TEST(NodeLinks, HearsThatThereIsRoomWhileTheNodeIsTakenForUnreachable) {
  constexpr NodeId kOther{2};
  NarrowNodes nodes;
  NodeLinks links(nodes);
  links.node_connected(kOther);
  nodes.full = true;
  links.send(kOther, NodeChannel::Proposals, "waits");
  EXPECT_FALSE(links.writable(kOther, NodeChannel::Proposals));
  links.node_unreachable(kOther);
  nodes.full = false;
  links.node_writable(kOther, NodeChannel::Proposals);  // Said once.
  links.node_reachable(kOther);                         // Over the same connection.
  EXPECT_TRUE(links.try_send(kOther, NodeChannel::Proposals, "goes"));
  EXPECT_EQ(nodes.sent, (std::vector<std::string>{"waits", "goes"}));
}

}  // namespace
}  // namespace parley::shard
