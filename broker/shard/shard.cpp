#include "broker/shard/shard.hpp"

#include <utility>

#include "base/bytes.hpp"
#include "base/log.hpp"
#include "mqtt/decode.hpp"

namespace parley::shard {
namespace {

constexpr Duration kHousekeeping = std::chrono::seconds(30);

}  // namespace

Shard::Shard(ShardId id, const ShardOptions& options, LogStore& store, ClientLinks& links, PeerShards& peers,
             Random& random)
    : id_(id),
      options_(options),
      store_(store),
      links_(links),
      peers_(peers),
      random_(random),
      appends_(id, store, options.slots),
      feeds_(*this),
      hosting_(*this),
      plain_topics_(*this),
      publishing_(*this),
      subscribing_(*this),
      session_records_(*this),
      connecting_(*this) {}

Shard::~Shard() = default;

// -- The turn ----------------------------------------------------------------------------------------------------------

void Shard::begin_turn(Instant now, Timestamp wall) {
  if (now_ == Instant{}) {
    timers_.add({.due = now + options_.cursor_flush, .kind = TimerKind::CursorFlush});
    timers_.add({.due = now + kHousekeeping, .kind = TimerKind::Housekeeping});
  }
  now_ = now;
  wall_ = wall;
  while (const auto timer = timers_.take_due(now)) run_timer(*timer);
}

void Shard::end_turn() {
  appends_.flush();
  // Flushing a connection may find it lost, which touches other clients (a will): those are added at the end.
  for (std::size_t i = 0; i < touched_.size(); ++i) {
    Client* client = clients_.find(touched_[i].first, touched_[i].second);
    if (client == nullptr) continue;
    client->output_touched = false;
    if (client->connection.generation != 0) links_.flush(client->connection);
  }
  touched_.clear();
  appends_.flush();
}

void Shard::run_timer(const Timers::Timer& timer) {
  switch (timer.kind) {
    case TimerKind::KeepAlive: {
      Client* client = clients_.find(timer.client, timer.identity);
      if (client == nullptr || !client->session->connected()) return;
      const auto deadline = client->session->keep_alive_deadline();
      if (!deadline) return;
      if (*deadline <= now_) {
        log::debug("client is silent, closing its connection",
                   {{"client_id", client->session->client_id()}, {"address", links_.address(client->connection)}});
        close_client(*client, mqtt::ReasonCode::KeepAliveTimeout);
      } else {
        timers_.add({*deadline, TimerKind::KeepAlive, timer.client, timer.identity});
      }
      return;
    }
    case TimerKind::WillDelay: {
      Client* client = clients_.find(timer.client, timer.identity);
      if (client == nullptr || !client->will || client->will_due > now_) return;
      const auto will = std::exchange(client->will, std::nullopt);
      publishing_.publish_will(*will->message, client->session->user(), will->expiry_interval);
      return;
    }
    case TimerKind::SessionExpiry: {
      Client* client = clients_.find(timer.client, timer.identity);
      if (client == nullptr || client->session->connected() || client->expires_at > now_) return;
      end_session(*client);
      return;
    }
    case TimerKind::CursorFlush:
      session_records_.flush_cursors();
      timers_.add({.due = now_ + options_.cursor_flush, .kind = TimerKind::CursorFlush});
      return;
    case TimerKind::Housekeeping:
      hosting_.sweep();
      plain_topics_.sweep();
      timers_.add({.due = now_ + kHousekeeping, .kind = TimerKind::Housekeeping});
      return;
  }
}

// -- Connections -------------------------------------------------------------------------------------------------------

void Shard::bind(ConnectionId connection, Client& client) {
  if (connection.place >= bound_.size()) bound_.resize(connection.place + 1);
  bound_[connection.place] = {connection.generation, client.place, true};
  client.connection = connection;
}

void Shard::unbind(ConnectionId connection) {
  if (connection.place < bound_.size()) bound_[connection.place] = {};
}

Client* Shard::client_of(ConnectionId connection) {
  if (connection.place >= bound_.size()) return nullptr;
  const Bound& bound = bound_[connection.place];
  if (!bound.has_client || bound.generation != connection.generation) return nullptr;
  return &clients_.at(bound.client);
}

std::size_t Shard::received(ConnectionId connection, std::string_view bytes) {
  std::size_t consumed = 0;
  Client* client = client_of(connection);
  mqtt::DecodeLimits limits{.packet_size_max = client != nullptr ? options_.limits.packet_size_max
                                                                 : options_.packet_size_before_connect_max,
                            .items_max = options_.limits.filters_max};
  while (consumed < bytes.size()) {
    const auto rest = bytes.substr(consumed);
    auto frame = mqtt::next_frame(rest, limits);
    if (!frame) {
      const auto reason = mqtt::reason_of(frame.error());
      if (client == nullptr) {
        log::info("first packet is malformed, closing the connection",
                  {{"address", links_.address(connection)}, {"reason", mqtt::name_of(reason)}});
        links_.close(connection);
      } else {
        violation(*client, reason);
        close_client(*client, reason);
      }
      return bytes.size();
    }
    if (!*frame) break;
    const mqtt::Frame& packet = **frame;
    consumed += packet.size;
    if (client == nullptr) {
      const auto outcome = connecting_.first_packet(connection, packet, rest);
      if (outcome != Connecting::Outcome::Connected) return bytes.size();
      client = client_of(connection);
      if (client == nullptr) return bytes.size();
      limits.packet_size_max = options_.limits.packet_size_max;
      continue;
    }
    actions_.clear();
    client->session->receive(packet, now_, actions_);
    if (!actions_.empty()) {
      act(*client, actions_, connection);
      if (client_of(connection) != client) return bytes.size();
    }
  }
  if (client != nullptr) wrote(*client);
  return consumed;
}

void Shard::violation(const Client& client, mqtt::ReasonCode reason) {
  log::info("client breaks the protocol, closing its connection",
            {{"client_id", client.session->client_id()},
             {"address", links_.address(client.connection)},
             {"reason", mqtt::name_of(reason)}});
}

void Shard::act(Client& client, session::Actions& actions, ConnectionId connection) {
  bool pump = false;
  for (session::Action& action : actions) {
    if (auto* publish = std::get_if<session::PublishAction>(&action)) {
      publishing_.publish(client, *publish);
    } else if (std::holds_alternative<session::WindowAction>(action)) {
      pump = true;
      if (client.persisted) session_records_.cursors_moved(client);
    } else if (auto* subscribe = std::get_if<session::SubscribeAction>(&action)) {
      subscribing_.subscribe(client, *subscribe);
    } else if (auto* unsubscribe = std::get_if<session::UnsubscribeAction>(&action)) {
      subscribing_.unsubscribe(client, *unsubscribe);
    } else if (auto* close = std::get_if<session::CloseAction>(&action)) {
      if (mqtt::is_failure(close->reason)) violation(client, close->reason);
      const ConnectionId closing = client.connection;
      detach(client);
      links_.close(closing);
      return;
    }
    // A refusal of a publish may have closed the connection.
    if (client_of(connection) != &client) return;
  }
  if (pump && !client.behind.empty()) {
    feeds_.pump(client);
  } else if (pump && client.session->resend_wanted()) {
    feeds_.pump(client);
  }
}

void Shard::drained(ConnectionId connection) {
  Client* client = client_of(connection);
  if (client == nullptr) return;
  client->session->drained(now_);
  feeds_.pump(*client);
  wrote(*client);
}

void Shard::lost(ConnectionId connection) {
  Client* client = client_of(connection);
  if (client != nullptr) detach(*client);
}

void Shard::wrote(Client& client) {
  if (client.connection.generation == 0) return;
  if (links_.output(client.connection).size() >= options_.output_flush) {
    links_.flush(client.connection);
    return;
  }
  if (client.output_touched) return;
  client.output_touched = true;
  touched_.emplace_back(client.place, client.session->identity());
}

void Shard::close_client(Client& client, mqtt::ReasonCode reason) {
  if (!client.session->connected()) return;
  client.session->write_disconnect(reason);
  const ConnectionId closing = client.connection;
  detach(client);
  links_.close(closing);
}

void Shard::detach(Client& client) {
  if (client.session->connected()) {
    feeds_.remove_followers(client);
    client.feeds_awaited = 0;
    unbind(client.connection);
    client.connection = {};
    auto will = client.session->detach(now_);
    const std::uint32_t expiry = client.session->expiry_interval();
    const std::string user = client.session->user();
    if (will && (will->delay <= Duration::zero() || expiry == 0)) {
      if (!stopping_) publishing_.publish_will(*will->message, user, will->expiry_interval);
    } else if (will) {
      client.will_due = now_ + will->delay;
      timers_.add({client.will_due, TimerKind::WillDelay, client.place, client.session->identity()});
      client.will = std::move(will);
    }
    if (expiry == 0) {
      end_session(client);
      return;
    }
    expire_later(client, std::chrono::seconds(expiry), expiry);
    session_records_.flush_cursors(client);
    session_records_.write(client, wall_, nullptr);
  }
}

void Shard::expire_later(Client& client, Duration left, std::uint32_t expiry_interval) {
  if (expiry_interval == 0xFFFF'FFFFU) {
    client.expires_at = Instant::max();
    return;
  }
  client.expires_at = now_ + left;
  timers_.add({client.expires_at, TimerKind::SessionExpiry, client.place, client.session->identity()});
}

void Shard::end_session(Client& client) {
  // A will still in its delay is due when the session ends. MQTT 5 §3.1.3.2.2.
  if (const auto will = std::exchange(client.will, std::nullopt); will && !stopping_) {
    publishing_.publish_will(*will->message, client.session->user(), will->expiry_interval);
  }
  for (const auto& subscription : client.session->subscriptions()) {
    plain_topics_.unsubscribe(client, subscription.filter);
  }
  if (client.persisted) session_records_.write_end(client);
  clients_.remove(client);
}

void Shard::restore(const StoredSession& stored, Timestamp now) {
  auto session = session::Session::decode_state(stored.client_id, stored.user, new_identity(), stored.expiry_interval,
                                                stored.state, options_.limits);
  if (!session) {
    log::error("a stored session can't be read, leaving it out",
               {{"client_id", stored.client_id}, {"error", session.error().message()}});
    return;
  }
  Client& client = clients_.add(*std::move(session));
  client.persisted = true;
  for (const auto& cursor : stored.cursors) {
    const auto topic = chat::read_topic(options_.root, cursor.topic);
    if (topic) client.session->restore_cursor(cursor.topic, cursor.epoch, cursor.acknowledged);
  }
  for (const auto& subscription : client.session->subscriptions()) {
    if (!chat::is_chat_filter(options_.root, subscription.filter)) plain_topics_.subscribe(client, subscription, nullptr);
  }
  // A session that was connected when the broker died counts as disconnected now.
  const std::uint64_t left_at = stored.disconnected.milliseconds != 0 ? stored.disconnected.milliseconds : now.milliseconds;
  const std::uint64_t ends_at = left_at + 1000ULL * stored.expiry_interval;
  const auto left = std::chrono::milliseconds(ends_at > now.milliseconds ? ends_at - now.milliseconds : 0);
  expire_later(client, left, stored.expiry_interval);
}

void Shard::shut_down() {
  stopping_ = true;
  clients_.for_each([&](Client& client) { close_client(client, mqtt::ReasonCode::ServerShuttingDown); });
}

// -- Slots and shards --------------------------------------------------------------------------------------------------

Slot Shard::slot_of_name(std::string_view name) const { return {stable_hash(name) % options_.slots}; }

ShardId Shard::home_of_name(std::string_view name) const {
  return static_cast<ShardId>(slot_of_name(name).value % options_.shards);
}

void Shard::send(ShardId target, PeerEvent event) {
  if (target == id_) {
    peer_event(event);
  } else {
    peers_.post(target, std::move(event));
  }
}

void Shard::send_outcome(const Origin& origin, Outcome outcome) {
  if (origin.identity == 0) return;
  if (origin.shard == id_) {
    publishing_.outcome(origin, outcome);
  } else {
    peers_.post(origin.shard, PeerEvent{OutcomeEvent{origin, std::move(outcome)}});
  }
}

namespace {

/// One overload for each event; see Shard::peer_event.
struct PeerEventVisitor {
  Shard& shard;

