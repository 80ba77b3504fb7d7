#include "broker/session/session.hpp"

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.hpp"
#include "tests/mqtt/notation.hpp"

/// A client that does whatever the input says, and an owner that does its part: the session must stay within what both
/// sides announced, write well-formed packets only, and never move a cursor backwards.
using namespace parley;  // NOLINT

namespace {

constexpr mqtt::PropertyId kReceiveMaximum = mqtt::PropertyId::ReceiveMaximum;

class Player {
 public:
  explicit Player(std::string_view script) : script_(script) {
    limits_.receive_max = 4;
    limits_.inflight_max = 6;
    limits_.output_max = 300;
    limits_.queued_messages_max = 5;
    limits_.topic_alias_max = 2;
    limits_.filters_max = 4;
    restart({});
  }

  void play() {
    for (int step = 0; step < 2'000 && !script_.empty(); ++step) {
      now_ += std::chrono::milliseconds(10);
      move(byte() % 14);
      check();
    }
  }

 private:
  std::uint8_t byte() {
    if (script_.empty()) return 0;
    const auto value = static_cast<std::uint8_t>(script_.front());
    script_.remove_prefix(1);
    return value;
  }

  void restart(std::unique_ptr<session::Session> session) {
    session_ = session ? std::move(session) : std::make_unique<session::Session>("c", "u", 1, limits_);
    tickets_.clear();
    acknowledged_.clear();
    unsettled_.clear();
  }

  void move(unsigned choice) {
    switch (choice) {
      case 0: return connect();
      case 1: return detach();
      case 2: return receive_any();
      case 3: return receive_ack();
      case 4: return receive_publish();
      case 5: return deliver();
      case 6: return complete();
      case 7: return send_entry();
      case 8: return skip();
      case 9: return drain();
      case 10: return change_cursor();
      case 11: return store();
      case 12: return subscribe();
      default: now_ += std::chrono::seconds(byte());
    }
  }

