#include <algorithm>

#include "tests/broker/shard/inbox_scene.hpp"

/// Subscriptions to all conversations of a user, in a cluster.
namespace parley::shard {
namespace {

TEST(InboxAcrossNodes, IsServedByEachOfThem) {
  Nodes nodes(3, dev(2), dev(3));
  auto& ann = device(nodes, 1, "ann");
  follow(nodes, ann, "client/ann/reply");
  create(nodes, ann, "tea", {"bob"});
  auto& bob = device(nodes, 2, "bob.1", lasting(true));
  auto& other = device(nodes, 0, "bob.2");
  EXPECT_EQ(follow(nodes, bob, kInbox), ReasonCode::GrantedQos1);
  EXPECT_EQ(follow(nodes, other, kInbox), ReasonCode::GrantedQos1);
  say(nodes, ann, "chat/tea/msg", "one");
  create(nodes, ann, "milk", {"bob"});
  say(nodes, ann, "chat/milk/msg", "two");
  EXPECT_EQ(got(bob), (Strings{"tea:3", "milk:2", "milk:3"}));
  EXPECT_EQ(got(other), (Strings{"tea:3", "milk:2", "milk:3"}));
  command(nodes, ann, "milk", R"({"op":"remove","user":"bob"})");
  say(nodes, ann, "chat/milk/msg", "three");
  EXPECT_EQ(got(bob).back(), "milk:4");
  EXPECT_EQ(got(other).back(), "milk:4");
}

TEST(InboxAcrossNodes, HearsOfWhatHasChangedWhileTheNodesWereApart) {
  Nodes nodes(2);
  auto& ann = device(nodes, 0, "ann");
  follow(nodes, ann, "client/ann/reply");
  create(nodes, ann, "tea", {"bob"});
  create(nodes, ann, "beer", {"bob"});
  auto& bob = device(nodes, 1, "bob.1");
  EXPECT_EQ(follow(nodes, bob, kInbox), ReasonCode::GrantedQos1);
  nodes.disconnect(0, 1);
  nodes.settle();
  say(nodes, ann, "chat/tea/msg", "one");
  create(nodes, ann, "milk", {"bob"});
  command(nodes, ann, "beer", R"({"op":"remove","user":"bob"})");
  EXPECT_EQ(got(bob), Strings{});
  nodes.connect(0, 1);
  nodes.advance(2s);
  say(nodes, ann, "chat/milk/msg", "two");
  say(nodes, ann, "chat/beer/msg", "three");
  auto list = got(bob);
  std::erase_if(list, [](const std::string& one) { return one.starts_with("beer:3"); });
  std::ranges::sort(list);
  EXPECT_EQ(list, (Strings{"milk:2", "milk:3", "tea:3"}));
}

}  // namespace
}  // namespace parley::shard
