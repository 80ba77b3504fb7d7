#include "clients/link/client.hpp"

#include <boost/asio/error.hpp>
#include <set>

#include "base/aio/within.hpp"
#include "mqtt/encode.hpp"
#include "tests/base/aio/run.hpp"
#include "tests/clients/link/mosquitto.hpp"
#include "tests/clients/link/scripted_broker.hpp"

namespace parley::link {
namespace {

using namespace std::chrono_literals;
using aio::within;
using mqtt::Qos;
using mqtt::ReasonCode;
using test::Mosquitto;
using test::ScriptedBroker;

constexpr auto kLimit = 10s;

/// Runs `body(client)` against a broker at `port`, then closes the client.
using Body = asio::awaitable<void> (*)(Client&);

asio::awaitable<void> with_client(Options options, Body body) {
  Client client(co_await asio::this_coro::executor, std::move(options));
  auto running = body(client);
  co_await std::move(running);
  co_await client.close();
}

void run(std::uint16_t port, Body body, Options options = {}) {
  options.port = port;
  aio::test::run(with_client(std::move(options), body));
}

asio::awaitable<void> connect(Client& client) {
  const auto connack = co_await client.connect();
  EXPECT_TRUE(connack.has_value()) << connack.error().message();
}

asio::awaitable<ReasonCode> publish(Client& client, std::string topic, std::string payload, Qos qos) {
  auto publication = Publication{.topic = std::move(topic), .payload = std::move(payload), .qos = qos};
  auto publishing = client.publish(std::move(publication));
  const auto answer = co_await within(kLimit, std::move(publishing));
  EXPECT_TRUE(answer.has_value()) << answer.error().message();
  co_return answer ? answer->reason : ReasonCode::UnspecifiedError;
}

asio::awaitable<void> subscribe(Client& client, std::string filter, Qos qos) {
  std::vector<Subscription> subscriptions{{.filter = std::move(filter), .options = {.qos = qos}}};
  const auto answer = co_await client.subscribe(std::move(subscriptions));
  EXPECT_TRUE(answer && !answer->refused());
}

asio::awaitable<Message> receive(Client& client) {
  auto receiving = client.receive();
  auto message = co_await within(kLimit, std::move(receiving));
  EXPECT_TRUE(message.has_value()) << message.error().message();
  co_return message ? *std::move(message) : Message{};
}

// -- With Debian's broker --

class LinkWithMosquitto : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!Mosquitto::installed()) GTEST_SKIP() << "mosquitto is not installed";
  }
};

TEST_F(LinkWithMosquitto, DeliversItsOwnMessagesAtEveryQos) {
  Mosquitto broker;
  run(broker.port(), [](Client& client) -> asio::awaitable<void> {
    co_await connect(client);
    co_await subscribe(client, "a/#", Qos::ExactlyOnce);
    for (const Qos qos : {Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce}) {
      const auto reason = co_await publish(client, "a/b", "hello", qos);
      EXPECT_EQ(reason, ReasonCode::Success);
      const auto message = co_await receive(client);
      EXPECT_EQ(message.topic, "a/b");
      EXPECT_EQ(message.payload, "hello");
      EXPECT_EQ(message.qos, qos);
    }
  });
}

TEST_F(LinkWithMosquitto, CarriesPropertiesBothWays) {
  Mosquitto broker;
  run(broker.port(), [](Client& client) -> asio::awaitable<void> {
    co_await connect(client);
    co_await subscribe(client, "p", Qos::AtLeastOnce);
    mqtt::PropertyWriter writer;
    writer.text(mqtt::PropertyId::ContentType, "text/plain").user("id", "42");
    auto publication = Publication{.topic = "p", .payload = "x", .properties = std::move(writer).take()};
    const auto answer = co_await client.publish(std::move(publication));
    EXPECT_TRUE(answer.has_value());
    const auto message = co_await receive(client);
    EXPECT_EQ(message.properties().text(mqtt::PropertyId::ContentType), "text/plain");
    EXPECT_EQ(message.properties().user("id"), "42");
  });
}

TEST_F(LinkWithMosquitto, TellsThatNobodySubscribed) {
  Mosquitto broker;
  run(broker.port(), [](Client& client) -> asio::awaitable<void> {
    co_await connect(client);
    const auto reason = co_await publish(client, "nobody", "x", Qos::AtLeastOnce);
    EXPECT_EQ(reason, ReasonCode::NoMatchingSubscribers);
  });
}

