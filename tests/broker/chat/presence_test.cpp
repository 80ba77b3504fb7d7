#include "broker/chat/presence.hpp"

#include <gtest/gtest.h>

namespace parley::chat {
namespace {

using namespace std::chrono_literals;

constexpr NodeId kA{1};
constexpr NodeId kB{2};
constexpr Duration kGrace = 10s;

class UserPresenceTest : public testing::Test {
 protected:
  void say(NodeId node, std::uint64_t devices, PresenceReport report = {}) {
    report.devices = devices;
    user_.take(node, std::move(report), kGrace, now_, wall_);
  }
  void pass(Duration by) {
    now_ += by;
    wall_.milliseconds += static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(by).count());
    user_.look(now_);
  }
  [[nodiscard]] bool online() const { return user_.shown().online; }

  UserPresence user_;
  Instant now_{std::chrono::hours(1)};
  Timestamp wall_{1'000'000};
};

TEST_F(UserPresenceTest, IsOnlineWhileAnyNodeHasADevice) {
  EXPECT_FALSE(user_.is_known());
  say(kA, 1);
  say(kB, 2);
  EXPECT_EQ(user_.shown(), (Presence{true, 3, {1'000'000}, ""}));
  say(kA, 0);
  pass(1min);
  EXPECT_EQ(user_.shown(), (Presence{true, 2, {1'000'000}, ""}));
}

TEST_F(UserPresenceTest, GoesOfflineAfterTheGraceTimeSinceItLeft) {
  say(kA, 1);
  pass(5s);
  say(kA, 0);
  EXPECT_EQ(user_.leaves_at(), now_ + kGrace);
  pass(9s);
  EXPECT_EQ(user_.shown(), (Presence{true, 1, {1'000'000}, ""})) << "as if it were there";
  pass(1s);
  EXPECT_EQ(user_.shown(), (Presence{false, 0, {1'005'000}, ""}));
}

TEST_F(UserPresenceTest, WhateverTheOrderNobodyThereGoesOffline) {
  // A take-over: the new node may be heard before the old one, or after it, or twice.
  for (const bool new_first : {true, false}) {
    user_ = {};
    say(kA, 1);
    if (new_first) say(kB, 1);
    say(kA, 0);
    if (!new_first) say(kB, 1);
    say(kA, 0);
    say(kB, 1);
    pass(1h);
    EXPECT_TRUE(online());
  }
}

TEST_F(UserPresenceTest, AnEmptyReportStartsNoGraceTimeAnew) {
  say(kA, 1);
  say(kA, 0);
  pass(6s);
  say(kA, 0);
  say(kB, 0);
  pass(5s);
  EXPECT_FALSE(online());
}

TEST_F(UserPresenceTest, AWillsDelayIsItsOwnGraceTimeAndItsTextTheLastStatus) {
  say(kA, 1, {.status = "here", .status_at = {5}});
  say(kA, 0, {.grace = 1min, .parting = "gone"});
  pass(59s);
  EXPECT_EQ(user_.shown().status, "here");
  EXPECT_TRUE(online());
  pass(1s);
  EXPECT_FALSE(online());
  EXPECT_EQ(user_.shown().status, "gone");
}

TEST_F(UserPresenceTest, WhoComesBackHasNotParted) {
  say(kA, 1);
  say(kA, 0, {.parting = "gone"});
  say(kB, 1);
  say(kB, 0);
  pass(1min);
  EXPECT_FALSE(online());
  EXPECT_EQ(user_.shown().status, "");
}

TEST_F(UserPresenceTest, TheLaterStatusCounts) {
  say(kA, 1, {.status = "new", .status_at = {7}});
  say(kB, 1, {.status = "old", .status_at = {6}});
  EXPECT_EQ(user_.shown().status, "new");
}

TEST_F(UserPresenceTest, NobodyIsKnownByHavingNothing) {
  say(kA, 0);
  say(kB, 0, {.parting = "gone"});
  EXPECT_FALSE(user_.is_known());
}

TEST_F(UserPresenceTest, KeepsWhatAnEarlierHomeHasTold) {
  user_.remember({true, 1, {500'000}, "at lunch"});
  EXPECT_FALSE(user_.shown().online) << "that nobody has said here";
  say(kA, 1);
  EXPECT_EQ(user_.shown(), (Presence{true, 1, {500'000}, "at lunch"}));
  UserPresence late;
  late.take(kA, {.devices = 1}, kGrace, now_, wall_);
  late.remember({true, 1, {500'000}, "at lunch"});
  EXPECT_EQ(late.shown(), (Presence{true, 1, {500'000}, "at lunch"})) << "whoever speaks first";
  late.remember({true, 1, {2'000'000}, ""});
  EXPECT_EQ(late.shown().since, (Timestamp{500'000}));
}

TEST_F(UserPresenceTest, IsBackWithItsOwnStatus) {
  say(kA, 1, {.status = "at lunch", .status_at = {900'000}});
  say(kA, 0, {.parting = "lost"});
  pass(11s);
  EXPECT_EQ(user_.shown().status, "lost");
  say(kB, 0, {.status = "at lunch", .status_at = {900'000}});
  EXPECT_EQ(user_.shown().status, "lost") << "a node that says everything again";
  say(kA, 1);
  EXPECT_EQ(user_.shown().status, "at lunch");
  say(kA, 0, {.parting = "lost again"});
  pass(11s);
  EXPECT_EQ(user_.shown().status, "lost again");
  say(kA, 1, {.status = "back", .status_at = {950'000}});
  EXPECT_EQ(user_.shown().status, "back");
}

TEST_F(UserPresenceTest, KeepsSinceWhenSomebodyIsGone) {
  user_.remember({false, 0, {500'000}, "gone fishing"});
  user_.settle();
  EXPECT_EQ(user_.shown(), (Presence{false, 0, {500'000}, "gone fishing"}));
  say(kA, 1);
  EXPECT_EQ(user_.shown().since, wall_) << "it came now";
}

TEST_F(UserPresenceTest, WhatWasRememberedMeansNothingOnceItIsSettled) {
  user_.remember({true, 1, {500'000}, ""});
  user_.settle();
  say(kA, 1);
  EXPECT_EQ(user_.shown().since, wall_);
}

TEST_F(UserPresenceTest, AStatusSetHereIsNewerThanWhatWasTold) {
  say(kA, 1, {.status = "back", .status_at = {900'000}});
  user_.remember({true, 1, {500'000}, "at lunch"});
  EXPECT_EQ(user_.shown().status, "back");
}

}  // namespace
}  // namespace parley::chat
