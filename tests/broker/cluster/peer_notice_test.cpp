#include "broker/cluster/peer_notice.hpp"

#include <gtest/gtest.h>

namespace parley::cluster {
namespace {

TEST(PeerNotice, ReadsBackWhatItWrites) {
  const replication::Heartbeat heartbeat{.incarnation = 1, .sent = 2, .leading = {{{Slot{3}, Term{4}}}}};
  const auto beat = read_notice(encode_notice(heartbeat));
  ASSERT_TRUE(beat && std::holds_alternative<replication::Heartbeat>(*beat));
  EXPECT_EQ(std::get<replication::Heartbeat>(*beat), heartbeat);

  const auto node = read_notice(encode_notice(NodeNotice{.address = {"fd00::1", 7400}, .draining = true}));
  ASSERT_TRUE(node && std::holds_alternative<NodeNotice>(*node));
  EXPECT_EQ(std::get<NodeNotice>(*node).address.host, "fd00::1");
  EXPECT_EQ(std::get<NodeNotice>(*node).address.port, 7400);
  EXPECT_TRUE(std::get<NodeNotice>(*node).draining);

  const auto clients = read_notice(encode_notice(ClientsNotice{.leaving = true, .address = "chat.example:1883"}));
  ASSERT_TRUE(clients && std::holds_alternative<ClientsNotice>(*clients));
  EXPECT_TRUE(std::get<ClientsNotice>(*clients).leaving);
  EXPECT_EQ(std::get<ClientsNotice>(*clients).address, "chat.example:1883");

  const auto pins = read_notice(encode_notice(PinsNotice{.pins = {{{3}, 7}, {{255}, 1'700'000'000'000}}}));
  ASSERT_TRUE(pins && std::holds_alternative<PinsNotice>(*pins));
  EXPECT_EQ(std::get<PinsNotice>(*pins).pins, (std::map<Slot, std::uint64_t>{{{3}, 7}, {{255}, 1'700'000'000'000}}));
  const auto none = read_notice(encode_notice(PinsNotice{}));
  ASSERT_TRUE(none && std::get<PinsNotice>(*none).pins.empty());

  const auto move = read_notice(encode_notice(MoveNotice{.slot = {300}, .stamp = 9, .pinned = true}));
  ASSERT_TRUE(move && std::holds_alternative<MoveNotice>(*move));
  EXPECT_EQ(std::get<MoveNotice>(*move).slot, Slot{300});
  EXPECT_EQ(std::get<MoveNotice>(*move).stamp, 9U);
  EXPECT_TRUE(std::get<MoveNotice>(*move).pinned);

  const auto removal = read_notice(encode_notice(RemovalNotice{.birth = 0x0102030405060708}));
  ASSERT_TRUE(removal && std::holds_alternative<RemovalNotice>(*removal));
  EXPECT_EQ(std::get<RemovalNotice>(*removal).birth, 0x0102030405060708U);
}

TEST(PeerNotice, IsIgnoredUnlessWholeAndClean) {
  for (const auto& notice :
       {PeerNotice{replication::Heartbeat{.incarnation = 1}}, PeerNotice{RemovalNotice{.birth = 9}}}) {
    const std::string whole = encode_notice(notice);
    for (std::size_t size = 0; size < whole.size(); ++size) EXPECT_FALSE(read_notice(whole.substr(0, size)));
    EXPECT_FALSE(read_notice(whole + "x"));
  }
  EXPECT_FALSE(read_notice(std::string("\x01\0\0\0", 4)));                                      // No host.
  EXPECT_FALSE(read_notice(encode_notice(NodeNotice{.address = {"a\nstanding founder", 1}})));  // A second line.
  EXPECT_FALSE(read_notice(encode_notice(NodeNotice{.address = {std::string(256, 'h'), 1}})));
  EXPECT_FALSE(read_notice(encode_notice(ClientsNotice{.address = "two lines\n"})));
  EXPECT_FALSE(read_notice(encode_notice(ClientsNotice{.address = std::string(256, 'h')})));
  const std::string pins = encode_notice(PinsNotice{.pins = {{{3}, 7}, {{4}, 8}}});
  EXPECT_FALSE(read_notice(pins.substr(0, pins.size() - 1)));
  EXPECT_FALSE(read_notice(pins.substr(0, 1) + pins.substr(11) + pins.substr(1, 10)));  // Falling.
  const std::string move = encode_notice(MoveNotice{.slot = {3}, .stamp = 7});
  EXPECT_FALSE(read_notice(move + "x"));
  EXPECT_FALSE(read_notice(move.substr(0, 1) + "\x02" + move.substr(2)));
  EXPECT_FALSE(read_notice("\x07whatever"));
}

}  // namespace
}  // namespace parley::cluster