  void connect() {
    detach();
    static const mqtt::Properties kForms[] = {mqtt::properties(""), mqtt::properties("21 00 01 22 00 01"),
                                              mqtt::properties("21 00 03 11 00 00 00 09 27 00 00 00 20"),
                                              mqtt::properties("22 00 03 17 00 27 00 00 00 40")};
    const auto choice = byte();
    mqtt::Connect connect{.version = mqtt::kVersions[choice % 3], .clean_start = (choice & 4) != 0, .keep_alive = 10};
    if (connect.version == mqtt::ProtocolVersion::V5) connect.properties = kForms[choice / 8 % 4];
    receive_max_ = connect.properties.integer(kReceiveMaximum).value_or(65'535);
    size_max_ = connect.properties.integer(mqtt::PropertyId::MaximumPacketSize).value_or(0xFFFF'FFFF);
    output_ = std::make_unique<Output>();
    session_->attach(connect, *output_, now_);
    if (!session_->write_connack(true, false, {})) {
      PARLEY_CHECK(output_->size() == 0, "something was written that the client doesn't take");
      session_->detach(now_);
      return;
    }
    output_->clear();
    session_->resume(now_);
    PARLEY_CHECK(session_->keep_alive_deadline(), "a keep alive was forgotten");
    check_output();
  }

  void detach() {
    if (!session_->connected()) return;
    session_->detach(now_);
    output_.reset();
    unsettled_.clear();
  }

  // -- What the client sends
  // -----------------------------------------------------------------------------------------------

  void receive(std::string_view wire) {
    if (!session_->connected()) return;
    const auto frame = mqtt::next_frame(wire, {.packet_size_max = limits_.packet_size_max});
    if (!frame || !*frame) return;
    settle(**frame);
    session::Actions actions;
    session_->receive(**frame, now_, actions);
    bool closed = false;
    for (const auto& action : actions) {
      PARLEY_CHECK(!closed, "something happens after the end");
      if (const auto* publish = std::get_if<session::PublishAction>(&action)) {
        PARLEY_CHECK(!publish->publish.topic.empty(), "a publish has no topic");
        if (publish->ticket.qos != mqtt::Qos::AtMostOnce) tickets_.push_back(publish->ticket);
        const auto window = limits_.receive_max + std::size_t{limits_.receive_max} * 2;
        PARLEY_CHECK(session_->version() != mqtt::ProtocolVersion::V5 || tickets_.size() <= window + old_tickets_,
                     "more publishes wait than Receive Maximum");
      }
      if (const auto* ask = std::get_if<session::SubscribeAction>(&action)) {
        session_->write_suback(ask->subscribe.packet_id,
                               std::vector<mqtt::ReasonCode>(ask->subscribe.items.size(), mqtt::ReasonCode::Success),
                               {});
      }
      closed = std::holds_alternative<session::CloseAction>(action);
    }
    check_output();
    if (closed) detach();
  }

  void settle(const mqtt::Frame& frame) {
    if (frame.type < mqtt::PacketType::Puback || frame.type > mqtt::PacketType::Pubcomp) return;
    if (const auto ack = mqtt::decode_ack(frame, session_->version())) unsettled_.erase(ack->packet_id);
  }

  void receive_any() {
    const std::size_t size = std::min<std::size_t>(byte(), script_.size());
    const std::string wire(script_.substr(0, size));
    script_.remove_prefix(size);
    receive(wire);
  }

  void receive_ack() {
    const auto choice = byte();
    const auto type = static_cast<mqtt::PacketType>(4 + choice % 4);
    const auto id = static_cast<mqtt::PacketId>(1 + choice / 4 % 16);
    const bool fails = (choice & 128) != 0 && type < mqtt::PacketType::Pubrel;
    receive(mqtt::encoded(mqtt::Ack{.type = type,
                                    .packet_id = id,
                                    .reason = fails ? mqtt::ReasonCode::QuotaExceeded : mqtt::ReasonCode::Success},
                          session_->version()));
  }

  void receive_publish() {
    const auto choice = byte();
    const auto qos = static_cast<mqtt::Qos>(choice % 3);
    const auto id = static_cast<mqtt::PacketId>(qos == mqtt::Qos::AtMostOnce ? 0 : 1 + choice / 4 % 8);
    old_tickets_ = std::max(old_tickets_, tickets_.size());
    receive(
        mqtt::encoded(mqtt::Publish{.qos = qos, .topic = "t", .packet_id = id, .payload = "p"}, session_->version()));
  }

  // -- What the owner does
  // ---------------------------------------------------------------------------------------------------

  mqtt::MessagePtr message(std::string_view topic, unsigned choice) {
    const std::string payload(choice % 40, 'x');
    std::optional<Instant> expires;
    if (choice % 5 == 0) expires = now_ + std::chrono::seconds(choice % 7);
    return mqtt::Message::make(
        {.topic = topic, .payload = payload, .qos = static_cast<mqtt::Qos>(choice % 3), .expires = expires});
  }

  void deliver() {
    const unsigned choice = byte();
    const std::uint32_t ids[] = {choice + 1, 7};
    session_->deliver(message(choice % 2 == 0 ? "a" : "b", choice), static_cast<mqtt::Qos>(choice / 16 % 3),
                      choice > 200, std::span(ids, choice % 3), now_);
    check_output();
  }

  void complete() {
    if (tickets_.empty()) return;
    const unsigned choice = byte();
    const auto place = tickets_.begin() + static_cast<std::ptrdiff_t>(choice % tickets_.size());
    const auto ticket = *place;
    tickets_.erase(place);
    session_->complete_publish(ticket, choice > 200 ? mqtt::ReasonCode::QuotaExceeded : mqtt::ReasonCode::Success,
                               choice > 100 ? mqtt::properties("26 00 01 'k' 00 00").bytes() : std::string_view());
    check_output();
  }

  void send_entry() {
    const unsigned choice = byte();
    if (const auto wanted = session_->resend_wanted()) {
      session_->send_entry(wanted->cursor, wanted->seq, message("log", choice), false, now_);
    } else {
      const auto cursors = session_->cursors();
      if (cursors.empty()) return;
      const auto cursor = cursors[choice % cursors.size()];
      const auto state = session_->cursor(cursor);
      if (!session_->can_send(state.qos)) return;
      session_->send_entry(cursor, state.next, message("log", choice), choice > 128, now_);
    }
    check_output();
  }

  void skip() {
    const unsigned choice = byte();
    if (const auto wanted = session_->resend_wanted()) {
      session_->skip_entries(wanted->cursor, wanted->seq, now_);
    } else {
      const auto cursors = session_->cursors();
      if (cursors.empty()) return;
      const auto cursor = cursors[choice % cursors.size()];
      session_->skip_entries(cursor, {session_->cursor(cursor).next.value + choice % 4}, now_);
    }
    check_output();
  }

  void drain() {
    session_->drained(now_);
    check_output();
  }

  void change_cursor() {
    const unsigned choice = byte();
    const std::string topic(1, static_cast<char>('p' + choice % 3));
    if (choice % 4 == 3) {
      if (const auto found = session_->find_cursor(topic)) {
        session_->remove_cursor(*found);
        acknowledged_.erase(*found);
      }
      return;
    }
    const auto cursor = session_->add_cursor(topic, {1}, {choice}, static_cast<mqtt::Qos>(choice / 4 % 3), choice % 2);
    acknowledged_[cursor] = choice;
  }

  void store() {
    const std::string state = session_->encode_state();
    auto restored = session::Session::decode_state("c", "u", 2, session_->expiry_interval(), state, limits_);
    PARLEY_CHECK(restored, "a session can't read itself");
    PARLEY_CHECK((*restored)->encode_state() == state, "a session reads itself otherwise");
    if (byte() % 4 != 0) return;
    detach();
    restart(std::move(*restored));
  }

  void subscribe() {
    const unsigned choice = byte();
    const std::string filter = choice % 2 == 0 ? "a/" + std::to_string(choice) : "$share/g/" + std::to_string(choice);
    session_->add_subscription(
        {filter,
         {.qos = static_cast<mqtt::Qos>(choice % 3), .retain_handling = static_cast<std::uint8_t>(choice % 3)},
         choice});
    if (choice > 128) session_->remove_subscription("a/" + std::to_string(choice - 128));
  }

  // -- What must hold
  // --------------------------------------------------------------------------------------------------------

  void check_output() {
    if (!session_->connected()) return;
    const std::string written = mqtt::content(*output_);
    output_->clear();
    const auto version = session_->version();
    for (std::string_view rest = written; !rest.empty();) {
      const auto frame = mqtt::next_frame(rest, {});
      PARLEY_CHECK(frame && *frame, "the session wrote something else than packets");
      const auto packet = mqtt::decode(**frame, version, {});
      PARLEY_CHECK(packet, "the session wrote a packet that is wrong");
      if (const auto* publish = std::get_if<mqtt::Publish>(&*packet)) check_publish(*publish, (*frame)->size);
      rest.remove_prefix((*frame)->size);
    }
  }

  void check_publish(const mqtt::Publish& publish, std::size_t size) {
    PARLEY_CHECK(size <= size_max_, "a publish is larger than the client takes");
    if (publish.qos == mqtt::Qos::AtMostOnce) return;
    PARLEY_CHECK(unsettled_.insert(publish.packet_id).second, "a packet id is used twice at once");
    PARLEY_CHECK(unsettled_.size() <= receive_max_, "more publishes are under way than the client takes");
  }

  void check() {
    PARLEY_CHECK(session_->queued() <= limits_.queued_messages_max, "the queue is longer than its limit");
    for (const auto cursor : session_->cursors()) {
      const auto state = session_->cursor(cursor);
      PARLEY_CHECK(state.acknowledged < state.next, "more was acknowledged than sent");
      auto& before = acknowledged_[cursor];
      PARLEY_CHECK(state.acknowledged.value >= before, "a cursor went back");
      before = state.acknowledged.value;
    }
  }

  std::string_view script_;
  session::Limits limits_;
  Instant now_{std::chrono::seconds(1)};
  std::unique_ptr<Output> output_;
  std::unique_ptr<session::Session> session_;
  std::vector<session::PublishTicket> tickets_;
  std::size_t old_tickets_ = 0;
  std::map<session::CursorId, std::uint64_t> acknowledged_;
  std::set<mqtt::PacketId> unsettled_;  ///< Publishes of this connection that the client hasn't answered in any way.
  std::size_t receive_max_ = 65'535;
  std::size_t size_max_ = 0xFFFF'FFFF;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Player(std::string_view(reinterpret_cast<const char*>(data), size)).play();
  return 0;
}
