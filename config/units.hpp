#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/time.hpp"

/// Durations and sizes as operators write them. Pure; any thread.
namespace parley::config {

/// "250ms", "10s", "5m", "24h", "365d"; whole numbers only. Nothing when it is no duration, or one above 292 years.
std::optional<Duration> read_duration(std::string_view text);

/// "512", "64KB", "2MB", "10GB", "1TB": bytes, in steps of 1,024 (KiB, MiB, … mean the same). Nothing when it is no
/// size that fits 63 bits.
std::optional<std::uint64_t> read_size(std::string_view text);

/// The shortest way to write it that reads back as the same value.
std::string write_duration(Duration duration);
std::string write_size(std::uint64_t bytes);

}  // namespace parley::config
