#include "config/listener.hpp"

#include <gtest/gtest.h>

#include "config/error.hpp"

namespace parley::config {
namespace {

TEST(ListenerUrl, IsTakenApart) {
  EXPECT_EQ(read_url("listener.url", "tcp", "tcp://127.0.0.1:1883"), (Address{"127.0.0.1", 1883}));
  EXPECT_EQ(read_url("listener.url", "tcp", "tcp://[::1]:1883"), (Address{"::1", 1883}));
  EXPECT_EQ(read_url("listener.url", "tcp", "tcp://localhost:0"), (Address{"localhost", 0}));
  EXPECT_EQ(read_url("bridge.listen", "http", "http://127.0.0.1:8080/"), (Address{"127.0.0.1", 8080}));
}

TEST(ListenerUrl, IsRefusedWithTheSettingsName) {
  for (const char* url :
       {"", "127.0.0.1:1883", "tcp://127.0.0.1", "tcp://:1883", "tcp://127.0.0.1:65536", "ws://127.0.0.1:80",
        "tcp://127.0.0.1:1883/path", "tcp://user@127.0.0.1:1883", "tcp://127.0.0.1:1883?x=1", "tcp://127.0.0.1:"}) {
    try {
      read_url("listener.url", "tcp", url);
      ADD_FAILURE() << url;
    } catch (const ConfigError& error) {
      EXPECT_NE(std::string(error.what()).find("listener.url"), std::string::npos) << error.what();
    }
  }
}

TEST(ListenerUrl, SaysWhatCarriesTheBytes) {
  struct Case {
    const char* url;
    Scheme scheme;
    const char* path;
    bool anonymous;
  };
  for (const auto& [url, scheme, path, anonymous] : {
           Case{"tcp://127.0.0.1:1883", Scheme::Tcp, "", true},
           Case{"tls://0.0.0.0:8883", Scheme::Tls, "", false},
           Case{"ws://[::1]:8083", Scheme::WebSocket, "", true},
           Case{"wss://broker.example:443/mqtt", Scheme::SecureWebSocket, "/mqtt", false},
           Case{"unix:///run/parley/mqtt.sock", Scheme::Unix, "/run/parley/mqtt.sock", true},
       }) {
    const auto listener = read_listener_url("listener.url", url);
    EXPECT_EQ(listener.scheme, scheme);
    EXPECT_EQ(listener.path, path);
    EXPECT_EQ(listener.allow_anonymous, anonymous);
    EXPECT_EQ(url_of(listener), url);
  }
  const std::string long_path = "unix:///" + std::string(120, 'x');
  for (const std::string& url :
       {std::string("http://127.0.0.1:80"), std::string("tcp://127.0.0.1:1/x"), std::string("unix://mqtt.sock"),
        std::string("unix:///run/"), std::string("unix"), std::string("ws://127.0.0.1:1/x?y"), long_path}) {
    EXPECT_THROW(read_listener_url("listener.url", url), ConfigError) << url;
  }
}

TEST(Loopback, IsAllOf127AndTheOthers) {
  for (const char* host : {"127.0.0.1", "127.9.8.7", "::1", "localhost"}) EXPECT_TRUE(is_loopback(host)) << host;
  for (const char* host : {"0.0.0.0", "::", "10.0.0.1", "127.example.org", "example.org", ""})
    EXPECT_FALSE(is_loopback(host)) << host;
}

TEST(Address, IsWrittenAsItIsRead) {
  EXPECT_EQ(to_text({"127.0.0.1", 1883}), "127.0.0.1:1883");
  EXPECT_EQ(to_text({"::1", 1883}), "[::1]:1883");
}

}  // namespace
}  // namespace parley::config
