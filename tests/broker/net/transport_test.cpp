#include "broker/net/transport.hpp"

#include <sys/socket.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include <array>

#include "broker/net/socket.hpp"

namespace parley::net {
namespace {

using Status = Transport::Input::Status;

config::Listener settings(const char* url) { return config::read_listener_url("listener.url", url); }

/// A transport, and the client's end of its socket.
class TransportTest : public testing::Test {
 protected:
  void start(config::Listener listener) {
    profile = std::make_unique<ListenerProfile>(std::uint16_t{0}, std::move(listener));
    std::array<int, 2> pair{};
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair.data()), 0);
    ours = Descriptor(pair[0]);
    theirs = Descriptor(pair[1]);
    transport = Transport::make(*profile, ours.number());
  }
  void say(std::string_view bytes) {
    ASSERT_EQ(::write(theirs.number(), bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
  }
  Transport::Input read() { return transport->read(ours.number(), buffer); }
  std::string heard() {
    std::string all;
    std::array<char, 65'536> part{};
    for (;;) {
      const auto got = ::read(theirs.number(), part.data(), part.size());
      if (got <= 0) return all;
      all.append(part.data(), static_cast<std::size_t>(got));
    }
  }
  void upgrade() {
    say("GET /x HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n");
    EXPECT_EQ(read().status, Status::Going);
    EXPECT_EQ(transport->write(ours.number(), output), IoResult::Status::Done);
    EXPECT_TRUE(heard().starts_with("HTTP/1.1 101"));
    EXPECT_EQ(transport->stage(), Transport::Stage::Open);
  }

  std::unique_ptr<ListenerProfile> profile;
  Descriptor ours;
  Descriptor theirs;
  std::unique_ptr<Transport> transport;
  Output output;
  std::array<char, 65'536> buffer{};
};

TEST_F(TransportTest, IsNothingOverPlainSockets) {
  start(settings("tcp://127.0.0.1:0"));
  EXPECT_EQ(transport, nullptr);
  start(settings("unix:///run/x.sock"));
  EXPECT_EQ(transport, nullptr);
}

TEST_F(TransportTest, TakesExactlyTheProxyHeader) {
  auto listener = settings("unix:///run/x.sock");
  listener.proxy_protocol = {"unix"};
  start(std::move(listener));
  say("PROXY TCP4 192.0.2");
  EXPECT_EQ(read().status, Status::Going);
  EXPECT_EQ(read().status, Status::Going) << "nothing is read twice";
  say(".1 192.0.2.2 5 6\r\nthe client's");
  EXPECT_TRUE(read().bytes.empty());
  EXPECT_EQ(transport->client_address(), "192.0.2.1:5");
  EXPECT_EQ(read().bytes, "the client's");
}

TEST_F(TransportTest, RefusesProxiesThatNobodyTrusts) {
  auto listener = settings("unix:///run/x.sock");
  listener.proxy_protocol = {"10.0.0.0/8"};
  start(std::move(listener));
  say("PROXY UNKNOWN\r\n");
  EXPECT_EQ(read().status, Status::Refused);
}

TEST_F(TransportTest, WritesAFrameForWhatThereIs) {
  start(settings("ws://127.0.0.1:0"));
  upgrade();
  output.append("one ");
  output.append("frame");
  EXPECT_EQ(transport->write(ours.number(), output), IoResult::Status::Done);
  EXPECT_EQ(heard(), "\x82\x09one frame");
  output.append("last");
  transport->begin_close();
  EXPECT_EQ(transport->write(ours.number(), output), IoResult::Status::Done);
  EXPECT_EQ(heard(), "\x82\x04last\x88\x02\x03\xE8");
}

TEST_F(TransportTest, GoesOnWithinAFrame) {
  start(settings("ws://127.0.0.1:0"));
  upgrade();
  const std::string text(5'000'000, 'x');
  output.append(text);
  ASSERT_EQ(transport->write(ours.number(), output), IoResult::Status::Blocked);
  say("\x89\x82\1\2\3\4ij");  // A ping, answered between frames.
  EXPECT_EQ(read().status, Status::Going);
  output.append("next");
  std::string all;
  for (int round = 0; round < 10'000 && transport->write(ours.number(), output) == IoResult::Status::Blocked; ++round) {
    all += heard();
  }
  all += heard();
  const std::string header("\x82\x7F\0\0\0\0\0\x4C\x4B\x40", 10);
  EXPECT_EQ(all, header + text + "\x8A\x02hh" + "\x82\x04next");
}

TEST_F(TransportTest, KeepsFewAnswersForAClientThatReadsNone) {
  start(settings("ws://127.0.0.1:0"));
  upgrade();
  std::size_t pings = 0;
  for (; pings < 1'000; ++pings) {
    say("\x89\x82\1\2\3\4ij");
    EXPECT_EQ(read().status, Status::Going);
  }
  EXPECT_EQ(transport->write(ours.number(), output), IoResult::Status::Done);
  EXPECT_LE(heard().size(), 1'024U);
}

}  // namespace
}  // namespace parley::net