  void operator()(ProposeEvent& event) const {
    shard.hosting().propose(event.conversation,
                            {.kind = event.kind,
                             .ref = {},
                             .from = event.from,
                             .id = event.id,
                             .id_from_client = event.id_from_client,
                             .properties = event.properties,
                             .payload = event.payload},
                            std::move(event.origin));
  }
  void operator()(OutcomeEvent& event) const { shard.publishing().outcome(event.origin, event.outcome); }
  void operator()(FollowEvent& event) const { shard.hosting().follow(event.conversation, event.shard); }
  void operator()(UnfollowEvent& event) const { shard.hosting().unfollow(event.conversation, event.shard); }
  void operator()(FollowedEvent& event) const { shard.feeds().followed(event); }
  void operator()(CommittedEvent& event) const { shard.feeds().committed(event); }
  void operator()(PublishEvent& event) const { shard.plain_topics().publish_here(event.message); }
  void operator()(InterestEvent& event) const { shard.plain_topics().interest(event); }
  void operator()(InterestTakenEvent& event) const { shard.plain_topics().interest_taken(event.token); }
  void operator()(SharedMemberEvent& event) const { shard.plain_topics().shared_member(event); }
  void operator()(SharedDeliveryEvent& event) const { shard.plain_topics().shared_delivery(event); }
};

}  // namespace

void Shard::peer_event(PeerEvent& event) { std::visit(PeerEventVisitor{*this}, event.what); }

// -- Store -------------------------------------------------------------------------------------------------------------

void Shard::appended(std::uint64_t ticket, Result<Lsn> first) {
  auto waiting = appends_.settle(ticket, first.has_value());
  hosting_.settled(waiting, first);
  for (Waiting& one : waiting) {
    auto* callback = std::get_if<CallbackWaiting>(&one);
    if (callback == nullptr || !*callback) continue;
    (*callback)(first ? Result<void>() : Result<void>(first.error()));
  }
}

void Shard::conversation_loaded(const std::string& name, Result<LoadedConversation> loaded) {
  if (loaded) {
    hosting_.loaded(*std::move(loaded));
  } else {
    log::error("a conversation can't be loaded, refusing what waits for it",
               {{"conversation", name}, {"error", loaded.error().message()}});
    hosting_.load_failed(name);
  }
}

void Shard::entries_read(std::uint64_t token, Result<ReadPage> page) { feeds_.entries_read(token, page); }

void Shard::materialised(Lsn upto) { hosting_.materialised(upto); }

}  // namespace parley::shard
