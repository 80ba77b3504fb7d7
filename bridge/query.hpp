#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <variant>

#include "base/number.hpp"
#include "base/time.hpp"
#include "bridge/page.hpp"
#include "bridge/problem.hpp"

/// The parameters of GET …/messages and …/stream. bridge/openapi.json. Pure; any thread.
namespace parley::bridge {

inline constexpr std::uint32_t kLimitDefault = 50;
inline constexpr std::uint32_t kLimitMax = 1'000;
inline constexpr std::uint32_t kWaitMax = 60;  ///< Seconds.

/// `seq:N`, or a time.
using Position = std::variant<Seq, Timestamp>;

struct HistoryQuery {
  std::uint32_t limit = kLimitDefault;
  std::optional<Position> before;  ///< Both ends are exclusive.
  std::optional<Position> after;
  std::optional<Cursor> cursor;  ///< Instead of the two.
  std::optional<Epoch> epoch;    ///< Positions are void when the conversation has another.
  std::uint32_t wait = 0;        ///< Seconds to wait for the first entry of an ascending page.
};

template <class T>
using OrProblem = std::variant<T, ProblemDetails>;

/// `query` is what stands behind the `?`. The problem names the parameter.
OrProblem<HistoryQuery> read_history_query(std::string_view query);

/// The same for …/stream: only `after` (a seq or a time) and `epoch`.
OrProblem<HistoryQuery> read_stream_query(std::string_view query);

/// `seq:N`, Unix milliseconds or RFC 3339.
std::optional<Position> read_position(std::string_view text);
/// A decimal number that fits 64 bits, nothing else in the text.
std::optional<std::uint64_t> read_decimal(std::string_view text);

}  // namespace parley::bridge
