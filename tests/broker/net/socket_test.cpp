#include "broker/net/socket.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <gtest/gtest.h>

#include <cerrno>

#include "broker/net/system_random.hpp"

namespace parley::net {
namespace {

Descriptor connect_to(std::uint16_t port) {
  Descriptor socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(socket.number(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) return {};
  return socket;
}

TEST(ListeningSocket, TakesConnectionsOnThePortItWasGiven) {
  const auto listener = listen_on("127.0.0.1", 0);
  ASSERT_TRUE(listener) << listener.error().message();
  const auto port = local_port(listener->number());
  ASSERT_NE(port, 0);
  const auto client = connect_to(port);
  ASSERT_TRUE(client.is_open());
  EXPECT_EQ(peer_address(client.number()), "127.0.0.1:" + std::to_string(port));
}

TEST(ListeningSocket, IsNotSharedWithAnotherListener) {
  const auto listener = listen_on("127.0.0.1", 0);
  ASSERT_TRUE(listener);
  const auto second = listen_on("127.0.0.1", local_port(listener->number()));
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error(), boost::system::errc::address_in_use);
}

TEST(ListeningSocket, SharesItsPortWithTheOnesBesideIt) {
  const auto listener = listen_on("127.0.0.1", 0);
  ASSERT_TRUE(listener);
  const auto beside = listen_beside(*listener);
  ASSERT_TRUE(beside) << beside.error().message();
  EXPECT_EQ(local_port(beside->number()), local_port(listener->number()));
}

TEST(ListeningSocket, FailsForAnAddressThatIsNotHere) {
  EXPECT_FALSE(listen_on("no.such.host.invalid", 0));
  EXPECT_FALSE(listen_on("192.0.2.1", 0));  // RFC 5737: an address of no machine.
}

TEST(PeerAddress, IsUnknownWhenThereIsNone) {
  const Descriptor socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  EXPECT_EQ(peer_address(socket.number()), "unknown");
}

TEST(SystemRandom, DoesNotRepeatItself) {
  SystemRandom random;
  std::uint64_t before = random.next();
  for (int i = 0; i < 100; ++i) {
    const std::uint64_t now = random.next();
    EXPECT_NE(now, before);
    before = now;
  }
}

}  // namespace
}  // namespace parley::net
