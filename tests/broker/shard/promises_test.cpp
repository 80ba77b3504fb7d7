#include <algorithm>
#include <array>
#include <cstdio>
#include <deque>
#include <map>
#include <set>
#include <sstream>
#include <utility>

#include "tests/broker/shard/scene.hpp"

/// Clients come and go, publish, follow and resume as chance will have it, while disks fill up, brokers die and clocks
/// jump; what the contract promises must hold at every moment. docs/PROTOCOL.md.
namespace parley::shard {
namespace {

constexpr int kSteps = 1500;
constexpr int kConversations = 3;

/// Somebody with one MQTT client. What it was promised and what it saw outlives its connections.
class Actor {
 public:
  enum class Kind : std::uint8_t {
    Since,        ///< Comes back with `since`.
    SincePrefix,  ///< The same in 3.1.1, with `$since/…`.
    Session,      ///< Comes back to its session.
  };

  Actor(World& world, std::string name, Kind kind, bool lazy)
      : world_(world), client_(world.client(name)), name_(std::move(name)), kind_(kind), lazy_(lazy) {
    client_.acknowledges = !lazy;
  }

  void connect() {
    const auto& dice = world_.dice();
    (void)dice;
    look();
    forget_connection();
    ConnectOptions options;
    if (kind_ == Kind::SincePrefix) options.version = ProtocolVersion::V3_1_1;
    if (kind_ == Kind::Session) options = lasting(!believes_in_session_ && world_.dice().one_in(4), 100'000);
    if (world_.dice().one_in(3)) options.receive_maximum = static_cast<std::uint16_t>(1 + world_.dice().below(5));
    options.topic_aliases = static_cast<std::uint16_t>(world_.dice().below(3));
    client_.room = world_.dice().one_in(3) ? 200 + world_.dice().below(2000) : 1024 * 1024;
    asked_clean_ = options.clean_start;
    note("CONNECT clean " + std::to_string(asked_clean_) + " receive maximum " +
         std::to_string(options.receive_maximum));
    client_.connect(options);
    awaiting_connack_ = true;
  }
  void drop() {
    look();
    note("drop");
    client_.drop();
    forget_connection();
  }
  void leave() {
    look();
    note("DISCONNECT");
    client_.disconnect();
    forget_connection();
  }

  void publish() {
    if (!client_.connected()) return;
    const std::string conversation = "r" + std::to_string(world_.dice().below(kConversations));
    const std::string id = name_ + "-" + std::to_string(++sent_);
    pending_[id] = {conversation, "text of " + id};
    send(id, false);
  }
  /// What wasn't acknowledged goes out again: after a reconnect, and sometimes for no reason.
  void repeat() {
    for (const auto& [id, message] : pending_) send(id, true);
  }

  void follow() {
    if (!client_.connected()) return;
    const std::string conversation = "r" + std::to_string(world_.dice().below(kConversations));
    follow(conversation);
  }
  void unfollow() {
    if (!client_.connected() || kind_ == Kind::SincePrefix || cursors_.empty()) return;
    auto cursor = cursors_.begin();
    std::advance(cursor, static_cast<std::ptrdiff_t>(world_.dice().below(cursors_.size())));
    if (!cursor->second.active || cursor->second.subscribe != 0 || cursor->second.unsubscribe != 0) return;
    note("UNSUBSCRIBE " + cursor->first);
    cursor->second.unsubscribe = client_.unsubscribe("chat/" + cursor->first + "/msg");
  }
  void follow(const std::string& conversation) {
    Cursor& cursor = cursors_[conversation];
    if (cursor.subscribe != 0 || cursor.unsubscribe != 0) return;
    const std::string topic = "chat/" + conversation + "/msg";
    SubscribeOptions options;
    options.qos = lazy_ ? Qos::AtLeastOnce : static_cast<Qos>(world_.dice().below(3));
    // What was sent at QoS 0 counts as acknowledged, so a session may come back without it.
    if (kind_ == Kind::Session && options.qos == Qos::AtMostOnce) options.qos = Qos::ExactlyOnce;
    if (kind_ == Kind::SincePrefix) {
      cursor.subscribe = client_.subscribe("$since/" + std::to_string(cursor.seen) + "/" + topic, options);
    } else {
      options.users = since(cursor.seen);
      cursor.subscribe = client_.subscribe(topic, options);
    }
    cursor.asked = cursor.seen;
    note("SUBSCRIBE " + conversation + " since " + std::to_string(cursor.asked));
  }

  /// Takes what has come and checks it.
  void look() {
    client_.read();
    for (;;) {
      const auto place = answers_seen_ + received_seen_;
      if (answers_seen_ < client_.answers.size() && client_.answers[answers_seen_].place == place) {
        take(client_.answers[answers_seen_++]);
      } else if (received_seen_ < client_.received.size()) {
        take(client_.received[received_seen_++]);
      } else {
        break;
      }
    }
    if (!client_.connected()) forget_connection();
  }
  /// The lazy acknowledge one now and then, in order.
  void acknowledge(std::size_t count) {
    for (; count > 0 && !unacknowledged_.empty(); --count) {
      client_.acknowledge(unacknowledged_.front());
      unacknowledged_.erase(unacknowledged_.begin());
    }
  }

  void catch_up() {
    for (auto& [conversation, cursor] : cursors_) {
      if (!cursor.active) follow(conversation);
    }
  }

  simulation::Client& client() { return client_; }
  [[nodiscard]] const std::string& name() const { return name_; }

  struct Acknowledged {
    std::string conversation;
    std::uint64_t seq = 0;
    std::string ts;
  };
  std::map<std::string, Acknowledged> acknowledged;
  std::vector<std::string> complaints;

  void check_caught_up() {
    for (const auto& [conversation, cursor] : cursors_) {
      const auto stored = world_.store().conversation(conversation);
      const std::uint64_t head = stored ? stored->head.value : 0;
      if (cursor.seen != head)
        complain(conversation + " was seen up to " + std::to_string(cursor.seen) + " of " + std::to_string(head));
    }
    if (!pending_.empty()) complain(pending_.begin()->first + " was never answered");
  }

 private:
  struct Message {
    std::string conversation;
    std::string text;
  };
  /// What this actor has of a conversation.
  struct Cursor {
    std::uint64_t seen = 0;        ///< Everything up to here.
    std::uint64_t next = 0;        ///< On this connection: what has to come next; 0: not known yet.
    std::uint64_t asked = 0;       ///< `since` of the SUBSCRIBE under way.
    std::uint64_t replay_to = 0;   ///< SUBACK's head: up to here RETAIN is set.
    mqtt::PacketId subscribe = 0;  ///< The one under way.
    mqtt::PacketId unsubscribe = 0;
    bool uncertain = false;  ///< The connection went while one was under way: the session may have it or not.
    bool active = false;     ///< SUBACK has come on this connection, or the session brought it along.
    bool granted = false;
    bool resumed = false;
  };

  /// The last things that happened to it tell how a broken promise came about.
  void note(std::string what) {
    story_.push_back(std::move(what));
    if (story_.size() > 60) story_.pop_front();
  }
  void complain(const std::string& what) {
    std::string text = name_ + ": " + what;
    for (const auto& line : story_) text.append("\n    ").append(line);
    complaints.push_back(text);
  }

  void send(const std::string& id, bool again) {
    const Message& message = pending_.at(id);
    PublishOptions options;
    options.qos = lazy_ || world_.dice().one_in(2) ? Qos::AtLeastOnce : Qos::ExactlyOnce;
    const std::string topic = "chat/" + message.conversation;
    mqtt::PacketId packet_id = 0;
    // 3.1.1 has no properties: the id goes into JSON.
    if (kind_ == Kind::SincePrefix || world_.dice().one_in(4)) {
      const std::string json = R"({"id":")" + id + R"(","text":")" + message.text + R"("})";
      packet_id = client_.publish(topic + "/json", json, options);
    } else {
      options.id = id;
      packet_id = client_.publish(topic + "/msg", message.text, options);
    }
    (void)again;
    sent_as_[packet_id] = id;
  }

  void forget_connection() {
    sent_as_.clear();
    unacknowledged_.clear();
    awaiting_connack_ = false;
    for (auto& [conversation, cursor] : cursors_) {
      cursor.uncertain = cursor.uncertain || cursor.subscribe != 0 || cursor.unsubscribe != 0;
      cursor.active = false;
      cursor.next = 0;
      cursor.replay_to = 0;
      cursor.subscribe = 0;
      cursor.unsubscribe = 0;
      cursor.resumed = false;
    }
  }

  void take(const simulation::Answer& answer) {
    note("got " + std::string(mqtt::name_of(answer.type)) + " " + std::to_string(answer.packet_id) + " present " +
         std::to_string(answer.session_present) + " head " + answer.user("head") + " " + answer.user("error"));
    switch (answer.type) {
      case PacketType::Connack: return take_connack(answer);
      case PacketType::Suback: return take_suback(answer);
      case PacketType::Unsuback: return take_unsuback(answer);
      case PacketType::Puback:
      case PacketType::Pubrec: return take_receipt(answer);
      default: return;
    }
  }

  void take_connack(const simulation::Answer& answer) {
    awaiting_connack_ = false;
    if (answer.reason() != ReasonCode::Success) return;
    if (kind_ != Kind::Session) return;
    if (asked_clean_ && answer.session_present) complain("a clean start found a session");
    if (believes_in_session_ && !asked_clean_ && !answer.session_present) complain("the session is gone");
    believes_in_session_ = true;
    for (auto& [conversation, cursor] : cursors_) {
      cursor.resumed = answer.session_present && (cursor.granted || cursor.uncertain);
      cursor.granted = answer.session_present && cursor.granted;
      cursor.active = cursor.granted && !cursor.uncertain;
    }
  }

  void take_suback(const simulation::Answer& answer) {
    for (auto& [conversation, cursor] : cursors_) {
      if (cursor.subscribe != answer.packet_id) continue;
      cursor.subscribe = 0;
      if (mqtt::is_failure(answer.reason())) {
        const auto word = answer.user("error");
        if (word == "beyond-head") complain("since " + std::to_string(cursor.asked) + " is beyond the head");
        return;
      }
      const bool goes_on = cursor.resumed;
      cursor.resumed = cursor.uncertain = false;
      cursor.granted = cursor.active = true;
      if (!goes_on) {
        cursor.next = cursor.asked + 1;
        cursor.replay_to = chat::read_decimal(answer.user("head")).value_or(0);
      }
    }
  }

  void take_unsuback(const simulation::Answer& answer) {
    for (auto& [conversation, cursor] : cursors_) {
      if (cursor.unsubscribe != answer.packet_id) continue;
      // A cursor begun anew may begin at zero again.
      if (!mqtt::is_failure(answer.reason())) {
        cursor = {};
        continue;
      }
      // It is gone for now, and may be back after a crash.
      cursor.unsubscribe = 0;
      cursor.next = 0;
      cursor.granted = cursor.active = false;
      cursor.uncertain = true;
    }
  }

  void take_receipt(const simulation::Answer& answer) {
    const auto sent = sent_as_.find(answer.packet_id);
    if (sent == sent_as_.end()) return;
    const std::string id = sent->second;
    sent_as_.erase(sent);
    if (mqtt::is_failure(answer.reason())) return;  // It stays pending, and is sent again.
    const auto pending = pending_.find(id);
    const std::string conversation =
        pending != pending_.end() ? pending->second.conversation : acknowledged[id].conversation;
    const Acknowledged fresh{conversation, chat::read_decimal(answer.user("seq")).value_or(0), answer.user("ts")};
    if (const auto known = acknowledged.find(id);
        known != acknowledged.end() && known->second.seq != 0 && fresh.seq != 0) {
      if (known->second.seq != fresh.seq || known->second.ts != fresh.ts)
        complain(id + " was acknowledged as two entries");
    }
    if (!acknowledged.contains(id) || fresh.seq != 0) acknowledged[id] = fresh;
    pending_.erase(id);
    if (history_has(conversation, id) != 1) complain(id + " was acknowledged and isn't in the history once");
  }

  [[nodiscard]] int history_has(const std::string& conversation, const std::string& id) const {
    return static_cast<int>(std::ranges::count_if(world_.store().history(conversation),
                                                  [&](const auto& entry) { return (*entry)->id == id; }));
  }

  void take(const Received& one) {
    note("got PUBLISH " + one.topic + " " + one.user("seq") + " packet id " + std::to_string(one.packet_id) +
         (one.dup ? " again" : ""));
    if (!one.topic.starts_with("chat/")) return complain("got " + one.topic);
    const auto topic = chat::read_topic("chat", one.topic);
    const std::string conversation(topic->conversation);
    if (lazy_ && one.qos == Qos::AtLeastOnce) unacknowledged_.push_back(one);
    const auto found = cursors_.find(conversation);
    if (found == cursors_.end()) return;  // It has just unsubscribed.
    Cursor& cursor = found->second;
    if (one.payload.starts_with(R"({"kind":"gap")")) return take_gap(cursor, one);
    const std::uint64_t seq = one.seq();
    const auto stored = world_.store().history(conversation);
    if (seq == 0 && kind_ == Kind::SincePrefix) return take_without_properties(cursor, conversation, one);
    if (seq == 0 || seq > stored.size())
      return complain(conversation + " " + std::to_string(seq) + " isn't in the history");
    const auto& entry = *stored[seq - 1];
    if (entry->payload != one.payload || entry->id != one.user("id")) complain("an entry isn't what the history says");
    place(cursor, conversation, seq);
    const bool replayed = cursor.replay_to >= seq;
    if (kind_ == Kind::Since && one.retain != replayed) complain("RETAIN of " + std::to_string(seq) + " is wrong");
  }

  /// 3.1.1 shows no seq: the payload says which entry it is.
  void take_without_properties(Cursor& cursor, const std::string& conversation, const Received& one) {
    const auto stored = world_.store().history(conversation);
    const std::uint64_t expected = cursor.next != 0 ? cursor.next : cursor.seen + 1;
    const bool is_next = expected <= stored.size() && (*stored[expected - 1])->payload == one.payload;
    if (!is_next) {
      return complain(conversation + ": " + one.payload + " came where " + std::to_string(expected) + " is due");
    }
    place(cursor, conversation, expected);
  }

  void place(Cursor& cursor, const std::string& conversation, std::uint64_t seq) {
    // A session may begin behind what was seen: what wasn't acknowledged. Never before it.
    // What is under way when it unsubscribes may still come, or not.
    const bool fits = cursor.unsubscribe != 0 || is_due(cursor, seq);
    if (!fits) {
      std::ostringstream text;
      text << conversation << " jumps to " << seq << ", seen " << cursor.seen << ", due " << cursor.next;
      complain(text.str());
    }
    cursor.next = seq + 1;
    cursor.seen = std::max(cursor.seen, seq);
  }

  /// A SUBSCRIBE that got no answer may have moved the session's cursor back, behind what is sent again.
  static bool is_due(const Cursor& cursor, std::uint64_t seq) {
    if (cursor.next == 0 || cursor.uncertain) return seq <= cursor.seen + 1;
    return seq == cursor.next;
  }

  void take_gap(Cursor& cursor, const Received& one) {
    unsigned long long first = 0;
    unsigned long long last = 0;
    std::sscanf(one.payload.c_str(), R"({"kind":"gap","first":%llu,"last":%llu})", &first, &last);
    const bool fits = cursor.unsubscribe != 0 || is_due(cursor, first);
    if (one.dup) {  // Sent again: perhaps from before a SUBSCRIBE that moved the cursor.
      cursor.seen = std::max<std::uint64_t>(cursor.seen, last);
      cursor.next = 0;
      return;
    }
    if (!fits || last < first) complain("a gap from " + std::to_string(first) + " comes out of place");
    cursor.next = last + 1;
    cursor.seen = std::max<std::uint64_t>(cursor.seen, last);
  }

  World& world_;
  simulation::Client& client_;
  std::deque<std::string> story_;
  std::string name_;
  Kind kind_;
  bool lazy_;
  int sent_ = 0;
  bool awaiting_connack_ = false;
  bool asked_clean_ = true;
  bool believes_in_session_ = false;
  std::map<std::string, Message> pending_;
  std::map<mqtt::PacketId, std::string> sent_as_;
  std::map<std::string, Cursor> cursors_;
  std::vector<Received> unacknowledged_;
  std::size_t answers_seen_ = 0;
  std::size_t received_seen_ = 0;
};

class Play {
 public:
  explicit Play(std::uint64_t seed) : world_(seed, options(seed)) {
    using Kind = Actor::Kind;
    constexpr std::array kKinds{Kind::Since, Kind::SincePrefix, Kind::Session, Kind::Session, Kind::Since};
    for (std::size_t i = 0; i < kKinds.size(); ++i) {
      actors_.push_back(std::make_unique<Actor>(world_, "actor" + std::to_string(i), kKinds[i], i >= 3));
    }
  }

