#include "config/units.hpp"

#include <array>
#include <charconv>

namespace parley::config {
namespace {

constexpr std::uint64_t kMax = 0x7FFF'FFFF'FFFF'FFFFULL;

struct Unit {
  std::string_view name;
  std::uint64_t factor;
};

constexpr std::uint64_t kSecond = 1'000'000'000;
/// From the largest to the smallest; the first that divides a value writes it.
constexpr std::array kDurations{Unit{"d", 86'400 * kSecond},
                                Unit{"h", 3'600 * kSecond},
                                Unit{"m", 60 * kSecond},
                                Unit{"s", kSecond},
                                Unit{"ms", 1'000'000},
                                Unit{"us", 1'000},
                                Unit{"ns", 1}};
constexpr std::array kSizes{
    Unit{"TB", 1ULL << 40},  Unit{"GB", 1ULL << 30},  Unit{"MB", 1ULL << 20},  Unit{"KB", 1ULL << 10},  Unit{"", 1},
    Unit{"TiB", 1ULL << 40}, Unit{"GiB", 1ULL << 30}, Unit{"MiB", 1ULL << 20}, Unit{"KiB", 1ULL << 10}, Unit{"B", 1}};

template <std::size_t kCount>
std::optional<std::uint64_t> read(std::string_view text, const std::array<Unit, kCount>& units) {
  std::uint64_t number = 0;
  const char* const last = text.data() + text.size();
  const auto [end, error] = std::from_chars(text.data(), last, number);
  if (error != std::errc{} || end == text.data()) return std::nullopt;
  const std::string_view name(end, static_cast<std::size_t>(last - end));
  for (const Unit& unit : units) {
    if (unit.name != name) continue;
    if (number > kMax / unit.factor) return std::nullopt;
    return number * unit.factor;
  }
  return std::nullopt;
}

template <std::size_t kCount>
std::string write(std::uint64_t value, const std::array<Unit, kCount>& units) {
  for (const Unit& unit : units) {
    if (value != 0 && value % unit.factor == 0) return std::to_string(value / unit.factor).append(unit.name);
  }
  return "0";
}

}  // namespace

std::optional<Duration> read_duration(std::string_view text) {
  if (text == "0") return Duration::zero();
  const auto value = read(text, kDurations);
  if (!value) return std::nullopt;
  return Duration(static_cast<std::int64_t>(*value));
}

std::optional<std::uint64_t> read_size(std::string_view text) { return read(text, kSizes); }

std::string write_duration(Duration duration) {
  return write(static_cast<std::uint64_t>(duration.count()), kDurations);
}

std::string write_size(std::uint64_t bytes) { return write(bytes, kSizes); }

}  // namespace parley::config
