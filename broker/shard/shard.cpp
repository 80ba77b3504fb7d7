#include "broker/shard/shard.hpp"

#include <algorithm>
#include <limits>
#include <utility>

#include "base/log.hpp"
#include "mqtt/decode.hpp"

namespace parley::shard {
namespace {

constexpr Duration kHousekeeping = std::chrono::seconds(30);
constexpr Duration kRetention = std::chrono::seconds(1);
/// From the start: until then all threads know what the others' sessions want.
constexpr Duration kWillsWait = std::chrono::seconds(1);
constexpr Duration kTellAgain = std::chrono::seconds(1);
constexpr Duration kTellAgainMax = std::chrono::seconds(60);

/// What a packet counts for in its connection's part of a turn: a filter costs as much as a small packet.
std::size_t share_of(const mqtt::Frame& frame) {
  const bool has_filters = frame.type == mqtt::PacketType::Subscribe || frame.type == mqtt::PacketType::Unsubscribe;
  return 1 + frame.size / (has_filters ? 32 : 4096);
}

}  // namespace

Shard::Shard(ShardId id, const ShardOptions& options, LogStore& store, ClientLinks& links, PeerShards& peers,
             PeerNodes& nodes, Random& random, Authenticator& authenticator)
    : id_(id),
      options_(options),
      counters_(options.metrics != nullptr ? options.metrics->of(id) : own_counters_),
      limit_log_(counters_),
      store_(store),
      links_(links),
      peers_(peers),
      random_(random),
      authenticator_(authenticator),
      replicas_({.shard = id, .options = options, .store = store, .nodes = nodes, .random = random}, *this),
      nodes_(nodes),
      remote_homes_(*this),
      serving_(*this),
      feeds_(*this),
      groups_(*this),
      amendments_(*this),
      retention_(*this),
      erasures_(*this),
      listeners_(*this),
      marks_(*this),
      share_homes_(*this),
      share_members_(*this),
      typing_(*this),
      post_rates_(*this),
      presence_(*this),
      history_requests_(*this),
      hosting_(*this),
      user_lists_(*this),
      user_feeds_(*this),
      inboxes_(*this),
      inbox_listeners_(*this),
      rosters_(*this),
      shows_(*this),
      retained_shows_(*this),
      node_topics_(*this),
      access_(*this),
      journal_(*this),
      plain_topics_(*this),
      system_topics_(*this),
      publishing_(*this),
      subscribing_(*this),
      session_records_(*this),
      session_claims_(*this),
      orphans_(*this),
      strays_(*this),
      wills_(*this),
      throttling_(*this),
      connecting_(*this),
      dismissal_(*this),
      reauthentication_(*this) {}

Shard::~Shard() = default;

Totals Shard::totals() const {
  if (options_.metrics != nullptr) return options_.metrics->sum();
  Totals totals;
  totals += counters_;
  return totals;
}

// -- The turn --

void Shard::begin_turn(Instant now, Timestamp wall, std::size_t packets_max) {
  packets_max_ = packets_max;
  takes_large_ = true;
  const bool first = now_ == Instant{};
  now_ = now;
  wall_ = wall;
  if (first) start(now);
  replicas_.begin_turn(now);
  while (const auto timer = timers_.take_due(now)) run_timer(*timer);
}

void Shard::start(Instant now) {
  timers_.add({.due = now + options_.cursor_flush, .kind = TimerKind::CursorFlush});
  timers_.add({.due = now + kHousekeeping, .kind = TimerKind::Housekeeping});
  timers_.add({.due = now + kRetention, .kind = TimerKind::Retention});
  erasures_.start();
  system_topics_.start();
  // Sessions were restored before there was a time: they count from zero.
  clients_.for_each([&](Client& client) {
    if (client.will) client.will->due = now + std::max(client.will->due.time_since_epoch(), kWillsWait);
    if (client.expires_at != Instant::max()) client.expires_at = now + client.expires_at.time_since_epoch();
    if (client.will && !client.is_lasting()) client.expires_at = client.will->due;
    schedule(client);
  });
}

std::optional<Instant> Shard::next_timer() const {
  const auto timer = timers_.next();
  const auto replica = replicas_.next_due();
  return timer && replica ? std::min(timer, replica) : std::max(timer, replica);
}

void Shard::end_turn() {
  replicas_.flush();
  journal_.flush();
  // Who has acknowledged something may get more, and at QoS 0 that counts as acknowledged at once.
  do {
    share_members_.flush();
    flush_touched();
  } while (share_members_.has_done());
  replicas_.flush();
  journal_.flush();
}

void Shard::flush_touched() {
  // What follows may touch clients again: they are added at the end.
  for (std::size_t i = 0; i < touched_.size(); ++i) {
    Client* client = clients_.find(touched_[i].first, touched_[i].second);
    if (client == nullptr) continue;
    client->output_touched = false;
    if (client->output == nullptr) continue;
    links_.flush(client->connection);
    // A cursor that stopped for want of room goes on at once when the socket has taken everything.
    if (!client->behind.empty() && client->output->empty()) feeds_.pump(*client);
    if (client->output->empty()) history_requests_.go_on(*client);
  }
  touched_.clear();
}

void Shard::run_timer(const Timers::Timer& timer) {
  switch (timer.kind) {
    case TimerKind::Client: {
      Client* client = clients_.find(timer.client, timer.identity);
      if (client == nullptr || client->timer_due != timer.due) return;
      client->timer_due = Instant::max();
      run_client_timer(*client);
      return;
    }
    case TimerKind::Login: connecting_.expire({timer.client, static_cast<std::uint32_t>(timer.identity)}); return;
    case TimerKind::CursorFlush:
      session_records_.flush();
      session_claims_.flush();
      journal_.flush_cursors();
      timers_.add({.due = now_ + options_.cursor_flush, .kind = TimerKind::CursorFlush});
      return;
    case TimerKind::SessionClaims: session_claims_.run_timer(); return;
    case TimerKind::SystemTopics: system_topics_.run_timer(); return;
    case TimerKind::Dismissal: dismissal_.run_timer(); return;
    case TimerKind::Retention:
      retention_.run();
      timers_.add({.due = now_ + kRetention, .kind = TimerKind::Retention});
      return;
    case TimerKind::Erasures: erasures_.run_timer(); return;
    case TimerKind::NodeTopics: node_topics_.run_timer(); return;
    case TimerKind::UserLists: user_lists_.run_timer(); return;
    case TimerKind::Inbox: {
      Client* client = timer.identity != 0 ? clients_.find(timer.client, timer.identity) : nullptr;
      if (client != nullptr || timer.identity == 0) inboxes_.run_timer(client);
      return;
    }
    case TimerKind::InboxListeners: inbox_listeners_.run_timer(); return;
    case TimerKind::Rosters: rosters_.run_timer(); return;
    case TimerKind::Shows: shows_.run_timer(); return;
    case TimerKind::RetainedShows: retained_shows_.run_timer(); return;
    case TimerKind::Marks: marks_.run_timer(); return;
    case TimerKind::Shares: share_homes_.run_timer(); return;
    case TimerKind::ShareMembers: share_members_.run_timer(); return;
    case TimerKind::Presence: presence_.run_timer(); return;
    case TimerKind::Wills: wills_.run_timer(); return;
    case TimerKind::Orphans: orphans_.run_timer(); return;
    case TimerKind::Strays: strays_.run_timer(); return;
    case TimerKind::PresenceCheck:
      if (Client* client = clients_.find(timer.client, timer.identity)) presence_.watches().run_timer(*client);
      return;
    case TimerKind::LeaderWait: remote_homes_.run_timer({timer.client}); return;
    case TimerKind::Housekeeping:
      groups_.sweep();
      hosting_.sweep();
      inboxes_.sweep();
      rosters_.sweep();
      typing_.sweep();
      post_rates_.sweep();
      presence_.sweep();
      plain_topics_.sweep();
      node_topics_.sweep();
      timers_.add({.due = now_ + kHousekeeping, .kind = TimerKind::Housekeeping});
      return;
  }
}

void Shard::run_client_timer(Client& client) {
  if (client.restored) return run_restored_timer(client);
  const bool will_due =
      client.will && !client.will->publishing && std::min(client.will->due, client.expires_at) <= now_;
  // What doesn't last has its will published with its end.
  if (will_due && client.is_lasting()) publish_will(client);
  if (client.session->connected() && !reauthentication_.look(client)) return;
  throttling_.look(client);
  const auto deadline = client.session->keep_alive_deadline();
  if (deadline && *deadline <= now_ && !client.is_paused()) {
    log::debug("client is silent, closing its connection",
               {{"client_id", client.session->client_id()}, {"address", links_.address(client.connection)}});
    close_client(client, mqtt::ReasonCode::KeepAliveTimeout);
    return;
  }
  const bool absent = !client.session->connected() && client.opening.generation == 0;
  const bool publishing = client.will && client.will->publishing && client.is_lasting();
  if (absent && client.expires_at <= now_ && !publishing) {
    counters_.add(Metric::SessionsExpired);
    end_session(client);
    return;
  }
  schedule(client);
}

/// Of one that was only restored the latest isn't known: the leader of its slot looks after it, and says when that is
/// done. See Orphans.
void Shard::run_restored_timer(Client& client) {
  const Instant due = client.will ? std::min(client.will->due, client.expires_at) : client.expires_at;
  if (due > now_ || client.tell_at > now_) return schedule(client);
  if (session_claims_.tell_left(client.session->client_id(), client.generation, client.left)) {
    client.tell_again = std::clamp(2 * client.tell_again, kTellAgain, kTellAgainMax);
    client.tell_at = now_ + client.tell_again;
    return schedule(client);
  }
  // That one knows nothing of it: whoever is asked for the session next finds that it is over.
  client.will.reset();
  if (client.expires_at > now_) return schedule(client);
  counters_.add(Metric::SessionsExpired);
  forget_session(client);
}

void Shard::schedule(Client& client) {
  Instant due = client.expires_at;
  if (client.session->connected()) {
    due = std::min({client.login_ends, client.login_notice, client.throttle.resume_at});
    if (!client.is_paused()) due = std::min(due, client.session->keep_alive_deadline().value_or(Instant::max()));
  }
  if (client.will && client.will->publishing) {
    if (!client.session->connected()) due = Instant::max();  // Looked at when that is done.
  } else if (client.will) {
    due = std::min(due, client.will->due);
  }
  if (client.restored) due = std::max(due, client.tell_at);
  // An earlier timer asks again when it comes.
  if (due >= client.timer_due) return;
  client.timer_due = due;
  timers_.add({due, TimerKind::Client, client.place, client.session->identity()});
}

// -- Connections --

void Shard::bind(ConnectionId connection, Client& client) {
  if (connection.place >= bound_.size()) bound_.resize(connection.place + 1);
  if (!std::exchange(bound_[connection.place], {connection.generation, client.place, true}).has_client) ++connected_;
  client.connection = connection;
  client.output = &links_.output(connection);
  counters_.add(Metric::ClientsConnected);
  counters_.add(Metric::ConnectionsOpened);
}

void Shard::unbind(ConnectionId connection) {
  if (connection.place >= bound_.size()) return;
  if (std::exchange(bound_[connection.place], {}).has_client) --connected_;
}

Client* Shard::client_of(ConnectionId connection) {
  if (connection.place >= bound_.size()) return nullptr;
  const Bound& bound = bound_[connection.place];
  if (!bound.has_client || bound.generation != connection.generation) return nullptr;
  return &clients_.at(bound.client);
}

std::size_t Shard::received(ConnectionId connection, std::string_view bytes) {
  if (connecting_.is_waiting(connection)) return connecting_.hold(connection, bytes);
  std::size_t consumed = 0;
  std::size_t packets = 0;
  Client* client = client_of(connection);
  mqtt::DecodeLimits limits{
      .packet_size_max = client != nullptr ? options_.limits.packet_size_max : options_.packet_size_before_connect_max,
      .items_max = options_.limits.filters_max};
  while (consumed < bytes.size()) {
    const auto rest = bytes.substr(consumed);
    const auto frame = mqtt::next_frame(rest, limits);
    if (!frame) {
      malformed(connection, client, mqtt::reason_of(frame.error()));
      return bytes.size();
    }
    if (!*frame && client == nullptr) {
      const auto type = static_cast<mqtt::PacketType>(static_cast<std::uint8_t>(rest.front()) >> 4);
      if (type == mqtt::PacketType::Connect) break;
      // It needn't be whole to be refused. [MQTT-3.1.0-1]
      connecting_.first_packet(connection, {.type = type, .flags = 0, .body = {}, .size = 0}, rest);
      return bytes.size();
    }
    if (!*frame) break;
    const mqtt::Frame& packet = **frame;
    if (client != nullptr && !receives_held_) {
      const std::size_t share = share_of(packet);
      const bool first = packets == 0;
      if (packets >= packets_max_ || (first && !takes_large_ && share > packets_max_)) {
        links_.resume(connection);
        break;
      }
      packets += share;
      if (!has_room(*client)) break;
      const auto verdict = throttling_.admit(*client, packet);
      if (verdict == Throttling::Verdict::Cut) return bytes.size();
      if (verdict == Throttling::Verdict::Wait) break;
    }
    consumed += packet.size;
    counters_.add(Metric::PacketsReceived);
    if (client != nullptr) {
      if (!handle(*client, connection, packet)) return bytes.size();
      continue;
    }
    const auto outcome = connecting_.first_packet(connection, packet, rest);
    if (outcome == Connecting::Outcome::Held) {
      return consumed + connecting_.hold(connection, bytes.substr(consumed));
    }
    client = client_of(connection);
    if (client == nullptr) return bytes.size();
    limits.packet_size_max = options_.limits.packet_size_max;
  }
  if (client != nullptr) wrote(*client);
  return consumed;
}

void Shard::receive_held(ConnectionId connection, std::string_view bytes) {
  const bool before = std::exchange(receives_held_, true);
  received(connection, bytes);
  receives_held_ = before;
}

/// Deliveries stop at half of that; what grows beyond it are answers to a client that doesn't read them.
bool Shard::has_room(Client& client) {
  const std::size_t most = 2 * options_.limits.output_max;
  if (client.output->size() < most) return true;
  links_.flush(client.connection);
  if (client.output->size() < most) return true;
  client.awaits_drain = true;
  limit_reached(Metric::LimitOutput, client);
  links_.pause(client.connection);
  return false;
}

void Shard::limit_reached(Metric limit, const Client& client) {
  limit_reached(limit, client.connection, client.session->client_id(), client.session->user());
}

void Shard::limit_reached(Metric limit, ConnectionId connection, std::string_view client_id, std::string_view user) {
  if (const auto times = limit_log_.count(limit, now_)) {
    LimitLog::tell(limit, times, client_id, user, links_.address(connection));
  }
}

void Shard::limit_reached(Metric limit, std::string_view address) {
  if (const auto times = limit_log_.count(limit, now_)) LimitLog::tell(limit, times, {}, {}, address);
}

/// False when the connection is no longer the client's.
bool Shard::handle(Client& client, ConnectionId connection, const mqtt::Frame& frame) {
  actions_.clear();
  client.session->receive(frame, now_, actions_);
  if (actions_.empty()) return true;
  act(client, actions_, connection);
  return client_of(connection) == &client;
}

void Shard::malformed(ConnectionId connection, Client* client, mqtt::ReasonCode reason) {
  if (client != nullptr) {
    violation(*client, reason);
    close_client(*client, reason);
    return;
  }
  counters_.add(reason == mqtt::ReasonCode::PacketTooLarge ? Metric::LimitConnectPacketSize
                                                           : Metric::FirstPacketsRefused);
  log::info("first packet is malformed, closing the connection",
            {{"address", links_.address(connection)}, {"reason", mqtt::name_of(reason)}});
  links_.close(connection);
}

void Shard::violation(const Client& client, mqtt::ReasonCode reason) {
  if (reason == mqtt::ReasonCode::PacketTooLarge) counters_.add(Metric::LimitPacketSize);
  if (reason == mqtt::ReasonCode::ReceiveMaximumExceeded) counters_.add(Metric::LimitReceiveMaximum);
  if (reason == mqtt::ReasonCode::TopicAliasInvalid) counters_.add(Metric::LimitTopicAlias);
  log::info("client breaks the protocol, closing its connection", {{"client_id", client.session->client_id()},
                                                                   {"address", links_.address(client.connection)},
                                                                   {"reason", mqtt::name_of(reason)}});
}

void Shard::act(Client& client, session::Actions& actions, ConnectionId connection) {
  bool pump = false;
  bool acknowledged = false;
  for (session::Action& action : actions) {
    if (auto* publish = std::get_if<session::PublishAction>(&action)) {
      counters_.add(Metric::PublishesReceived);
      counters_.add(Metric::PublishBytesReceived, publish->publish.payload.size());
      publishing_.publish(client, *publish);
    } else if (std::holds_alternative<session::WindowAction>(action)) {
      pump = true;
      if (client.persisted) session_records_.cursors_moved(client);
      acknowledged = client.inbox != nullptr;
      if (!client.following.empty()) marks_.acknowledged(client);
      if (client.seats != 0) share_members_.acknowledged(client);
    } else if (auto* subscribe = std::get_if<session::SubscribeAction>(&action)) {
      subscribing_.subscribe(client, *subscribe);
    } else if (auto* unsubscribe = std::get_if<session::UnsubscribeAction>(&action)) {
      subscribing_.unsubscribe(client, *unsubscribe);
    } else if (auto* step = std::get_if<session::AuthAction>(&action)) {
      reauthentication_.step(client, *step);
    } else if (auto* close = std::get_if<session::CloseAction>(&action)) {
      if (mqtt::is_failure(close->reason)) {
        violation(client, close->reason);
        counters_.disconnected(static_cast<std::uint8_t>(close->reason));
      }
      const ConnectionId closing = client.connection;
      detach(client);
      links_.close(closing);
      return;
    }
    // A refusal of a publish may have closed the connection.
    if (client_of(connection) != &client) return;
  }
  if (pump) {
    const bool page_first = history_requests_.take_turn(client);
    if (page_first) history_requests_.go_on(client);
    if (client_of(connection) != &client) return;
    if (!client.behind.empty() || client.session->resend_wanted()) feeds_.pump(client);
    if (!page_first) history_requests_.go_on(client);
    if (client_of(connection) != &client) return;
    if (client.retained) retained_shows_.go_on(client);
  }
  if (acknowledged && client_of(connection) == &client) inboxes_.moved(client);
}

void Shard::drained(ConnectionId connection) {
  Client* client = client_of(connection);
  if (client == nullptr) return;
  client->session->drained(now_);
  feeds_.pump(*client);
  history_requests_.go_on(*client);
  if (client_of(connection) != client) return;
  if (client->retained) retained_shows_.go_on(*client);
  if (std::exchange(client->awaits_drain, false)) {
    client->session->heard(now_);
    links_.resume(connection);
    schedule(*client);
  }
  wrote(*client);
}

void Shard::lost(ConnectionId connection) {
  Client* client = client_of(connection);
  if (client != nullptr) {
    detach(*client);
  } else {
    connecting_.lost(connection);
  }
}

bool Shard::ended(ConnectionId connection) {
  if (connecting_.ended(connection)) return true;
  lost(connection);
  return false;
}

void Shard::authenticated(ConnectionId connection, LoginAnswer answer) {
  if (Client* client = client_of(connection)) {
    reauthentication_.answered(*client, std::move(answer));
  } else {
    connecting_.authenticated(connection, std::move(answer));
  }
}

void Shard::wrote(Client& client) {
  if (client.output == nullptr || client.output->empty()) return;
  if (client.output->size() >= options_.output_flush) {
    links_.flush(client.connection);
    return;
  }
  if (client.output_touched) return;
  client.output_touched = true;
  touched_.emplace_back(client.place, client.session->identity());
}

void Shard::shut_down() {
  stopping_ = true;
  connecting_.shut_down();
  clients_.for_each([&](Client& client) { close_client(client, mqtt::ReasonCode::ServerShuttingDown); });
}

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
  hosting_.committed(records);
  call_back(records, {});
}

