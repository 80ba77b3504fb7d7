#include <gtest/gtest.h>

#include <deque>
#include <map>
#include <random>
#include <set>

#include "broker/session/session.hpp"
#include "tests/broker/session/rig.hpp"

/// A session and a client of one's own making, over a connection that is lost at any moment with whatever is under way
/// on it. Whatever happens, QoS 1 arrives at least once, QoS 2 exactly once, both in order.
namespace parley::session {
namespace {

constexpr int kOrdinary = 12;  ///< Messages in each direction and each QoS.
constexpr std::uint64_t kEntries = 12;

class World {
 public:
  explicit World(std::uint64_t seed) : random_(seed), limits_(limits_for(random_)) {
    session_ = std::make_unique<Session>("c", "u", 1, limits_);
    cursor_ = session_->add_cursor("log", {1}, {0}, below(2) == 0 ? Qos::AtLeastOnce : Qos::ExactlyOnce, 0);
  }

  void run() {
    for (int step = 0; step < 4'000 && !done(); ++step) {
      now_ += std::chrono::milliseconds(below(10));
      if (!session_->connected()) {
        connect();
      } else {
        turn(step < 1'500 ? below(12) : 1 + below(11));
      }
      if (testing::Test::HasFatalFailure()) return;
    }
    ASSERT_TRUE(done()) << "stuck";
    check();
  }

 private:
  static Limits limits_for(std::mt19937_64& random) {
    Limits limits;
    limits.receive_max = static_cast<std::uint16_t>(1 + random() % 8);
    limits.inflight_max = static_cast<std::uint16_t>(1 + random() % 8);
    limits.output_max = 20 + random() % 200;
    limits.topic_alias_out_max = static_cast<std::uint16_t>(random() % 3);
    return limits;
  }

  std::uint64_t below(std::uint64_t bound) { return random_() % bound; }

  void turn(std::uint64_t choice) {
    switch (choice) {
      case 0: return lose();
      case 1: return publish_from_client();
      case 2: return deliver();
      case 3: return complete_one();
      case 4: return pump();
      case 5:
      case 6:
      case 7: return carry_to_client();
      case 8:
      case 9: return carry_to_session();
      default: return session_->drained(now_);
    }
  }

  // -- Connection
  // ----------------------------------------------------------------------------------------------------------

  void connect() {
    mqtt::Connect connect{.clean_start = false};
    static const mqtt::Properties kForms[] = {mqtt::properties("11 FF FF FF FF 21 00 03 22 00 02"),
                                              mqtt::properties("11 FF FF FF FF 21 00 01"),
                                              mqtt::properties("11 FF FF FF FF")};
    connect.properties = kForms[below(3)];
    client_window_ = connect.properties.integer(mqtt::PropertyId::ReceiveMaximum).value_or(65'535);
    output_ = std::make_unique<Output>();
    session_->attach(connect, *output_, now_);
    session_->resume(now_);
    aliases_.clear();
    unanswered_.clear();
    // The client repeats what it has under way.
    sent_here_ = 0;
    for (auto& [id, out] : client_out_) {
      out.sent = false;
    }
  }

  void lose() {
    if (below(4) != 0) return;
    // What the session had written arrives in part.
    for (std::uint64_t packets = below(4); packets > 0; --packets) carry_to_client();
    if (!session_->connected()) return;
    session_->detach(now_);
    output_.reset();
    to_client_.clear();
    to_session_.clear();
    sent_here_ = 0;
    ++losses_;
  }

  // -- What the client does
  // --------------------------------------------------------------------------------------------------

  struct Out {
    Qos qos;
    int number;
    bool released = false;  ///< PUBREC has come; PUBREL is due.
    bool sent = false;      ///< On this connection.
  };

  /// Sends again what wasn't sent here, in order, then something new.
  void publish_from_client() {
    for (const auto id : client_order_) {
      Out& out = client_out_.at(id);
      if (out.sent) continue;
      if (out.released) {
        put(mqtt::Ack{.type = mqtt::PacketType::Pubrel, .packet_id = id});
      } else {
        if (sent_here_ >= limits_.receive_max) return;
        ++sent_here_;
        put_publish(id, out, true);
      }
      out.sent = true;
    }
    if (sent_here_ >= limits_.receive_max) return;
    const Qos qos = below(2) == 0 ? Qos::AtLeastOnce : Qos::ExactlyOnce;
    int& count = client_sent_[qos];
    if (count == kOrdinary) return;
    do {
      client_id_ = static_cast<mqtt::PacketId>(client_id_ % 20 + 1);
    } while (client_out_.contains(client_id_));
    Out out{.qos = qos, .number = count++, .sent = true};
    ++sent_here_;
    put_publish(client_id_, out, false);
    client_out_.emplace(client_id_, out);
    client_order_.push_back(client_id_);
  }

  void put_publish(mqtt::PacketId id, const Out& out, bool dup) {
    const std::string payload = std::to_string(out.number);
    put(mqtt::Publish{.dup = dup, .qos = out.qos, .topic = "up", .packet_id = id, .payload = payload});
  }

  void put(const mqtt::Packet& packet) { to_session_.push_back(mqtt::encoded(packet, ProtocolVersion::V5)); }

  void settle(mqtt::PacketId id) {
    const Out out = client_out_.at(id);
    client_out_.erase(id);
    std::erase(client_order_, id);
    if (out.sent && sent_here_ > 0) --sent_here_;
  }

  void take(const mqtt::Packet& packet) {
    if (const auto* publish = std::get_if<mqtt::Publish>(&packet)) return take_publish(*publish);
    const auto* ack = std::get_if<mqtt::Ack>(&packet);
    ASSERT_NE(ack, nullptr) << line_of(packet);
    const auto out = client_out_.find(ack->packet_id);
    switch (ack->type) {
      case mqtt::PacketType::Puback:
        if (out != client_out_.end() && out->second.qos == Qos::AtLeastOnce) settle(ack->packet_id);
        break;
      case mqtt::PacketType::Pubrec:
        ASSERT_NE(out, client_out_.end());
        out->second.released = true;
        put(mqtt::Ack{.type = mqtt::PacketType::Pubrel, .packet_id = ack->packet_id});
        break;
      case mqtt::PacketType::Pubcomp:
        if (out != client_out_.end() && out->second.released) settle(ack->packet_id);
        break;
      default:  // PUBREL
        held_.erase(ack->packet_id);
        unanswered_.erase(ack->packet_id);
        put(mqtt::Ack{.type = mqtt::PacketType::Pubcomp, .packet_id = ack->packet_id});
    }
  }

  void take_publish(const mqtt::Publish& publish) {
    std::string topic(publish.topic);
    if (const auto alias = publish.properties.integer(mqtt::PropertyId::TopicAlias)) {
      if (topic.empty()) {
        ASSERT_TRUE(aliases_.contains(*alias));
        topic = aliases_[*alias];
      }
      aliases_[*alias] = topic;
    }
    const int number = std::stoi(std::string(publish.payload));
    auto& seen = client_got_[{topic, publish.qos}];
    unanswered_.insert(publish.packet_id);
    ASSERT_LE(unanswered_.size(), client_window_) << "more than Receive Maximum";  // [MQTT-3.3.4-9]
    if (publish.qos == Qos::AtLeastOnce) {
      // A repetition, marked as one, or the next in order.
      if (seen.empty() || number > seen.back()) {
        ASSERT_EQ(number, seen.empty() ? first_of(topic) : seen.back() + 1) << topic;
        seen.push_back(number);
      } else {
        ASSERT_TRUE(publish.dup) << topic << " " << number;
      }
      put(mqtt::Ack{.type = mqtt::PacketType::Puback, .packet_id = publish.packet_id});
      unanswered_.erase(publish.packet_id);
      return;
    }
    if (held_.insert(publish.packet_id).second) {
      ASSERT_EQ(number, seen.empty() ? first_of(topic) : seen.back() + 1) << topic;
      seen.push_back(number);
    } else {
      ASSERT_TRUE(publish.dup);
    }
    put(mqtt::Ack{.type = mqtt::PacketType::Pubrec, .packet_id = publish.packet_id});
  }

  static int first_of(std::string_view topic) { return topic == "log" ? 1 : 0; }

  // -- What the session's owner does
  // -------------------------------------------------------------------------------------------

  void deliver() {
    const Qos qos = below(2) == 0 ? Qos::AtLeastOnce : Qos::ExactlyOnce;
    int& count = delivered_[qos];
    if (count == kOrdinary) return;
    const std::string payload = std::to_string(count);
    ASSERT_NE(session_->deliver(Rig::message("down", payload), qos, false, {}, now_), Delivered::Dropped);
    ++count;
  }

  void pump() {
    while (const auto wanted = session_->resend_wanted()) {
      ASSERT_EQ(wanted->cursor, cursor_);
      ASSERT_GT(wanted->seq, session_->cursor(cursor_).acknowledged);
      send_entry(wanted->seq.value);
      if (below(3) == 0) return;
    }
    while (session_->cursor(cursor_).next.value <= kEntries && session_->can_send(session_->cursor(cursor_).qos)) {
      send_entry(session_->cursor(cursor_).next.value);
      if (below(3) == 0) return;
    }
  }

  void send_entry(std::uint64_t seq) {
    session_->send_entry(cursor_, {seq}, Rig::message("log", std::to_string(seq)), false, now_);
  }

  void complete_one() {
    if (pending_.empty()) return;
    const std::size_t place = below(pending_.size());
    const auto ticket = pending_[place];
    pending_.erase(pending_.begin() + static_cast<std::ptrdiff_t>(place));
    session_->complete_publish(ticket, ReasonCode::Success, {});
  }

  void handle(Actions& actions) {
    for (const Action& action : actions) {
      if (const auto* publish = std::get_if<PublishAction>(&action)) {
        const int number = std::stoi(std::string(publish->publish.payload));
        auto& seen = session_got_[publish->publish.qos];
        if (publish->publish.qos == Qos::AtLeastOnce && !seen.empty() && number <= seen.back()) {
          ASSERT_TRUE(publish->publish.dup);
        } else {
          ASSERT_EQ(number, seen.empty() ? 0 : seen.back() + 1);
          seen.push_back(number);
        }
        pending_.push_back(publish->ticket);
      } else if (const auto* close = std::get_if<CloseAction>(&action)) {
        FAIL() << "the session closed with " << mqtt::name_of(close->reason);
      }
    }
  }

  // -- The link
  // ------------------------------------------------------------------------------------------------------------

  void carry_to_client() {
    if (!session_->connected()) return;
    const std::string written = mqtt::content(*output_);
    output_->clear();
    for (std::string_view rest = written; !rest.empty();) {
      const auto frame = mqtt::next_frame(rest, {});
      ASSERT_TRUE(frame && *frame);
      to_client_.emplace_back(rest.substr(0, (*frame)->size));
      rest.remove_prefix((*frame)->size);
    }
    if (to_client_.empty()) return;
    const std::string wire = to_client_.front();
    to_client_.pop_front();
    const auto packet = mqtt::decoded(wire, ProtocolVersion::V5);
    ASSERT_TRUE(packet);
    take(*packet);
  }

  void carry_to_session() {
    if (to_session_.empty()) return;
    const std::string wire = to_session_.front();
    to_session_.pop_front();
    const auto frame = mqtt::next_frame(wire, {});
    ASSERT_TRUE(frame && *frame);
    Actions actions;
    session_->receive(**frame, now_, actions);
    handle(actions);
  }

  // -- The end
  // -------------------------------------------------------------------------------------------------------------

  bool done() {
    if (client_sent_[Qos::AtLeastOnce] < kOrdinary || client_sent_[Qos::ExactlyOnce] < kOrdinary) return false;
    if (delivered_[Qos::AtLeastOnce] < kOrdinary || delivered_[Qos::ExactlyOnce] < kOrdinary) return false;
    const bool down = client_got_[{"down", Qos::AtLeastOnce}].size() == kOrdinary &&
                      client_got_[{"down", Qos::ExactlyOnce}].size() == kOrdinary;
    return client_out_.empty() && down && session_->cursor(cursor_).acknowledged.value == kEntries && held_.empty();
  }

  void check() {
    for (const Qos qos : {Qos::AtLeastOnce, Qos::ExactlyOnce}) {
      ASSERT_EQ(session_got_[qos].size(), static_cast<std::size_t>(kOrdinary));
    }
    ASSERT_EQ((client_got_[{"log", session_->cursor(cursor_).qos}].size()), kEntries);
    ASSERT_EQ(session_->queued(), 0U);
  }

  std::mt19937_64 random_;
  Limits limits_;
  Instant now_{1s};
  std::unique_ptr<Output> output_;
  std::unique_ptr<Session> session_;
  CursorId cursor_ = 0;
  int losses_ = 0;

  std::deque<std::string> to_client_;
  std::deque<std::string> to_session_;
  std::vector<PublishTicket> pending_;
  std::map<Qos, int> delivered_;
  std::map<Qos, std::vector<int>> session_got_;

  std::map<mqtt::PacketId, Out> client_out_;
  std::vector<mqtt::PacketId> client_order_;
  std::map<Qos, int> client_sent_;
  mqtt::PacketId client_id_ = 0;
  std::size_t sent_here_ = 0;
  std::size_t client_window_ = 0;
  std::set<mqtt::PacketId> held_;        ///< QoS 2 ids that the session hasn't released.
  std::set<mqtt::PacketId> unanswered_;  ///< Publishes of this connection without PUBACK or PUBCOMP.
  std::map<std::uint32_t, std::string> aliases_;
  std::map<std::pair<std::string, Qos>, std::vector<int>> client_got_;
};

TEST(LossyLink, LosesNothingDoublesNothingAndKeepsTheOrder) {
  for (std::uint64_t seed = 1; seed <= 4'000; ++seed) {
    World world(seed);
    world.run();
    ASSERT_FALSE(HasFatalFailure()) << "seed " << seed;
  }
}

}  // namespace
}  // namespace parley::session
