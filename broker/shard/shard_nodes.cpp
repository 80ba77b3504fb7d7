#include "base/log.hpp"
#include "broker/shard/node_events.hpp"
#include "broker/shard/presence_events.hpp"
#include "broker/shard/shard.hpp"

/// What a shard hears of other nodes, handed to whom it concerns.
namespace parley::shard {

void Shard::node_reachable(NodeId node) {
  replicas_.node_reachable(node);
  orphans_.node_reachable(node);
  share_homes_.node_reachable(node);
}

void Shard::node_unreachable(NodeId node) {
  node_topics_.node_unreachable(node);
  session_claims_.node_unreachable(node);
  nodes_.node_unreachable(node);
  replicas_.node_unreachable(node);
  presence_.node_unreachable(node);
  client_views_.node_unreachable(node);
  orphans_.node_unreachable(node);
  share_homes_.node_unreachable(node);
}

void Shard::node_leads(NodeId node, Slot slot, std::optional<Term> term) { replicas_.node_leads(node, slot, term); }

void Shard::node_connected(NodeId node) {
  nodes_.node_connected(node);
  replicas_.node_connected(node);
  serving_.node_connected(node);
  share_homes_.node_connected(node);
  remote_homes_.node_connected(node);
  node_topics_.node_connected(node);
  session_claims_.node_connected(node);
  user_lists_.node_connected(node);
  presence_.node_connected(node);
  wills_.nodes_changed();
}

void Shard::node_writable(NodeId node, NodeChannel channel) {
  replicas_.node_writable(node, channel);
  if (!nodes_.node_writable(node, channel)) return;
  serving_.node_writable(node);
  remote_homes_.node_writable(node);
  node_topics_.node_writable(node);
}

namespace {

/// One overload for each event; see Shard::node_message.
struct NodeEventVisitor {
  Shard& shard;
  NodeId from;

  void operator()(const remote::Propose& event) const { shard.serving().propose(from, event); }
  void operator()(const remote::Proposed& event) const { shard.remote_homes().proposed(from, event); }
  void operator()(const remote::Follow& event) const { shard.serving().follow(from, event); }
  void operator()(const remote::Unfollow& event) const { shard.serving().unfollow(from, event); }
  void operator()(const remote::Followed& event) const { shard.remote_homes().followed(from, event); }
  void operator()(const remote::Committed& event) const { shard.remote_homes().committed(from, event); }
  void operator()(const remote::Read& event) const { shard.serving().read(from, event); }
  void operator()(const remote::Access& event) const { shard.serving().access(from, event); }
  void operator()(const remote::Notice& event) const { shard.remote_homes().noticed(from, event); }
  void operator()(const remote::Delivered& event) const { shard.serving().delivered(event); }
  void operator()(const remote::ShareGrant& event) const { shard.share_members().granted({event.token, event.seqs}); }
  void operator()(const remote::ShareDone& event) const {
    shard.share_homes().done({std::string(event.conversation), std::string(event.group), event.token, event.seqs});
  }
  void operator()(const remote::PresenceReport& event) const { shard.presence().receive(from, event); }
  void operator()(const remote::PresenceFollow& event) const { shard.presence().receive(from, event); }
  void operator()(const remote::PresenceShown& event) const { shard.presence().receive(from, event); }
  void operator()(const remote::PresenceRecheck& event) const { shard.presence().receive(event); }
  void operator()(const remote::PresenceAsk& event) const { shard.presence().asked(remote::ask_of(event)); }
  void operator()(const remote::PresenceAnswer& event) const {
    shard.presence().answered({event.token, event.refusal});
  }
  void operator()(const remote::OnlineAsk& event) const { shard.presence().online_asked(remote::ask_of(event)); }
  void operator()(const remote::OnlineAnswer& event) const {
    shard.presence().online_answered(remote::answer_of(event));
  }
  void operator()(const remote::ClientAsk& event) const { shard.client_views().asked(from, event); }
  void operator()(const remote::ClientAnswer& event) const { shard.client_views().answered(from, event); }
  void operator()(const remote::ErasureAsk& event) const { shard.erasures().asked(Erasures::event_of(event)); }
  void operator()(const remote::ErasureAnswer& event) const { shard.erasures().answered(Erasures::event_of(event)); }
  void operator()(const remote::Accessed& event) const { shard.remote_homes().accessed(from, event); }
  void operator()(const remote::Page& event) const { shard.remote_homes().page(from, event); }
  void operator()(const remote::Write& event) const { shard.serving().write(from, event); }
  void operator()(const remote::Written& event) const { shard.remote_homes().written(from, event); }
  void operator()(const remote::Filters& event) const { shard.node_topics().filters(from, event); }
  void operator()(const remote::FiltersTaken& event) const { shard.node_topics().filters_taken(from, event); }
  void operator()(const remote::Group& event) const { shard.node_topics().group(from, event); }
  void operator()(const remote::Message& event) const { shard.node_topics().message(from, event); }
  void operator()(const remote::MessageTaken& event) const { shard.node_topics().message_taken(from, event); }
  void operator()(const remote::Claim& event) const { shard.session_claims().claim(from, event); }
  void operator()(const remote::Claimed& event) const { shard.session_claims().claimed(from, event); }
  void operator()(const remote::Yield& event) const { shard.session_claims().yield(from, event); }
  void operator()(const remote::Yielded& event) const { shard.session_claims().yielded(from, event); }
  void operator()(const remote::FollowUser& event) const { shard.user_lists().follow(from, event); }
  void operator()(const remote::UnfollowUser& event) const { shard.user_lists().unfollow(from, event); }
  void operator()(const remote::UserConversations& event) const { shard.user_lists().told(from, event); }
  void operator()(const remote::Hold& event) const { shard.session_claims().hold(from, event); }
  void operator()(const remote::Settled& event) const { shard.session_claims().settled(event); }
  void operator()(const remote::Left& event) const { shard.orphans().left(from, event); }
  void operator()(const remote::SnapshotOffer& event) const { shard.replicas().snapshot(from, event); }
  void operator()(const remote::SnapshotRead& event) const { shard.replicas().snapshot(from, event); }
  void operator()(const remote::SnapshotPage& event) const { shard.replicas().snapshot(from, event); }
  void operator()(const remote::SnapshotTaken& event) const { shard.replicas().snapshot(from, event); }
};

}  // namespace

void Shard::snapshot_read(std::uint64_t token, Result<SnapshotPiece> piece) { replicas_.snapshot_read(token, piece); }
void Shard::snapshot_taken(std::uint64_t token, Result<std::string> known) { replicas_.snapshot_taken(token, known); }
void Shard::snapshot_finished(std::uint64_t token) { replicas_.snapshot_finished(token); }

void Shard::node_message(NodeId from, NodeChannel channel, std::string_view message) {
  if (channel == NodeChannel::Replication || channel == NodeChannel::Votes) {
    replicas_.node_message(from, message);
    return;
  }
  const auto event = remote::decode(message);
  if (!event || remote::channel_of(*event) != channel) {
    log::error("a node says what can't be understood, passing it over",
               {{"node", from}, {"channel", std::uint64_t(channel)}, {"bytes", message.size()}});
    return;
  }
  std::visit(NodeEventVisitor{*this, from}, *event);
}

}  // namespace parley::shard
