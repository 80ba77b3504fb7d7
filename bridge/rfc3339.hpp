#pragma once

#include <optional>
#include <string_view>

#include "base/time.hpp"

namespace parley::bridge {

/// `2026-03-01T12:30:00Z`, with an optional fraction of a second (cut to milliseconds) and `Z` or an offset such as
/// `+02:00`; `t`, `z` and a space for the `T` are taken, too. A leap second is the second after it. Nothing when it is
/// no such time, or one before 1970. RFC 3339 §5.6. Pure.
std::optional<Timestamp> read_rfc3339(std::string_view text);

}  // namespace parley::bridge
