#include "bridge/rfc3339.hpp"

#include <chrono>
#include <cstdint>

namespace parley::bridge {
namespace {

constexpr bool is_digit(char c) { return c >= '0' && c <= '9'; }

/// Takes fixed-width fields off the front.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : rest_(text) {}

  bool number(std::size_t digits, int least, int most, int& value) {
    if (rest_.size() < digits) return false;
    value = 0;
    for (std::size_t i = 0; i < digits; ++i) {
      if (!is_digit(rest_[i])) return false;
      value = value * 10 + (rest_[i] - '0');
    }
    rest_.remove_prefix(digits);
    return value >= least && value <= most;
  }

  bool one_of(std::string_view characters) {
    if (rest_.empty() || characters.find(rest_.front()) == std::string_view::npos) return false;
    taken_ = rest_.front();
    rest_.remove_prefix(1);
    return true;
  }

  /// Digits behind a decimal point, as milliseconds; at least one.
  bool fraction(int& milliseconds) {
    int unit = 100;
    std::size_t count = 0;
    milliseconds = 0;
    for (; count < rest_.size() && is_digit(rest_[count]); ++count, unit /= 10) {
      milliseconds += (rest_[count] - '0') * unit;
    }
    rest_.remove_prefix(count);
    return count != 0;
  }

  [[nodiscard]] char taken() const { return taken_; }
  [[nodiscard]] bool empty() const { return rest_.empty(); }

 private:
  std::string_view rest_;
  char taken_ = 0;
};

/// Minutes east of UTC.
std::optional<int> read_offset(Scanner& scanner) {
  if (scanner.one_of("Zz")) return 0;
  if (!scanner.one_of("+-")) return std::nullopt;
  const int sign = scanner.taken() == '-' ? -1 : 1;
  int hours = 0;
  int minutes = 0;
  if (!scanner.number(2, 0, 23, hours) || !scanner.one_of(":") || !scanner.number(2, 0, 59, minutes)) {
    return std::nullopt;
  }
  return sign * (hours * 60 + minutes);
}

}  // namespace

std::optional<Timestamp> read_rfc3339(std::string_view text) {
  Scanner scanner(text);
  int year = 0;
  int month = 0;
  int day = 0;
  int hour = 0;
  int minute = 0;
  int second = 0;
  int milliseconds = 0;
  const bool well_formed = scanner.number(4, 0, 9999, year) && scanner.one_of("-") && scanner.number(2, 1, 12, month) &&
                           scanner.one_of("-") && scanner.number(2, 1, 31, day) && scanner.one_of("Tt ") &&
                           scanner.number(2, 0, 23, hour) && scanner.one_of(":") && scanner.number(2, 0, 59, minute) &&
                           scanner.one_of(":") && scanner.number(2, 0, 60, second);
  if (!well_formed) return std::nullopt;
  if (scanner.one_of(".") && !scanner.fraction(milliseconds)) return std::nullopt;
  const auto offset = read_offset(scanner);
  if (!offset || !scanner.empty()) return std::nullopt;

  const std::chrono::year_month_day date{std::chrono::year(year), std::chrono::month(static_cast<unsigned>(month)),
                                         std::chrono::day(static_cast<unsigned>(day))};
  if (!date.ok()) return std::nullopt;
  const auto time = std::chrono::sys_days(date).time_since_epoch() + std::chrono::hours(hour) +
                    std::chrono::minutes(minute - *offset) + std::chrono::seconds(second) +
                    std::chrono::milliseconds(milliseconds);
  const std::int64_t since_epoch = std::chrono::duration_cast<std::chrono::milliseconds>(time).count();
  if (since_epoch < 0) return std::nullopt;
  return Timestamp{static_cast<std::uint64_t>(since_epoch)};
}

}  // namespace parley::bridge
