#include "broker/chat/access.hpp"

#include <gtest/gtest.h>

namespace parley::chat {
namespace {

TEST(Access, IsOpenInPublicConversationsOnly) {
  using format::ConversationType;
  using format::Visibility;
  for (const Right right : {Right::Read, Right::Post}) {
    for (const auto type : {ConversationType::Direct, ConversationType::Group}) {
      EXPECT_TRUE(may(right, {.user = "u", .conversation = "c", .type = type, .visibility = Visibility::Public}));
      EXPECT_FALSE(may(right, {.user = "u", .conversation = "c", .type = type, .visibility = Visibility::Private}));
    }
  }
}

}  // namespace
}  // namespace parley::chat