  void run() {
    for (int i = 0; i < kSteps && clean(); ++i) act();
    finish();
  }

  std::vector<std::string> complaints() {
    std::vector<std::string> all = world_.store().violations();
    for (auto& actor : actors_) all.insert(all.end(), actor->complaints.begin(), actor->complaints.end());
    return all;
  }

  /// Everything that anybody saw, for comparing two runs.
  std::string transcript() {
    std::ostringstream text;
    for (auto& actor : actors_) {
      for (const auto& one : actor->client().received)
        text << actor->name() << ' ' << one.topic << ' ' << one.payload << one.packet_id << '\n';
      for (const auto& one : actor->client().answers)
        text << static_cast<int>(one.type) << ' ' << one.packet_id << '\n';
    }
    text << world_.store().records();
    return text.str();
  }

 private:
  static WorldOptions options(std::uint64_t seed) {
    WorldOptions options = dev(static_cast<std::uint32_t>(1 + seed % 3));
    options.orderly = false;
    options.store_latency = std::chrono::milliseconds(seed % 20);
    options.shard.cursor_flush = 50ms;
    options.shard.limits.output_max = 2000;
    options.shard.output_flush = 500;
    options.shard.limits.inflight_max = static_cast<std::uint16_t>(2 + seed % 7);
    return options;
  }

