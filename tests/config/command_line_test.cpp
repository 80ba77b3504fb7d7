#include "config/command_line.hpp"

#include <gtest/gtest.h>

#include "config/error.hpp"

namespace parley::config {
namespace {

constexpr Program kBroker{.name = "parleyd", .version = "1.2.3", .description = "A broker.", .listen_setting = {}};
constexpr Program kBridge{
    .name = "bridge", .version = "1.2.3", .description = "A bridge.", .listen_setting = "bridge.listen"};

using Environment = std::vector<std::pair<std::string, std::string>>;

Config read(std::vector<std::string> arguments, const Environment& environment = {}, const Program& program = kBroker) {
  return read_command_line(program, std::move(arguments), environment).config.value();
}

std::string message_of(std::vector<std::string> arguments, const Environment& environment = {}) {
  try {
    read_command_line(kBroker, std::move(arguments), environment);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "no error";
}

std::string file_message(const std::string& text) {
  Config config = standard_config();
  try {
    read_file(config, text, "parley.toml");
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "no error";
}

TEST(CommandLine, BeginsWithTheStandardValues) {
  const Config config = read({});
  EXPECT_EQ(config.node.data_dir, "data");
  EXPECT_EQ(config.mqtt.max_packet_size, 2U << 20);
  ASSERT_EQ(config.listeners.size(), 1U);
  EXPECT_EQ(config.listeners[0].address, (Address{"127.0.0.1", 1883}));
  EXPECT_TRUE(config.listeners[0].allow_anonymous);
}

TEST(CommandLine, RefusesAFileThatIsNoUtf8) {
  const std::string sentence = " is no TOML: the line isn't UTF-8 text";
  EXPECT_EQ(file_message("[node]\nname = \"a\xFF\"\n"), "parley.toml:2" + sentence);
  EXPECT_EQ(file_message("\n 'text \x9F\n"), "parley.toml:2" + sentence);
  EXPECT_EQ(file_message("# \xC3"), "parley.toml:1" + sentence);
  EXPECT_EQ(file_message(std::string("# \0", 3)), "parley.toml:1" + sentence);
  EXPECT_EQ(file_message("# \xC3\xA4\n\n"), "no error");
}

TEST(CommandLine, LetsSetOverrideTheEnvironment) {
  const Environment environment{{"PARLEY_MQTT_MAX_QOS", "1"}, {"PARLEY_LOG_LEVEL", "warn"}, {"PATH", "/bin"}};
  const Config config = read({"--set", "mqtt.max_qos=0", "--data-dir", "/tmp/x"}, environment);
  EXPECT_EQ(config.mqtt.max_qos, 0U);
  EXPECT_EQ(config.log.level, "warn");
  EXPECT_EQ(config.node.data_dir, "/tmp/x");
}

TEST(CommandLine, ListensWhereItIsTold) {
  const Config config = read({"--listen", "tcp://127.0.0.1:1", "--listen", "tcp://[::1]:2"});
  ASSERT_EQ(config.listeners.size(), 2U);
  EXPECT_EQ(config.listeners[1].address, (Address{"::1", 2}));
  EXPECT_EQ(read({"--listen", "http://127.0.0.1:9"}, {}, kBridge).bridge.listen, "http://127.0.0.1:9");
}

TEST(CommandLine, OnlyAnswersWhenAskedForHelpOrVersion) {
  EXPECT_EQ(read_command_line(kBroker, {"--version"}, {}).output, "parleyd 1.2.3\n");
  EXPECT_FALSE(read_command_line(kBroker, {"--version"}, {}).config);
  EXPECT_NE(read_command_line(kBroker, {"--help"}, {}).output.find("--config"), std::string::npos);
  EXPECT_FALSE(read_command_line(kBroker, {"--check-config"}, {}).config);
}

TEST(CommandLine, SaysInOneSentenceWhatIsWrong) {
  EXPECT_NE(message_of({"--frobnicate"}).find("--frobnicate"), std::string::npos);
  EXPECT_EQ(message_of({"--set", "mqtt.max_qos"}), "--set mqtt.max_qos must be written key=value");
  EXPECT_EQ(message_of({"--set", "mqtt.max_qoz=1"}),
            "unknown setting \"mqtt.max_qoz\"; did you mean \"mqtt.max_qos\"?");
  EXPECT_EQ(message_of({"--config", "/nowhere/parley.toml"}),
            "the configuration file \"/nowhere/parley.toml\" can't be read");
  EXPECT_NE(message_of({}, {{"PARLEY_MQTT_MAX_QOZ", "1"}}).find("PARLEY_MQTT_MAX_QOZ"), std::string::npos);
  EXPECT_EQ(message_of({}, {{"PARLEY_SEED", "1"}, {"PARLEY_", "x"}}), "no error");
  EXPECT_NE(message_of({"--check-config", "--listen", "tcp://0.0.0.0:1883"}).find("listener tcp://0.0.0.0:1883"),
            std::string::npos);
}

TEST(ConfigurationFile, IsReadSectionBySection) {
  Config config = standard_config();
  read_file(config, R"(
[mqtt]
max_packet_size = "1MB"
retain_available = false
max_qos = 1
[chat]
auto_create = true
[[listener]]
url = "tcp://127.0.0.1:1885"
[[listener]]
url = "tcp://[::1]:1886"
allow_anonymous = false
)",
            "parley.toml");
  EXPECT_EQ(config.mqtt.max_packet_size, 1U << 20);
  EXPECT_FALSE(config.mqtt.retain_available);
  EXPECT_EQ(config.mqtt.max_qos, 1U);
  EXPECT_TRUE(config.chat.auto_create);
  ASSERT_EQ(config.listeners.size(), 2U);
  EXPECT_TRUE(config.listeners[0].allow_anonymous);
  EXPECT_FALSE(config.listeners[1].allow_anonymous);
}

TEST(ConfigurationFile, SaysInOneSentenceWhatIsWrong) {
  EXPECT_EQ(file_message("[mqtt]\nmax_qoz = 1\n"),
            "parley.toml: unknown setting \"mqtt.max_qoz\"; did you mean \"mqtt.max_qos\"?");
  EXPECT_EQ(file_message("[chatt]\nroot = \"x\"\n"),
            "parley.toml: unknown setting \"chatt.root\"; did you mean \"chat.root\"?");
  EXPECT_EQ(file_message("max_qos = 1\n").substr(0, 38), "parley.toml: unknown setting \"max_qos\"");
  EXPECT_EQ(file_message("[mqtt]\nmax_qos = [1]\n"),
            "parley.toml: mqtt.max_qos must be a text, a whole number, true or false");
  EXPECT_NE(file_message("[mqtt]\nmax_qos = = 1\n").find("parley.toml:2"), std::string::npos);
  EXPECT_NE(file_message("[[listener]]\nurl = \"http://127.0.0.1:80\"\n").find("listener.url"), std::string::npos);
  EXPECT_NE(file_message("[[listener]]\nurl = \"tcp://127.0.0.1:1\"\nport = 1883\n").find("listener.port"),
            std::string::npos);
  EXPECT_EQ(file_message("[[listener]]\n"), "parley.toml: a [[listener]] has no url");
  EXPECT_EQ(file_message("[listener]\nurl = \"tcp://127.0.0.1:1\"\n"),
            "parley.toml: listeners are written as [[listener]]");
  EXPECT_EQ(file_message("listener = [1]\n"), "parley.toml: a listener is a table: [[listener]]");
}

TEST(ConfigurationFile, ThatIsShippedIsSound) {
  for (const char* name : {"dev.toml", "parley.toml"}) {
    EXPECT_NO_THROW(read({"--config", std::string(PARLEY_SOURCE_DIR "/conf/") + name})) << name;
  }
}

TEST(CommandLine, ReadsTablesInTables) {
  Config config = standard_config();
  read_file(config, "[auth]\nusers_file = \"u\"\n[auth.http]\nurl = \"http://127.0.0.1:1\"\ntimeout = \"1s\"\n",
            "file");
  EXPECT_EQ(config.auth.http.url, "http://127.0.0.1:1");
  EXPECT_EQ(config.auth.http.timeout, std::chrono::seconds(1));
  EXPECT_THROW(read_file(config, "[auth.http]\nurls = \"x\"\n", "file"), ConfigError);
  EXPECT_THROW(read_file(config, "[auth.ldap]\nurl = \"x\"\n", "file"), ConfigError);
  const auto command =
      read_command_line({.name = "x", .version = "1", .description = "", .listen_setting = {}}, {},
                        {{"PARLEY_AUTH_HTTP_URL", "http://127.0.0.1:2"}, {"PARLEY_AUTH_CLOCK_SKEW", "1s"}});
  EXPECT_EQ(command.config->auth.http.url, "http://127.0.0.1:2");
  EXPECT_EQ(command.config->auth.clock_skew, std::chrono::seconds(1));
}

}  // namespace
}  // namespace parley::config
