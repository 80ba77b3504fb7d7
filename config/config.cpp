#include "config/config.hpp"

#include "base/name.hpp"
#include "config/error.hpp"
#include "config/settings.hpp"

namespace parley::config {
namespace {

void check_listener(const Listener& listener) {
  const std::string url = "listener tcp://" + to_text(listener.address);
  const bool loopback = is_loopback(listener.address.host);
  if (!loopback && listener.allow_anonymous) {
    throw ConfigError(url + " would let everybody in from other machines; only a loopback address may allow_anonymous");
  }
  if (!listener.allow_anonymous) {
    throw ConfigError(url +
                      " doesn't allow_anonymous, and this version knows no other way to authenticate; listen on a "
                      "loopback address");
  }
}

}  // namespace

Config standard_config() {
  Config config;
  for (const Setting& setting : settings()) assign(config, setting, setting.standard);
  config.listeners.push_back({.address = {.host = "127.0.0.1", .port = 1883}, .allow_anonymous = true});
  return config;
}

void check(const Config& config) {
  if (!is_name(config.chat.root)) {
    throw ConfigError("chat.root is \"" + config.chat.root +
                      "\", but it must be one level of a topic that doesn't begin with $");
  }
  if (config.listeners.empty()) throw ConfigError("there is no listener; give one by [[listener]] or --listen");
  for (const Listener& listener : config.listeners) check_listener(listener);
  const auto bridge = read_url("bridge.listen", "http", config.bridge.listen);
  if (config.bridge.allow_anonymous && !is_loopback(bridge.host)) {
    throw ConfigError("bridge.allow_anonymous needs bridge.listen on a loopback address, but that is " +
                      config.bridge.listen);
  }
  read_url("bridge.broker", "tcp", config.bridge.broker);
}

}  // namespace parley::config