  bool clean() { return complaints().empty(); }
  Actor& anybody() { return *actors_[world_.dice().below(actors_.size())]; }

  void act() {
    auto& dice = world_.dice();
    if (world_.running()) {
      for (std::uint64_t turns = dice.below(4); turns > 0; --turns) world_.step();
    }
    world_.clock().advance(dice.up_to(5ms));
    for (auto& actor : actors_) {
      if (dice.one_in(2)) actor->look();
      if (dice.one_in(3)) actor->acknowledge(dice.below(4));
    }
    const auto chance = dice.below(1000);
    Actor& actor = anybody();
    if (!world_.running()) {
      if (chance < 200) world_.start();
    } else if (!actor.client().connected()) {
      if (chance < 400) {
        actor.connect();
        if (dice.one_in(2)) actor.repeat();
      }
    } else if (chance < 500) {
      actor.publish();
    } else if (chance < 650) {
      actor.follow();
    } else if (chance < 680) {
      actor.repeat();
    } else if (chance < 700) {
      actor.unfollow();
    } else if (chance < 740) {
      actor.drop();
    } else if (chance < 760) {
      actor.leave();
    } else if (chance < 770) {
      actor.connect();  // Takes its own session over.
    } else {
      trouble(chance);
    }
  }

  void trouble(std::uint64_t chance) {
    auto& dice = world_.dice();
    if (chance < 775) {
      world_.crash();
      for (auto& actor : actors_) actor->look();
    } else if (chance < 785) {
      world_.store().fail_with(dice.one_in(2) ? StorageError::DiskFull : StorageError::Failed);
    } else if (chance < 820) {
      world_.store().heal();
    } else if (chance < 830) {
      world_.clock().wall.milliseconds += dice.below(20'000) - 10'000;
    } else if (chance < 834) {
      const std::string conversation = "r" + std::to_string(dice.below(kConversations));
      if (const auto stored = world_.store().conversation(conversation); stored && stored->head.value > 3) {
        world_.store().cut(conversation, {std::max(stored->oldest.value, stored->head.value - dice.below(3))});
      }
    } else if (chance < 840) {
      world_.clock().advance(31s);  // Idle conversations are forgotten.
    }
  }

  void finish() {
    if (!clean()) return;
    world_.store().heal();
    if (!world_.running()) world_.start();
    world_.advance(2s);  // Slots that lost their leader for want of a disk have one again.
    for (auto& actor : actors_) {
      actor->look();
      actor->client().acknowledges = true;
      actor->connect();
    }
    look();
    for (auto& actor : actors_) {
      actor->catch_up();
      actor->repeat();
    }
    look();
    if (!clean()) return;
    for (auto& actor : actors_) actor->check_caught_up();
    for (auto& actor : actors_) check_acknowledged(*actor);
  }

  void look() {
    for (int i = 0; i < 50; ++i) {
      world_.settle();
      for (auto& actor : actors_) {
        actor->look();
        actor->acknowledge(1000);
      }
    }
  }

  void check_acknowledged(Actor& actor) {
    for (const auto& [id, one] : actor.acknowledged) {
      const auto history = world_.store().history(one.conversation);
      const auto count =
          std::ranges::count_if(history, [&, wanted = id](const auto& entry) { return (*entry)->id == wanted; });
      if (count != 1) actor.complaints.push_back(id + " is in the history " + std::to_string(count) + " times");
      if (one.seq == 0) continue;
      const bool there = one.seq <= history.size() && (*history[one.seq - 1])->id == id;
      if (!there) actor.complaints.push_back(id + " isn't at the seq it was acknowledged with");
    }
  }

  World world_;
  std::vector<std::unique_ptr<Actor>> actors_;
};

TEST(Promises, HoldWhateverHappens) {
  for (const auto seed : simulation::seeds(200)) {
    Play play(seed);
    play.run();
    const auto complaints = play.complaints();
    ASSERT_TRUE(complaints.empty()) << complaints.front() << "\nreplay: PARLEY_SEED=" << seed
                                    << " ctest -R HoldWhateverHappens";
  }
}

TEST(Promises, AreCheckedInTheSameWayWithTheSameSeed) {
  Play first(7);
  first.run();
  Play second(7);
  second.run();
  EXPECT_EQ(first.transcript(), second.transcript());
}

}  // namespace
}  // namespace parley::shard
