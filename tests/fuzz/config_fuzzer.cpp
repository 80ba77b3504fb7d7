#include <cstddef>
#include <cstdint>
#include <string>

#include "config/command_line.hpp"
#include "config/error.hpp"
#include "config/settings.hpp"

/// A configuration file's text: it is taken or refused with a ConfigError, and what was taken reads back as it stands.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace parley::config;
  Config config = standard_config();
  try {
    read_file(config, std::string(reinterpret_cast<const char*>(data), size), "fuzz.toml");
    check(config);
  } catch (const ConfigError&) {
    return 0;
  }
  for (const Setting& setting : settings()) {
    Config again = standard_config();
    assign(again, setting, value_text(config, setting));
    if (value_text(again, setting) != value_text(config, setting)) __builtin_trap();
  }
  return 0;
}