TEST_F(LinkWithMosquitto, KeepsToTheBrokersReceiveMaximumAndLosesNothing) {
  Mosquitto broker("max_inflight_messages 5\nmax_queued_messages 0");
  run(broker.port(), [](Client& client) -> asio::awaitable<void> {
    co_await connect(client);
    co_await subscribe(client, "many", Qos::ExactlyOnce);
    aio::TaskGroup publishers(co_await asio::this_coro::executor);
    auto one = [](Client* to, int number) -> asio::awaitable<void> {
      co_await publish(*to, "many", std::to_string(number), Qos::ExactlyOnce);
    };
    for (int i = 0; i < 200; ++i) publishers.spawn(one(&client, i));
    std::set<std::string> received;
    for (int i = 0; i < 200; ++i) {
      const auto message = co_await receive(client);
      received.insert(message.payload);
    }
    EXPECT_EQ(received.size(), 200U);
    co_await publishers.join();
  });
}

TEST_F(LinkWithMosquitto, RefusesLocallyWhatTheBrokerDoesNotTake) {
  Mosquitto broker("max_packet_size 1000");
  run(broker.port(), [](Client& client) -> asio::awaitable<void> {
    co_await connect(client);
    auto publication = Publication{.topic = "t", .payload = std::string(2'000, 'x')};
    const auto answer = co_await client.publish(std::move(publication));
    EXPECT_EQ(answer.error(), ReasonCode::PacketTooLarge);
    EXPECT_TRUE(client.connected());
  });
}

TEST_F(LinkWithMosquitto, ReceivesLargeMessages) {
  Mosquitto broker;
  run(broker.port(), [](Client& client) -> asio::awaitable<void> {
    co_await connect(client);
    co_await subscribe(client, "large", Qos::AtLeastOnce);
    const std::string payload(1'000'000, 'y');
    co_await publish(client, "large", payload, Qos::AtLeastOnce);
    const auto message = co_await receive(client);
    EXPECT_TRUE(message.payload == payload);
  });
}

TEST_F(LinkWithMosquitto, ASlowReceiverHoldsBackTheBrokerAndGetsEverything) {
  Mosquitto broker("max_queued_messages 0");
  Options options;
  options.queued_max = 8;
  options.receive_maximum = 4;
  const auto body = [](Client& client) -> asio::awaitable<void> {
    co_await connect(client);
    co_await subscribe(client, "slow", Qos::AtLeastOnce);
    auto same = Options{.port = client.options().port};
    Client publisher(co_await asio::this_coro::executor, std::move(same));
    co_await connect(publisher);
    for (int i = 0; i < 100; ++i) co_await publish(publisher, "slow", std::to_string(i), Qos::AtLeastOnce);
    for (int i = 0; i < 100; ++i) {
      const auto message = co_await receive(client);
      EXPECT_EQ(message.payload, std::to_string(i));
    }
    co_await publisher.close();
  };
  run(broker.port(), body, options);
}

TEST_F(LinkWithMosquitto, StaysConnectedThroughKeepAlive) {
  Mosquitto broker;
  Options options;
  options.keep_alive = 1;
  const auto body = [](Client& client) -> asio::awaitable<void> {
    co_await connect(client);
    auto receiving = client.receive();
    const auto message = co_await within(3s, std::move(receiving));  // Twice the time after which the broker gives up.
    EXPECT_EQ(message.error(), boost::system::errc::timed_out);
    EXPECT_TRUE(client.connected());
  };
  run(broker.port(), body, options);
}

TEST_F(LinkWithMosquitto, NoticesABrokerThatFellSilent) {
  Mosquitto broker;
  Options options;
  options.port = broker.port();
  options.keep_alive = 1;
  options.ping_timeout = 200ms;
  auto body = [](Options with, Mosquitto* from) -> asio::awaitable<void> {
    Client client(co_await asio::this_coro::executor, std::move(with));
    co_await connect(client);
    from->freeze();
    auto receiving = client.receive();
    const auto message = co_await within(kLimit, std::move(receiving));
    from->thaw();
    EXPECT_EQ(message.error(), asio::error::timed_out);
    EXPECT_FALSE(client.connected());
    co_await client.close();
  };
  aio::test::run(body(options, &broker));
}

TEST_F(LinkWithMosquitto, APersistentSessionGoesOnWithTheNextConnection) {
  Mosquitto broker;
  Options options;
  options.port = broker.port();
  options.client_id = "lasting";
  options.session_expiry = 60;
  auto body = [](Options with) -> asio::awaitable<void> {
    Client client(co_await asio::this_coro::executor, with);
    co_await connect(client);
    co_await subscribe(client, "kept", Qos::ExactlyOnce);
    co_await client.close();
    auto same = Options{.port = with.port};
    Client publisher(co_await asio::this_coro::executor, std::move(same));
    co_await connect(publisher);
    for (int i = 0; i < 10; ++i) co_await publish(publisher, "kept", std::to_string(i), Qos::ExactlyOnce);
    const auto connack = co_await client.connect();
    EXPECT_TRUE(connack && connack->session_present);
    for (int i = 0; i < 10; ++i) {
      const auto message = co_await receive(client);
      EXPECT_EQ(message.payload, std::to_string(i));
    }
    co_await publisher.close();
    co_await client.close();
  };
  aio::test::run(body(options));
}

TEST_F(LinkWithMosquitto, ALostConnectionFailsWhatWaitsAndConnectWorksAgain) {
  Mosquitto broker;
  Options options;
  options.port = broker.port();
  auto body = [](Options with, Mosquitto* from) -> asio::awaitable<void> {
    Client client(co_await asio::this_coro::executor, std::move(with));
    co_await connect(client);
    from->restart();
    auto receiving = client.receive();
    const auto lost = co_await within(kLimit, std::move(receiving));
    EXPECT_FALSE(lost.has_value());
    EXPECT_NE(lost.error(), boost::system::errc::timed_out);
    auto publication = Publication{.topic = "t", .payload = "x"};
    const auto refused = co_await client.publish(std::move(publication));
    EXPECT_EQ(refused.error(), asio::error::not_connected);
    co_await connect(client);
    const auto reason = co_await publish(client, "t", "x", Qos::ExactlyOnce);
    EXPECT_FALSE(mqtt::is_failure(reason));
    co_await client.close();
  };
  aio::test::run(body(options, &broker));
}

// -- With brokers that misbehave --

constexpr auto kVersion = mqtt::ProtocolVersion::V5;

TEST(Link, FailsWhenNobodyListens) {
  const std::uint16_t port = [] {
    ScriptedBroker gone(test::polite);
    return gone.port();
  }();
  run(port, [](Client& client) -> asio::awaitable<void> {
    const auto connack = co_await client.connect();
    EXPECT_EQ(connack.error(), asio::error::connection_refused);
  });
}

TEST(Link, HandsOutTheConnacksRefusal) {
  ScriptedBroker broker([](const mqtt::Packet&, Output& answer) {
    mqtt::encode(answer, mqtt::Connack{.reason = ReasonCode::NotAuthorized}, kVersion);
    return false;
  });
  run(broker.port(), [](Client& client) -> asio::awaitable<void> {
    const auto connack = co_await client.connect();
    EXPECT_TRUE(connack && connack->reason == ReasonCode::NotAuthorized);
    EXPECT_FALSE(client.connected());
  });
}

TEST(Link, GivesUpOnABrokerThatNeverAnswersConnect) {
  ScriptedBroker broker([](const mqtt::Packet&, Output&) { return true; });
  Options options;
  options.connect_timeout = 50ms;
  const auto body = [](Client& client) -> asio::awaitable<void> {
    const auto connack = co_await client.connect();
    EXPECT_EQ(connack.error(), boost::system::errc::timed_out);
  };
  run(broker.port(), body, options);
}

TEST(Link, HandsOutRefusalsOfPublishes) {
  for (const Qos qos : {Qos::AtLeastOnce, Qos::ExactlyOnce}) {
    ScriptedBroker broker([](const mqtt::Packet& received, Output& answer) {
      const auto* publish = std::get_if<mqtt::Publish>(&received);
      if (publish == nullptr) return test::polite(received, answer);
      mqtt::PropertyWriter writer;
      writer.user("error", "disk-full").user("retry-after", "10");
      const auto type = publish->qos == Qos::AtLeastOnce ? mqtt::PacketType::Puback : mqtt::PacketType::Pubrec;
      mqtt::encode(answer,
                   mqtt::Ack{.type = type,
                             .packet_id = publish->packet_id,
                             .reason = ReasonCode::QuotaExceeded,
                             .properties = mqtt::Properties::trusted(writer.bytes())},
                   kVersion);
      return true;
    });
    Options options;
    options.port = broker.port();
    auto body = [](Options with, Qos at) -> asio::awaitable<void> {
      Client client(co_await asio::this_coro::executor, std::move(with));
      co_await connect(client);
      auto publication = Publication{.topic = "t", .payload = "x", .qos = at};
      const auto answer = co_await client.publish(std::move(publication));
      EXPECT_TRUE(answer && answer->reason == ReasonCode::QuotaExceeded);
      EXPECT_EQ(answer ? answer->properties().user("error") : std::nullopt, "disk-full");
      co_await client.close();
    };
    aio::test::run(body(options, qos));
  }
}

TEST(Link, SendsAPublishOfALastingSessionAgain) {  // MQTT 5 §4.4
  struct Seen {
    std::atomic<int> publishes = 0;
    std::atomic<bool> dup = false;
  } seen;
  ScriptedBroker broker([&seen](const mqtt::Packet& received, Output& answer) {
    if (std::holds_alternative<mqtt::Connect>(received)) {
      mqtt::encode(answer, mqtt::Connack{.session_present = seen.publishes > 0}, kVersion);
      return true;
    }
    const auto* publish = std::get_if<mqtt::Publish>(&received);
    if (publish == nullptr) return test::polite(received, answer);
    seen.dup = publish->dup;
    return ++seen.publishes > 1 && test::polite(received, answer);  // The first is lost with its connection.
  });
  Options options;
  options.port = broker.port();
  options.session_expiry = 60;
  auto body = [](Options with) -> asio::awaitable<void> {
    const auto executor = co_await asio::this_coro::executor;
    Client client(executor, std::move(with));
    co_await connect(client);
    aio::TaskGroup group(executor);
    auto sending = [](Client* from) -> asio::awaitable<void> {
      const auto reason = co_await publish(*from, "t", "x", Qos::ExactlyOnce);
      EXPECT_EQ(reason, ReasonCode::Success);
    };
    group.spawn(sending(&client));
    auto receiving = client.receive();
    const auto lost = co_await within(kLimit, std::move(receiving));
    EXPECT_FALSE(lost.has_value());
    co_await connect(client);
    co_await group.join();
    co_await client.close();
  };
  aio::test::run(body(options));
  EXPECT_EQ(seen.publishes, 2);
  EXPECT_TRUE(seen.dup);
}

TEST(Link, TellsWhyTheBrokerEndedTheConnection) {
  ScriptedBroker broker([](const mqtt::Packet& received, Output& answer) {
    if (std::holds_alternative<mqtt::Connect>(received)) {
      mqtt::encode(answer, mqtt::Connack{}, kVersion);
      mqtt::encode(answer, mqtt::Disconnect{.reason = ReasonCode::ServerShuttingDown}, kVersion);
    }
    return true;
  });
  run(broker.port(), [](Client& client) -> asio::awaitable<void> {
    co_await connect(client);
    auto receiving = client.receive();
    const auto lost = co_await within(kLimit, std::move(receiving));
    EXPECT_EQ(lost.error(), ReasonCode::ServerShuttingDown);
  });
}

TEST(Link, EndsAConnectionWhoseBytesAreNoMqtt) {
  ScriptedBroker broker([](const mqtt::Packet& received, Output& answer) {
    const bool goes_on = test::polite(received, answer);
    answer.append(std::string_view("\x00\x01\x02\x03\x04", 5));
    return goes_on;
  });
  run(broker.port(), [](Client& client) -> asio::awaitable<void> {
    co_await connect(client);
    auto receiving = client.receive();
    const auto lost = co_await within(kLimit, std::move(receiving));
    EXPECT_EQ(lost.error(), ReasonCode::MalformedPacket);
  });
}

TEST(Link, APublishThatIsCancelledLeavesTheClientUsable) {
  struct Seen {
    std::atomic<int> publishes = 0;
  } seen;
  ScriptedBroker broker([&seen](const mqtt::Packet& received, Output& answer) {
    const bool first = std::holds_alternative<mqtt::Publish>(received) && ++seen.publishes == 1;
    return first || test::polite(received, answer);
  });
  run(broker.port(), [](Client& client) -> asio::awaitable<void> {
    co_await connect(client);
    auto publication = Publication{.topic = "t", .payload = "x"};
    auto publishing = client.publish(std::move(publication));
    const auto answer = co_await within(50ms, std::move(publishing));
    EXPECT_EQ(answer.error(), boost::system::errc::timed_out);
    const auto reason = co_await publish(client, "t", "y", Qos::AtLeastOnce);
    EXPECT_EQ(reason, ReasonCode::Success);
  });
}

}  // namespace
}  // namespace parley::link
