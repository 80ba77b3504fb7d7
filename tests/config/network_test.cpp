#include "config/network.hpp"

#include <gtest/gtest.h>

namespace parley::config {
namespace {

TEST(Network, HasItsAddresses) {
  struct Case {
    const char* network;
    const char* inside;
    const char* outside;
  };
  for (const auto& [network, inside, outside] : {
           Case{"10.0.0.0/8", "10.255.1.2", "11.0.0.0"},
           Case{"192.0.2.1", "192.0.2.1", "192.0.2.2"},
           Case{"192.0.2.128/25", "192.0.2.200", "192.0.2.127"},
           Case{"0.0.0.0/0", "1.2.3.4", "::1"},
           Case{"2001:db8::/32", "2001:db8:1::1", "2001:db9::"},
           Case{"::ffff:10.0.0.0/104", "10.1.1.1", "11.1.1.1"},
           Case{"::1", "::1", "127.0.0.1"},
       }) {
    const auto range = read_network(network);
    ASSERT_TRUE(range) << network;
    EXPECT_TRUE(range->contains(*read_address(inside))) << network << " " << inside;
    EXPECT_FALSE(range->contains(*read_address(outside))) << network << " " << outside;
  }
}

TEST(Network, IsRefusedWhenItIsNone) {
  for (const char* text : {"", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/8x", "10.0.0.0/-1", "10.0.0.1/8", "::1/64",
                           "::/129", "example.org", "[::1]", "10.0.0/8", "10.0.0.0/8/8"}) {
    EXPECT_FALSE(read_network(text)) << text;
  }
}

}  // namespace
}  // namespace parley::config
