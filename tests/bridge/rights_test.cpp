#include <gtest/gtest.h>

#include <mutex>

#include "mqtt/encode.hpp"
#include "tests/bridge/history_fixture.hpp"
#include "tests/clients/link/scripted_broker.hpp"

// Who may read what over HTTP, and how often the broker is asked. docs/PROTOCOL.md "HTTP", "Joining and leaving".

namespace parley::bridge {
namespace {

using format::MemberAction;
using mqtt::ReasonCode;
using test::HttpClient;
using test::HttpFields;
using test::HttpReply;

constexpr auto kPath = "/v1/conversations/talk/messages";
constexpr auto kStream = "/v1/conversations/talk/stream";
const HttpFields kBob{{"Authorization", "Basic Ym9iOg=="}};

/// A private conversation `talk`, of which the broker says what the test has it say.
class BridgeRights : public test::HistoryFixture {
 protected:
  void SetUp() override {
    broker_ = std::make_unique<link::test::ScriptedBroker>(
        [this](const mqtt::Packet& packet, Output& to) { return serve(packet, to); });
  }

  /// `first` is what comes before bob, who is added at seq first + 1.
  void begin(std::uint64_t first = 1) {
    number_ = world_.create("talk");
    world_.append({world_.records().settings(number_, {1}, {.visibility = format::Visibility::Private})});
    if (first > 1) world_.say(number_, 2, first);
    head_ = first;
    add();
    start({"--set", "bridge.broker=tcp://127.0.0.1:" + std::to_string(broker_->port())});
  }
  void say(std::uint64_t count = 1) {
    world_.say(number_, head_ + 1, head_ + count);
    head_ += count;
  }
  void member(MemberAction action, std::string_view user = "bob") {
    const std::string payload = format::encode_change({action, format::Role::Member, user});
    world_.records().no_op();  // Takes the next index.
    world_.append({format::encode_record({storage::test::kSlot, {1}, world_.records().last_index()},
                                         format::EntryRecord{.conversation = number_,
                                                             .seq = {++head_},
                                                             .ts = storage::test::Records::time_of({head_}),
                                                             .kind = format::EntryKind::Member,
                                                             .from = "ann",
                                                             .id = "m" + std::to_string(head_),
                                                             .payload = payload})});
  }
  /// The broker knows of a change before anybody sees its entry.
  void add() {
    says(true, head_ + 1);
    member(MemberAction::Add);
  }
  void remove() {
    says(false, 0);
    member(MemberAction::Remove);
  }

  /// Another conversation, of bob and carl, with three entries.
  void direct() {
    world_.records().no_op();  // Takes the next index.
    const Index index = world_.records().last_index();
    world_.append({format::encode_record({storage::test::kSlot, {1}, index},
                                         format::ConversationRecord{.name = "dm:bob:carl",
                                                                    .epoch = {77},
                                                                    .created = {storage::test::kMorning},
                                                                    .type = format::ConversationType::Direct,
                                                                    .creator = "bob"})});
    world_.say(conversation_number(storage::test::kSlot, index), 1, 3);
    says(true, 1);
  }

  void says(bool may, std::uint64_t oldest) {
    const std::lock_guard lock(mutex_);
    may_ = may;
    oldest_ = oldest;
  }
  /// The next `times` it answers for when `head` was the head.
  void is_behind(std::size_t times, std::uint64_t head) {
    const std::lock_guard lock(mutex_);
    behind_ = times;
    behind_head_ = head;
  }
  std::size_t asked() {
    const std::lock_guard lock(mutex_);
    return topics_.size();
  }
  std::string asked_last() {
    const std::lock_guard lock(mutex_);
    return topics_.empty() ? std::string() : topics_.back();
  }

  bool serve(const mqtt::Packet& packet, Output& to) {
    const auto* subscribe = std::get_if<mqtt::Subscribe>(&packet);
    if (subscribe == nullptr) return serve_unsubscribe(packet, to);
    const std::lock_guard lock(mutex_);
    topics_.emplace_back(subscribe->items.front().filter);
    mqtt::PropertyWriter properties;
    if (may_) properties.user("oldest", std::to_string(oldest_));
    if (may_ && behind_ != 0) properties.user("head", std::to_string(behind_head_));
    behind_ -= behind_ == 0 ? 0 : 1;
    if (!may_) properties.user("error", "not-authorized");
    mqtt::Suback suback{.packet_id = subscribe->packet_id, .properties = mqtt::Properties::trusted(properties.bytes())};
    suback.reasons = {may_ ? ReasonCode::GrantedQos1 : ReasonCode::NotAuthorized};
    mqtt::encode(to, suback, mqtt::ProtocolVersion::V5);
    return true;
  }
  static bool serve_unsubscribe(const mqtt::Packet& packet, Output& to) {
    const auto* unsubscribe = std::get_if<mqtt::Unsubscribe>(&packet);
    if (unsubscribe == nullptr) return link::test::polite(packet, to);
    mqtt::Unsuback unsuback{.packet_id = unsubscribe->packet_id};
    unsuback.reasons = {ReasonCode::Success};
    mqtt::encode(to, unsuback, mqtt::ProtocolVersion::V5);
    return true;
  }

