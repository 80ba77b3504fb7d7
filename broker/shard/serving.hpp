#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "broker/shard/events.hpp"
#include "broker/shard/node_events.hpp"

namespace parley::shard {

class Shard;

/// What other nodes ask of the slots that this one leads: their proposals and records, their followers beside this
/// node's shards, and pages. The other side of RemoteHomes. Belongs to its shard's thread.
///
/// A follower on another node is a ShardId with kOtherNode for Hosting. When a node's channel is full its streams of
/// entries stop, and go on with a new standing when it is writable.
class Serving {
 public:
  /// Pages that are read for one node at a time; more are answered as failed, and asked for again.
  static constexpr std::size_t kReadsMax = 256;

  explicit Serving(Shard& shard) : shard_(shard) {}

  // -- From other nodes --
  void node_connected(NodeId node);
  void node_writable(NodeId node);
  void propose(NodeId from, const remote::Propose& event);
  void write(NodeId from, const remote::Write& event);
  void follow(NodeId from, const remote::Follow& event);
  void unfollow(NodeId from, const remote::Unfollow& event);
  void access(NodeId from, const remote::Access& event);
  void delivered(const remote::Delivered& event);
  void read(NodeId from, const remote::Read& event);

  // -- To other nodes --
  /// FollowedEvent, CommittedEvent, NoticeEvent and AccessedEvent for a follower with kOtherNode.
  void send(ShardId follower, const PeerEvent& event);
  void outcome(const NodeOrigin& origin, const Outcome& outcome);
  /// The follower's conversation isn't led here any more: it is forgotten.
  void led_elsewhere(ShardId follower);
  /// True when the page was for another node.
  bool entries_read(std::uint64_t token, const Result<ReadPage>& page);

 private:
  struct Follower {
    NodeId node;
    std::uint64_t follow = 0;
    std::string conversation;
    bool stopped = false;  ///< The channel was full: what was committed since is to be read.
  };
  struct PendingRead {
    NodeId node;
    Slot slot;
    std::uint64_t token = 0;
    std::uint64_t connection = 0;
  };
  struct Question {
    NodeId node;
    Slot slot;
    std::uint64_t token = 0;
  };
  struct Node {
    std::uint64_t connection = 0;  ///< Counts them.
    std::size_t reads = 0;
    std::map<Slot, std::uint64_t> refused;  ///< The stream of which a proposal was refused as NotLeader.
  };

  void append(NodeId from, const remote::Written& written, const std::vector<std::string>& records);
  void refuse(NodeId from, remote::Written written, remote::Status status);
  bool refuses(NodeId from, Slot slot, std::uint64_t stream);
  void answer(NodeId to, const remote::Proposed& event);
  void answer(NodeId to, const remote::Written& event);
  void send(Follower& follower, const FollowedEvent& event);
  void send(Follower& follower, const CommittedEvent& event);
  void send(const Follower& follower, const NoticeEvent& event);
  void answer(const AccessedEvent& event);
  void forget(ShardId follower);

  Shard& shard_;
  std::map<NodeId, Node> nodes_;
  std::map<ShardId, Follower> followers_;
  std::map<std::pair<NodeId, std::uint64_t>, ShardId> ids_;  ///< By node and follow.
  std::map<std::uint64_t, PendingRead> reads_;
  ShardId next_id_ = kOtherNode;
  std::uint64_t next_read_ = 1;
  std::map<std::uint64_t, Question> questions_;
  std::uint64_t next_question_ = 1;
};

}  // namespace parley::shard
