#include "config/config.hpp"

#include "base/name.hpp"
#include "config/cluster_settings.hpp"
#include "config/error.hpp"
#include "config/listener_settings.hpp"
#include "config/settings.hpp"

namespace parley::config {

Config standard_config() {
  Config config;
  for (const Setting& setting : settings()) assign(config, setting, setting.standard);
  config.listeners.push_back(read_listener_url("listener.url", "tcp://127.0.0.1:1883"));
  return config;
}

namespace {

/// A listener lets in those who prove who they are, or whom it may take at their word.
bool authenticates(const Config& config, const Listener& listener) {
  const auto& auth = config.auth;
  return !auth.users_file.empty() || !auth.keys_file.empty() || !auth.http.url.empty() ||
         listener.client_certificate == "required";
}

}  // namespace

void check(const Config& config) {
  if (!is_name(config.chat.root)) {
    throw ConfigError("chat.root is \"" + config.chat.root +
                      "\", but it must be one level of a topic that doesn't begin with $");
  }
  if (config.listeners.empty()) throw ConfigError("there is no listener; give one by [[listener]] or --listen");
  for (const Listener& listener : config.listeners) check(listener, authenticates(config, listener));
  const auto bridge = read_url("bridge.listen", "http", config.bridge.listen);
  if (config.bridge.allow_anonymous && !is_loopback(bridge.host)) {
    throw ConfigError("bridge.allow_anonymous needs bridge.listen on a loopback address, but that is " +
                      config.bridge.listen);
  }
  read_url("bridge.broker", "tcp", config.bridge.broker);
  check_cluster(config);
}

}  // namespace parley::config
