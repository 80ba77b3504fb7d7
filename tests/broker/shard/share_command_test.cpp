#include "broker/shard/share_command.hpp"

#include <gtest/gtest.h>

namespace parley::shard {
namespace {

const ShareCommand kJoins{.op = ShareCommand::Op::Joins,
                          .group = "workers",
                          .member = "mphone",
                          .token = ~std::uint64_t{0},
                          .shard = 3,
                          .window = 100,
                          .lasts = true,
                          .start = {chat::StartPosition::Kind::Since, 300},
                          .start_epoch = {7},
                          .held = {{1}, {200}}};

TEST(ShareCommand, ComesBackAsItWent) {
  for (const ShareCommand& one : {kJoins, ShareCommand{.op = ShareCommand::Op::Ends, .group = "g", .member = "m"}}) {
    const auto again = decode_share_command(encode(one));
    ASSERT_TRUE(again);
    EXPECT_EQ(encode(*again), encode(one));
    EXPECT_EQ(again->held, one.held);
    EXPECT_EQ(again->start.value, one.start.value);
    EXPECT_EQ(again->token, one.token);
  }
}

TEST(ShareCommand, RefusesWhatIsDamaged) {
  const std::string bytes = encode(kJoins);
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_FALSE(decode_share_command(std::string_view(bytes).substr(0, size))) << size;
  }
  EXPECT_FALSE(decode_share_command(bytes + '\0'));
  std::string other = bytes;
  other[0] = 3;
  EXPECT_FALSE(decode_share_command(other)) << "an op that isn't";
  for (auto change : {+[](ShareCommand& one) { one.group.clear(); }, +[](ShareCommand& one) { one.member.clear(); },
                      +[](ShareCommand& one) { one.shard = 0x8000'0000; },
                      +[](ShareCommand& one) {
                        one.held = {{2}, {2}};
                      },
                      +[](ShareCommand& one) { one.held = {{0}}; }}) {
    ShareCommand wrong = kJoins;
    change(wrong);
    EXPECT_FALSE(decode_share_command(encode(wrong)));
  }
}

}  // namespace
}  // namespace parley::shard
