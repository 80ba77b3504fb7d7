#include "tests/broker/shard/scene.hpp"

namespace parley::shard {
namespace {

ConnectOptions with_password(const std::string& user, const std::string& password) {
  ConnectOptions options;
  options.user_name = user;
  options.password = password;
  return options;
}

ConnectOptions with_method(const std::string& data = "ann") {
  ConnectOptions options;
  options.authentication_method = "TEST";
  options.authentication_data = data;
  return options;
}

/// A client of the method that has got as far as CONNACK.
simulation::Client& join_with_method(World& world, const std::string& id) {
  auto& client = world.client(id);
  client.connect(with_method());
  world.settle();
  client.authenticate(ReasonCode::ContinueAuthentication, "TEST", "secret");
  world.settle();
  EXPECT_TRUE(client.connected());
  return client;
}

TEST(Login, IsAskedAboutOnceWhereverTheClientArrives) {
  for (const bool at_once : {true, false}) {
    World world(1, dev(3));
    world.authenticator().passwords["ann"] = "secret";
    world.authenticator().at_once = at_once;
    for (shard::ShardId shard = 0; shard < 3; ++shard) {
      auto options = with_password("ann", "secret");
      options.shard = shard;
      options.expiry = 60;
      join(world, "c" + std::to_string(shard), options);
    }
    EXPECT_EQ(world.authenticator().asked, 3);
  }
}

TEST(Login, IsRefusedWithItsCode) {
  for (const bool at_once : {true, false}) {
    for (const auto version : {ProtocolVersion::V5, ProtocolVersion::V3_1_1}) {
      World world(1, dev());
      world.authenticator().passwords["ann"] = "secret";
      world.authenticator().at_once = at_once;
      auto options = with_password("ann", "wrong");
      options.version = version;
      auto& client = world.client("c");
      client.connect(options);
      world.settle();
      ASSERT_NE(client.connack(), nullptr);
      EXPECT_EQ(client.connack()->reason(), ReasonCode::BadUserNameOrPassword);
      EXPECT_FALSE(client.connected());
      EXPECT_EQ(world.shard(0).clients().size(), 0U) << "no session is made for it";
    }
  }
}

TEST(Login, DoesNotTouchTheSessionBeforeItIsGranted) {
  World world(1, dev());
  world.authenticator().passwords["ann"] = "secret";
  auto& ann = join(world, "c", with_password("ann", "secret"));
  auto& thief = world.client("c ");
  auto wire = std::make_shared<simulation::Wire>();
  world.accept(wire, std::nullopt);
  // CONNECT with ann's client id, user "ann", password "x".
  wire->to_broker = std::string("\x10\x16\x00\x04MQTT\x05\xC2\x00\x00\x00\x00\x01\x63\x00\x03\x61nn\x00\x01x", 24);
  world.settle();
  EXPECT_TRUE(wire->broker_gone);
  EXPECT_TRUE(ann.connected());
  EXPECT_FALSE(thief.connected());
}

TEST(Login, KeepsWhatComesBeforeTheAnswer) {
  World world(1, dev());
  world.authenticator().silent = true;
  auto& ann = world.client("ann");
  ann.connect({.version = ProtocolVersion::V3_1_1});
  const auto id = ann.publish("a/b", "early", {});
  world.settle();
  EXPECT_EQ(ann.connack(), nullptr);
  world.authenticator().silent = false;
  world.settle();
  ASSERT_NE(ann.connack(), nullptr);
  EXPECT_NE(ann.answer(PacketType::Puback, id), nullptr);
}

TEST(Login, DoesNotKeepMuchOfAStranger) {
  World world(1, dev());
  world.authenticator().silent = true;
  auto& ann = world.client("ann");
  ann.connect({});
  for (int i = 0; i < 8; ++i) ann.publish("a/b", std::string(16 * 1024, 'x'), {.qos = Qos::AtMostOnce});
  world.settle();
  EXPECT_FALSE(ann.connected());
  world.authenticator().silent = false;
  world.settle();
  EXPECT_EQ(ann.connack(), nullptr);
  EXPECT_EQ(world.shard(0).clients().size(), 0U);
}

TEST(Login, TakesNoLongerThanItMay) {
  World world(1, dev());
  world.authenticator().silent = true;
  auto& ann = world.client("ann");
  ann.connect({});
  world.advance(9s);
  EXPECT_TRUE(ann.connected());
  world.advance(2s);
  ASSERT_NE(ann.connack(), nullptr);
  EXPECT_EQ(ann.connack()->reason(), ReasonCode::ServerUnavailable);
  world.authenticator().silent = false;
  world.settle();
  EXPECT_FALSE(ann.connected()) << "the answer came too late";
}

TEST(Login, MayBeLostWhileItIsChecked) {
  World world(1, dev());
  world.authenticator().silent = true;
  auto& ann = world.client("ann");
  ann.connect({});
  world.settle();
  ann.drop();
  world.settle();
  world.authenticator().silent = false;
  world.settle();
  EXPECT_EQ(world.shard(0).clients().size(), 0U);
  join(world, "ann");
}

// -- Extended authentication, MQTT 5 §4.12 --

TEST(ExtendedLogin, GoesOnUntilConnack) {
  for (const bool at_once : {true, false}) {
    World world(1, dev(2));
    world.authenticator().passwords["ann"] = "secret";
    world.authenticator().at_once = at_once;
    auto& client = world.client("c");
    auto options = with_method();
    options.expiry = 60;
    client.connect(options);
    world.settle();
    const auto* challenge = client.answer(PacketType::Auth);
    ASSERT_NE(challenge, nullptr);
    EXPECT_EQ(challenge->reason(), ReasonCode::ContinueAuthentication);  // [MQTT-4.12.0-2]
    EXPECT_EQ(challenge->method, "TEST");                                // [MQTT-4.12.0-5]
    EXPECT_EQ(challenge->data, "?");
    client.authenticate(ReasonCode::ContinueAuthentication, "TEST", "secret");
    world.settle();
    ASSERT_NE(client.connack(), nullptr);
    EXPECT_EQ(client.connack()->reason(), ReasonCode::Success);
    EXPECT_EQ(client.connack()->method, "TEST");
    EXPECT_EQ(client.connack()->data, "welcome");
    EXPECT_EQ(say(world, client, "chat/room/msg", "hello").reason(), ReasonCode::Success);
  }
}

TEST(ExtendedLogin, IsRefusedWithItsCode) {
  World world(1, dev());
  world.authenticator().passwords["ann"] = "secret";
  auto& client = world.client("c");
  client.connect(with_method());
  world.settle();
  client.authenticate(ReasonCode::ContinueAuthentication, "TEST", "wrong");
  world.settle();
  ASSERT_NE(client.connack(), nullptr);
  EXPECT_EQ(client.connack()->reason(), ReasonCode::NotAuthorized);
  EXPECT_FALSE(client.connected());
  auto& other = world.client("d");
  ConnectOptions options;
  options.authentication_method = "GSSAPI";
  other.connect(options);
  world.settle();
  ASSERT_NE(other.connack(), nullptr);
  EXPECT_EQ(other.connack()->reason(), ReasonCode::BadAuthenticationMethod);  // [MQTT-4.12.0-1]
}

TEST(ExtendedLogin, EndsWhereTheClientDoesNotGoOn) {
  struct Case {
    const char* what;
    std::function<void(simulation::Client&)> send;
    std::optional<ReasonCode> reason;
  };
  const Case cases[] = {
      {"another packet", [](auto& client) { client.subscribe("a"); }, ReasonCode::ProtocolError},  // [MQTT-3.1.2-30]
      {"another method",
       [](auto& client) { client.authenticate(ReasonCode::ContinueAuthentication, "OTHER", "secret"); },
       ReasonCode::ProtocolError},
      {"another reason", [](auto& client) { client.authenticate(ReasonCode::Reauthenticate, "TEST", "secret"); },
       ReasonCode::ProtocolError},
      {"a second packet behind it",
       [](auto& client) {
         client.authenticate(ReasonCode::ContinueAuthentication, "TEST", "secret");
         client.subscribe("a");
       },
       ReasonCode::ProtocolError},
      {"nonsense", [](auto& client) { client.send_bytes(std::string("\xF0\x02\x18", 3) + "\x05"); },
       ReasonCode::MalformedPacket},
      {"DISCONNECT", [](auto& client) { client.send(mqtt::Disconnect{}); }, std::nullopt},
  };
  for (const Case& one : cases) {
    World world(1, dev());
    world.authenticator().passwords["ann"] = "secret";
    auto& client = world.client("c");
    client.connect(with_method());
    world.settle();
    one.send(client);
    world.settle();
    EXPECT_FALSE(client.connected()) << one.what;
    ASSERT_EQ(client.connack() != nullptr, one.reason.has_value()) << one.what;
    if (one.reason) {
      EXPECT_EQ(client.connack()->reason(), *one.reason) << one.what;
    }
  }
  World world(1, dev());
  auto& client = world.client("c");
  client.connect(with_method());
  world.advance(11s);
  ASSERT_NE(client.connack(), nullptr);
  EXPECT_EQ(client.connack()->reason(), ReasonCode::NotAuthorized) << "it says nothing";
}

TEST(Reauthentication, IsAnsweredOnTheLiveConnection) {
  for (const bool at_once : {true, false}) {
    World world(1, dev());
    world.authenticator().passwords["ann"] = "secret";
    world.authenticator().at_once = at_once;
    auto& client = join_with_method(world, "c");
    client.authenticate(ReasonCode::Reauthenticate, "TEST", "ann");
    world.settle();
    EXPECT_EQ(client.answer(PacketType::Auth)->reason(), ReasonCode::ContinueAuthentication);
    EXPECT_EQ(say(world, client, "a/b", "meanwhile").reason(), ReasonCode::NoMatchingSubscribers);
    client.authenticate(ReasonCode::ContinueAuthentication, "TEST", "secret");
    world.settle();
    const auto* done = client.answer(PacketType::Auth);
    EXPECT_EQ(done->reason(), ReasonCode::Success);  // §4.12.1
    EXPECT_EQ(done->method, "TEST");
    EXPECT_EQ(done->data, "welcome");
    EXPECT_TRUE(client.connected());
  }
}

TEST(Reauthentication, EndsTheConnectionWhenItFails) {
  struct Case {
    const char* what;
    std::function<void(World&, simulation::Client&)> send;
    ReasonCode reason;
  };
  const Case cases[] = {
      {"wrong password",
       [](World& world, auto& client) {
         client.authenticate(ReasonCode::Reauthenticate, "TEST", "ann");
         world.settle();
         client.authenticate(ReasonCode::ContinueAuthentication, "TEST", "wrong");
       },
       ReasonCode::NotAuthorized},  // [MQTT-4.12.1-2]
      {"another user",
       [](World& world, auto& client) {
         client.authenticate(ReasonCode::Reauthenticate, "TEST", "bob");
         world.settle();
         client.authenticate(ReasonCode::ContinueAuthentication, "TEST", "other");
       },
       ReasonCode::NotAuthorized},
      {"another method", [](World&, auto& client) { client.authenticate(ReasonCode::Reauthenticate, "OTHER", "ann"); },
       ReasonCode::ProtocolError},  // [MQTT-4.12.1-1]
      {"going on with what has not begun",
       [](World&, auto& client) { client.authenticate(ReasonCode::ContinueAuthentication, "TEST", "secret"); },
       ReasonCode::ProtocolError},
      {"saying success", [](World&, auto& client) { client.authenticate(ReasonCode::Success, "TEST", ""); },
       ReasonCode::ProtocolError},
      {"beginning twice",
       [](World& world, auto& client) {
         client.authenticate(ReasonCode::Reauthenticate, "TEST", "ann");
         world.settle();
         client.authenticate(ReasonCode::Reauthenticate, "TEST", "ann");
       },
       ReasonCode::ProtocolError},
  };
  for (const Case& one : cases) {
    World world(1, dev());
    world.authenticator().passwords = {{"ann", "secret"}, {"bob", "other"}};
    auto& client = join_with_method(world, "c");
    one.send(world, client);
    world.settle();
    EXPECT_FALSE(client.connected()) << one.what;
    const auto* end = client.answer(PacketType::Disconnect);
    ASSERT_NE(end, nullptr) << one.what;
    EXPECT_EQ(end->reason(), one.reason) << one.what;
  }
  World world(1, dev());
  auto& plain = join(world, "p");
  plain.authenticate(ReasonCode::Reauthenticate, "TEST", "ann");  // [MQTT-4.12.0-7]
  world.settle();
  EXPECT_EQ(plain.answer(PacketType::Disconnect)->reason(), ReasonCode::ProtocolError);
}

// -- Credentials that expire --

TEST(Expiry, EndsTheConnection) {
  World world(1, dev());
  world.authenticator().expires = Timestamp{world.clock().wall.milliseconds + 60'000};
  auto& client = join(world, "c", lasting());
  world.advance(59s);
  EXPECT_TRUE(client.connected());
  world.advance(2s);
  EXPECT_FALSE(client.connected());
  ASSERT_NE(client.answer(PacketType::Disconnect), nullptr);
  EXPECT_EQ(client.answer(PacketType::Disconnect)->reason(), ReasonCode::NotAuthorized);
  world.authenticator().expires.reset();
  join(world, "c", lasting());
  EXPECT_TRUE(client.connack()->session_present) << "the session is another matter";
  world.advance(3600s);
  EXPECT_TRUE(client.connected());
}

TEST(Expiry, IsToldInTimeToWhoCanAuthenticateAgain) {
  World world(1, dev());
  world.authenticator().passwords["ann"] = "secret";
  world.authenticator().expires = Timestamp{world.clock().wall.milliseconds + 600'000};
  auto& client = join_with_method(world, "c");
  follow(world, client, "client/c/reply");
  world.advance(539s);
  EXPECT_TRUE(client.received.empty());
  world.advance(2s);
  ASSERT_EQ(client.received.size(), 1U);
  EXPECT_EQ(client.received[0].user("notice"), "reauthenticate");
  world.authenticator().expires = Timestamp{world.clock().wall.milliseconds + 600'000};
  client.authenticate(ReasonCode::Reauthenticate, "TEST", "ann");
  world.settle();
  client.authenticate(ReasonCode::ContinueAuthentication, "TEST", "secret");
  world.settle();
  world.advance(500s);
  EXPECT_TRUE(client.connected()) << "the new credentials live longer";
  world.advance(101s);
  EXPECT_FALSE(client.connected());
}

}  // namespace
}  // namespace parley::shard
