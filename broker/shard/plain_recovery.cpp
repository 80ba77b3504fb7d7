#include "broker/shard/plain_recovery.hpp"

#include <algorithm>

#include "broker/shard/shard.hpp"

namespace parley::shard {

void PlainRecovery::row(PlainTable table, std::string_view key, std::string_view value) {
  const std::uint64_t number = number_of_key(key);
  const auto queue = queues_.find(number);
  switch (table) {
    case PlainTable::Queues:
      if (const auto read = decode_queue(value)) {
        queues_[number] = {.client_id = read->client_id, .stored = {.number = number, .settled = read->settled}};
      } else {
        ++unreadable_;
      }
      return;
    case PlainTable::Outbound:
      if (const auto read = decode_outbound(value); read && queue != queues_.end()) {
        queue->second.stored.outbound.push_back({id_of_key(key), read->number, read->received});
      } else {
        shards_.front()->journal().erase(table, std::string(key));
      }
      return;
    case PlainTable::Inbound:
      if (queue != queues_.end()) {
        queue->second.stored.inbound.push_back(id_of_key(key));
      } else {
        shards_.front()->journal().erase(table, std::string(key));
      }
      return;
    case PlainTable::Messages: message(number, value); return;
    case PlainTable::Retained:
      if (const auto read = decode_retained(value, moment_)) {
        if (!read->message->payload().empty()) ++retained_;
        for (Shard* shard : shards_) shard->plain_topics().restore_retained(number, read->stamp, read->message);
      } else {
        ++unreadable_;
      }
      return;
  }
}

/// Finds out which queues have a session.
void PlainRecovery::settle_queues() {
  settled_ = true;
  PlainJournal& journal = shards_.front()->journal();
  for (auto item = queues_.begin(); item != queues_.end();) {
    Queue& queue = item->second;
    Shard& home = home_(queue.client_id);
    if (home.restore_queue(queue.client_id, queue.stored)) {
      queue.home = &home;
      ++item;
      continue;
    }
    journal.erase(PlainTable::Queues, number_key(item->first));
    for (const auto& flight : queue.stored.outbound) {
      journal.erase(PlainTable::Outbound, flow_key(item->first, flight.id));
    }
    for (const auto id : queue.stored.inbound) journal.erase(PlainTable::Inbound, flow_key(item->first, id));
    item = queues_.erase(item);
  }
}

void PlainRecovery::message(std::uint64_t number, std::string_view value) {
  if (!settled_) settle_queues();
  auto read = decode_message(value, moment_);
  if (!read) {
    ++unreadable_;
    return;
  }
  std::vector<std::pair<Queue*, PlainTarget*>> owed;
  std::vector<Shard*> owners;
  for (PlainTarget& target : read->targets) {
    const auto queue = queues_.find(target.queue);
    if (queue == queues_.end()) continue;
    // Of this shard's sessions only: another one may not have come to write its row.
    if (read->origin.queue != 0) queue->second.home->plain_topics().restore_origin(read->origin);
    if (number <= queue->second.stored.settled) continue;
    const auto& flights = queue->second.stored.outbound;
    const auto flight = std::ranges::find(flights, number, &StoredQueue::Flight::number);
    if (flight != flights.end() && flight->received) continue;
    owed.emplace_back(&queue->second, &target);
    if (std::ranges::find(owners, queue->second.home) == owners.end()) owners.push_back(queue->second.home);
  }
  if (owed.empty()) {
    shards_.front()->journal().erase_messages({number});
    return;
  }
  ++messages_;
  // Two shards can't agree on when a message may go: it goes with the next start.
  const auto settled = owners.size() == 1 ? owners.front()->journal().unwanted() : nullptr;
  const auto stored = std::make_shared<const session::StoredMessage>(number, settled);
  for (const auto& [queue, target] : owed) queue->waiting.push_back({read->message, std::move(*target), stored});
}

void PlainRecovery::restore(Queue& queue) {
  const auto& outbound = queue.stored.outbound;
  const auto last = std::ranges::max_element(outbound, {}, &StoredQueue::Flight::number);
  // What has a lower number than the last one under way has been under way itself: it goes between the others.
  std::vector<Queue::Waiting> later;
  for (Queue::Waiting& one : queue.waiting) {
    const std::uint64_t number = one.stored->number;
    if (last == outbound.end() || number > last->number) {
      later.push_back(std::move(one));
      continue;
    }
    const auto flight = std::ranges::find(outbound, number, &StoredQueue::Flight::number);
    queue.flights.push_back({.id = flight == outbound.end() ? mqtt::PacketId{0} : flight->id,
                             .number = number,
                             .message = std::move(one.message),
                             .qos = one.target.qos,
                             .retain = one.target.retain,
                             .subscription_ids = std::move(one.target.subscription_ids),
                             .share = std::move(one.target.share),
                             .stored = std::move(one.stored)});
  }
  for (const auto& flight : outbound) {
    if (flight.received && flight.number > queue.stored.settled) {
      queue.flights.push_back({.id = flight.id, .number = flight.number});
    }
  }
  std::ranges::sort(queue.flights, {}, &session::Session::RestoredFlight::number);
  queue.home->restore_flows(queue.client_id, std::move(queue.flights), queue.stored.inbound);
  for (const auto& one : later) queue.home->restore_message(queue.client_id, one.message, one.target, one.stored);
}

void PlainRecovery::finish() {
  if (!settled_) settle_queues();
  for (auto& [number, queue] : queues_) restore(queue);
  queues_.clear();
}

}  // namespace parley::shard
