#include "broker/net/websocket_upgrade.hpp"

#include <gtest/gtest.h>

#include <array>

namespace parley::net {
namespace {

const std::string kHost = "Host: 127.0.0.1:8083\r\n";
const std::string kUpgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n";
const std::string kKey = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
const std::string kProtocol = "Sec-WebSocket-Protocol: mqtt\r\n";
const std::string kSound = kHost + kUpgrade + kKey + kProtocol;
const std::array<std::string, 1> kOrigins{"https://chat.example"};

UpgradeAnswer answer(const std::string& fields, const std::string& line = "GET /mqtt HTTP/1.1") {
  return answer_upgrade(line + "\r\n" + fields + "\r\n", {.path = "/mqtt", .origins = kOrigins});
}

int status(const UpgradeAnswer& answer) { return std::stoi(answer.response.substr(9)); }

TEST(WebSocketUpgrade, IsGranted) {
  const auto granted = answer(kSound);
  EXPECT_TRUE(granted.accepted);
  EXPECT_EQ(status(granted), 101);
  // RFC 6455 §1.3 has this key and its answer.
  EXPECT_NE(granted.response.find("\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"), std::string::npos);
  EXPECT_NE(granted.response.find("\r\nSec-WebSocket-Protocol: mqtt\r\n"), std::string::npos);
  EXPECT_TRUE(answer(kSound, "GET /mqtt?token=x HTTP/1.1").accepted);
  EXPECT_TRUE(answer(kHost + kUpgrade + kKey + "Sec-WebSocket-Protocol: mqttv3.1, mqtt\r\n").accepted);
  EXPECT_TRUE(answer_upgrade("GET /any HTTP/1.1\r\n" + kSound + "\r\n", {.path = {}, .origins = {}}).accepted);
}

TEST(WebSocketUpgrade, TellsALoadBalancerWhetherTheNodeTakesClients) {
  const std::string request = "GET /readyz HTTP/1.1\r\n" + kHost + "\r\n";
  const auto ready = answer_upgrade(request, {.path = "/mqtt", .origins = {}});
  EXPECT_EQ(status(ready), 200);
  EXPECT_FALSE(ready.accepted);
  EXPECT_TRUE(ready.why.empty()) << "nothing to log";
  EXPECT_EQ(status(answer_upgrade(request, {.path = "/mqtt", .origins = {}, .is_ready = false})), 503);
}

TEST(WebSocketUpgrade, LooksAtTheOrigin) {
  const auto from = [](const std::string& origin) { return answer(kSound + "Origin: " + origin + "\r\n"); };
  EXPECT_TRUE(from("https://chat.example").accepted);
  EXPECT_TRUE(from("http://127.0.0.1:8083").accepted) << "its own";
  for (const char* origin : {"https://evil.example", "null", "http://chat.example", "https://chat.example.evil",
                             "http://127.0.0.1:8084", "http://127.0.0.1"}) {
    EXPECT_EQ(status(from(origin)), 403) << origin;
  }
  const std::string rebound = "Host: evil.example:8083\r\nOrigin: http://evil.example:8083\r\n";
  EXPECT_EQ(status(answer(rebound + kUpgrade + kKey + kProtocol)), 403) << "a name may have been made to point here";
  const std::array<std::string, 1> all{"*"};
  EXPECT_TRUE(answer_upgrade("GET / HTTP/1.1\r\n" + kSound + "Origin: https://x\r\n\r\n", {.path = {}, .origins = all})
                  .accepted);
}

TEST(WebSocketUpgrade, IsRefusedWithAStatus) {
  struct Case {
    int status;
    std::string fields;
    std::string line = "GET /mqtt HTTP/1.1";
  };
  for (const auto& [wanted, fields, line] : {
           Case{400, kSound, "POST /mqtt HTTP/1.1"},
           Case{400, kSound, "GET /mqtt HTTP/1.0"},
           Case{404, kSound, "GET /chat HTTP/1.1"},
           Case{400, kUpgrade + kKey + kProtocol},
           Case{400, kHost + kSound},
           Case{400, kSound + "Content-Length: 1\r\n"},
           Case{400, kSound + "Transfer-Encoding: chunked\r\n"},
           Case{426, kHost + kKey + kProtocol},
           Case{426, kHost + "Upgrade: websocket\r\nConnection: Upgrade\r\n" + kKey + kProtocol},
           Case{400, kHost + kUpgrade + kProtocol},
           Case{400, kHost + kUpgrade + "Sec-WebSocket-Key: short\r\n" + kProtocol},
           Case{400, kSound + kKey},
           Case{400, kHost + kUpgrade + kKey},
           Case{400, kHost + kUpgrade + kKey + "Sec-WebSocket-Protocol: chat\r\n"},
           Case{400, kHost + kUpgrade + kKey + "Sec-WebSocket-Protocol: mqttv5\r\n"},
           Case{400, "no field\r\n"},
           Case{400, "", "\x16\x03\x01"},
       }) {
    const auto refusal = answer(fields, line);
    EXPECT_FALSE(refusal.accepted);
    EXPECT_EQ(status(refusal), wanted) << line << "\n" << fields;
    EXPECT_FALSE(refusal.why.empty());
    EXPECT_TRUE(refusal.response.ends_with("\r\n\r\n"));
  }
}

TEST(WebSocketUpgrade, AnswersTheSubProtocolAsItWasOffered) {
  for (const auto& [offered, answered] :
       {std::pair("MQTT", "MQTT"), std::pair("chat, Mqtt", "Mqtt"), std::pair("mqtt, MQTT", "mqtt"),
        std::pair("mqttv3.1", "mqttv3.1"), std::pair("mqttv3.1, mqtt", "mqtt"),
        std::pair("chat, MQTTv3.1", "MQTTv3.1")}) {
    const auto granted = answer(kHost + kUpgrade + kKey + "Sec-WebSocket-Protocol: " + offered + "\r\n");
    EXPECT_TRUE(granted.accepted);
    EXPECT_TRUE(granted.response.ends_with(std::string("\r\nSec-WebSocket-Protocol: ") + answered + "\r\n\r\n"));
  }
}

TEST(WebSocketUpgrade, MayHaveAnEmptyBody) {
  EXPECT_TRUE(answer(kSound + "Content-Length: 0\r\n").accepted);
  EXPECT_EQ(status(answer(kSound + "Content-Length: 1\r\n")), 400);
  EXPECT_EQ(status(answer(kSound + "Transfer-Encoding: chunked\r\n")), 400);
}

TEST(WebSocketUpgrade, TakesAWholeUrlAsProxiesGetIt) {
  // RFC 9112 §3.2.2
  for (const char* url : {"http://x/mqtt", "ws://x:9001/mqtt", "http://x/mqtt?a=b"}) {
    EXPECT_TRUE(answer(kSound, std::string("GET ") + url + " HTTP/1.1").accepted) << url;
  }
  for (const char* url : {"http://x/other", "http://x", "http://x?/mqtt", "mqtt", "*", "://", "http:///"}) {
    EXPECT_EQ(status(answer(kSound, std::string("GET ") + url + " HTTP/1.1")), 404) << url;
  }
}

TEST(WebSocketUpgrade, EndsWithAnEmptyLine) {
  EXPECT_EQ(end_of_request("GET / HTTP/1.1\r\nHost: x\r\n"), std::string_view::npos);
  EXPECT_EQ(end_of_request("GET / HTTP/1.1\r\n\r\n\x82"), 18U);
}

}  // namespace
}  // namespace parley::net
