#include "config/listener_settings.hpp"

#include <gtest/gtest.h>

#include "config/command_line.hpp"
#include "config/error.hpp"

namespace parley::config {
namespace {

std::vector<Listener> listeners(const std::string& text) {
  Config config = standard_config();
  read_file(config, text, "test.toml");
  check(config);
  return config.listeners;
}

TEST(ListenerSettings, AreReadFromTheirTable) {
  const auto list = listeners(R"(
    [[listener]]
    url = "unix:///run/parley/mqtt.sock"
    proxy_protocol = ["unix"]
    [[listener]]
    url = "wss://127.0.0.1:8084/mqtt"
    origins = ["https://chat.example"]
    client_certificate = "optional"
    client_ca = "ca.crt"
    certificate_user = "dns"
    [[listener.certificate]]
    chain = "a.crt"
    key = "a.key"
    [[listener.certificate]]
    chain = "b.crt"
    key = "b.key"
  )");
  ASSERT_EQ(list.size(), 2U);
  EXPECT_EQ(list[0].scheme, Scheme::Unix);
  EXPECT_EQ(list[0].path, "/run/parley/mqtt.sock");
  EXPECT_TRUE(list[0].allow_anonymous);
  EXPECT_EQ(list[1].scheme, Scheme::SecureWebSocket);
  EXPECT_EQ(list[1].path, "/mqtt");
  EXPECT_EQ(list[1].certificates, (std::vector<Certificate>{{"a.crt", "a.key"}, {"b.crt", "b.key"}}));
  EXPECT_EQ(list[1].certificate_user, "dns");
  EXPECT_EQ(list[1].origins, std::vector<std::string>{"https://chat.example"});
}

TEST(ListenerSettings, AreRefusedWithTheListenersName) {
  const std::string certificate = "[[listener.certificate]]\nchain = \"a\"\nkey = \"b\"\n";
  const std::string tls = "[[listener]]\nurl = \"tls://127.0.0.1:8883\"\n";
  const std::string ws = "[[listener]]\nurl = \"ws://127.0.0.1:8083\"\n";
  for (const std::string& text : {
           tls,
           tls + "tls_min = \"1.1\"\n" + certificate,
           tls + "client_certificate = \"required\"\n" + certificate,
           tls + "certificate_user = \"serial\"\n" + certificate,
           tls + "origins = [\"*\"]\n" + certificate,
           tls + "[[listener.certificate]]\nchain = \"a\"\n",
           tls + "[[listener.certificate]]\nchain = \"a\"\nkey = \"b\"\npassword = \"c\"\n",
           tls + "certificate = \"a\"\n",
           ws + "origins = \"*\"\n",
           ws + "origins = [1]\n",
           ws + "tls_min = \"1.2\"\n",
           ws + certificate,
           ws + "proxy_protocol = [\"everybody\"]\n",
           ws + "allow_anonymous = \"yes\"\n",
           ws + "nothing = 1\n",
       }) {
    try {
      listeners(text);
      ADD_FAILURE() << text;
    } catch (const ConfigError& error) {
      EXPECT_NE(std::string(error.what()).find("listener"), std::string::npos) << error.what();
    }
  }
}

}  // namespace
}  // namespace parley::config
