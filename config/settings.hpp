#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "config/config.hpp"

/// The table of settings.
namespace parley::config {

/// How a value is written; its type in Config follows.
enum class Kind : std::uint8_t {
  Text,
  OptionalText,  ///< May be empty.
  Choice,
  Truth,
  Integer,
  Duration,
  Size,
};

/// Where a setting's value is kept.
using Place =
    std::variant<std::string& (*)(Config&), bool& (*)(Config&), std::uint64_t& (*)(Config&), Duration& (*)(Config&)>;

struct Setting {
  std::string_view name;  ///< section.key
  Kind kind;
  Place place;
  std::string_view standard;
  std::string_view least;    ///< As the value is written; empty: no bound.
  std::string_view most;     ///< For a Choice: the words, separated by `|`.
  std::string_view meaning;  ///< One or two sentences, for docs/SETTINGS.md.
};

/// In the order of the sections.
std::span<const Setting> settings();
/// Null when there is none of that name.
const Setting* find_setting(std::string_view name);
/// "unknown setting …", with the nearest known one if there is a near one.
std::string unknown_setting(std::string_view name);

/// Reads `value` and puts it where it belongs. Throws ConfigError when it is not of the setting's kind or out of
/// bounds.
void assign(Config& config, const Setting& setting, std::string_view value);
/// As `assign` reads it.
std::string value_text(const Config& config, const Setting& setting);

/// docs/SETTINGS.md: a table a section.
std::string settings_page();

}  // namespace parley::config
