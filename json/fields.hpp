#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.hpp"

/// Flat JSON objects, as clients send them for commands. Pure; any thread.
namespace parley::json {

struct Field {
  std::string name;
  std::variant<std::string, std::uint64_t, bool> value;
};

/// The members of an object whose values are strings, whole numbers from 0 on, true or false; in the order they stand
/// in. Fails with std::errc::invalid_argument when it is no such object.
Result<std::vector<Field>> read_fields(std::string_view text);

}  // namespace parley::json
