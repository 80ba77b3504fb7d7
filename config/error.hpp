#pragma once

#include <stdexcept>
#include <string>

namespace parley::config {

/// Stops a program from starting; what() is one sentence for the operator, with the setting's name.
class ConfigError : public std::runtime_error {
 public:
  explicit ConfigError(const std::string& sentence) : std::runtime_error(sentence) {}
};

}  // namespace parley::config
