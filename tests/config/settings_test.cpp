#include "config/settings.hpp"

#include <gtest/gtest.h>

#include <fstream>
#include <set>
#include <sstream>

#include "config/error.hpp"

namespace parley::config {
namespace {

TEST(SettingsTable, HasEveryNameOnceAndSectionsTogether) {
  std::set<std::string_view> names;
  std::set<std::string_view> sections;
  std::string_view section;
  for (const Setting& setting : settings()) {
    EXPECT_TRUE(names.insert(setting.name).second) << setting.name;
    const auto here = setting.name.substr(0, setting.name.find('.'));
    if (here != section) {
      EXPECT_TRUE(sections.insert(here).second) << setting.name;
    }
    section = here;
    EXPECT_TRUE(setting.meaning.ends_with('.')) << setting.name;
  }
}

TEST(SettingsTable, KeepsEachValueInAPlaceOfItsOwn) {
  for (const Setting& one : settings()) {
    Config config = standard_config();
    const std::string other = one.kind == Kind::Truth ? (one.standard == "true" ? "false" : "true")
                              : one.kind == Kind::Text || one.kind == Kind::OptionalText ? "elsewhere"
                              : one.kind == Kind::Choice ? std::string(one.most.substr(one.most.rfind('|') + 1))
                                                         : std::string(one.most == one.standard ? one.least : one.most);
    assign(config, one, other);
    for (const Setting& setting : settings()) {
      Config expected = standard_config();
      if (&setting == &one) assign(expected, setting, other);
      EXPECT_EQ(value_text(config, setting), value_text(expected, setting)) << one.name << " changed " << setting.name;
    }
  }
}

TEST(SettingsTable, ReadsBackWhatItWrites) {
  const Config config = standard_config();
  for (const Setting& setting : settings()) {
    Config again = standard_config();
    assign(again, setting, value_text(config, setting));
    EXPECT_EQ(value_text(again, setting), value_text(config, setting)) << setting.name;
  }
}

TEST(Setting, RefusesOtherKindsAndWhatIsOutOfBounds) {
  struct Case {
    std::string_view name;
    std::string_view value;
  };
  const Case cases[] = {{"mqtt.max_qos", "3"},
                        {"mqtt.max_qos", "-1"},
                        {"mqtt.max_qos", "two"},
                        {"mqtt.max_qos", ""},
                        {"mqtt.max_packet_size", "1"},
                        {"mqtt.max_packet_size", "2 MB"},
                        {"mqtt.connect_timeout", "10"},
                        {"mqtt.connect_timeout", "2h"},
                        {"mqtt.retain_available", "yes"},
                        {"mqtt.retain_available", "1"},
                        {"mqtt.v3_refuse", "close|notice"},
                        {"mqtt.v3_refuse", ""},
                        {"log.level", "loud"},
                        {"node.data_dir", ""}};
  for (const auto& [name, value] : cases) {
    Config config = standard_config();
    try {
      assign(config, *find_setting(name), value);
      ADD_FAILURE() << name << " took " << value;
    } catch (const ConfigError& error) {
      EXPECT_TRUE(std::string_view(error.what()).starts_with(name)) << error.what();
    }
  }
}

TEST(UnknownSetting, IsAnsweredWithTheNearestOne) {
  EXPECT_EQ(unknown_setting("mqtt.max_packet_sise"),
            "unknown setting \"mqtt.max_packet_sise\"; did you mean \"mqtt.max_packet_size\"?");
  EXPECT_EQ(unknown_setting("frobnicate"), "unknown setting \"frobnicate\"");
}

TEST(SettingsPage, IsTheOneInTheDocumentation) {
  const std::ifstream file(PARLEY_SOURCE_DIR "/docs/SETTINGS.md");
  std::ostringstream page;
  page << file.rdbuf();
  EXPECT_EQ(page.str(), settings_page()) << "write it again: parleyd --settings >docs/SETTINGS.md";
}

TEST(Check, RefusesListenersThatNobodyProtects) {
  Config config = standard_config();
  EXPECT_NO_THROW(check(config));
  config.listeners = {{.address = {"0.0.0.0", 1883}, .allow_anonymous = true}};
  EXPECT_THROW(check(config), ConfigError);
  config.listeners = {{.address = {"0.0.0.0", 1883}, .allow_anonymous = false}};
  EXPECT_THROW(check(config), ConfigError) << "nobody could come in";
  for (auto* place : {&config.auth.users_file, &config.auth.keys_file, &config.auth.http.url}) {
    *place = "something";
    EXPECT_NO_THROW(check(config));
    place->clear();
  }
  config.listeners[0].scheme = Scheme::Tls;
  config.listeners[0].certificates = {{"a", "b"}};
  config.listeners[0].client_ca = "ca";
  config.listeners[0].client_certificate = "optional";
  EXPECT_THROW(check(config), ConfigError);
  config.listeners[0].client_certificate = "required";
  EXPECT_NO_THROW(check(config));
  config.listeners = {{.address = {"127.0.0.1", 1883}, .allow_anonymous = false}};
  EXPECT_THROW(check(config), ConfigError);
  config.listeners.clear();
  EXPECT_THROW(check(config), ConfigError);
}

TEST(Check, RefusesAnAnonymousBridgeForOtherMachines) {
  Config config = standard_config();
  config.bridge.allow_anonymous = true;
  EXPECT_NO_THROW(check(config));
  config.bridge.listen = "http://0.0.0.0:8080";
  EXPECT_THROW(check(config), ConfigError);
}

TEST(Check, RefusesARootThatIsNoLevel) {
  for (const char* root : {"a/b", "+", "#", "$chat"}) {
    Config config = standard_config();
    config.chat.root = root;
    EXPECT_THROW(check(config), ConfigError) << root;
  }
}

}  // namespace
}  // namespace parley::config
