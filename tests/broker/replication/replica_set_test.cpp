#include "broker/replication/replica_set.hpp"

#include <gtest/gtest.h>

namespace parley::replication {
namespace {

using Kind = ReplicaChange::Kind;

ReplicaSet set_of(std::vector<NodeId> voters, std::vector<NodeId> learners = {}) {
  return {.voters = std::move(voters), .learners = std::move(learners)};
}

TEST(ReplicaChange, ChangesOneReplicaOrSaysWhyNot) {
  struct Case {
    const char* name;
    ReplicaChange change;
    ReplicaSet from;
    ReplicaSet to;
    ReplicationError error{};
  };
  const Case cases[] = {
      {"a learner comes", {Kind::AddLearner, {2}}, set_of({{1}, {3}}), set_of({{1}, {3}}, {{2}})},
      {"a voter is no new learner", {Kind::AddLearner, {1}}, set_of({{1}}), {}, ReplicationError::AlreadyReplica},
      {"nobody is no learner", {Kind::AddLearner, {0}}, set_of({{1}}), {}, ReplicationError::NoSuchReplica},
      {"it votes", {Kind::PromoteLearner, {2}}, set_of({{1}, {3}}, {{2}}), set_of({{1}, {2}, {3}})},
      {"a stranger doesn't", {Kind::PromoteLearner, {2}}, set_of({{1}}), {}, ReplicationError::NoSuchReplica},
      {"a voter doesn't twice", {Kind::PromoteLearner, {1}}, set_of({{1}}), {}, ReplicationError::NoSuchReplica},
      {"it votes no more", {Kind::DemoteVoter, {1}}, set_of({{1}, {3}}, {{2}}), set_of({{3}}, {{1}, {2}})},
      {"the last one must", {Kind::DemoteVoter, {1}}, set_of({{1}}, {{2}}), {}, ReplicationError::LastVoter},
      {"a voter goes", {Kind::Remove, {3}}, set_of({{1}, {3}}), set_of({{1}})},
      {"a learner goes", {Kind::Remove, {2}}, set_of({{1}}, {{2}}), set_of({{1}})},
      {"the last voter can't", {Kind::Remove, {1}}, set_of({{1}}, {{2}}), {}, ReplicationError::LastVoter},
      {"a stranger can't", {Kind::Remove, {9}}, set_of({{1}}), {}, ReplicationError::NoSuchReplica},
  };
  for (const Case& one : cases) {
    const auto result = apply(one.change, one.from);
    if (one.error == ReplicationError{}) {
      ASSERT_TRUE(result) << one.name;
      EXPECT_EQ(*result, one.to) << one.name;
      EXPECT_TRUE(result->valid()) << one.name;
    } else {
      EXPECT_EQ(result.error(), one.error) << one.name;
    }
  }
}

TEST(ReplicaChange, StopsAtTheMost) {
  ReplicaSet set = set_of({{1}});
  for (std::uint64_t id = 2; id <= kReplicasMax; ++id) set.learners.push_back({id});
  EXPECT_EQ(apply({Kind::AddLearner, {99}}, set).error(), ReplicationError::TooManyReplicas);
}

TEST(ReplicaSet, IsValidWhenSortedAndDisjoint) {
  EXPECT_TRUE(ReplicaSet{}.valid());
  EXPECT_TRUE(set_of({{1}, {2}}, {{3}}).valid());
  EXPECT_FALSE(set_of({{2}, {1}}).valid());
  EXPECT_FALSE(set_of({{1}, {1}}).valid());
  EXPECT_FALSE(set_of({{1}}, {{1}}).valid());
  EXPECT_FALSE(set_of({{0}, {1}}).valid());
}

TEST(ReplicaSet, NeedsMoreThanHalf) {
  EXPECT_EQ(ReplicaSet{}.majority(), 1U);
  EXPECT_EQ(set_of({{1}}).majority(), 1U);
  EXPECT_EQ(set_of({{1}, {2}}).majority(), 2U);
  EXPECT_EQ(set_of({{1}, {2}, {3}}, {{4}}).majority(), 2U);
}

TEST(ReplicaHistory, GoesBackWhenTheLogDoes) {
  ReplicaHistory history({{}, set_of({{1}})}, {});
  history.append({5}, set_of({{1}}, {{2}}));
  history.append({9}, set_of({{1}, {2}}));
  EXPECT_EQ(history.in_force({4}).index, Index{0});
  EXPECT_EQ(history.in_force({5}).index, Index{5});
  EXPECT_EQ(history.first_in({1}, {4}), Index{5});
  EXPECT_EQ(history.first_in({6}, {20}), Index{9});
  EXPECT_EQ(history.first_in({10}, {20}), Index{21});
  EXPECT_EQ(history.at({6}), nullptr);
  EXPECT_FALSE(history.truncate_after({9}));
  EXPECT_TRUE(history.truncate_after({8}));
  EXPECT_EQ(history.current().index, Index{5});
  history.cut({6});
  EXPECT_TRUE(history.truncate_after({6}) == false && history.current().index == Index{5});
}

}  // namespace
}  // namespace parley::replication
