#include <algorithm>
#include <utility>

#include "base/log.hpp"
#include "broker/shard/shard.hpp"
#include "mqtt/topic.hpp"

/// How a client's session ends, waits, goes on, and comes back from the disk.
namespace parley::shard {

void Shard::close_client(Client& client, mqtt::ReasonCode reason, std::string_view properties) {
  if (!client.session->connected()) return;
  client.session->write_disconnect(reason, properties);
  counters_.disconnected(static_cast<std::uint8_t>(reason));
  if (reason == mqtt::ReasonCode::KeepAliveTimeout) counters_.add(Metric::LimitKeepAlive);
  const ConnectionId closing = client.connection;
  detach(client);
  links_.close(closing);
}

void Shard::dismiss(Client& client, std::string_view properties) {
  client.session->write_disconnect(mqtt::ReasonCode::UseAnotherServer, properties);
  const ConnectionId closing = client.connection;
  detach(client, false);
  links_.close(closing);
}

void Shard::detach(Client& client, bool publishes_will) {
  if (!client.session->connected()) return;
  session_records_.flush_cursors(client);
  marks_.flush(client);
  feeds_.remove_followers(client);
  inboxes_.detach(client);
  listeners_.stop_all(client);
  inbox_listeners_.detach(client);
  shows_.detach(client);
  client.feeds_awaited = 0;
  unbind(client.connection);
  counters_.subtract(Metric::ClientsConnected);
  client.connection = {};
  client.output = nullptr;
  client.throttle = {};
  client.awaits_drain = false;
  if (client.account) client.account->connections.fetch_sub(1, std::memory_order_relaxed);
  client.account.reset();
  journal_.flush_cursor(client);
  auto will = client.session->detach(now_);
  history_requests_.detach(client);
  if (!publishes_will) will.reset();
  presence_.left(client, will ? &*will : nullptr);
  if (will && Presence::is_topic(will->message->topic())) will.reset();
  plain_topics_.connected(client, false);
  // When the server goes away no will is published, now or after its start.
  if (will && !stopping_) {
    const Instant due = client.is_lasting() ? now_ + will->delay : now_;
    client.will = std::make_unique<PendingWill>(PendingWill{.plan = *std::move(will), .due = due});
  }
  if (!client.is_lasting()) {
    end_session(client);
    return;
  }
  client.left = wall_;
  expire_later(client);
  // Whatever is published now is written without it once that is done.
  const bool publishes = client.will && client.will->due <= now_;
  const bool written_later = publishes && client.will->plan.id != 0;
  if (publishes) publish_will(client);
  if (!written_later) session_records_.write(client, wall_, nullptr);
}

void Shard::publish_will(Client& client) {
  Wills::Author author{.user = client.session->user(), .client_id = client.session->client_id()};
  const session::WillPlan plan = client.will->plan;
  if (plan.id == 0) {
    client.will.reset();
    wills_.publish(plan, std::move(author), nullptr);
    return;
  }
  client.will->publishing = true;
  wills_.publish(plan, std::move(author),
                 [this, place = client.place, identity = client.session->identity(), id = plan.id](bool /*published*/) {
                   Client* owner = clients_.find(place, identity);
                   if (owner == nullptr || !owner->will || owner->will->plan.id != id) return;
                   owner->will.reset();
                   if (owner->session->connected() || owner->opening.generation != 0) return;
                   session_records_.write(*owner, owner->left, nullptr);
                   schedule(*owner);
                 });
}

void Shard::expire_later(Client& client) {
  const std::uint32_t interval = client.session->expiry_interval();
  client.expires_at = interval == 0xFFFF'FFFFU ? Instant::max() : now_ + std::chrono::seconds(interval);
  schedule(client);
}

void Shard::end_session(Client& client) {
  // A group goes on after a restart, whatever its members are.
  if (!stopping_) share_members_.ended(*client.session);
  leave_session(client);
}

void Shard::leave_session(Client& client) {
  // A will still in its delay is due when the session ends. MQTT 5 §3.1.3.2.2.
  const auto will = std::move(client.will);
  const bool publishes = will && !will->publishing && !stopping_;
  for (const auto& subscription : client.session->subscriptions()) {
    if (is_plain(subscription.filter)) plain_topics_.unsubscribe(client, subscription.filter);
  }
  if (!client.moved) plain_topics_.return_shared(client, {});
  journal_.drop(client);
  Wills::Author author{.user = client.session->user(), .client_id = client.session->client_id()};
  const std::uint64_t generation = client.generation;
  // The record of one that ends with its connection has no other use: it stays until the will is where it must be.
  const bool ends_later = client.persisted && publishes && will->plan.id != 0 && !client.is_lasting();
  if (!client.persisted) {
    session_claims_.release(author.client_id, generation);
  } else if (!ends_later) {
    session_records_.write_end(author.client_id, generation);
  }
  clients_.remove(client);
  counters_.set(Metric::Sessions, clients_.size());
  if (!publishes) return;
  Wills::Done done;
  if (ends_later) {
    done = [this, client_id = author.client_id, generation](bool /*published*/) {
      session_records_.write_end_unless_back(client_id, generation);
    };
  }
  wills_.publish(will->plan, std::move(author), std::move(done));
}

bool Shard::is_plain(std::string_view filter) const {
  if (const auto shared = mqtt::shared_filter(filter)) return !chat::is_chat_filter(options_.root, shared->filter);
  return !chat::is_chat_filter(options_.root, filter) && !Presence::is_topic(filter);
}

void Shard::forget_session(Client& client) {
  client.persisted = false;
  client.will.reset();
  leave_session(client);
}

Client* Shard::adopt(const StoredSession& stored) {
  restore(stored, {now_, wall_});
  Client* client = clients_.find(stored.client_id);
  if (client == nullptr) return client;
  if (client->will) client->will->due = now_ + client->will->due.time_since_epoch();
  if (client->expires_at != Instant::max()) client->expires_at = now_ + client->expires_at.time_since_epoch();
  schedule(*client);
  return client;
}

bool Shard::refresh(Client& client, const StoredSession& stored) {
  session::Session& session = *client.session;
  const auto unpacked = unpack_session(stored.state, {now_, wall_});
  if (!unpacked) return false;
  const auto latest = session::Session::decode_state(stored.client_id, stored.user, session.identity(),
                                                     stored.expiry_interval, unpacked->state, options_.limits);
  if (!latest) return false;
  client.restored = false;
  take_will(client, stored, unpacked->will, {now_, wall_});
  if (client.will) client.will->due = now_ + client.will->due.time_since_epoch();
  session.set_expiry_interval(stored.expiry_interval);
  for (const auto& before : std::vector(session.subscriptions())) {
    const auto& now = (*latest)->subscriptions();
    if (std::ranges::find(now, before.filter, &session::Subscription::filter) != now.end()) continue;
    if (is_plain(before.filter)) plain_topics_.unsubscribe(client, before.filter);
    session.remove_subscription(before.filter);
  }
  for (const session::CursorId cursor : session.cursors()) session.remove_cursor(cursor);
  for (const auto& subscription : (*latest)->subscriptions()) {
    session.add_subscription(subscription);
    if (!take_up(client, subscription, stored)) session.remove_subscription(subscription.filter);
  }
  return true;
}

/// A stored will, due so long after the beginning of time. Of a client that was connected when the broker died its
/// delay counts from now.
void Shard::take_will(Client& client, const StoredSession& stored, std::optional<session::WillPlan> will,
                      Moment moment) {
  client.will.reset();
  if (!will) return;
  Duration passed{};
  if (stored.disconnected.milliseconds != 0 && stored.disconnected < moment.wall) {
    passed = std::chrono::milliseconds(moment.wall.milliseconds - stored.disconnected.milliseconds);
  }
  const Instant due(std::max(will->delay - passed, Duration::zero()));
  client.will = std::make_unique<PendingWill>(PendingWill{.plan = *std::move(will), .due = due});
}

/// A stored session's subscription: as a cursor, or among the ordinary topics. False: it has lost its right.
bool Shard::take_up(Client& client, const session::Subscription& subscription, const StoredSession& stored) {
  if (Presence::is_topic(subscription.filter)) return true;
  if (is_plain(subscription.filter)) {
    if (!access_.go_on_reading(client, subscription.filter)) return false;
    plain_topics_.subscribe(client, subscription, nullptr);
    return true;
  }
  if (mqtt::shared_filter(subscription.filter)) return true;
  if (mqtt::has_wildcard(subscription.filter)) {
    inboxes_.take_up(*client.session, subscription, stored);
    return true;
  }
  const auto cursor = std::ranges::find(stored.cursors, subscription.filter, &StoredSession::Cursor::topic);
  if (cursor == stored.cursors.end() || cursor->epoch == Epoch{}) return true;
  const auto added = client.session->add_cursor(cursor->topic, cursor->epoch, cursor->acknowledged,
                                                subscription.options.qos, subscription.subscription_id);
  inboxes_.set_options(*client.session, added, false);
  return true;
}

void Shard::restore(const StoredSession& stored, Moment moment) {
  // Another node has it; this one keeps its records.
  if (now_ == Instant{} && stored.owner != NodeId{} && stored.owner != nodes_.self()) return;
  auto unpacked = unpack_session(stored.state, moment);
  auto session =
      unpacked ? session::Session::decode_state(stored.client_id, stored.user, new_identity(), stored.expiry_interval,
                                                unpacked->state, options_.limits, &counters_)
               : unpacked.error();
  if (!session) {
    log::error("a stored session can't be read, leaving it out",
               {{"client_id", stored.client_id}, {"error", session.error().message()}});
    return;
  }
  Client& client = clients_.add(*std::move(session));
  counters_.set(Metric::Sessions, clients_.size());
  client.session->set_journal(&journal_);
  if (now_ != Instant{} || unpacked->moves) {
    journal_.take_in(client, std::move(unpacked->messages), first_packet_id(), moment);
  } else {
    // At a start only the journal knows to the last which publishes it hasn't released.
    client.session->restore_flows({}, {}, first_packet_id());
  }
  client.persisted = true;
  client.restored = now_ == Instant{} && !nodes_.standalone();
  client.generation = stored.generation;
  std::vector<std::string> lost;  // Goes from the record with the next one.
  for (const auto& subscription : client.session->subscriptions()) {
    if (!take_up(client, subscription, stored)) lost.push_back(subscription.filter);
  }
  for (const std::string& filter : lost) client.session->remove_subscription(filter);
  take_will(client, stored, std::move(unpacked->will), moment);
  client.left = stored.disconnected.milliseconds != 0 ? stored.disconnected : moment.wall;
  if (stored.expiry_interval == 0xFFFF'FFFFU) return;
  // A session that was connected when the broker died counts as disconnected now.
  const std::uint64_t left_at =
      stored.disconnected.milliseconds != 0 ? stored.disconnected.milliseconds : moment.wall.milliseconds;
  const std::uint64_t ends_at = left_at + 1000ULL * stored.expiry_interval;
  const std::uint64_t now = moment.wall.milliseconds;
  client.expires_at = Instant(std::chrono::milliseconds(ends_at > now ? ends_at - now : 0));
}

/// Where packet ids begin after a start. A client may still hold one of an entry at QoS 2 from before, and would take
/// another message with that id for the same.
mqtt::PacketId Shard::first_packet_id() { return static_cast<mqtt::PacketId>(random_.next() % 65'535 + 1); }

bool Shard::restore_queue(const std::string& client_id, const StoredQueue& queue) {
  Client* client = clients_.find(client_id);
  // One that was written for another node is complete.
  if (client == nullptr || client->queue) return false;
  journal_.restore(*client, queue);
  return true;
}

void Shard::restore_message(const std::string& client_id, const mqtt::MessagePtr& message, const PlainTarget& target,
                            const session::StoredMessagePtr& stored) {
  Client* client = clients_.find(client_id);
  if (client == nullptr) return;
  client->session->deliver(message, target.qos, target.retain, target.subscription_ids, {}, target.share, stored);
}

void Shard::restore_flows(const std::string& client_id, std::vector<session::Session::RestoredFlight> flights,
                          const std::vector<mqtt::PacketId>& inbound) {
  if (Client* client = clients_.find(client_id)) {
    client->session->restore_flows(std::move(flights), inbound, first_packet_id());
  }
}

}  // namespace parley::shard
