#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.hpp"

/// Flat JSON objects, as clients send them for commands. Pure; any thread.
namespace parley::json {

/// Null, another number than a whole one from 0 on, an array or an object.
struct OtherValue {};

struct Field {
  std::string name;
  std::variant<std::string, std::uint64_t, bool, OtherValue> value;
};

/// The members of an object in the order they stand in; of those with the same name the last one. A number that has a
/// fraction or an exponent isn't whole. Fails with std::errc::invalid_argument when it is no JSON object.
Result<std::vector<Field>> read_fields(std::string_view text);

}  // namespace parley::json
