#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/number.hpp"
#include "base/result.hpp"
#include "broker/replication/error.hpp"

namespace parley::replication {

/// More than anybody needs, few enough for a message.
inline constexpr std::size_t kReplicasMax = 15;

/// Who replicates a slot; both lists ascend and share nothing. Empty: a node that hasn't heard of the slot yet.
struct ReplicaSet {
  std::vector<NodeId> voters;
  std::vector<NodeId> learners;  ///< Get everything, count for nothing.

  [[nodiscard]] bool has_voter(NodeId node) const;
  [[nodiscard]] bool has_learner(NodeId node) const;
  [[nodiscard]] bool has(NodeId node) const { return has_voter(node) || has_learner(node); }
  /// How many voters are a majority; 1 for none, so that nothing ever counts as one.
  [[nodiscard]] std::size_t majority() const { return voters.size() / 2 + 1; }
  /// Sorted, disjoint, not too many.
  [[nodiscard]] bool valid() const;

  friend bool operator==(const ReplicaSet&, const ReplicaSet&) = default;
};

/// One step from one replica set to the next. Each changes the voters by one at most, so that majorities before and
/// after share a node. Thesis §4.1.
struct ReplicaChange {
  enum class Kind : std::uint8_t {
    AddLearner,
    PromoteLearner,  ///< A learner becomes a voter.
    DemoteVoter,     ///< A voter becomes a learner.
    Remove,          ///< Voter or learner.
  };
  Kind kind = Kind::AddLearner;
  NodeId node;
};

/// Fails with AlreadyReplica, NoSuchReplica, LastVoter, TooManyReplicas.
Result<ReplicaSet> apply(const ReplicaChange& change, const ReplicaSet& set);

/// A replica set holds from the moment its entry is in the log, committed or not. Thesis §4.1.
struct ReplicasAt {
  Index index;
  ReplicaSet set;
  friend bool operator==(const ReplicasAt&, const ReplicasAt&) = default;
};

/// The replica sets that a log's entries named, and the one before them.
class ReplicaHistory {
 public:
  /// `first` holds at the log's base, `later` ascend above it.
  ReplicaHistory(ReplicasAt first, std::span<const ReplicasAt> later);

  [[nodiscard]] const ReplicasAt& current() const { return sets_.back(); }
  /// The set that the entry at `index` names; null when it names none.
  [[nodiscard]] const ReplicaSet* at(Index index) const;
  /// The set that holds when everything up to `index` counts, and nothing after it.
  [[nodiscard]] const ReplicasAt& in_force(Index index) const;
  /// The first entry in [first, last] that names a set; `last`.next() when there is none.
  [[nodiscard]] Index first_in(Index first, Index last) const;

  void append(Index index, ReplicaSet set) { sets_.push_back({index, std::move(set)}); }
  /// True when the current one changed.
  bool truncate_after(Index last);
  void cut(Index upto);

 private:
  std::vector<ReplicasAt> sets_;  ///< Never empty.
};

}  // namespace parley::replication
