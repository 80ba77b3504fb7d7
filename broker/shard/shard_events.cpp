#include <utility>

#include "base/log.hpp"
#include "broker/shard/shard.hpp"

/// What a shard hears of the other shards of its node, of its replicas and of the store, handed to whom it concerns.
namespace parley::shard {

// -- Shards --

void Shard::send(ShardId target, PeerEvent event) {
  if (target == id_) {
    peer_event(event);
  } else if ((target & kOtherNode) != 0) {
    serving_.send(target, event);
  } else {
    peers_.post(target, std::move(event));
  }
}

void Shard::send_outcome(const Origin& origin, Outcome outcome) {
  if (origin.other_node) {
    serving_.outcome(*origin.other_node, outcome);
  } else if (origin.identity == 0) {
    return;
  } else if (origin.shard == id_) {
    publishing_.outcome(origin, outcome);
  } else {
    peers_.post(origin.shard, PeerEvent{OutcomeEvent{origin, std::move(outcome)}});
  }
}

namespace {

/// One overload for each event; see Shard::peer_event.
struct PeerEventVisitor {
  Shard& shard;

  void operator()(ProposeEvent& event) const { shard.hosting().propose(std::move(event)); }
  void operator()(OutcomeEvent& event) const { shard.publishing().outcome(event.origin, event.outcome); }
  void operator()(FollowEvent& event) const { shard.hosting().follow(event.conversation, event.shard); }
  void operator()(UnfollowEvent& event) const { shard.hosting().unfollow(event.conversation, event.shard); }
  void operator()(FollowedEvent& event) const { shard.feeds().followed(event); }
  void operator()(CommittedEvent& event) const { shard.feeds().committed(event.conversation, event.entries); }
  void operator()(NoticeEvent& event) const { shard.feeds().noticed(event); }
  void operator()(ShareGrantEvent& event) const { shard.share_members().granted(event); }
  void operator()(ShareDoneEvent& event) const { shard.share_homes().done(std::move(event)); }
  void operator()(DeliveredEvent& event) const { shard.hosting().delivered(std::move(event)); }
  void operator()(AccessEvent& event) const { shard.hosting().access(std::move(event)); }
  void operator()(AccessedEvent& event) const {
    if (!shard.presence().questions().answered(event)) shard.feeds().accessed(event);
  }
  void operator()(MembershipEvent& event) const { shard.groups().take(event); }
  void operator()(MembershipTakenEvent& event) const { shard.groups().taken(event); }
  void operator()(ReadEvent& event) const { shard.remote_homes().read(std::move(event)); }
  void operator()(ReadHereEvent& event) const {
    if (!shard.history_requests().read_here(event.token)) shard.feeds().read_here(event.token);
  }
  void operator()(PageEvent& event) const {
    Result<ReadPage> page = std::move(event.page);
    shard.entries_read(event.token, std::move(page));
  }
  void operator()(PublishEvent& event) const { shard.plain_topics().publish_here(event); }
  void operator()(StoredEvent& event) const { shard.plain_topics().stored(event.publication, event.stored); }
  void operator()(InterestEvent& event) const { shard.plain_topics().interest(event); }
  void operator()(InterestTakenEvent& event) const { shard.plain_topics().interest_taken(event.token); }
  void operator()(SharedMemberEvent& event) const { shard.plain_topics().shared_member(event); }
  void operator()(SharedDeliveryEvent& event) const { shard.plain_topics().shared_delivery(event); }
  void operator()(SharedReturnEvent& event) const { shard.plain_topics().shared_return(event); }
  void operator()(NodeInterestEvent& event) const { shard.node_topics().interest(event); }
  void operator()(NodeInterestTakenEvent& event) const { shard.node_topics().interest_taken(event.filter); }
  void operator()(NodeFiltersEvent& event) const { shard.node_topics().filters(event); }
  void operator()(NodeFiltersTakenEvent& event) const { shard.node_topics().filters_taken(event); }
  void operator()(NodeGroupEvent& event) const { shard.plain_topics().group_elsewhere(event); }
  void operator()(FollowUserEvent& event) const { shard.user_lists().follow(event.user, event.shard); }
  void operator()(UnfollowUserEvent& event) const { shard.user_lists().unfollow(event.user, event.shard); }
  void operator()(UserConversationsEvent& event) const { shard.user_feeds().told(event); }
  void operator()(PresenceEvent& event) const { shard.presence().relays().report(event); }
  void operator()(PresenceFollowEvent& event) const { shard.presence().relays().follow(event); }
  void operator()(PresenceShownEvent& event) const { shard.presence().watches().shown(event); }
  void operator()(PresenceRecheckEvent& event) const { shard.presence().watches().recheck(event); }
  void operator()(PresenceAskEvent& event) const { shard.presence().questions().asked(std::move(event)); }
  void operator()(PresenceAnswerEvent& event) const { shard.presence().questions().answered(event); }
  void operator()(OnlineAskEvent& event) const { shard.presence().homes().asked(event); }
  void operator()(OnlineAnswerEvent& event) const { shard.presence().questions().answered(event); }
  void operator()(ErasureAskEvent& event) const { shard.erasures().asked(event); }
  void operator()(ErasureAnswerEvent& event) const { shard.erasures().answered(event); }
  void operator()(SystemTopicsEvent& event) const { shard.system_topics().receive(event.messages); }
};

}  // namespace

void Shard::peer_event(PeerEvent& event) { std::visit(PeerEventVisitor{*this}, event.what); }

// -- Replicas --

namespace {

void call_back(std::vector<WaitingRecord>& records, Result<void> outcome) {
  for (WaitingRecord& one : records) {
    auto* callback = std::get_if<CallbackWaiting>(&one.waiting);
    if (callback != nullptr && *callback) (*callback)(outcome);
  }
}

}  // namespace

void Shard::committed(std::vector<WaitingRecord>& records) {
  committing_.committed(records);
  call_back(records, {});
}

void Shard::refused(std::vector<WaitingRecord>& records, boost::system::error_code why) {
  committing_.refused(records, refusal_of(why));
  call_back(records, why);
}

void Shard::leadership_changed(Slot slot, const Leadership& leadership) {
  hosting_.leadership_changed(slot);
  remote_homes_.leadership_changed(slot, leadership);
  session_claims_.leadership_changed(slot);
  user_lists_.leadership_changed(slot);
  groups_.sweep(slot);
  presence_.leadership_changed(slot, leadership);
  orphans_.leadership_changed(slot, leadership.state == Leadership::State::Here);
}

void Shard::complete(Slot slot) { strays_.complete(slot); }

// -- Store --

void Shard::appended(std::uint64_t ticket, Result<Lsn> first) { replicas_.appended(ticket, first); }

void Shard::conversation_loaded(const std::string& name, Result<LoadedConversation> loaded) {
  if (remote_homes_.loaded(name, loaded ? &*loaded : nullptr)) return;
  if (loaded) {
    hosting_.loaded(*std::move(loaded));
  } else {
    log::error("a conversation can't be loaded, refusing what waits for it",
               {{"conversation", name}, {"error", loaded.error().message()}});
    hosting_.load_failed(name);
  }
}

void Shard::entries_read(std::uint64_t token, Result<ReadPage> page) {
  if (serving_.entries_read(token, page) || history_requests_.entries_read(token, page)) return;
  if (amendments_.entries_read(token, page)) return;
  feeds_.entries_read(token, page);
}

void Shard::log_read(std::uint64_t token, Result<LogPage> page) { replicas_.log_read(token, page); }

std::uint64_t Shard::list_sessions(std::vector<NodeId> without) {
  LogStore::ListSessionsRequest request{
      .token = ++last_listing_, .slots = options_.slots, .shards = options_.shards, .without = std::move(without)};
  nodes_.for_each_connected([&](NodeId node) { request.without.push_back(node); });
  store_.list_sessions(id_, std::move(request));
  return last_listing_;
}

void Shard::sessions_listed(std::uint64_t token, Result<SessionList> listed) {
  orphans_.sessions_listed(token, listed);
  strays_.sessions_listed(token, listed);
}

void Shard::session_loaded(const std::string& client_id, Result<std::optional<StoredSession>> loaded) {
  session_claims_.session_loaded(client_id, loaded);
}

void Shard::plain_written(std::uint64_t ticket, Result<void> outcome) { journal_.written(ticket, outcome); }

void Shard::user_loaded(const std::string& user, Result<std::vector<UserConversation>> loaded) {
  user_lists_.loaded(user, loaded);
}

void Shard::materialised(Lsn upto) { committing_.materialised(upto); }

}  // namespace parley::shard