void Shard::refused(std::vector<WaitingRecord>& records, boost::system::error_code why) {
  hosting_.refused(records, refusal_of(why));
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

bool Shard::may_host(Slot slot) const {
  return replicas_.leadership(slot).state == Leadership::State::Here && !remote_homes_.holds(slot);
}

std::size_t Shard::record_max() const {
  if (nodes_.standalone()) return std::numeric_limits<std::size_t>::max();
  return record_size_max(std::min(node_message_max(options_), nodes_.message_max()));
}

void Shard::append(Slot slot, const format::RecordBody& body, std::uint64_t generation,
                   std::function<void(Result<void>)> done) {
  const auto* session = std::get_if<format::SessionRecord>(&body);
  if (session != nullptr && session->state.size() > record_max()) {
    log::error("a session is larger than other nodes take, not writing it",
               {{"client_id", session->client_id}, {"size", session->state.size()}, {"takes", record_max()}});
    if (done) done(chat::Refusal::TooLarge);
    return;
  }
  const std::string_view client_id = shard::client_of(body);
  const bool unclaimed = nodes_.standalone() || client_id.empty();
  if (unclaimed && may_host(slot) && append_here(slot, body, done)) return;
  std::string record = format::encode_record({.slot = slot, .term = {}, .index = {}}, body);
  if (unclaimed || !may_host(slot)) {
    remote_homes_.append(slot, std::move(record), generation, std::move(done));
    return;
  }
  session_claims_.check(
      nodes_.self(), slot, std::string(client_id), generation,
      [this, slot, generation, bytes = std::move(record), then = std::move(done)](remote::Status status) mutable {
        append_checked(slot, std::move(bytes), generation, status, std::move(then));
      });
}

/// Of a session that this node has, while it leads the session's slot.
void Shard::append_checked(Slot slot, std::string record, std::uint64_t generation, remote::Status status,
                           std::function<void(Result<void>)> done) {
  const auto decoded = format::decode_trusted_record(record);
  switch (status) {
    case remote::Status::Done: break;
    case remote::Status::NotLeader: remote_homes_.append(slot, std::move(record), generation, std::move(done)); return;
    case remote::Status::Refused:
      session_claims_.lose_later(std::string(shard::client_of(decoded->body)), generation, std::move(done));
      return;
    case remote::Status::Failed:
      if (done) done(StorageError::Failed);
      return;
  }
  // Another leader gets what this one could not commit.
  std::function<void(Result<void>)> again = [this, slot, generation, record, done](Result<void> outcome) {
    if (!outcome && refusal_of(outcome.error()) == chat::Refusal::NotLeader) {
      remote_homes_.append(slot, record, generation, done);
    } else if (done) {
      done(outcome);
    }
  };
  if (!append_here(slot, decoded->body, again)) {
    remote_homes_.append(slot, std::move(record), generation, std::move(done));
  }
}

/// Whoever follows the user hears of it once it is committed.
std::function<void(Result<void>)> Shard::telling(const format::UserConversationRecord& record,
                                                 std::function<void(Result<void>)> done) {
  return [this, user = std::string(record.user),
          change = UserConversation{record.conversation, std::string(record.name), record.epoch, record.present,
                                    record.changed},
          then = std::move(done)](Result<void> outcome) {
    if (outcome) user_lists_.committed(user, change);
    if (then) then(outcome);
  };
}

bool Shard::append_here(Slot slot, const format::RecordBody& body, std::function<void(Result<void>)>& done) {
  const auto position = replicas_.propose(slot);
  if (!position) return false;
  if (const auto* of = std::get_if<format::UserConversationRecord>(&body)) done = telling(*of, std::move(done));
  replicas_.add(*position, std::make_shared<const std::string>(format::encode_record(*position, body)),
                std::move(done));
  return true;
}

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

void Shard::materialised(Lsn upto) { hosting_.materialised(upto); }

}  // namespace parley::shard
