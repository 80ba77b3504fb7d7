#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "broker/session/session.hpp"

/// A will in its session's record, before the session's state. Pure. Format: docs/formats/session.md.
namespace parley::shard {

struct StateWithWill {
  std::string_view state;  ///< Of the session alone, views the bytes it came from.
  std::optional<session::WillPlan> will;
};

/// `will` has an id.
std::string with_will(const session::WillPlan& will, std::string_view state);
/// Also of a state without a will. Fails with CorruptRecord.
Result<StateWithWill> split_will(std::string_view bytes);
/// The state alone; of bytes that can't be read nothing.
std::string_view without_will(std::string_view bytes);

}  // namespace parley::shard
