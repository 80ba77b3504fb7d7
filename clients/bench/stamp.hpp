#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "base/bytes.hpp"
#include "base/time.hpp"

/// What every benchmark message says about itself, at the front of its payload.
namespace parley::bench {

/// Which stream it belongs to, its place in it, and when it was to be sent: the receiver's latency is measured from
/// there. Sender and receiver are one process, so the time is the steady clock's.
struct Stamp {
  std::uint32_t stream = 0;
  std::uint64_t sequence = 0;  ///< 0, 1, 2, … within the stream.
  Instant intended{};
};

inline constexpr std::size_t kStampSize = 24;
inline constexpr std::uint32_t kStampMark = 0x5042'4E43;  ///< Tells our payloads from somebody else's.

/// Writes kStampSize bytes.
inline void write_stamp(char* to, const Stamp& stamp) {
  store_big_endian(to, kStampMark);
  store_big_endian(to + 4, stamp.stream);
  store_big_endian(to + 8, stamp.sequence);
  store_big_endian(to + 16, static_cast<std::uint64_t>(stamp.intended.time_since_epoch().count()));
}

/// Nothing when the payload isn't one of ours.
inline std::optional<Stamp> read_stamp(std::string_view payload) {
  if (payload.size() < kStampSize || load_big_endian<std::uint32_t>(payload.data()) != kStampMark) return std::nullopt;
  const auto intended = static_cast<std::int64_t>(load_big_endian<std::uint64_t>(payload.data() + 16));
  return Stamp{.stream = load_big_endian<std::uint32_t>(payload.data() + 4),
               .sequence = load_big_endian<std::uint64_t>(payload.data() + 8),
               .intended = Instant(Duration(intended))};
}

}  // namespace parley::bench
