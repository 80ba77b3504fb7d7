#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "config/config.hpp"

/// From the command line to a checked Config; the same for every server program.
namespace parley::config {

/// A program's name and what it says of itself in `--help`.
struct Program {
  std::string_view name;
  std::string_view version;
  std::string_view description;
  /// Where `--listen URL` goes: a setting's name; empty: the broker's listeners.
  std::string_view listen_setting;
};

struct CommandLine {
  std::optional<Config> config;  ///< Nothing when there is nothing to run: help, version, a check.
  std::string output;            ///< For standard output.
};

/// `arguments` without the program's name; `environment` as name and value. Reads the file that `--config` names.
/// Throws ConfigError.
CommandLine read_command_line(const Program& program, std::vector<std::string> arguments,
                              const std::vector<std::pair<std::string, std::string>>& environment);

/// The settings of a configuration file's text on top of `config`; `file` is for messages. Throws ConfigError.
void read_file(Config& config, const std::string& text, const std::string& file);

/// This process's environment, for read_command_line.
std::vector<std::pair<std::string, std::string>> process_environment();

}  // namespace parley::config
