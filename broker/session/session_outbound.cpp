#include <algorithm>
#include <utility>

#include "broker/session/connection.hpp"
#include "broker/session/outbound_flow.hpp"
#include "broker/session/session.hpp"
#include "mqtt/encode.hpp"

/// The outbound half of a session: deliveries, the window, resending, cursors.
namespace parley::session {
namespace {

/// Settled messages behind an unsettled one stay in the ring; a client that never acknowledges one of them stops here.
constexpr std::size_t kRingMax = 16'384;
/// Fewer are looked through.
constexpr std::size_t kCursorsUnindexed = 64;

mqtt::Qos lower(mqtt::Qos a, mqtt::Qos b) { return std::min(a, b); }

InFlight::State awaited(mqtt::Qos qos) {
  return qos == mqtt::Qos::AtLeastOnce ? InFlight::State::AwaitingPuback : InFlight::State::AwaitingPubrec;
}

std::uint32_t seconds_left(Instant expires, Instant now) {
  const auto left = std::chrono::ceil<std::chrono::seconds>(expires - now).count();
  return left > 0 ? static_cast<std::uint32_t>(left) : 0;
}

}  // namespace

OutboundFlow& Session::outbound() {
  if (!outbound_) outbound_ = std::make_unique<OutboundFlow>();
  return *outbound_;
}

std::size_t Session::receive_max() const {
  return connection_ ? std::min<std::size_t>(limits_.inflight_max, connection_->receive_max) : 0;
}

bool Session::can_send(mqtt::Qos qos) const {
  if (!connection_ || connection_->resending) return false;
  if (connection_->output->size() >= limits_.output_max) return false;
  if (qos == mqtt::Qos::AtMostOnce || !outbound_) return true;
  return outbound_->outstanding < std::min(limits_.inflight_max, connection_->receive_max) &&
         outbound_->size() < kRingMax;
}

bool Session::has_room_for(const mqtt::Message& message, mqtt::Qos qos) const {
  if (!connection_ || connection_->output->size() >= limits_.output_max / 4) return false;
  const mqtt::Qos effective = lower(message.qos(), qos);
  if (effective == mqtt::Qos::AtMostOnce || (queued() == 0 && can_send(effective))) return true;
  return queued() < limits_.queued_messages_max / 2 &&
         outbound_->queue_bytes + message.size() <= limits_.queued_bytes_max / 2;
}

bool Session::write_delivery(const mqtt::Message& message, mqtt::Delivery& delivery, Instant now) {
  Connection& link = *connection_;
  if (message.expires()) delivery.expiry_left = seconds_left(*message.expires(), now);
  if (!fits(message, delivery)) return false;  // [MQTT-3.1.2-24]
  if (delivery.topic_alias != 0 && delivery.topic_in_full) {
    link.aliases_out->set({.number = delivery.topic_alias}, message.topic());
  }
  mqtt::encode_delivery(*link.output, message, delivery);
  count_delivery(message);
  return true;
}

bool Session::fits(const mqtt::Message& message, mqtt::Delivery& delivery) const {
  const Connection& link = *connection_;
  delivery.version = link.version;
  const auto is_small = [&] {
    return link.packet_size_max == 0xFFFF'FFFF || mqtt::delivery_size(message, delivery) <= link.packet_size_max;
  };
  if (!link.aliases_out) return is_small();
  const auto alias = link.aliases_out->find(message.topic());
  delivery.topic_alias = alias.number;
  delivery.topic_in_full = !alias.known;
  if (is_small()) return true;
  delivery.topic_alias = 0;
  delivery.topic_in_full = true;
  return is_small();
}

bool Session::takes(const mqtt::Message& message, mqtt::Qos qos,
                    std::span<const std::uint32_t> subscription_ids) const {
  if (!connection_ || connection_->packet_size_max == 0xFFFF'FFFF) return true;
  mqtt::Delivery delivery{.qos = lower(message.qos(), qos), .subscription_ids = subscription_ids};
  if (delivery.qos != mqtt::Qos::AtMostOnce) delivery.packet_id = 1;
  return fits(message, delivery);
}

bool Session::takes(const mqtt::Message& message, CursorId id, bool own) const {
  const CursorSlot& cursor = cursors_[id];
  return takes(message, qos_of(cursor, own), ids_of(cursor, own));
}

mqtt::Qos Session::qos_of(const CursorSlot& cursor, bool own) {
  const bool by_one = own && (cursor.own == OwnEntries::BySubscription || cursor.own == OwnEntries::ByInbox);
  return by_one ? cursor.own_qos : cursor.qos;
}

std::span<const std::uint32_t> Session::ids_of(const CursorSlot& cursor, bool own) {
  std::span<const std::uint32_t> ids(cursor.subscription_ids);
  if (own && cursor.own == OwnEntries::BySubscription) ids = ids.first(1);
  if (own && cursor.own == OwnEntries::ByInbox) ids = ids.last(1);
  if (ids[0] == 0) ids = ids.subspan(1);
  if (!ids.empty() && ids.back() == 0) ids = ids.first(ids.size() - 1);
  return ids;
}

void Session::count_delivery(const mqtt::Message& message) {
  if (counters_ == nullptr) return;
  counters_->add(Metric::PacketsSent);
  counters_->add(Metric::PublishesSent);
  counters_->add(Metric::PublishBytesSent, message.payload().size());
}

Delivered Session::deliver(const mqtt::MessagePtr& message, mqtt::Qos qos, bool retain,
                           std::span<const std::uint32_t> subscription_ids, Instant now, const Share& share,
                           const StoredMessagePtr& stored) {
  const mqtt::Qos effective = lower(message->qos(), qos);
  if (effective == mqtt::Qos::AtMostOnce) {
    if (!connection_ || connection_->output->size() >= limits_.output_max) return Delivered::Dropped;
    if (message->has_expired(now)) return Delivered::Dropped;
    mqtt::Delivery delivery{.qos = effective, .retain = retain, .subscription_ids = subscription_ids};
    return write_delivery(*message, delivery, now) ? Delivered::Sent : Delivered::Dropped;
  }
  OutboundFlow& flow = outbound();
  Outgoing outgoing{message, effective, retain, {subscription_ids.begin(), subscription_ids.end()}, share, stored};
  const bool holds = stored && effective == mqtt::Qos::ExactlyOnce;
  if (flow.queued() != 0 || !can_send(effective)) {
    if (message->at_once()) return Delivered::Dropped;
    if (flow.queued() >= limits_.queued_messages_max || flow.queue_bytes + message->size() > limits_.queued_bytes_max) {
      return Delivered::QueueFull;
    }
    flow.enqueue(std::move(outgoing));
    return Delivered::Queued;
  }
  if (message->has_expired(now)) return Delivered::Dropped;
  if (holds || must_wait(effective)) {
    hold(std::move(outgoing));
    return Delivered::Queued;
  }
  mqtt::Delivery delivery{
      .qos = effective, .retain = retain, .packet_id = flow.id_at(flow.size()), .subscription_ids = subscription_ids};
  if (!write_delivery(*message, delivery, now)) return Delivered::Dropped;
  push_sent(std::move(outgoing));
  return Delivered::Sent;
}

void Session::push_sent(Outgoing outgoing) {
  OutboundFlow& flow = *outbound_;
  const std::uint64_t number = outgoing.stored ? outgoing.stored->number : 0;
  const auto state = awaited(outgoing.qos);
  flow.push({.outgoing = std::move(outgoing), .state = state, .sent_here = true, .written = true, .number = number});
  ++flow.outstanding;
}

/// Messages keep their order whatever their QoS is, so one at QoS 1 waits for those at QoS 2 before it.
bool Session::must_wait(mqtt::Qos qos) const { return qos == mqtt::Qos::AtLeastOnce && outbound_->held != 0; }

/// Takes its place and its packet id, and leaves once both are durable; at QoS 1 once those before it have left.
void Session::hold(Outgoing outgoing) {
  OutboundFlow& flow = *outbound_;
  const std::uint64_t number = outgoing.stored ? outgoing.stored->number : 0;
  const auto state = awaited(outgoing.qos);
  flow.push({.outgoing = std::move(outgoing), .state = state, .sent_here = true, .held = true, .number = number});
  ++flow.outstanding;
  ++flow.held;
  if (state == InFlight::State::AwaitingPubrec) journal_->sending(*this, flow.id_at(flow.size() - 1), number);
}

/// A stored message needs nothing more, but those before it may.
void Session::note_passed(std::uint64_t number) {
  if (outbound_->empty()) {
    journal_->settled(*this, number);
  } else {
    outbound_->back().passes = std::max(outbound_->back().passes, number);
  }
}

void Session::go_on_sending(mqtt::PacketId id, std::uint64_t number, Instant now) {
  const auto position = outbound_ ? outbound_->find(id) : std::nullopt;
  if (!position) return;
  OutboundFlow& flow = *outbound_;
  InFlight& slot = flow[*position];
  if (!slot.held || slot.number != number || slot.state != InFlight::State::AwaitingPubrec) return;
  if (!connection_ || !slot.sent_here) {
    let_go(slot);
    if (connection_) go_on(now);
    return;
  }
  const bool written = send_held(*position, now);
  if (send_waiting(*position + 1, now) && written) return;
  settle_front();
  go_on(now);
}

/// What waited at QoS 1 for those before `from`. False: some of it is done already.
bool Session::send_waiting(std::size_t from, Instant now) {
  OutboundFlow& flow = *outbound_;
  bool all_written = true;
  for (std::size_t i = from; i < flow.size() && flow.held != 0; ++i) {
    if (!flow[i].held || flow[i].state == InFlight::State::AwaitingPubcomp) continue;
    if (flow[i].state == InFlight::State::AwaitingPubrec) break;
    all_written = send_held(i, now) && all_written;
  }
  return all_written;
}

/// False: the client takes no packet as large, so it is done.
bool Session::send_held(std::size_t position, Instant now) {
  InFlight& slot = (*outbound_)[position];
  let_go(slot);
  mqtt::Delivery delivery{.qos = slot.outgoing.qos,
                          .retain = slot.outgoing.retain,
                          .packet_id = outbound_->id_at(position),
                          .subscription_ids = slot.outgoing.subscription_ids};
  slot.written = write_delivery(*slot.outgoing.message, delivery, now);
  if (slot.written) return true;
  slot.state = InFlight::State::Done;
  slot.outgoing = {};
  --outbound_->outstanding;
  return false;
}

void Session::go_on_releasing(mqtt::PacketId id, std::uint64_t number) {
  const auto position = outbound_ ? outbound_->find(id) : std::nullopt;
  if (!position) return;
  InFlight& slot = (*outbound_)[*position];
  if (!slot.held || slot.number != number || slot.state != InFlight::State::AwaitingPubcomp) return;
  slot.held = false;
  for (auto due = std::exchange(slot.pubrels, std::uint16_t{0}); connection_ && due > 0; --due) {
    write_ack(mqtt::PacketType::Pubrel, id, mqtt::ReasonCode::Success, {});
  }
}

/// Each PUBREL has its PUBCOMP, also where one that came before it has ended the exchange. [MQTT-4.3.3-11]
void Session::finish_release(mqtt::PacketId id, std::uint32_t connection) {
  if (inbound_.state(id) == InboundIds::State::Received) inbound_.erase(id);
  // On a later connection the client sends its PUBREL again.
  if (connection_ && connection == connections_)
    write_ack(mqtt::PacketType::Pubcomp, id, mqtt::ReasonCode::Success, {});
}

void Session::restore_flows(std::vector<RestoredFlight> flights, std::span<const mqtt::PacketId> inbound,
                            mqtt::PacketId first_id) {
  inbound_.clear();
  for (const mqtt::PacketId id : inbound) inbound_.set(id, InboundIds::State::Received);
  OutboundFlow& flow = outbound();
  const auto known = std::ranges::find_if(flights, [](const RestoredFlight& one) { return one.id != 0; });
  if (known == flights.end()) {
    flow.begin_ids_at(first_id);
  } else {
    const auto before = static_cast<std::uint32_t>(known - flights.begin());
    flow.begin_ids_at(static_cast<mqtt::PacketId>((known->id + 65'535U - 1U - before) % 65'535U + 1U));
  }
  for (RestoredFlight& flight : flights) {
    // What stood between them is settled.
    while (flight.id != 0 && flow.id_at(flow.size()) != flight.id && flow.size() < kRingMax) {
      flow.push({.state = InFlight::State::Done});
    }
    const auto qos = lower(flight.qos, flight.message ? flight.message->qos() : mqtt::Qos::ExactlyOnce);
    flow.push({.outgoing = {std::move(flight.message), qos, flight.retain, std::move(flight.subscription_ids),
                            std::move(flight.share), std::move(flight.stored)},
               .state = awaited(qos),
               .written = true,
               .number = flight.number});
    if (!flow.back().outgoing.message) flow.back().state = InFlight::State::AwaitingPubcomp;
  }
}

std::vector<Session::RestoredFlight> Session::owed() const {
  std::vector<RestoredFlight> owed;
  if (!outbound_) return owed;
  const auto add = [&](mqtt::PacketId id, const Outgoing& outgoing, bool received) {
    owed.push_back({.id = id,
                    .message = received ? nullptr : outgoing.message,
                    .qos = outgoing.qos,
                    .retain = outgoing.retain,
                    .subscription_ids = outgoing.subscription_ids,
                    .share = outgoing.share,
                    .stored = outgoing.stored});
  };
  OutboundFlow& flow = *outbound_;
  for (std::size_t i = 0; i < flow.size(); ++i) {
    const InFlight& slot = flow[i];
    if (slot.cursor_generation != 0 || slot.state == InFlight::State::Done) continue;
    add(flow.id_at(i), slot.outgoing, slot.state == InFlight::State::AwaitingPubcomp);
  }
  for (std::size_t i = flow.queue_first; i < flow.queue.size(); ++i) add(0, flow.queue[i], false);
  return owed;
}

std::vector<Session::SharedMessage> Session::take_shared(std::string_view subscription) {
  std::vector<SharedMessage> taken;
  if (!outbound_) return taken;
  OutboundFlow& flow = *outbound_;
  for (std::size_t i = 0; subscription.empty() && i < flow.size(); ++i) {
    InFlight& slot = flow[i];
    if (!slot.outgoing.share || slot.state != InFlight::State::AwaitingPuback) continue;
    taken.push_back({slot.outgoing.share, slot.outgoing.message});
  }
  flow.remove_queued([&](Outgoing& outgoing) {
    if (!outgoing.share || (!subscription.empty() && *outgoing.share != subscription)) return false;
    taken.push_back({std::move(outgoing.share), outgoing.message});
    return true;
  });
  return taken;
}

void Session::send_queued(Instant now) {
  if (!outbound_ || !connection_) return;
  OutboundFlow& flow = *outbound_;
  while (flow.queued() != 0 && can_send(mqtt::Qos::AtLeastOnce)) {
    const bool holds = flow.front_of_queue().stored && flow.front_of_queue().qos == mqtt::Qos::ExactlyOnce;
    Outgoing next = flow.dequeue();
    const std::uint64_t number = next.stored ? next.stored->number : 0;
    if (next.message->has_expired(now) || (journal_ != nullptr && !journal_->may_send(*this, *next.message))) {
      if (number != 0) note_passed(number);
      continue;
    }
    if (holds || must_wait(next.qos)) {
      hold(std::move(next));
      continue;
    }
    mqtt::Delivery delivery{.qos = next.qos,
                            .retain = next.retain,
                            .packet_id = flow.id_at(flow.size()),
                            .subscription_ids = next.subscription_ids};
    if (write_delivery(*next.message, delivery, now)) {
      push_sent(std::move(next));
    } else if (number != 0) {
      note_passed(number);
    }
  }
}

void Session::drained(Instant now) {
  if (connection_) go_on(now);
}

void Session::go_on(Instant now) {
  if (connection_->resending) continue_resend(now);
  if (!connection_->resending) send_queued(now);
}

// -- Resending --

void Session::resume(Instant now) {
  // PUBRELs don't count in Receive Maximum and don't wait for it ([MQTT-3.3.4-10]), so they go first.
  for (std::size_t i = 0; outbound_ && i < outbound_->size(); ++i) {
    if ((*outbound_)[i].state != InFlight::State::AwaitingPubcomp || (*outbound_)[i].held) continue;
    write_ack(mqtt::PacketType::Pubrel, outbound_->id_at(i), mqtt::ReasonCode::Success, {});
  }
  go_on(now);
}

/// Sends again, in order, what doesn't have to be fetched. Stops at an entry, and when the window or the output is
/// full.
void Session::continue_resend(Instant now) {
  while (resend_slot(now)) ++outbound_->resend_at;
  if (outbound_->resend_at >= outbound_->size()) connection_->resending = false;
  settle_front();
}

/// False when this message can't be sent again yet, or none is left.
bool Session::resend_slot(Instant now) {
  OutboundFlow& flow = *outbound_;
  if (flow.resend_at >= flow.size()) return false;
  InFlight& slot = flow[flow.resend_at];
  if (slot.state == InFlight::State::Done || slot.state == InFlight::State::AwaitingPubcomp) return true;
  if (slot.held) return false;  // go_on_sending comes.
  if (connection_->output->size() >= limits_.output_max || flow.outstanding >= connection_->receive_max) return false;
  if (slot.cursor_generation != 0) {
    const bool followed = slot.cursor < cursors_.size() && cursors_[slot.cursor].generation == slot.cursor_generation;
    if (followed) return false;
    slot.state = InFlight::State::Done;  // The subscription is gone.
    return true;
  }
  mqtt::Delivery delivery{.dup = slot.written,
                          .qos = slot.outgoing.qos,
                          .retain = slot.outgoing.retain,
                          .packet_id = flow.id_at(flow.resend_at),
                          .subscription_ids = slot.outgoing.subscription_ids};
  if (!write_delivery(*slot.outgoing.message, delivery, now)) {
    slot.state = InFlight::State::Done;
    slot.outgoing = {};
    return true;
  }
  slot.sent_here = slot.written = true;
  ++flow.outstanding;
  return true;
}

std::optional<Session::Wanted> Session::resend_wanted() const {
  if (!connection_ || !connection_->resending) return std::nullopt;
  OutboundFlow& flow = *outbound_;
  if (flow.resend_at >= flow.size()) return std::nullopt;
  const InFlight& slot = flow[flow.resend_at];
  if (slot.cursor_generation == 0 || slot.state == InFlight::State::Done ||
      slot.state == InFlight::State::AwaitingPubcomp) {
    return std::nullopt;
  }
  if (connection_->output->size() >= limits_.output_max || flow.outstanding >= connection_->receive_max)
    return std::nullopt;
  // drained() passes over it when the cursor has gone meanwhile.
  if (slot.cursor >= cursors_.size() || cursors_[slot.cursor].generation != slot.cursor_generation) return std::nullopt;
  return Wanted{slot.cursor, Seq{slot.seq.value - slot.batched}, slot.seq};
}

// -- Cursors --

CursorId Session::add_cursor(std::string topic, Epoch epoch, Seq position, mqtt::Qos qos,
                             std::uint32_t subscription_id) {
  CursorSlot cursor{.topic = std::move(topic),
                    .epoch = epoch,
                    .next = position.next(),
                    .acknowledged = position,
                    .generation = ++cursor_generation_,
                    .subscription_ids = {subscription_id, 0},
                    .qos = qos};
  if (const auto known = find_cursor(cursor.topic)) {
    cursors_[*known] = std::move(cursor);
    return *known;
  }
  auto place = cursors_.end();
  if (cursors_free_ != 0) {
    place = std::ranges::find(cursors_, 0U, &CursorSlot::generation);
    --cursors_free_;
  } else {
    if (cursors_.empty()) cursors_.reserve(1);
    place = cursors_.insert(cursors_.end(), CursorSlot{});
  }
  *place = std::move(cursor);
  const auto id = static_cast<CursorId>(place - cursors_.begin());
  if (cursor_places_) {
    cursor_places_->emplace(place->topic, id);
  } else if (cursors_.size() == kCursorsUnindexed) {
    cursor_places_ = std::make_unique<std::unordered_map<std::string, CursorId>>();
    for (const CursorId one : cursors()) cursor_places_->emplace(cursors_[one].topic, one);
  }
  return id;
}

void Session::remove_cursor(CursorId cursor) {
  CursorSlot& slot = cursors_.at(cursor);
  if (slot.generation == 0) return;
  if (cursor_places_) cursor_places_->erase(slot.topic);
  slot = {};
  if (++cursors_free_ != cursors_.size()) return;
  cursors_ = {};
  cursors_free_ = 0;
  cursor_places_.reset();
}

void Session::set_cursor_options(CursorId id, const CursorOptions& options) {
  CursorSlot& cursor = cursors_[id];
  cursor.qos = options.qos;
  cursor.subscription_ids = {options.subscription_id, options.inbox_id};
  cursor.own = options.own;
  cursor.own_qos = options.own_qos;
}

std::optional<CursorId> Session::find_cursor(std::string_view topic) const {
  if (cursor_places_) {
    const auto found = cursor_places_->find(std::string(topic));
    return found == cursor_places_->end() ? std::nullopt : std::optional(found->second);
  }
  const auto place = std::ranges::find(cursors_, topic, &CursorSlot::topic);
  if (place == cursors_.end() || place->generation == 0) return std::nullopt;
  return static_cast<CursorId>(place - cursors_.begin());
}

Session::CursorState Session::cursor(CursorId cursor) const {
  const CursorSlot& slot = cursors_[cursor];
  return {{slot.qos, slot.subscription_ids[0], slot.subscription_ids[1], slot.own, slot.own_qos},
          slot.topic,
          slot.epoch,
          slot.next,
          slot.acknowledged};
}

std::vector<CursorId> Session::cursors() const {
  std::vector<CursorId> list;
  for (CursorId i = 0; i < cursors_.size(); ++i) {
    if (cursors_[i].generation != 0) list.push_back(i);
  }
  return list;
}

/// Null when it is an ordinary message, or the cursor has gone.
Session::CursorSlot* Session::cursor_of(const InFlight& slot) {
  if (slot.cursor_generation == 0 || slot.cursor >= cursors_.size()) return nullptr;
  CursorSlot& cursor = cursors_[slot.cursor];
  return cursor.generation == slot.cursor_generation ? &cursor : nullptr;
}

bool Session::send_entry(CursorId id, Seq seq, const mqtt::MessagePtr& message, bool replayed, Instant now, bool own) {
  return send_entries(id, seq, seq, message, replayed, now, own);
}

bool Session::send_batch(CursorId id, Seq last, const mqtt::MessagePtr& message, bool replayed, Instant now) {
  const auto wanted = resend_wanted();
  return send_entries(id, wanted ? wanted->first : cursors_[id].next, last, message, replayed, now, false);
}

bool Session::send_entries(CursorId id, Seq first, Seq seq, const mqtt::MessagePtr& message, bool replayed, Instant now,
                           bool own) {
  CursorSlot& cursor = cursors_[id];
  mqtt::Delivery delivery{
      .qos = lower(message->qos(), qos_of(cursor, own)), .retain = replayed, .subscription_ids = ids_of(cursor, own)};
  if (const auto wanted = resend_wanted(); wanted && wanted->cursor == id && wanted->seq == seq) {
    InFlight& slot = (*outbound_)[outbound_->resend_at];
    delivery.dup = true;
    delivery.qos = slot.outgoing.qos;
    delivery.packet_id = outbound_->id_at(outbound_->resend_at);
    const bool written = write_delivery(*message, delivery, now);
    if (written) {
      slot.sent_here = true;
      ++outbound_->outstanding;
    } else {
      slot.state = InFlight::State::Done;
    }
    ++outbound_->resend_at;
    go_on(now);
    return written;
  }
  cursor.next = seq.next();
  if (delivery.qos != mqtt::Qos::AtMostOnce) delivery.packet_id = outbound().id_at(outbound().size());
  const bool written = write_delivery(*message, delivery, now);
  if (!written && first != seq) {
    cursor.next = first;
    return false;
  }
  if (!written || delivery.qos == mqtt::Qos::AtMostOnce) {
    pass_over(id, seq);
    return written;
  }
  OutboundFlow& flow = outbound();
  flow.push({.outgoing = {nullptr, delivery.qos, replayed, {}},
             .state = awaited(delivery.qos),
             .sent_here = true,
             .cursor = id,
             .cursor_generation = cursor.generation,
             .batched = static_cast<std::uint32_t>(seq.value - first.value),
             .seq = seq});
  ++flow.outstanding;
  return true;
}

void Session::skip_entries(CursorId id, Seq upto, Instant now) {
  CursorSlot& cursor = cursors_[id];
  if (const auto wanted = resend_wanted(); wanted && wanted->cursor == id && wanted->seq <= upto) {
    (*outbound_)[outbound_->resend_at].state = InFlight::State::Done;
    go_on(now);
    return;
  }
  if (upto < cursor.next) return;
  cursor.next = upto.next();
  pass_over(id, upto);
}

/// Entries up to `upto` need no acknowledgement. They count once everything before them is settled, so they stand in
/// the ring like the others and spend a packet id; entries that follow one another share one.
void Session::pass_over(CursorId id, Seq upto) {
  CursorSlot& cursor = cursors_[id];
  if (!outbound_ || outbound_->empty()) {
    cursor.acknowledged = upto;
    return;
  }
  OutboundFlow& flow = *outbound_;
  InFlight& last = flow[flow.size() - 1];
  if (last.state == InFlight::State::Done && last.cursor == id && last.cursor_generation == cursor.generation) {
    last.seq = std::max(last.seq, upto);
  } else if (flow.size() < kRingMax) {
    flow.push({.state = InFlight::State::Done, .cursor = id, .cursor_generation = cursor.generation, .seq = upto});
  }
  // With a full ring they count when a later entry is acknowledged.
}

// -- Shared subscriptions --

CursorId Session::add_shared_cursor(std::string topic, Epoch epoch, mqtt::Qos qos, std::uint32_t subscription_id) {
  const CursorId id = add_cursor(std::move(topic), epoch, Seq{}, qos, subscription_id);
  cursors_[id].shared = true;
  return id;
}

bool Session::send_shared(CursorId id, Seq seq, const mqtt::MessagePtr& message, Instant now) {
  CursorSlot& cursor = cursors_[id];
  cursor.next = seq.next();
  const std::span<const std::uint32_t> ids(cursor.subscription_ids.data(), cursor.subscription_ids[0] != 0 ? 1 : 0);
  mqtt::Delivery delivery{.qos = lower(message->qos(), cursor.qos), .retain = false, .subscription_ids = ids};
  if (delivery.qos != mqtt::Qos::AtMostOnce) delivery.packet_id = outbound().id_at(outbound().size());
  if (!write_delivery(*message, delivery, now) || delivery.qos == mqtt::Qos::AtMostOnce) return false;
  OutboundFlow& flow = outbound();
  flow.push({.outgoing = {nullptr, delivery.qos, false, {}},
             .state = awaited(delivery.qos),
             .sent_here = true,
             .cursor = id,
             .cursor_generation = cursor.generation,
             .seq = seq});
  ++flow.outstanding;
  return true;
}

std::vector<Seq> Session::take_shared_done(CursorId cursor) { return std::exchange(cursors_[cursor].shared_done, {}); }

std::vector<Seq> Session::shared_under_way(CursorId id) const {
  std::vector<Seq> list;
  for (std::size_t i = 0; outbound_ && i < outbound_->size(); ++i) {
    const InFlight& slot = (*outbound_)[i];
    const bool is_own = slot.cursor == id && slot.cursor_generation == cursors_[id].generation;
    if (is_own && slot.state != InFlight::State::Done) list.push_back(slot.seq);
  }
  std::ranges::sort(list);
  return list;
}

/// The connection has gone.
void Session::drop_shared() {
  for (const CursorId id : cursors()) {
    if (!cursors_[id].shared) continue;
    for (std::size_t i = 0; outbound_ && i < outbound_->size(); ++i) {
      InFlight& slot = (*outbound_)[i];
      if (slot.cursor == id && slot.cursor_generation == cursors_[id].generation) slot.state = InFlight::State::Done;
    }
    remove_cursor(id);
  }
}

}  // namespace parley::session