  HttpReply page(const std::string& query = "") { return get(kPath + query, kBob); }
  std::unique_ptr<HttpClient> stream(const std::string& more = "") {
    auto client = std::make_unique<HttpClient>(bridge_->port());
    client->send("GET " + std::string(kStream) + " HTTP/1.1\r\nHost: h\r\nAuthorization: Basic Ym9iOg==\r\n" + more +
                 "\r\n");
    EXPECT_EQ(client->read_head().status, 200U);
    client->read_until(": connected\n\n");
    return client;
  }
  static std::uint64_t next(HttpClient& client) {
    const std::string event = client.read_until("\n\n");
    const auto id = event.find("id: ");
    return id == std::string::npos ? 0 : std::stoull(event.substr(id + 4));
  }

  std::unique_ptr<link::test::ScriptedBroker> broker_;
  ConversationNumber number_;
  std::uint64_t head_ = 0;

 private:
  std::mutex mutex_;  ///< Guards the rest.
  bool may_ = true;
  std::uint64_t oldest_ = 1;
  std::size_t behind_ = 0;
  std::uint64_t behind_head_ = 0;
  std::vector<std::string> topics_;
};

TEST_F(BridgeRights, AreAskedForOnceWhileNothingTakesThem) {
  begin();
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(seqs(page()), run(2, head_));
    say();
    world_.materialise();
    member(MemberAction::Add, "eve" + std::to_string(i));
  }
  EXPECT_EQ(seqs(page("?limit=1000")), run(2, head_));
  EXPECT_EQ(asked(), 1U);
  EXPECT_EQ(asked_last(), "chat/talk/msg");
}

TEST_F(BridgeRights, EndWithTheRemoval) {
  begin();
  say();
  EXPECT_EQ(seqs(page()), run(2, 3));
  remove();
  say();
  EXPECT_EQ(page().status, 404U);
  EXPECT_EQ(page("?after=seq:3").status, 404U);
  EXPECT_EQ(get(kStream, kBob).status, 404U);
}

TEST_F(BridgeRights, EndWithTheRemovalForThoseWhoWait) {
  begin();
  say();
  HttpClient waiting(bridge_->port());
  EXPECT_EQ(waiting.get(kPath, kBob).status, 200U);
  waiting.send("GET " + std::string(kPath) + "?after=seq:3&wait=30 HTTP/1.1\r\nHost: h\r\n" +
               "Authorization: Basic Ym9iOg==\r\n\r\n");
  while (get("/metrics").body.find("parley_bridge_waiters 1\n") == std::string::npos) continue;
  remove();
  EXPECT_EQ(waiting.read().status, 404U);
}

TEST_F(BridgeRights, BeginAgainWhereOneIsAddedAgain) {
  begin();
  say();
  EXPECT_EQ(seqs(page()), run(2, 3));
  remove();
  say(3);
  add();
  say();
  const std::uint64_t added = head_ - 1;
  EXPECT_EQ(seqs(page()), run(added, head_));
  EXPECT_EQ(seqs(page("?after=seq:1")), run(added, head_));
  EXPECT_EQ(next(*stream("Last-Event-ID: 1\r\n")), added);
}

TEST_F(BridgeRights, AreLookedAtAnewAfterSettings) {
  begin();
  EXPECT_EQ(seqs(page()), run(2, 2));
  ++head_;
  world_.append({world_.records().settings(
      number_, {head_}, {.visibility = format::Visibility::Private, .history = format::HistoryRule::All})});
  says(true, 1);
  EXPECT_EQ(seqs(page()), run(1, 3));
  EXPECT_EQ(asked(), 2U);
}

TEST_F(BridgeRights, AreAskedForAnewAfterMoreThanOneLooksThrough) {
  begin();
  EXPECT_EQ(page().status, 200U);
  say(300);
  EXPECT_EQ(page("?limit=5").status, 200U);
  EXPECT_EQ(asked(), 2U);
}

TEST_F(BridgeRights, CountFromWhatTheBrokerKnew) {
  begin();
  say(3);
  is_behind(1, 3);
  EXPECT_EQ(seqs(page()), run(2, 5)) << "nothing has taken the right since";
  EXPECT_EQ(asked(), 1U);
  member(MemberAction::Remove, "eve");
  say();
  is_behind(2, 5);
  EXPECT_EQ(seqs(page()), run(2, 7));
  EXPECT_EQ(asked(), 4U) << "asked until it knew of seq 6";
  member(MemberAction::Remove);
  is_behind(1'000, 7);
  const auto reply = page();
  EXPECT_EQ(reply.status, 503U) << reply.body;
  EXPECT_EQ(code(reply), "busy");
}

TEST_F(BridgeRights, AStreamEndsWithTheRemoval) {
  begin();
  const auto client = stream();
  say();
  EXPECT_EQ(next(*client), 3U);
  remove();
  say();
  EXPECT_EQ(next(*client), 4U) << "the removal is the last";
  EXPECT_EQ(client->read_until("0\r\n\r\n"), "\r\n0\r\n\r\n");
  EXPECT_TRUE(client->closed());
}

TEST_F(BridgeRights, AStreamThatIsBehindEndsWithTheRemovalThoughOneIsAddedAgain) {
  begin();
  // Its reader takes nothing until all has happened.
  HttpClient client(bridge_->port());
  std::vector<std::string> records;
  for (std::uint64_t i = 0; i < 400; ++i) {
    const Seq seq{++head_};
    const auto ts = storage::test::Records::time_of(seq);
    records.push_back(world_.records().entry(number_, seq, ts, "ann", "x", std::string(100'000, 'x')));
  }
  world_.append(records);
  client.send("GET " + std::string(kStream) +
              "?after=seq:2 HTTP/1.1\r\nHost: h\r\nAuthorization: Basic Ym9iOg==\r\n\r\n");
  EXPECT_EQ(client.read_head().status, 200U);
  remove();
  const std::uint64_t removed = head_;
  say(2);
  add();
  say();
  client.read_until(": connected\n\n");
  std::uint64_t last = 2;
  for (std::uint64_t seq = next(client); seq != 0; seq = next(client)) {
    ASSERT_EQ(seq, last + 1);
    last = seq;
  }
  EXPECT_EQ(last, removed);
  EXPECT_TRUE(client.closed());
}

TEST_F(BridgeRights, OneWhoCameLaterIsToldOfNoRetention) {
  begin(9);  // bob is added at 10.
  say(5);
  EXPECT_EQ(seqs(page()), run(10, 15));
  for (const auto* query :
       {"?after=seq:0", "?after=seq:9", "?after=2020-01-01T00:00:00Z", "?after=seq:3&before=seq:16"}) {
    const auto reply = page(query);
    EXPECT_EQ(seqs(reply), run(10, 15)) << query;
    EXPECT_EQ(json(reply).at("meta").at("oldest").to_number<int>(), 10);
    EXPECT_FALSE(cursor(reply, "prev"));
  }
  const auto before = page("?before=seq:5");
  EXPECT_EQ(seqs(before), run(1, 0));
  EXPECT_FALSE(cursor(before, "prev"));
  ASSERT_TRUE(cursor(before, "next"));
  EXPECT_EQ(seqs(page("?cursor=" + *cursor(before, "next"))), run(10, 15));
  EXPECT_EQ(seqs(page("?before=seq:12")), run(10, 11));
  EXPECT_EQ(next(*stream("Last-Event-ID: 1\r\n")), 10U);
}

TEST_F(BridgeRights, OneWhoCameLaterIsToldOfRetentionThatTookSomething) {
  begin(9);
  say(20);
  cut(number_, 20);
  EXPECT_EQ(page("?after=seq:0").status, 410U);
  EXPECT_EQ(page("?before=seq:15").status, 410U);
  EXPECT_EQ(json(page("?after=seq:0")).at("oldest").to_number<int>(), 20);
  says(true, 25);
  member(MemberAction::Remove, "eve");
  EXPECT_EQ(seqs(page("?after=seq:0&limit=2")), run(25, 26));
}

TEST_F(BridgeRights, ADirectConversationMayBeNamedByTheOther) {
  begin();
  direct();
  EXPECT_EQ(seqs(get("/v1/conversations/dm:carl/messages", kBob)), run(1, 3));
  EXPECT_EQ(asked_last(), "chat/dm:bob:carl/msg");
  EXPECT_EQ(seqs(get("/v1/conversations/dm:bob:carl/messages", kBob)), run(1, 3));
  EXPECT_EQ(asked(), 1U);
  EXPECT_EQ(get("/v1/conversations/dm:eve/messages", kBob).status, 404U);
}

TEST_F(BridgeRights, ADirectConversationMayBeNamedByTheOtherWithAToken) {
  begin();
  direct();
  const HttpFields carl{
      {"Authorization", "Bearer e30.eyJzdWIiOiJjYXJsIn0.x"}};  // {"sub":"carl"}, for the broker to check.
  EXPECT_EQ(seqs(get("/v1/conversations/dm%3Abob/messages", carl)), run(1, 3));
  EXPECT_EQ(asked_last(), "chat/dm:bob:carl/msg");
}

}  // namespace
}  // namespace parley::bridge
