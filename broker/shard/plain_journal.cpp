#include "broker/shard/plain_journal.hpp"

#include <algorithm>
#include <iterator>

#include "broker/shard/shard.hpp"

namespace parley::shard {

PlainJournal::PlainJournal(Shard& shard) : shard_(shard), unwanted_(std::make_shared<std::vector<std::uint64_t>>()) {}

PlainJournal::~PlainJournal() = default;

// -- Messages --

session::StoredMessagePtr PlainJournal::begin_message() {
  return std::make_shared<const session::StoredMessage>(shard_.store().next_plain_number(), unwanted_);
}

void PlainJournal::add_message(std::uint64_t number, const mqtt::Message& message, std::span<const PlainTarget> targets,
                               PlainOrigin origin) {
  messages_.push_back({PlainTable::Messages, number_key(number),
                       encode_message(message, targets, origin, {shard_.now(), shard_.wall()})});
}

void PlainJournal::add_retained(std::uint64_t number, const mqtt::Message& message, const routing::RetainStamp& stamp) {
  messages_.push_back(
      {PlainTable::Retained, number_key(number), encode_retained(message, stamp, {shard_.now(), shard_.wall()})});
}

void PlainJournal::erase_retained(std::uint64_t number) {
  messages_.push_back({PlainTable::Retained, number_key(number), std::nullopt});
}

// -- Sessions --

Client* PlainJournal::client_of(const session::Session& session) const {
  Client* client = shard_.clients().find(session.client_id());
  return client != nullptr && client->session.get() == &session ? client : nullptr;
}

void PlainJournal::step(PlainTable table, std::string key, std::optional<std::string> value,
                        std::function<void()> then) {
  steps_.push_back({{table, std::move(key), std::move(value)}, std::move(then)});
}

void PlainJournal::erase(PlainTable table, std::string key) { step(table, std::move(key), std::nullopt); }

std::uint64_t PlainJournal::queue_of(Client& client) {
  if (!client.queue) {
    client.queue = std::make_unique<ClientQueue>();
    client.queue->number = shard_.store().next_plain_number();
    step(PlainTable::Queues, number_key(client.queue->number),
         encode_queue({client.queue->settled, client.session->client_id()}));
  }
  return client.queue->number;
}

void PlainJournal::take_over(Client& client, mqtt::PacketId id, std::function<void()> then) {
  step(PlainTable::Inbound, flow_key(queue_of(client), id), std::string(), std::move(then));
}

void PlainJournal::sending(session::Session& session, mqtt::PacketId id, std::uint64_t number) {
  Client* client = client_of(session);
  if (client == nullptr) return;
  const std::uint64_t queue = queue_of(*client);
  client->queue->outbound.emplace_back(id, number);
  step(PlainTable::Outbound, flow_key(queue, id), encode_outbound({number, false}),
       [this, id, number, place = client->place, identity = session.identity()] {
         Client* owner = shard_.clients().find(place, identity);
         if (owner == nullptr) return;
         owner->session->go_on_sending(id, number, shard_.now());
         shard_.wrote(*owner);
       });
}

void PlainJournal::received(session::Session& session, mqtt::PacketId id, std::uint64_t number) {
  Client* client = client_of(session);
  if (client == nullptr) return;
  step(PlainTable::Outbound, flow_key(queue_of(*client), id), encode_outbound({number, true}),
       [this, id, number, place = client->place, identity = session.identity()] {
         Client* owner = shard_.clients().find(place, identity);
         if (owner == nullptr) return;
         owner->session->go_on_releasing(id, number);
         shard_.wrote(*owner);
       });
}

void PlainJournal::released(session::Session& session, mqtt::PacketId id, std::uint32_t connection) {
  Client* client = client_of(session);
  if (client == nullptr) return;
  step(PlainTable::Inbound, flow_key(queue_of(*client), id), std::nullopt,
       [this, id, connection, place = client->place, identity = session.identity()] {
         Client* owner = shard_.clients().find(place, identity);
         if (owner == nullptr) return;
         owner->session->finish_release(id, connection);
         shard_.wrote(*owner);
       });
}

void PlainJournal::settled(session::Session& session, std::uint64_t number) {
  Client* client = client_of(session);
  if (client == nullptr || !client->queue || number <= client->queue->settled) return;
  client->queue->settled = number;
  touch(*client);
  // Rows of finished deliveries may not pile up: at a start all of them take their places again.
  constexpr std::uint64_t kUnwrittenMax = 4'096;
  if (!client->queue->outbound.empty() && number - client->queue->settled_stored > kUnwrittenMax) flush_cursor(*client);
}

bool PlainJournal::may_send(const session::Session& session, const mqtt::Message& message) const {
  if (!shard_.access().has_rules()) return true;
  const Client* client = client_of(session);
  return client == nullptr || shard_.access().may_deliver(*client, message.topic());
}

void PlainJournal::touch(Client& client) {
  if (std::exchange(client.queue->touched, true)) return;
  touched_.emplace_back(client.place, client.session->identity());
}

void PlainJournal::drop(Client& client) {
  if (!client.queue) return;
  const std::uint64_t queue = client.queue->number;
  erase(PlainTable::Queues, number_key(queue));
  for (const auto& [id, number] : client.queue->outbound) erase(PlainTable::Outbound, flow_key(queue, id));
  for (const auto& item : client.session->inbound()) erase(PlainTable::Inbound, flow_key(queue, item.id));
  client.queue.reset();
}

void PlainJournal::restore(Client& client, const StoredQueue& stored) {
  client.queue = std::make_unique<ClientQueue>();
  ClientQueue& queue = *client.queue;
  queue.number = stored.number;
  queue.settled = queue.settled_stored = stored.settled;
  for (const auto& flight : stored.outbound) {
    if (flight.number > stored.settled) {
      queue.outbound.emplace_back(flight.id, flight.number);
    } else {
      erase(PlainTable::Outbound, flow_key(stored.number, flight.id));
    }
  }
}

void PlainJournal::take_in(Client& client, std::vector<MovedMessage> messages, mqtt::PacketId first_id, Moment moment) {
  session::Session& session = *client.session;
  std::vector<mqtt::PacketId> inbound;
  for (const auto& item : session.inbound()) inbound.push_back(item.id);
  for (const mqtt::PacketId id : inbound) take_over(client, id, nullptr);
  std::vector<session::Session::RestoredFlight> flights;
  std::vector<session::Session::RestoredFlight> waiting;
  for (MovedMessage& one : messages) {
    const std::uint64_t queue = queue_of(client);
    auto stored = begin_message();
    const std::uint64_t number = stored->number;
    one.target.queue = queue;
    if (one.message) {
      step(PlainTable::Messages, number_key(number), encode_message(*one.message, {&one.target, 1}, {}, moment));
    }
    if (one.id != 0 && (!one.message || one.target.qos == mqtt::Qos::ExactlyOnce)) {
      client.queue->outbound.emplace_back(one.id, number);
      step(PlainTable::Outbound, flow_key(queue, one.id), encode_outbound({number, !one.message}));
    }
    (one.id != 0 ? flights : waiting)
        .push_back({.id = one.id,
                    .number = number,
                    .message = std::move(one.message),
                    .qos = one.target.qos,
                    .retain = one.target.retain,
                    .subscription_ids = std::move(one.target.subscription_ids),
                    .share = std::move(one.target.share),
                    .stored = std::move(stored)});
  }
  session.restore_flows(std::move(flights), inbound, first_id);
  for (const auto& one : waiting) {
    session.deliver(one.message, one.qos, one.retain, one.subscription_ids, {}, one.share, one.stored);
  }
  if (!client.queue) return;
  client.queue->arriving = true;
  when_stored(client, [this, place = client.place, identity = session.identity()] {
    Client* owner = shard_.clients().find(place, identity);
    if (owner != nullptr && owner->queue) owner->queue->arriving = false;
  });
}

void PlainJournal::when_stored(Client& client, std::function<void()> then) {
  const std::uint64_t queue = queue_of(client);
  step(PlainTable::Queues, number_key(queue), encode_queue({client.queue->settled, client.session->client_id()}),
       std::move(then));
}

// -- Batches --

void PlainJournal::flush_cursor(Client& client) {
  if (!client.queue) return;
  ClientQueue& queue = *client.queue;
  queue.touched = false;
  if (queue.settled == queue.settled_stored) return;
  queue.settled_stored = queue.settled;
  step(PlainTable::Queues, number_key(queue.number), encode_queue({queue.settled, client.session->client_id()}));
  std::erase_if(queue.outbound, [&](const auto& row) {
    if (row.second > queue.settled) return false;
    erase(PlainTable::Outbound, flow_key(queue.number, row.first));
    return true;
  });
}

void PlainJournal::flush_cursors() {
  failed_ = false;
  for (const auto& [place, identity] : std::exchange(touched_, {})) {
    if (Client* client = shard_.clients().find(place, identity)) flush_cursor(*client);
  }
  // After the cursors, in the same batch: a message that is gone counts as settled.
  for (const std::uint64_t number : std::exchange(*unwanted_, {})) erase(PlainTable::Messages, number_key(number));
}

void PlainJournal::flush() {
  if (messages_.empty() && (steps_.empty() || failed_)) return;
  PlainBatch batch{.shard = shard_.id(), .ticket = next_ticket_++, .changes = std::exchange(messages_, {})};
  batch.changes.reserve(batch.changes.size() + steps_.size());
  for (const Step& one : steps_) batch.changes.push_back(one.change);
  pending_.push_back({batch.ticket, std::exchange(steps_, {}), std::exchange(publications_, {})});
  shard_.store().write_plain(std::move(batch));
}

void PlainJournal::written(std::uint64_t ticket, Result<void> outcome) {
  if (pending_.empty() || pending_.front().ticket != ticket) return;
  Batch batch = std::move(pending_.front());
  pending_.pop_front();
  failed_ = !outcome.has_value();
  if (outcome) {
    for (const Step& one : batch.steps) {
      if (one.then) one.then();
    }
  } else {
    // Before what came later, in their order.
    steps_.insert(steps_.begin(), std::make_move_iterator(batch.steps.begin()),
                  std::make_move_iterator(batch.steps.end()));
  }
  for (const std::uint64_t publication : batch.publications) {
    shard_.plain_topics().stored(publication, outcome.has_value());
  }
}

}  // namespace parley::shard
