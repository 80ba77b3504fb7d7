#include "broker/net/connections.hpp"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include <array>
#include <optional>

namespace parley::net {
namespace {

class Departures final : public Connections::Exits {
 public:
  void leave(shard::ShardId target, Arrival arrival) override {
    targets.push_back(target);
    arrivals.push_back(std::move(arrival));
  }
  std::vector<shard::ShardId> targets;
  std::vector<Arrival> arrivals;
};

/// A table of connections, and the other ends of their sockets.
class ConnectionsTest : public testing::Test {
 protected:
  shard::ConnectionId connect() {
    std::array<int, 2> pair{};
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair.data()), 0);
    peer = Descriptor(pair[1]);
    return connections.add(Descriptor(pair[0]));
  }
  /// Everything that has arrived at the other end.
  std::string received() {
    std::string bytes;
    std::array<char, 65'536> buffer{};
    for (;;) {
      const auto got = ::read(peer.number(), buffer.data(), buffer.size());
      if (got <= 0) {
        peer_saw_end = got == 0;
        return bytes;
      }
      bytes.append(buffer.data(), static_cast<std::size_t>(got));
    }
  }
  std::optional<epoll_event> next_event() {
    epoll_event event{};
    if (::epoll_wait(epoll.number(), &event, 1, 0) != 1) return std::nullopt;
    return event;
  }
  /// Fills the socket until it takes no more; returns what was handed over.
  std::string block(shard::ConnectionId id) {
    std::string sent;
    while (!connections.find(id)->blocked) {
      const std::string piece(50'000, static_cast<char>('a' + sent.size() / 50'000 % 26));
      connections.output(id).append(piece);
      sent += piece;
      connections.flush(id);
    }
    return sent;
  }

  Descriptor epoll{::epoll_create1(EPOLL_CLOEXEC)};
  Departures departures;
  Connections connections{epoll.number(), departures};
  Descriptor peer;
  bool peer_saw_end = false;
};

TEST_F(ConnectionsTest, WriteWhatTheOutputHolds) {
  const auto id = connect();
  connections.output(id).append("hello ");
  connections.output(id).append("there");
  connections.flush(id);
  EXPECT_EQ(received(), "hello there");
  EXPECT_TRUE(connections.output(id).empty());
}

TEST_F(ConnectionsTest, GoOnWhenTheSocketTakesBytesAgain) {
  const auto id = connect();
  const std::string sent = block(id);
  EXPECT_FALSE(connections.output(id).empty());
  std::string got = received();
  bool drained = false;
  for (int round = 0; round < 1'000 && !drained; ++round) {
    const auto event = next_event();
    ASSERT_TRUE(event) << "nobody says that the socket is writable";
    const std::uint64_t told = event->data.u64;  // A packed field, which nothing may refer to.
    EXPECT_EQ(told, Connections::id_of(id));
    EXPECT_NE(event->events & EPOLLOUT, 0U);
    drained = connections.write_on(id);
    got += received();
  }
  EXPECT_TRUE(drained);
  EXPECT_EQ(got, sent);
  EXPECT_FALSE(next_event()) << "an idle connection is still watched for writing";
}

TEST_F(ConnectionsTest, SayTheirLastWordBeforeTheyClose) {
  const auto id = connect();
  connections.output(id).append("goodbye");
  connections.close(id);
  EXPECT_EQ(received(), "goodbye");
  EXPECT_TRUE(peer_saw_end);
  EXPECT_EQ(connections.find(id)->state, ConnectionState::Lingering);
  std::vector<shard::ConnectionId> closing;
  connections.take_closing(closing);
  EXPECT_EQ(closing, std::vector{id});
  connections.drop(id);
  EXPECT_EQ(connections.find(id), nullptr);
  EXPECT_EQ(connections.size(), 0U);
}

TEST_F(ConnectionsTest, CloseOnlyWhenTheOutputIsWritten) {
  const auto id = connect();
  const std::string sent = block(id);
  connections.close(id);
  EXPECT_EQ(connections.find(id)->state, ConnectionState::Closing);
  std::string got;
  for (int round = 0; round < 1'000 && connections.find(id)->state == ConnectionState::Closing; ++round) {
    got += received();
    connections.write_on(id);
  }
  got += received();
  EXPECT_EQ(got, sent);
  EXPECT_TRUE(peer_saw_end);
  EXPECT_EQ(connections.find(id)->state, ConnectionState::Lingering);
}

TEST_F(ConnectionsTest, AreLostOnceWhenAWriteFails) {
  const auto id = connect();
  peer = {};
  for (int i = 0; i < 3; ++i) {
    connections.output(id).append("into the void");
    connections.flush(id);
  }
  EXPECT_TRUE(connections.has_lost());
  std::vector<shard::ConnectionId> lost;
  connections.take_lost(lost);
  EXPECT_EQ(lost, std::vector{id});
  EXPECT_FALSE(connections.has_lost());
  EXPECT_TRUE(connections.output(id).empty());
}

TEST_F(ConnectionsTest, TakeTheirUnreadBytesAlongWhenTheyMove) {
  const auto id = connect();
  connections.hand_over(id, 3, "CONNECT");
  EXPECT_EQ(connections.find(id), nullptr);
  ASSERT_EQ(departures.arrivals.size(), 1U);
  EXPECT_EQ(departures.targets[0], 3U);
  EXPECT_EQ(departures.arrivals[0].unread, "CONNECT");
  const auto moved = connections.add(std::move(departures.arrivals[0].socket));
  connections.output(moved).append("still here");
  connections.flush(moved);
  EXPECT_EQ(received(), "still here");
}

TEST_F(ConnectionsTest, AreNotMistakenForALaterOneInTheSamePlace) {
  const auto first = connect();
  connections.drop(first);
  const auto second = connect();
  EXPECT_EQ(second.place, first.place);
  EXPECT_NE(second.generation, first.generation);
  EXPECT_EQ(connections.find(first), nullptr);
  connections.flush(first);
  connections.close(first);
  EXPECT_FALSE(connections.write_on(first));
  EXPECT_EQ(connections.find(second)->state, ConnectionState::Open);
}

TEST_F(ConnectionsTest, CostFewBytesWhenIdle) { EXPECT_LE(sizeof(Connection), 80U); }

}  // namespace
}  // namespace parley::net
