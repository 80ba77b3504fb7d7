#include "config/command_line.hpp"

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cctype>
#include <fstream>
#include <set>
#include <sstream>
#include <toml.hpp>

#include "base/metrics.hpp"
#include "config/error.hpp"
#include "config/listener_settings.hpp"
#include "config/settings.hpp"
#include "mqtt/utf8.hpp"

namespace parley::config {
namespace {

using Toml = toml::value;

/// A scalar as `assign` reads it.
std::string text_of(const std::string& name, const Toml& value) {
  if (value.is_string()) return value.as_string().str;
  if (value.is_boolean()) return value.as_boolean() ? "true" : "false";
  if (value.is_integer()) return std::to_string(value.as_integer());
  throw ConfigError(name + " must be a text, a whole number, true or false");
}

std::vector<std::string> list_of(const std::string& name, const Toml& value) {
  if (!value.is_array()) throw ConfigError(name + " must be an array of texts");
  std::vector<std::string> list;
  for (const Toml& item : value.as_array()) {
    if (!item.is_string()) throw ConfigError(name + " must be an array of texts");
    list.push_back(item.as_string().str);
  }
  return list;
}

std::vector<Certificate> certificates_of(const Toml& value) {
  if (!value.is_array()) throw ConfigError("certificates are written as [[listener.certificate]]");
  std::vector<Certificate> list;
  for (const Toml& table : value.as_array()) {
    if (!table.is_table()) throw ConfigError("certificates are written as [[listener.certificate]]");
    Certificate& certificate = list.emplace_back();
    for (const auto& [key, file] : table.as_table()) {
      if (key != "chain" && key != "key") {
        throw ConfigError("unknown setting \"listener.certificate." + key + "\"; a certificate has chain and key");
      }
      (key == "chain" ? certificate.chain : certificate.key) = text_of("listener.certificate." + key, file);
    }
    if (certificate.chain.empty() || certificate.key.empty())
      throw ConfigError("a [[listener.certificate]] has a chain and a key");
  }
  return list;
}

void assign_listener(Listener& listener, const std::string& key, const Toml& value) {
  const std::string name = "listener." + key;
  const auto& place = find_listener_setting(listener, key).place;
  if (const auto* truth = std::get_if<bool Listener::*>(&place)) {
    if (!value.is_boolean()) throw ConfigError(name + " must be true or false");
    listener.** truth = value.as_boolean();
  } else if (const auto* list = std::get_if<std::vector<std::string> Listener::*>(&place)) {
    listener.** list = list_of(name, value);
  } else {
    listener.*std::get<std::string Listener::*>(place) = text_of(name, value);
  }
}

Listener read_listener(const Toml& table) {
  if (!table.is_table()) throw ConfigError("a listener is a table: [[listener]]");
  const auto& keys = table.as_table();
  const auto url = keys.find("url");
  if (url == keys.end()) throw ConfigError("a [[listener]] has no url");
  Listener listener = read_listener_url("listener.url", text_of("listener.url", url->second));
  for (const auto& [key, value] : keys) {
    if (key == "certificate" && listener.is_secure()) {
      listener.certificates = certificates_of(value);
    } else if (key != "url") {
      assign_listener(listener, key, value);
    }
  }
  return listener;
}

void read_section(Config& config, const std::string& section, const Toml& table) {
  for (const auto& [key, value] : table.as_table()) {
    const std::string name = section + "." + key;
    if (value.is_table()) {
      read_section(config, name, value);
      continue;
    }
    const Setting* setting = find_setting(name);
    if (setting == nullptr) throw ConfigError(unknown_setting(name));
    assign(config, *setting, text_of(name, value));
  }
}

void read_sections(Config& config, const Toml& document) {
  for (const auto& [key, value] : document.as_table()) {
    if (key == "listener") {
      if (!value.is_array()) throw ConfigError("listeners are written as [[listener]]");
      config.listeners.clear();
      for (const Toml& listener : value.as_array()) config.listeners.push_back(read_listener(listener));
    } else if (value.is_table()) {
      read_section(config, key, value);
    } else {
      throw ConfigError(unknown_setting(key));
    }
  }
}

/// PARLEY_MQTT_MAX_QOS names mqtt.max_qos. Variables of other sections are somebody else's.
void read_environment(Config& config, const std::vector<std::pair<std::string, std::string>>& environment) {
  std::set<std::string_view> sections;
  for (const Setting& setting : settings()) sections.insert(setting.name.substr(0, setting.name.find('.')));
  for (const auto& [variable, value] : environment) {
    constexpr std::string_view kPrefix = "PARLEY_";
    if (!variable.starts_with(kPrefix)) continue;
    std::string name = variable.substr(kPrefix.size());
    std::ranges::transform(name, name.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    const auto underscore = name.find('_');
    if (underscore == std::string::npos || !sections.contains(std::string_view(name).substr(0, underscore))) continue;
    const auto is_it = [&name](const Setting& setting) {
      return std::ranges::equal(setting.name, name, [](char a, char b) { return a == b || (a == '.' && b == '_'); });
    };
    const auto found = std::ranges::find_if(settings(), is_it);
    const Setting* setting = found == settings().end() ? nullptr : &*found;
    name[underscore] = '.';
    if (setting == nullptr) throw ConfigError(unknown_setting(name) + " (from the environment: " + variable + ")");
    assign(config, *setting, value);
  }
}

void read_pair(Config& config, const std::string& pair) {
  const auto equals = pair.find('=');
  if (equals == std::string::npos) throw ConfigError("--set " + pair + " must be written key=value");
  const std::string name = pair.substr(0, equals);
  const Setting* setting = find_setting(name);
  if (setting == nullptr) throw ConfigError(unknown_setting(name));
  assign(config, *setting, pair.substr(equals + 1));
}

void read_listen(Config& config, const Program& program, const std::vector<std::string>& urls) {
  if (urls.empty()) return;
  if (!program.listen_setting.empty()) {
    if (urls.size() > 1) throw ConfigError("--listen can be given once here");
    assign(config, *find_setting(program.listen_setting), urls.front());
    return;
  }
  config.listeners.clear();
  for (const std::string& url : urls) config.listeners.push_back(read_listener_url("--listen", url));
}

struct Arguments {
  std::string file;
  std::vector<std::string> pairs;
  std::vector<std::string> listen;
  std::string data_dir;
  bool check_only = false;
  bool version = false;
  bool settings_page = false;
  bool metrics_page = false;
};

Config config_of(const Program& program, const Arguments& arguments,
                 const std::vector<std::pair<std::string, std::string>>& environment) {
  Config config = standard_config();
  if (!arguments.file.empty()) {
    std::ifstream file(arguments.file);
    if (!file) throw ConfigError("the configuration file \"" + arguments.file + "\" can't be read");
    std::ostringstream text;
    text << file.rdbuf();
    read_file(config, text.str(), arguments.file);
  }
  read_environment(config, environment);
  for (const std::string& pair : arguments.pairs) read_pair(config, pair);
  read_listen(config, program, arguments.listen);
  if (!arguments.data_dir.empty()) config.node.data_dir = arguments.data_dir;
  check(config);
  return config;
}

/// TOML is UTF-8. Asked before the library reads it: toml11 3.7 runs past its buffer at what isn't.
void require_utf8(const std::string& text, const std::string& file) {
  std::string_view rest = text;
  for (std::size_t line = 1; !rest.empty(); ++line) {
    const std::size_t size = std::min(rest.find('\n'), rest.size() - 1) + 1;
    if (!mqtt::is_mqtt_utf8(rest.substr(0, size))) {
      throw ConfigError(file + ":" + std::to_string(line) + " is no TOML: the line isn't UTF-8 text");
    }
    rest.remove_prefix(size);
  }
}

}  // namespace

void read_file(Config& config, const std::string& text, const std::string& file) {
  require_utf8(text, file);
  std::istringstream stream(text);
  try {
    const Toml document = toml::parse(stream, file);
    if (document.is_table()) read_sections(config, document);
  } catch (const toml::exception& error) {
    const auto& where = error.location();
    throw ConfigError(file + ":" + std::to_string(where.line()) + " is no TOML: column " +
                      std::to_string(where.column()));
  } catch (const ConfigError& error) {
    throw ConfigError(file + ": " + error.what());
  } catch (const std::exception& error) {
    throw ConfigError(file + " is no TOML: " + error.what());
  }
}

CommandLine read_command_line(const Program& program, std::vector<std::string> arguments,
                              const std::vector<std::pair<std::string, std::string>>& environment) {
  CLI::App app{std::string(program.description), std::string(program.name)};
  Arguments given;
  app.add_option("--config", given.file, "Configuration file (TOML)")->option_text("FILE");
  app.add_option("--set", given.pairs, "One setting; may be repeated")
      ->option_text("section.key=value")
      ->allow_extra_args(false);
  app.add_option("--listen", given.listen, "Where to listen")->option_text("URL")->allow_extra_args(false);
  app.add_option("--data-dir", given.data_dir, "node.data_dir")->option_text("DIR");
  app.add_flag("--check-config", given.check_only, "Check the configuration and exit");
  app.add_flag("--settings", given.settings_page, "Print every setting as a page of Markdown and exit");
  app.add_flag("--metrics", given.metrics_page, "Print all that the broker counts as a page of Markdown and exit");
  app.add_flag("--version", given.version, "Print the version and exit");
  try {
    std::ranges::reverse(arguments);  // CLI11 takes the last one first.
    app.parse(std::move(arguments));
  } catch (const CLI::CallForHelp&) {
    return {.config = std::nullopt, .output = app.help()};
  } catch (const CLI::ParseError& error) {
    throw ConfigError(error.what());
  }
  if (given.version)
    return {.config = std::nullopt,
            .output = std::string(program.name).append(" ").append(program.version).append("\n")};
  if (given.settings_page) return {.config = std::nullopt, .output = settings_page()};
  if (given.metrics_page) return {.config = std::nullopt, .output = metrics_page()};
  Config config = config_of(program, given, environment);
  if (given.check_only) return {.config = std::nullopt, .output = "The configuration is sound.\n"};
  return {.config = std::move(config), .output = {}};
}

std::vector<std::pair<std::string, std::string>> process_environment() {
  std::vector<std::pair<std::string, std::string>> list;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    const std::string_view text(*entry);
    const auto equals = text.find('=');
    if (equals != text.npos) list.emplace_back(text.substr(0, equals), text.substr(equals + 1));
  }
  return list;
}

}  // namespace parley::config
