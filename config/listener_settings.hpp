#pragma once

#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "config/listener.hpp"

/// The table of a listener's settings.
namespace parley::config {

struct ListenerSetting {
  std::string_view name;
  std::variant<std::string Listener::*, bool Listener::*, std::vector<std::string> Listener::*> place;
  std::string_view values;    ///< Of a choice: the words, separated by `|`; else what is taken, for the page.
  std::string_view standard;  ///< For the page.
  std::string_view schemes;   ///< Those that have it, separated by `|`; empty: all.
  std::string_view meaning;
};

/// All but `url`, `path` (a part of it) and the certificates.
std::span<const ListenerSetting> listener_settings();
/// Throws ConfigError when there is none of that name, or none for the listener's scheme.
const ListenerSetting& find_listener_setting(const Listener& listener, std::string_view name);
/// Refuses what no single setting shows: a network that is none, no certificate for TLS, anonymous clients from other
/// machines. Throws ConfigError.
void check(const Listener& listener, bool authenticates);
/// The rows for docs/SETTINGS.md.
std::string listener_settings_rows();

}  // namespace parley::config
