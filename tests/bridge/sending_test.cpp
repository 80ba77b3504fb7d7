#include <gtest/gtest.h>

#include <atomic>
#include <boost/json.hpp>
#include <future>
#include <memory>
#include <mutex>
#include <set>

#include "bridge/bridge.hpp"
#include "mqtt/encode.hpp"
#include "tests/bridge/http_client.hpp"
#include "tests/clients/link/scripted_broker.hpp"

namespace parley::bridge {
namespace {

using namespace std::chrono_literals;
using link::test::ScriptedBroker;
using mqtt::ReasonCode;
using test::HttpClient;
using test::HttpFields;
using test::HttpReply;

constexpr auto kPath = "/v1/conversations/talk/messages";
constexpr auto kVersion = mqtt::ProtocolVersion::V5;
const HttpFields kAnn{{"Authorization", "Basic YW5uOg=="}, {"Content-Type", "application/json"}};

/// What the broker got, seen from the test's thread.
struct Seen {
  std::mutex mutex;  ///< Guards the rest.
  std::set<std::string> users;
  std::set<std::string> passwords;
  std::set<std::string> client_ids;
  std::string presence;
  std::string topic;
  std::string payload;
  std::string id;
  std::atomic<int> publishes = 0;
};

/// A bridge without history and a broker that answers PUBLISH as the test says.
class BridgeSending : public ::testing::Test {
 protected:
  using Answer = std::function<bool(const mqtt::Publish&, Output&)>;

  void start(Answer answer, SenderOptions sending = {}) {
    answer_ = std::move(answer);
    broker_ =
        std::make_unique<ScriptedBroker>([this](const mqtt::Packet& packet, Output& to) { return serve(packet, to); });
    sending.port = broker_->port();
    start_bridge(sending);
  }
  void start_bridge(SenderOptions sending) {
    BridgeOptions options;
    options.listen_port = 0;
    options.data_dir = "/nonexistent/parley";
    options.allow_anonymous = true;
    options.broker = sending;
    bridge_ = std::make_unique<Bridge>(options);
    bridge_->start();
    client_ = std::make_unique<HttpClient>(bridge_->port());
  }

  bool serve(const mqtt::Packet& packet, Output& to) {
    if (const auto* connect = std::get_if<mqtt::Connect>(&packet)) {
      const std::lock_guard lock(seen_.mutex);
      seen_.users.emplace(connect->user_name.value_or(""));
      if (connect->password) seen_.passwords.emplace(*connect->password);
      seen_.client_ids.emplace(connect->client_id);
      seen_.presence = connect->properties.user("presence").value_or("");
    }
    const auto* publish = std::get_if<mqtt::Publish>(&packet);
    if (publish == nullptr) return link::test::polite(packet, to);
    {
      const std::lock_guard lock(seen_.mutex);
      seen_.topic = publish->topic;
      seen_.payload = publish->payload;
      seen_.id = publish->properties.user("id").value_or("");
    }
    ++seen_.publishes;
    return answer_(*publish, to);
  }

  static bool acknowledge(const mqtt::Publish& publish, Output& to, ReasonCode reason,
                          std::initializer_list<std::pair<std::string_view, std::string_view>> properties) {
    mqtt::PropertyWriter writer;
    for (const auto& [name, value] : properties) writer.user(name, value);
    const mqtt::Ack ack{.type = mqtt::PacketType::Puback,
                        .packet_id = publish.packet_id,
                        .reason = reason,
                        .properties = mqtt::Properties::trusted(writer.bytes())};
    mqtt::encode(to, ack, kVersion);
    return true;
  }
  static bool receipt(const mqtt::Publish& publish, Output& to) {
    const std::string id(publish.properties.user("id").value_or("made"));
    return acknowledge(publish, to, ReasonCode::Success, {{"seq", "7"}, {"ts", "1700000000000"}, {"id", id}});
  }

  HttpReply post(std::string_view body, const HttpFields& fields = kAnn) {
    return client_->request("POST", kPath, fields, body);
  }
  static std::string code(const HttpReply& reply) {
    return std::string(boost::json::parse(reply.body).at("code").as_string());
  }

