#include "broker/net/proxy_header.hpp"

#include <gtest/gtest.h>

namespace parley::net {
namespace {

using namespace std::string_literals;

std::string version_2(char command, char family, std::string_view rest) {
  std::string bytes = "\r\n\r\n\0\r\nQUIT\n"s;
  bytes += {command, family, static_cast<char>(rest.size() >> 8), static_cast<char>(rest.size() & 0xFF)};
  return bytes.append(rest);
}

const std::string kV4 = "\xC0\x00\x02\x01\xC6\x33\x64\x01\xC4\x88\x07\x5B"s;
const std::string kV6 =
    "\x20\x01\x0D\xB8"s + std::string(11, '\0') + "\x01"s + std::string(16, '\1') + "\xC4\x88\x07\x5B"s;

struct Case {
  std::string bytes;
  std::string client;
};

const std::vector<Case>& good_headers() {
  static const std::vector<Case> cases{
      {"PROXY TCP4 192.0.2.1 198.51.100.1 50312 1883\r\n", "192.0.2.1:50312"},
      {"PROXY TCP6 2001:db8::1 2001:DB8:0::2 1 65535\r\n", "[2001:db8::1]:1"},
      {"PROXY UNKNOWN\r\n", ""},
      {"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", ""},
      {version_2('\x21', '\x11', kV4), "192.0.2.1:50312"},
      {version_2('\x21', '\x11', kV4 + "\x04\x00\x01X"s), "192.0.2.1:50312"},
      {version_2('\x21', '\x21', kV6), "[2001:db8::1]:50312"},
      {version_2('\x20', '\x00', ""), ""},
      {version_2('\x20', '\x11', kV4), ""},
      {version_2('\x21', '\x31', std::string(216, 'x')), ""},
  };
  return cases;
}

TEST(ProxyHeader, NamesTheClient) {
  for (const auto& [bytes, client] : good_headers()) {
    const auto header = read_proxy_header(bytes + "behind it");
    ASSERT_TRUE(header && *header) << bytes;
    EXPECT_EQ((**header).size, bytes.size());
    EXPECT_EQ((**header).client, client);
  }
}

TEST(ProxyHeader, WaitsForTheRest) {
  for (const auto& [bytes, client] : good_headers()) {
    for (std::size_t size = 0; size < bytes.size(); ++size) {
      const auto header = read_proxy_header(std::string_view(bytes).substr(0, size));
      EXPECT_TRUE(header && !*header) << bytes << " cut at " << size;
    }
  }
}

TEST(ProxyHeader, IsRefusedWhenItIsNone) {
  for (const std::string& bytes : {
           "\x10\x10"s,
           "proxy TCP4 192.0.2.1 198.51.100.1 1 2\r\n"s,
           "PROXY TCP4 192.0.2.1 198.51.100.1 1\r\n"s,
           "PROXY TCP4 192.0.2.1 198.51.100.1 1 2 3\r\n"s,
           "PROXY TCP4  192.0.2.1 198.51.100.1 1 2\r\n"s,
           "PROXY TCP4 192.0.2.256 198.51.100.1 1 2\r\n"s,
           "PROXY TCP4 ::1 ::1 1 2\r\n"s,
           "PROXY TCP6 192.0.2.1 198.51.100.1 1 2\r\n"s,
           "PROXY TCP4 192.0.2.1 198.51.100.1 01 2\r\n"s,
           "PROXY TCP4 192.0.2.1 198.51.100.1 65536 2\r\n"s,
           "PROXY TCP4 192.0.2.1 198.51.100.1 1 -2\r\n"s,
           "PROXY TCP4 192.0.2.1\0 198.51.100.1 1 2\r\n"s,
           "PROXY \r\n"s,
           "PROXY UNKNOWN" + std::string(100, ' '),
           version_2('\x11', '\x11', kV4),
           version_2('\x22', '\x11', kV4),
           version_2('\x21', '\x41', kV4),
           version_2('\x21', '\x13', kV4),
           version_2('\x21', '\x11', kV4.substr(1)),
           version_2('\x21', '\x21', kV4),
           version_2('\x21', '\x11', std::string(kProxyHeaderMax, 'x')),
       }) {
    EXPECT_FALSE(read_proxy_header(bytes)) << bytes;
  }
}

}  // namespace
}  // namespace parley::net