  Seen seen_;
  Answer answer_;
  std::unique_ptr<ScriptedBroker> broker_;
  std::unique_ptr<Bridge> bridge_;
  std::unique_ptr<HttpClient> client_;
};

TEST_F(BridgeSending, AnswersWithTheBrokersReceipt) {
  start(receipt);
  auto fields = kAnn;
  fields.emplace_back("Idempotency-Key", "k1");
  const auto reply = post(R"({"text":"hello"})", fields);
  EXPECT_EQ(reply.status, 201U);
  EXPECT_EQ(reply.body, R"({"seq":7,"ts":1700000000000,"id":"k1"})");
  const std::lock_guard lock(seen_.mutex);
  EXPECT_EQ(seen_.presence, "none") << "its connection makes nobody online";
  EXPECT_EQ(seen_.topic, "chat/talk/msg");
  EXPECT_EQ(seen_.payload, "hello");
  EXPECT_EQ(seen_.id, "k1");
  EXPECT_EQ(seen_.users, std::set<std::string>{"ann"});
}

TEST_F(BridgeSending, SendsTextAndBytes) {
  start(receipt);
  EXPECT_EQ(post("plain words", {{"Authorization", "Basic YW5uOg=="}, {"Content-Type", "text/plain"}}).status, 201U);
  EXPECT_EQ(seen_.payload, "plain words");
  EXPECT_EQ(post(R"({"data":"/wA="})").status, 201U);
  EXPECT_EQ(seen_.payload, std::string("\xff\0", 2));
}

TEST_F(BridgeSending, KeepsOneConnectionForEachUser) {
  start(receipt);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(post(R"({"text":"x"})").status, 201U);
  EXPECT_EQ(broker_->connections(), 1);
  const auto metrics = client_->get("/metrics").body;
  EXPECT_NE(metrics.find("parley_bridge_broker_connections 1\n"), std::string::npos);
}

TEST_F(BridgeSending, ClosesIdleConnections) {
  start(receipt, {.connections_max = 1, .idle_max = 50ms});
  EXPECT_EQ(post(R"({"text":"x"})").status, 201U);
  const auto deadline = std::chrono::steady_clock::now() + 10s;
  const auto open = [&] {
    return client_->get("/metrics").body.find("parley_bridge_broker_connections 0\n") == std::string::npos;
  };
  while (open() && std::chrono::steady_clock::now() < deadline) continue;
  EXPECT_FALSE(open());
}

TEST_F(BridgeSending, MakesRoomForAnotherUser) {
  start(receipt, {.connections_max = 1});
  EXPECT_EQ(post(R"({"text":"x"})").status, 201U);
  EXPECT_EQ(post(R"({"text":"x"})", {{"Authorization", "Basic Ym9iOg=="}, {"Content-Type", "application/json"}}).status,
            201U);
  const std::lock_guard lock(seen_.mutex);
  EXPECT_EQ(seen_.users, (std::set<std::string>{"ann", "bob"}));
  EXPECT_EQ(seen_.client_ids.size(), 2U);
  for (const auto& id : seen_.client_ids) EXPECT_TRUE(id.starts_with("bridge-")) << id;
}

TEST_F(BridgeSending, NeedsAUsersName) {
  start(receipt);
  for (const HttpFields& fields :
       {HttpFields{}, HttpFields{{"Authorization", "Bearer"}}, HttpFields{{"Authorization", "Basic Og=="}},
        HttpFields{{"Authorization", "Basic YS9iOg=="}}}) {
    const auto reply = post(R"({"text":"x"})", fields);
    EXPECT_EQ(reply.status, 401U);
    EXPECT_EQ(code(reply), "not-authenticated");
  }
  EXPECT_EQ(seen_.publishes, 0);
}

TEST_F(BridgeSending, PassesCredentialsOn) {
  start(receipt, {.connections_max = 1});
  EXPECT_EQ(post(R"({"text":"x"})", {{"Authorization", "Bearer a.b.c"}, {"Content-Type", "application/json"}}).status,
            201U);
  EXPECT_EQ(post(R"({"text":"x"})", {{"Authorization", "Basic YW5uOnNlY3JldA=="}, {"Content-Type", "application/json"}})
                .status,
            201U);
  const std::lock_guard lock(seen_.mutex);
  EXPECT_EQ(seen_.passwords, (std::set<std::string>{"a.b.c", "secret"}));
  EXPECT_EQ(seen_.users, (std::set<std::string>{"", "ann"}));
}

TEST_F(BridgeSending, RefusesBodiesBeforeTheyReachTheBroker) {
  start(receipt);
  EXPECT_EQ(code(post("{}")), "invalid-body");
  EXPECT_EQ(code(post("x", {{"Authorization", "Basic YW5uOg=="}, {"Content-Type", "text/html"}})),
            "unsupported-media-type");
  EXPECT_EQ(client_->request("POST", "/v1/conversations/a%2Fb/messages", kAnn, R"({"text":"x"})").status, 400U);
  EXPECT_EQ(seen_.publishes, 0);
}

TEST_F(BridgeSending, PassesOnRefusals) {
  start([](const mqtt::Publish& publish, Output& to) {
    return acknowledge(publish, to, ReasonCode::QuotaExceeded, {{"error", publish.payload}, {"retry-after", "33"}});
  });
  struct Case {
    std::string_view word;
    unsigned status;
  };
  for (const auto& [word, status] : {Case{"not-authorized", 403}, Case{"too-large", 413}, Case{"disk-full", 507},
                                     Case{"storage-failed", 503}, Case{"busy", 503}, Case{"rate", 429},
                                     Case{"invalid-payload", 400}, Case{"unsupported", 501}, Case{"unheard-of", 502}}) {
    const auto reply = post("{\"text\":\"" + std::string(word) + "\"}");
    EXPECT_EQ(reply.status, status) << word;
    EXPECT_EQ(reply.header("retry-after"), "33");
    if (status != 502) {
      EXPECT_EQ(code(reply), word);
    }
  }
}

TEST_F(BridgeSending, SaysThatTheBrokerIsAwayAndComesBackByItself) {
  start(receipt);
  EXPECT_EQ(post(R"({"text":"x"})").status, 201U);
  SenderOptions sending;
  sending.port = broker_->port();
  broker_.reset();
  start_bridge(sending);
  const auto reply = post(R"({"text":"x"})");
  EXPECT_EQ(reply.status, 503U);
  EXPECT_EQ(code(reply), "broker-unavailable");
  EXPECT_EQ(reply.header("retry-after"), "1");
  EXPECT_EQ(client_->get("/healthz").status, 200U);
}

TEST_F(BridgeSending, SaysThatTheBrokerTookTooLong) {
  start([](const mqtt::Publish&, Output&) { return true; }, {.send_limit = 100ms});
  const auto reply = post(R"({"text":"x"})");
  EXPECT_EQ(reply.status, 504U);
  EXPECT_EQ(code(reply), "broker-timeout");
}

TEST_F(BridgeSending, SendsAgainWhatHasAnIdWhenTheConnectionBreaks) {
  start([this](const mqtt::Publish& publish, Output& to) { return seen_.publishes > 1 && receipt(publish, to); });
  auto fields = kAnn;
  fields.emplace_back("Idempotency-Key", "k1");
  EXPECT_EQ(post(R"({"text":"x"})", fields).status, 201U);
  EXPECT_EQ(seen_.publishes, 2);
  EXPECT_EQ(broker_->connections(), 2);
}

TEST_F(BridgeSending, DoesNotSendTwiceWithoutAnId) {
  start([](const mqtt::Publish&, Output&) { return false; });
  EXPECT_EQ(code(post(R"({"text":"x"})")), "broker-unavailable");
  EXPECT_EQ(seen_.publishes, 1);
}

TEST_F(BridgeSending, LetsManySendAtOnce) {
  start(receipt);
  std::vector<std::future<int>> senders;
  for (int sender = 0; sender < 8; ++sender) {
    senders.push_back(std::async(std::launch::async, [this] {
      HttpClient client(bridge_->port());
      int sent = 0;
      for (int i = 0; i < 100; ++i)
        sent += client.request("POST", kPath, kAnn, R"({"text":"x"})").status == 201 ? 1 : 0;
      return sent;
    }));
  }
  for (auto& sender : senders) EXPECT_EQ(sender.get(), 100);
  EXPECT_EQ(broker_->connections(), 1);
}

TEST_F(BridgeSending, FinishesWhatIsUnderWayWhenItStops) {
  std::promise<void> arrived;
  std::promise<void> go_on;
  start([&](const mqtt::Publish& publish, Output& to) {
    arrived.set_value();
    go_on.get_future().wait();
    return receipt(publish, to);
  });
  client_->send("POST " + std::string(kPath) +
                " HTTP/1.1\r\nHost: h\r\nAuthorization: Basic YW5uOg==\r\nContent-Type: text/plain\r\nContent-Length: "
                "1\r\n\r\nx");
  arrived.get_future().wait();
  auto stopping = std::async(std::launch::async, [this] { bridge_->stop(); });
  go_on.set_value();
  const auto reply = client_->read();
  EXPECT_EQ(reply.status, 201U);
  client_.reset();
  stopping.get();
}

}  // namespace
}  // namespace parley::bridge
